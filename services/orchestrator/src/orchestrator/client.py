"""A small client of the HTTP API, for the CLI and local mode."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx2

from contract import FileFault
from orchestrator.schemas import Job


class ApiError(Exception):
    """What the API refused, or that it could not be reached; the message is fit to print."""


class Client:
    def __init__(self, url: str) -> None:
        self._url = url
        self._http = httpx2.Client(base_url=url, timeout=60)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._http.close()

    def submit(self, file: Path, form: dict[str, Any]) -> Job:
        """Post a problem file.

        Raises:
            ApiError: the file cannot be read, or was refused; with the line and reason of each
            fault reported.
        """
        try:
            data = file.read_bytes()
        except OSError as error:
            raise ApiError(f"cannot read {file}: {error.strerror}") from error
        chosen = {key: str(value) for key, value in form.items() if value is not None}
        return self._job(
            self._request("POST", "/jobs", data=chosen, files={"file": (file.name, data)})
        )

    def show(self, job_id: str) -> Job:
        return self._job(self._request("GET", f"/jobs/{job_id}"))

    def download(self, job_id: str, what: str) -> bytes:
        return self._request("GET", f"/jobs/{job_id}/{what}").content

    def _job(self, response: httpx2.Response) -> Job:
        return Job.model_validate_json(response.content)

    def _request(self, method: str, path: str, **options: Any) -> httpx2.Response:
        try:
            response = self._http.request(method, path, **options)
        except httpx2.TransportError as error:
            raise ApiError(
                f"no answer from {self._url} ({error}); is the API running? Set QUORUM_URL or --url"
            ) from error
        if response.is_error:
            raise ApiError(_refusal(response))
        return response


def _refusal(response: httpx2.Response) -> str:
    if response.headers.get("content-type") != "application/problem+json":
        return f"{response.status_code}: {response.text[:500]}"
    details = response.json()
    faults = [str(FileFault(**fault)) for fault in details.get("errors", ())]
    return "\n  ".join([f"{details['title']} ({details['status']}): {details['detail']}", *faults])
