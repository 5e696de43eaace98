"""Renders every refusal as problem details (RFC 9457)."""

from __future__ import annotations

from typing import Any

import structlog
from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

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


def render_error(request: Request, error: Exception) -> JSONResponse:
    """The reply to a failed call. If the failure is a defect of Quorum, it shows only the request's
    id.
    """
    headers: dict[str, str] = {}
    if isinstance(error, OSError) and error.errno in FULL:
        error = VolumeFullError("nothing was accepted; delete jobs or enlarge the volume")
    if isinstance(error, QuorumError):
        details = ProblemDetails(
            type=error.type_uri(), title=error.title, status=error.status, detail=str(error)
        )
        if isinstance(error, InvalidFileError):
            faults = [
                Fault(line=line, place=place, reason=reason) for line, place, reason in error.faults
            ]
            details = details.model_copy(update={"errors": faults, "error_count": error.total})
        headers |= error.headers
        if error.status == 503:
            headers["Retry-After"] = str(RETRY_AFTER_S)
    elif isinstance(error, RequestValidationError):
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"][1:]))
        details = ProblemDetails(
            type=InvalidRequestError.type_uri(),
            title=InvalidRequestError.title,
            status=422,
            detail=f"{where}: {first['msg']}",
        )
    elif isinstance(error, HTTPException):
        details = ProblemDetails(title=error.detail, status=error.status_code, detail=error.detail)
        headers = dict(error.headers or {})
    else:
        log.error("a request failed", exc_info=error)
        detail = "the server's log says more under this request_id"
        details = ProblemDetails(
            type=QuorumError.type_uri(), title=QuorumError.title, status=500, detail=detail
        )
    details.request_id = request.state.request_id
    body: dict[str, Any] = details.model_dump(exclude_none=True)
    return JSONResponse(body, details.status, headers, media_type="application/problem+json")
