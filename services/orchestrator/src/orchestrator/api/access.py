"""Who may call: the key, where one is set, by header or by the page's cookie; and from where."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Form, Request, Response
from fastapi.security import HTTPBearer
from starlette.datastructures import Headers

from orchestrator.api.parameters import CheckedRoute
from orchestrator.api.service import Service
from orchestrator.errors import OtherSiteError, UnauthorizedError

COOKIE = "quorum_session"
READING = ("GET", "HEAD", "OPTIONS")


def get_service(request: Request) -> Service:
    service: Service = request.app.state.service
    return service


ServiceDep = Annotated[Service, Depends(get_service)]
bearer = HTTPBearer(auto_error=False, description="API_KEY, where one is set")


class GuardedRoute(CheckedRoute):
    """A call behind the key, where one is set, and closed to pages of other sites."""

    def admit(self, request: Request) -> None:
        """Let the call pass, or refuse it.

        A browser sends cookies, and forms without a key, also for pages of other sites. It tells
        where a call comes from in `Sec-Fetch-Site`, and on plain HTTP in `Origin` alone.

        Raises:
            UnauthorizedError: a key is set, and neither header nor cookie holds it.
            OtherSiteError: a page of another site wants something changed.
        """
        if request.method not in READING and not _is_own(request.headers):
            raise OtherSiteError(
                f"a page of {request.headers.get('origin')} may not change anything at "
                f"{request.headers.get('host')}; a proxy must pass the header Host on"
            )
        wanted = get_service(request).settings.api_key
        if wanted and not _holds(request, wanted):
            raise UnauthorizedError(
                "send the header Authorization: Bearer <API_KEY>; the command line has --api-key "
                "and QUORUM_API_KEY for it"
            )


def _holds(request: Request, wanted: str) -> bool:
    scheme, _, sent = request.headers.get("authorization", "").partition(" ")
    token = request.cookies.get(COOKIE, "")
    return (
        scheme.lower() == "bearer" and secrets.compare_digest(sent.encode(), wanted.encode())
    ) or secrets.compare_digest(token.encode(), session_token(wanted).encode())


def _is_own(headers: Headers) -> bool:
    """Whether a call is from this site's own pages, or from no browser at all."""
    site, origin = headers.get("sec-fetch-site"), headers.get("origin")
    if site is not None:
        return site in ("same-origin", "none")
    return origin is None or origin.partition("://")[2] == headers.get("host")


def session_token(key: str) -> str:
    """What the page's cookie holds: it shows that the key was known, and does not tell it."""
    return hmac.new(key.encode(), b"quorum page", hashlib.sha256).hexdigest()


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Errors of a call, for the OpenAPI document, which api.describe adds their schema to."""
    form = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/ProblemDetails"}}}
    return {
        status: {"description": HTTPStatus(status).phrase, "content": form} for status in statuses
    }


def guarded_router() -> APIRouter:
    """A router behind the key, where one is set; `bearer` is for the OpenAPI document."""
    return APIRouter(
        route_class=GuardedRoute,
        dependencies=[Depends(bearer)],
        responses=problems(401, 403, 408, 413, 421, 422, 500),
    )


session_router = APIRouter(
    route_class=CheckedRoute, responses=problems(401, 408, 413, 421, 422, 500)
)


@session_router.post("/session", status_code=204)
def begin_session(
    service: ServiceDep, request: Request, response: Response, key: Annotated[str, Form()]
) -> None:
    """Give the page its cookie, which lasts until the browser is closed."""
    wanted = service.settings.api_key
    if not secrets.compare_digest(key.encode(), wanted.encode()):
        raise UnauthorizedError("this is not the API_KEY that the API was started with")
    response.set_cookie(
        COOKIE,
        session_token(wanted),
        httponly=True,
        samesite="strict",
        secure=request.url.scheme == "https",
    )


@session_router.delete("/session", status_code=204)
def end_session(response: Response) -> None:
    """Take the page's cookie back."""
    response.delete_cookie(COOKIE, httponly=True, samesite="strict")
