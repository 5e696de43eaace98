"""Renders every refusal as problem details (RFC 9457)."""

from __future__ import annotations

from typing import Any

import structlog
from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic_core import ErrorDetails
from starlette.exceptions import HTTPException
from starlette.routing import compile_path

from contract import Sentence
from orchestrator.api.parameters import reason_of
from orchestrator.api.schemas import Fault, ProblemDetails
from orchestrator.errors import (
    InvalidFileError,
    InvalidRequestError,
    QuorumError,
    VolumeFullError,
)
from orchestrator.jobs.journal import FULL

log = structlog.get_logger("quorum")

RETRY_AFTER_S = 5
_FULL = Sentence("nothing-accepted", "nothing was accepted; delete jobs or enlarge the volume")
_SEE_LOG = Sentence("see-log", "the server's log says more under this request_id")


def render_error(request: Request, error: Exception) -> JSONResponse:
    """The reply to a failed call. If the failure is a defect of Quorum, it shows only the request's
    id.
    """
    headers: dict[str, str] = {}
    if isinstance(error, OSError) and error.errno in FULL:
        error = VolumeFullError(_FULL)
    elif isinstance(error, RequestValidationError):
        error = InvalidRequestError(_invalid(error.errors()[0]))
    if isinstance(error, QuorumError):
        details = _details(type(error), error.sentence)
        if isinstance(error, InvalidFileError):
            faults = [Fault.of(fault) for fault in error.faults]
            found = {"errors": faults, "error_count": error.total, "stopped": error.stopped}
            details = details.model_copy(update=found)
        headers |= error.headers
        if error.status == 503:
            headers["Retry-After"] = str(RETRY_AFTER_S)
    elif isinstance(error, HTTPException):
        details = ProblemDetails(title=error.detail, status=error.status_code, detail=error.detail)
        headers = dict(error.headers or {})
        if error.status_code == 405 and (methods := _methods(request)):
            headers["Allow"] = ", ".join(methods)
    else:
        log.error("a request failed", exc_info=error)
        details = _details(QuorumError, _SEE_LOG)
    details.request_id = request.state.request_id
    body: dict[str, Any] = details.model_dump(exclude_none=True)
    return JSONResponse(body, details.status, headers, media_type="application/problem+json")


def _invalid(fault: ErrorDetails) -> Sentence:
    return Sentence(
        "invalid-parameter",
        "{name}: {reason}",
        name=".".join(map(str, fault["loc"][1:])),  # after "query", "path", "header" or "body"
        reason=reason_of(fault),
    )


def _details(kind: type[QuorumError], sentence: Sentence) -> ProblemDetails:
    return ProblemDetails(
        type=kind.type_uri(),
        title=kind.title,
        status=kind.status,
        detail=sentence,
        detail_message=sentence.message(),
    )


def _methods(request: Request) -> list[str]:
    """The methods that the document has for the path; Starlette names those of one route alone."""
    for path, calls in request.app.openapi()["paths"].items():
        if compile_path(path)[0].match(request.url.path):
            return sorted(map(str.upper, calls))
    return []
