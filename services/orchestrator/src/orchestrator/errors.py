"""The orchestrator's expected failures.

Each knows the HTTP status that one handler renders it with (RFC 9457).
"""

from __future__ import annotations

from collections.abc import Iterable

from contract import FileFault, ProblemFileError


class QuorumError(Exception):
    """Something the user can mend; the message says what and how.

    `title` names the kind of failure.
    """

    status = 500
    title = "Internal error"


class JobNotFoundError(QuorumError):
    status = 404
    title = "No such job"

    def __init__(self, job_id: str) -> None:
        super().__init__(f"there is no job {job_id!r}; GET /jobs lists those there are")


class QuestionNotFoundError(QuorumError):
    status = 404
    title = "No such question"

    def __init__(self, position: int, count: int) -> None:
        super().__init__(f"there is no question {position}; the job has {count}, counted from 0")


class ModelNotFoundError(QuorumError):
    status = 404
    title = "No such model"

    def __init__(self, digest: str) -> None:
        super().__init__(
            f"no model with the digest {digest!r} is published; GET /models lists those there are"
        )


class JobDamagedError(QuorumError):
    title = "The job cannot be read"


class NotReadyError(QuorumError):
    status = 409
    title = "Not there yet"


class StateError(QuorumError):
    status = 409
    title = "Not in this state"


class KeyReusedError(QuorumError):
    status = 422
    title = "The Idempotency-Key was used for something else"


class UnauthorizedError(QuorumError):
    status = 401
    title = "The API key is missing or wrong"


class OtherSiteError(QuorumError):
    status = 403
    title = "Not from this site"


class VolumeFullError(QuorumError):
    status = 507
    title = "The data volume is full"


class InvalidFileError(QuorumError):
    """A problem file that was refused; `faults` are its first faults, `total` their number."""

    status = 422
    title = "The problem file cannot be taken"

    def __init__(self, error: ProblemFileError) -> None:
        super().__init__(str(error))
        self.faults: list[FileFault] = error.faults
        self.total = error.total


class InvalidSettingError(QuorumError):
    status = 422
    title = "A setting cannot be taken"


class WaitingForModelError(QuorumError):
    """No model, or a server that is not fit to be asked. Jobs wait; the message is why."""

    status = 503
    title = "Waiting for the model"


class OtherModelServedError(WaitingForModelError):
    """The server is up, with other weights than a job needs: other jobs may go on meanwhile.

    `served` holds the names that it serves.
    """

    def __init__(self, message: str, served: Iterable[str] = ()) -> None:
        super().__init__(message)
        self.served = frozenset(served)
