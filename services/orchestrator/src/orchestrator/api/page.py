"""The web page: the files in page_files, served unchanged. They call the API like any client.

They load nothing from outside this origin. The policy below enforces this: no inline script or
style, no other host, no frame.
"""

from __future__ import annotations

from http import HTTPStatus
from pathlib import Path

from fastapi import FastAPI, Request
from fastapi.responses import FileResponse, JSONResponse, Response
from starlette.exceptions import HTTPException
from starlette.staticfiles import StaticFiles
from starlette.types import Message, Receive, Scope, Send

from orchestrator.api.refusals import render_error

FILES = Path(__file__).parent / "page_files"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",  # browsers must ask again, and get 304 if nothing changed
}


class PageFiles(StaticFiles):
    """Static files, each with the page's headers."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                ours = [(name.lower().encode(), value.encode()) for name, value in HEADERS.items()]
                message["headers"] = [*message["headers"], *ours]
            await send(message)

        await super().__call__(scope, receive, send_with_headers)


def serve(app: FastAPI) -> None:
    @app.get("/", include_in_schema=False)
    def index() -> FileResponse:
        return FileResponse(FILES / "index.html", headers=HEADERS)

    @app.get("/docs", include_in_schema=False)
    def docs() -> FileResponse:
        return FileResponse(FILES / "docs.html", headers=HEADERS)

    @app.get("/page/job-form.json", include_in_schema=False)
    def job_form() -> JSONResponse:
        """The form of POST /jobs as the API's document has it, without its file."""
        document = app.openapi()
        body = document["paths"]["/jobs"]["post"]["requestBody"]["content"]["multipart/form-data"]
        form = document["components"]["schemas"][body["schema"]["$ref"].rpartition("/")[2]]
        fields = {name: field for name, field in form["properties"].items() if name != "file"}
        return JSONResponse(fields, headers=HEADERS)

    app.mount("/page", PageFiles(directory=FILES), name="page")
    app.add_exception_handler(HTTPException, refuse)


def refuse(request: Request, error: Exception) -> Response:
    """The page for a browser that opens an address that does not exist: it says so. Problem details
    for everyone else.
    """
    is_unknown = isinstance(error, HTTPException) and error.status_code == HTTPStatus.NOT_FOUND
    if is_unknown and "text/html" in request.headers.get("accept", ""):
        return FileResponse(FILES / "index.html", HTTPStatus.NOT_FOUND, headers=HEADERS)
    return render_error(request, error)
