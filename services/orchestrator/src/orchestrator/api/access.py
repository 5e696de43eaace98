"""Access control: the key, if one is set, in a header or in the page's cookie; and the calling
site.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Form, Request, Response
from fastapi.security import HTTPBearer
from starlette.datastructures import Headers

from contract import Sentence
from orchestrator.api.parameters import TEXT, CheckedRoute
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
    """A call that needs the key, if one is set, and refuses changes from pages of other sites."""

    def admit(self, request: Request) -> None:
        """Return if the call may pass.

        A browser also sends cookies, and forms without a key, for pages of other sites. Its header
        `Sec-Fetch-Site` tells which site a call comes from. On plain HTTP only `Origin` does.

        Raises:
            UnauthorizedError: a key is set, and neither the header nor the cookie holds it.
            OtherSiteError: a page of another site tries to change something.
        """
        if request.method not in READING and not _is_own(request.headers):
            raise OtherSiteError(
                Sentence(
                    "other-site",
                    "a page of {origin} may not change anything at {host}; a proxy must pass the "
                    "header Host on",
                    origin=str(request.headers.get("origin")),
                    host=str(request.headers.get("host")),
                )
            )
        wanted = get_service(request).settings.api_key
        if wanted and not _holds(request, wanted):
            raise UnauthorizedError(
                Sentence(
                    "no-key",
                    "send the header Authorization: Bearer <API_KEY>; the command line has "
                    "--api-key and QUORUM_API_KEY for it",
                )
            )


def _holds(request: Request, wanted: str) -> bool:
    scheme, _, sent = request.headers.get("authorization", "").partition(" ")
    token = request.cookies.get(COOKIE, "")
    return (
        scheme.lower() == "bearer" and secrets.compare_digest(sent.encode(), wanted.encode())
    ) or secrets.compare_digest(token.encode(), session_token(wanted).encode())


def _is_own(headers: Headers) -> bool:
    """True if the call is from this site's own pages, or not from a browser."""
    site, origin = headers.get("sec-fetch-site"), headers.get("origin")
    if site is not None:
        return site in ("same-origin", "none")
    return origin is None or origin.partition("://")[2] == headers.get("host")


def session_token(key: str) -> str:
    """The value of the page's cookie. It proves knowledge of the key without containing it."""
    return hmac.new(key.encode(), b"quorum page", hashlib.sha256).hexdigest()


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """A call's errors for the OpenAPI document; `app.describe` adds their schema there."""
    form = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/ProblemDetails"}}}
    return {
        status: {"description": HTTPStatus(status).phrase, "content": form} for status in statuses
    }


def guarded_router() -> APIRouter:
    """A router whose calls need the key, if one is set; `bearer` is for the OpenAPI document."""
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
    service: ServiceDep,
    request: Request,
    response: Response,
    key: Annotated[str, Form(min_length=1, json_schema_extra={"pattern": TEXT})],
) -> None:
    """Set the page's cookie. It lasts until the browser is closed."""
    wanted = service.settings.api_key
    if not secrets.compare_digest(key.encode(), wanted.encode()):
        raise UnauthorizedError(
            Sentence("wrong-key", "this is not the API_KEY that the API was started with")
        )
    response.set_cookie(
        COOKIE,
        session_token(wanted),
        httponly=True,
        samesite="strict",
        secure=request.url.scheme == "https",
    )


@session_router.delete("/session", status_code=204)
def end_session(response: Response) -> None:
    """Delete the page's cookie."""
    response.delete_cookie(COOKIE, httponly=True, samesite="strict")
