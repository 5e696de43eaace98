"""The HTTP API's application: its routes, middleware and OpenAPI document."""

from __future__ import annotations

import asyncio
import secrets
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import Any

import structlog
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from pydantic.json_schema import models_json_schema
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from orchestrator.api import page
from orchestrator.api.access import session_router
from orchestrator.api.doors import Doors
from orchestrator.api.metrics import make_registry
from orchestrator.api.refusals import render_error
from orchestrator.api.routes import calibrations, jobs, models, panels, questions, system
from orchestrator.api.schemas import ProblemDetails
from orchestrator.api.service import Service
from orchestrator.errors import QuorumError
from orchestrator.settings import Settings

log = structlog.get_logger("quorum")

# A stop waits this long for running replies. An open page's stream of events has no end.
STOP_S = 5
REQUEST_ID = "x-request-id"
# A client may send any word as a method; each new one would be a new series of the metrics.
METHODS = ("GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE")
# Machines call these often, or a page calls many at once, so they get no log lines.
QUIET = ("/healthz", "/readyz", "/metrics", "/page/")


class RequestLog:
    """ASGI middleware: gives each request an id, in its log lines and in the reply's header."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = scope.setdefault("state", {})["request_id"] = secrets.token_hex(8)
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request=request_id)
        began, status = time.monotonic(), 0

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                path = getattr(
                    scope.get("route"), "path", "none"
                )  # the route's pattern, not the path
                method = scope["method"] if scope["method"] in METHODS else "other"
                seconds = scope["app"].state.http_seconds.labels(method, path, str(status))
                seconds.observe(time.monotonic() - began)
                message["headers"] = [
                    *message["headers"],
                    (REQUEST_ID.encode(), request_id.encode()),
                ]
            await send(message)

        try:
            await self._app(scope, receive, send_with_id)
        finally:
            took_ms = round(1000 * (time.monotonic() - began), 1)
            if not scope["path"].startswith(QUIET):
                log.info(
                    "request",
                    method=scope["method"],
                    path=scope["path"],
                    status=status,
                    took_ms=took_ms,
                )


def create_app(settings: Settings) -> FastAPI:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        service = app.state.service = Service(settings)
        app.state.registry, app.state.http_seconds = make_registry(service)
        service.store.sweep()
        uploads = settings.data_dir / "uploads"
        uploads.mkdir(parents=True, exist_ok=True)
        for left in uploads.iterdir():  # left by a killed process
            left.unlink(missing_ok=True)
        before, tempfile.tempdir = tempfile.tempdir, str(uploads)  # /tmp may be in memory
        watching = asyncio.create_task(service.watch())
        yield
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
        tempfile.tempdir = before

    app = FastAPI(
        title="Quorum",
        description="Answers multiple-choice problem files by vote.",
        version=version("quorum-orchestrator"),
        lifespan=lifespan,
        docs_url=None,  # FastAPI's page loads scripts from another host; page.py has ours
        redoc_url=None,
    )
    app.add_middleware(Doors, names=settings.host_names, max_upload_mib=settings.max_upload_mib)
    app.add_middleware(RequestLog)  # the outer one: requests refused by Doors have an id too
    for kind in (QuorumError, OSError, RequestValidationError, Exception):
        app.add_exception_handler(kind, render_error)
    for calls in (
        system.router,
        session_router,
        jobs.router,
        questions.router,
        calibrations.router,
        models.router,
        panels.router,
    ):
        app.include_router(calls)
    page.serve(app)
    has_key = bool(settings.api_key)
    # FastAPI's documented way
    app.openapi = lambda: describe(app, has_key=has_key)  # type: ignore[method-assign]
    return app


def describe(app: FastAPI, *, has_key: bool) -> dict[str, Any]:
    """The OpenAPI document, with what FastAPI cannot know.

    Adds the schema of problem details, because no call returns it as JSON; the calls that take a
    new job's id; that no key is needed if none is set; and that forms have no further fields. Takes
    null from parameters and form fields: queries, headers and forms have none.
    """
    if app.openapi_schema is not None:
        return app.openapi_schema
    document = FastAPI.openapi(app)
    _, found = models_json_schema(
        [(ProblemDetails, "serialization")], ref_template="#/components/schemas/{model}"
    )
    schemas = document["components"]["schemas"]
    for form in (schema for name, schema in schemas.items() if name.startswith("Body_")):
        form["additionalProperties"] = False
        for field in form["properties"].values():
            _take_null_from(field)
    schemas.update(found["$defs"])
    calls = {
        call["operationId"]: (path, call)
        for path, of_path in document["paths"].items()
        for call in of_path.values()
    }
    document["paths"]["/jobs"]["post"]["responses"]["202"]["links"] = {
        name: {"operationId": name, "parameters": {"job_id": "$response.body#/id"}}
        for name, (path, _) in calls.items()
        if "{job_id}" in path
    }
    for _, call in calls.values():
        if "security" in call and not has_key:
            call["security"].append({})
        for parameter in call.get("parameters", ()):
            _take_null_from(parameter["schema"])
    return document


def _take_null_from(schema: dict[str, Any]) -> None:
    for kind in schema.pop("anyOf", ()):
        schema |= kind if kind != {"type": "null"} else {}
