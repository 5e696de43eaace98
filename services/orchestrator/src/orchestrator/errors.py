"""The orchestrator's expected failures.

Each has an HTTP status. One handler renders them all as problem details (RFC 9457).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import ClassVar

from contract import FileFault, ProblemFileError, Sentence


def shortened(given: str) -> str:
    """A caller's text, cut to a length that fits a message."""
    return given if len(given) <= 100 else given[:99] + "…"


class QuorumError(Exception):
    """An error that the user can fix; `sentence` says what is wrong and how to fix it.

    `code` names the kind of failure for programs and never changes; `title` names it for people.
    """

    status = 500
    code = "internal-error"
    title = "Internal error"
    headers: ClassVar[Mapping[str, str]] = {}

    def __init__(self, sentence: Sentence) -> None:
        super().__init__(sentence)
        self.sentence = sentence

    @classmethod
    def type_uri(cls) -> str:
        """The `type` of the problem details (RFC 9457, section 3.1.1): a relative reference."""
        return f"/problems/{cls.code}"


class JobNotFoundError(QuorumError):
    status = 404
    code = "no-such-job"
    title = "No such job"

    def __init__(self, job_id: str) -> None:
        super().__init__(
            Sentence(
                "no-such-job",
                "there is no job {job!r}; GET /jobs lists those there are",
                job=shortened(job_id),
            )
        )


class QuestionNotFoundError(QuorumError):
    status = 404
    code = "no-such-question"
    title = "No such question"

    def __init__(self, position: int, count: int) -> None:
        super().__init__(
            Sentence(
                "no-such-question",
                "there is no question {position}; the job has {count}, counted from 0",
                position=position,
                count=count,
            )
        )


class ModelNotFoundError(QuorumError):
    status = 404
    code = "no-such-model"
    title = "No such model"

    def __init__(self, digest: str) -> None:
        super().__init__(
            Sentence(
                "no-such-model",
                "no model with the digest {digest!r} is published; "
                "GET /models lists those there are",
                digest=shortened(digest),
            )
        )


class JobDamagedError(QuorumError):
    """One of the job's own records cannot be read, so the job cannot continue."""

    code = "job-damaged"
    title = "The job cannot be read"

    def __init__(self, path: Path, reason: Sentence) -> None:
        remedy = (
            Sentence(
                "remove-end-file",
                "remove that file alone, and the job is ended again from its journals",
            )
            if path.name == "end.json"
            else Sentence(
                "put-file-back",
                "put back a copy of it, or delete the job and post its problems.jsonl again",
            )
        )
        super().__init__(
            Sentence(
                "job-damaged",
                "{path} {reason}; {remedy}",
                path=str(path),
                reason=reason,
                remedy=remedy,
            )
        )


class NotReadyError(QuorumError):
    status = 409
    code = "not-ready"
    title = "Not there yet"


class StateError(QuorumError):
    status = 409
    code = "wrong-state"
    title = "Not in this state"


class KeyReusedError(QuorumError):
    status = 422
    code = "key-reused"
    title = "The Idempotency-Key was used for something else"


class UnauthorizedError(QuorumError):
    status = 401
    code = "unauthorized"
    title = "The API key is missing or wrong"
    headers: ClassVar[Mapping[str, str]] = {"WWW-Authenticate": "Bearer"}


class OtherSiteError(QuorumError):
    status = 403
    code = "other-site"
    title = "Not from this site"


class OtherHostError(QuorumError):
    """The request names a host that is not known as this API's; `given` is its Host header."""

    status = 421
    code = "other-host"
    title = "Not this host"

    def __init__(self, given: str) -> None:
        super().__init__(
            Sentence(
                "other-host",
                "the header Host is {host!r}; this API answers to localhost, to IP addresses and "
                "to the names in ALLOWED_HOSTS: add the name there if it is this API's",
                host=shortened(given),
            )
        )


class BodyTooLargeError(QuorumError):
    status = 413
    code = "body-too-large"
    title = "The request is too large"

    def __init__(self, limit_bytes: int) -> None:
        if limit_bytes < 1 << 20:
            super().__init__(
                Sentence(
                    "body-too-large",
                    "this call takes {limit} KiB at most",
                    limit=limit_bytes >> 10,
                )
            )
        else:
            super().__init__(
                Sentence(
                    "file-too-large",
                    "a problem file may have {limit} MiB at most: split it, or set MAX_UPLOAD_MIB "
                    "higher and start the API again",
                    limit=limit_bytes >> 20,
                )
            )


class BodyTooSlowError(QuorumError):
    """The body comes too slowly. Its rest may still arrive, so the connection must be closed."""

    status = 408
    code = "body-too-slow"
    title = "The request took too long"
    headers: ClassVar[Mapping[str, str]] = {"Connection": "close"}

    def __init__(self, received: int, seconds: float) -> None:
        super().__init__(
            Sentence(
                "body-too-slow",
                "{received} bytes of the body came in {seconds} s, and then none for too long; "
                "send it again",
                received=received,
                seconds=round(seconds),
            )
        )


class VolumeFullError(QuorumError):
    status = 507
    code = "volume-full"
    title = "The data volume is full"


class InvalidFileError(QuorumError):
    """A refused problem file; its first faults and their number are those of ProblemFileError."""

    status = 422
    code = "file-faults"
    title = "The problem file cannot be taken"

    def __init__(self, error: ProblemFileError) -> None:
        super().__init__(error.sentence)
        self.faults: list[FileFault] = error.faults
        self.total, self.stopped = error.total, error.stopped


class InvalidRequestError(QuorumError):
    status = 422
    code = "invalid-request"
    title = "The request cannot be taken"


class InvalidSettingError(QuorumError):
    status = 422
    code = "invalid-setting"
    title = "A setting cannot be taken"


class WaitingForModelError(QuorumError):
    """There is no model, or its server may not be asked. Jobs wait; `sentence` is the reason."""

    status = 503
    code = "waiting-for-model"
    title = "Waiting for the model"


class OtherModelServedError(WaitingForModelError):
    """The server is up but serves other weights than the job needs. Other jobs may continue.

    `served` holds the model names that the server lists.
    """

    def __init__(self, sentence: Sentence, served: Iterable[str] = ()) -> None:
        super().__init__(sentence)
        self.served = frozenset(served)


class JobCancelledError(Exception):
    """The job was cancelled; its running requests are aborted."""


class WorkerStoppingError(Exception):
    """The worker was asked to stop, and the time for the questions in flight is over."""
