"""A small client of the HTTP API, for the CLI and local mode.

Requests that fail for a reason that may pass are repeated as in the openai client: at most
`MAX_RETRIES` times, after the server's Retry-After or else half a second, doubled each time, with
jitter.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from email.message import Message
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Any, BinaryIO, Self, TypeVar
from urllib.parse import quote
from uuid import uuid4

import httpx2
from pydantic import BaseModel, ValidationError

from contract import FileFault
from contract.replacing import replacing
from orchestrator.api.schemas import Deleted, Job, JobList, Model
from orchestrator.jobs.calibration import CalibrationList, CalibrationSummary
from orchestrator.jobs.comparison import JobComparison
from orchestrator.jobs.report_models import Report
from orchestrator.proxies import proxy_fault, proxy_options
from orchestrator.replies import retry_after_s

Record = TypeVar("Record", bound=BaseModel)
MAX_RETRIES = 4
CALIBRATE_TIMEOUT_S = 600
LONGEST_RETRY_S = 8.0
ALL_JOBS: Mapping[str, str] = MappingProxyType({})
MAY_PASS = (429, 502, 503, 504)


class ApiError(Exception):
    """A refusal by the API. The message can be printed; `details` is the problem document."""

    def __init__(self, message: str, details: dict[str, Any] | None = None) -> None:
        super().__init__(message)
        self.details = details or {"title": message}


class UnreachableError(ApiError):
    """The API does not answer."""


class Client:
    def __init__(self, url: str, api_key: str = "") -> None:
        """Raises UnreachableError if the environment names a proxy that cannot be used."""
        if fault := proxy_fault(url):
            raise UnreachableError(fault)
        self._url = url
        _check_header("the API key", api_key)
        headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        self._http = httpx2.Client(base_url=url, timeout=60, headers=headers, **proxy_options(url))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._http.close()

    def submit(
        self, file: Path, form: Mapping[str, Any], idempotency_key: str | None = None
    ) -> Job:
        """Post a problem file. Repeated posts with the same key, file and settings give the same
        job.

        Raises:
            ApiError: the file cannot be read, or was refused. It then has the line and reason of
                each reported fault.
        """
        chosen = {key: str(value) for key, value in form.items() if value is not None}
        headers = {"Idempotency-Key": idempotency_key or str(uuid4())}
        _check_header("the idempotency key", headers["Idempotency-Key"])
        try:
            with file.open("rb") as data:

                def post() -> httpx2.Response:
                    data.seek(0)
                    files = {"file": (file.name, data)}
                    return self._http.post("/jobs", data=chosen, files=files, headers=headers)

                return self._parsed(Job, self._patiently(post))
        except OSError as error:
            raise ApiError(f"cannot read {file}: {error.strerror}") from error

    def show(self, job_id: str) -> Job:
        return self._parsed(Job, self._call("GET", _path(job_id)))

    def list(
        self, limit: int, after: str | None, filters: Mapping[str, str | Sequence[str]] = ALL_JOBS
    ) -> JobList:
        """A page of jobs. `filters` has parameters of GET /jobs; empty ones are left out."""
        asked = {"limit": str(limit), "after": after or "", **filters}
        given = {name: value for name, value in asked.items() if value}
        return self._parsed(JobList, self._call("GET", "/jobs", params=given))

    def cancel(self, job_id: str) -> Job:
        return self._parsed(Job, self._call("POST", f"{_path(job_id)}/cancel"))

    def resume(self, job_id: str) -> Job:
        return self._parsed(Job, self._call("POST", f"{_path(job_id)}/resume"))

    def delete(self, job_id: str) -> Deleted:
        return self._parsed(Deleted, self._call("DELETE", _path(job_id)))

    def report(self, job_id: str) -> Report:
        return self._parsed(Report, self._call("GET", f"{_path(job_id)}/report"))

    def model(self) -> Model:
        return self._parsed(Model, self._call("GET", "/model"))

    def download(self, job_id: str, what: str, target: BinaryIO) -> None:
        """Write one of a job's files to `target`, in pieces."""
        with self._stream(f"{_path(job_id)}/{what}") as reply:
            for piece in reply.iter_bytes():
                target.write(piece)

    def save(self, job_id: str, what: str, folder: Path) -> Path:
        """Write one of a job's files into a folder, under the name that the API gives it."""
        with self._stream(f"{_path(job_id)}/{what}") as reply:
            told = Message()
            told["content-disposition"] = reply.headers.get("content-disposition", "")
            path = folder / (Path(told.get_filename() or "").name or f"{job_id}-{what}")
            with replacing(path) as file:
                for piece in reply.iter_bytes():
                    file.write(piece)
        return path

    def compare(self, first: str, second: str) -> JobComparison:
        found = self._call("GET", f"{_path(first)}/comparison", params={"to": second})
        return self._parsed(JobComparison, found)

    def calibrate(self, job_id: str) -> CalibrationSummary:
        """Make a calibration. The API may take longer for it than for other calls."""
        found = self._call("POST", f"{_path(job_id)}/calibrate", timeout=CALIBRATE_TIMEOUT_S)
        return self._parsed(CalibrationSummary, found)

    def calibrations(self) -> CalibrationList:
        return self._parsed(CalibrationList, self._call("GET", "/calibrations"))

    def _parsed(self, kind: type[Record], response: httpx2.Response) -> Record:
        try:
            return kind.model_validate_json(response.content)
        except ValidationError as error:
            raise ApiError(
                f"{self._url} is not Quorum's API: its reply to {response.url.path} cannot be "
                "read; is the address right? Set QUORUM_URL or --url"
            ) from error

    def _stream(self, path: str) -> closing[httpx2.Response]:
        def send() -> httpx2.Response:
            return self._http.send(self._http.build_request("GET", path), stream=True)

        return closing(self._patiently(send))

    def _call(self, method: str, path: str, **options: Any) -> httpx2.Response:
        return self._patiently(lambda: self._http.request(method, path, **options))

    def _patiently(self, send: Callable[[], httpx2.Response]) -> httpx2.Response:
        for attempt in range(MAX_RETRIES + 1):
            try:
                response = send()
            except httpx2.TransportError as error:
                if attempt == MAX_RETRIES:
                    raise UnreachableError(
                        f"no answer from {self._url} ({error}); is the API running? "
                        "Set QUORUM_URL or --url"
                    ) from error
                time.sleep(_backoff_s(attempt))
                continue
            if response.is_success:
                return response
            response.read()
            if response.status_code not in MAY_PASS or attempt == MAX_RETRIES:
                raise _refusal(response)
            time.sleep(retry_after_s(response.headers) or _backoff_s(attempt))
        raise AssertionError("the last attempt returns or raises")


