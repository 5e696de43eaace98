"""A stub of an OpenAI-compatible server, for faults that a real one would not produce on demand.

Its replies are a function of the prompt and the seed alone, so that a disturbed run can be compared
with an undisturbed one byte for byte. It can refuse, fail, hang or go away.
"""

from __future__ import annotations

import hashlib
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response

MODEL = "stub"


def hashed_reply(prompt: str, seed: int) -> str:
    """A valid label in three of four replies, nothing readable in the fourth."""
    number = hashlib.sha256(f"{prompt}/{seed}".encode()).digest()[0]
    return "不知道。" if number % 4 == 0 else f"答案是：{'AB'[number % 2]}"


class StubServer:
    """`reply` gives the text for (prompt, seed). `fail` may return a response to send instead."""

    def __init__(self, reply: Callable[[str, int], str] = hashed_reply) -> None:
        self.reply = reply
        self.fail: Callable[[dict[str, Any]], Response | None] = lambda body: None
        self.delay_s = 0.0
        self.tokens: list[int] | None = None
        self.served = MODEL
        self.requests: list[dict[str, Any]] = []
        self.samples: Counter[tuple[str, int]] = Counter()
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self._server: uvicorn.Server | None = None
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def start(self) -> None:
        config = uvicorn.Config(self._app(), host="127.0.0.1", port=self.port, log_level="error")
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, daemon=True)
        self._thread.start()
        while not self._server.started:
            time.sleep(0.01)

    def stop(self) -> None:
        if self._server and self._thread:
            self._server.force_exit = self._server.should_exit = True
            self._thread.join()

    def _app(self) -> FastAPI:
        app = FastAPI()

        @app.get("/v1/models")
        def models() -> dict[str, Any]:
            return {
                "object": "list",
                "data": [{"id": self.served, "object": "model", "created": 0, "owned_by": "stub"}],
            }

        @app.post("/tokenize")
        def tokenize() -> Response:
            if self.tokens is None:
                return JSONResponse({"error": "not here"}, 404)
            return JSONResponse({"count": len(self.tokens), "tokens": self.tokens})

        @app.post("/v1/chat/completions")
        def complete(request: Request, body: dict[str, Any]) -> Response:
            self.requests.append(body)
            failure = self.fail(body)
            if failure is not None:
                return failure
            time.sleep(self.delay_s)
            prompt = body["messages"][-1]["content"]
            choices = []
            for i in range(body.get("n", 1)):
                seed = body["seed"] + i
                self.samples[prompt, seed] += 1
                message = {"role": "assistant", "content": self.reply(prompt, seed)}
                choices.append({"index": i, "finish_reason": "stop", "message": message})
            usage = {"prompt_tokens": 1, "completion_tokens": 4 * len(choices), "total_tokens": 1}
            reply = {"id": "x", "object": "chat.completion", "created": 0, "model": MODEL}
            return JSONResponse({**reply, "choices": choices, "usage": usage})

        return app
