"""The web page: the files in page_files, served unchanged. They call the API like any client.

They load nothing from outside this origin. The policy below enforces this: no inline script or
style, no other host, no frame.
"""

from __future__ import annotations

from pathlib import Path

from fastapi import FastAPI
from fastapi.responses import FileResponse, JSONResponse
from starlette.staticfiles import StaticFiles
from starlette.types import Message, Receive, Scope, Send

from orchestrator.jobs.records import JobSettings

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

    @app.get("/page/job-settings.json", include_in_schema=False)
    def job_settings() -> JSONResponse:
        return JSONResponse(JobSettings.model_json_schema()["properties"], headers=HEADERS)

    app.mount("/page", PageFiles(directory=FILES), name="page")