def _path(job_id: str) -> str:
    """A job's address. The id is quoted, so dots and slashes in it cannot lead to another
    address.
    """
    return f"/jobs/{quote(job_id, safe='').replace('.', '%2E')}"


def _check_header(what: str, value: str) -> None:
    if not (value.isascii() and value.isprintable()):
        raise ApiError(f"{what} may hold only printable ASCII characters")


def _backoff_s(attempt: int) -> float:
    return random.uniform(0.75, 1) * min(LONGEST_RETRY_S, 0.5 * 2.0**attempt)


def unsaid_faults(count: int, *, stopped: bool) -> str:
    """A line about the faults of a file that are not listed."""
    return f"and at least {count} more: reading stopped there" if stopped else f"and {count} more"


def _refusal(response: httpx2.Response) -> ApiError:
    if response.headers.get("content-type") != "application/problem+json":
        return ApiError(f"{response.status_code}: {response.text[:500]}")
    details = response.json()
    faults = [
        str(FileFault(fault["line"], fault["place"], fault["reason"], fault.get("unit", "line")))
        for fault in details.get("errors", ())
    ]
    unsaid = details.get("error_count", len(faults)) - len(faults)
    faults += [unsaid_faults(unsaid, stopped=details.get("stopped", False))] if unsaid else []
    lines = [f"{details['title']} ({details['status']}): {details['detail']}", *faults]
    return ApiError("\n  ".join(lines), details)
