"""A stub of an OpenAI-compatible server: for faults that a real one does not produce on demand, and
for measuring the cost of everything around the model.

Its replies depend only on prompt and seed, so the results of a disturbed and an undisturbed run can
be compared byte for byte. It can refuse, fail, hang or disappear.

    python tests/stub_server.py PORT LATENCY_S [LOG]    a server by itself; one line of LOG a sample
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import socket
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO

import uvicorn
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

MODEL = "stub"


def hashed_reply(prompt: str, seed: int) -> str:
    """A valid label in three of four replies, and none in the fourth."""
    number = hashlib.sha256(f"{prompt}/{seed}".encode()).digest()[0]
    return "不知道。" if number % 4 == 0 else f"答案是：{'AB'[number % 2]}"


class StubServer:
    """`reply` gives the text for (prompt, seed), `tokens_of` its tokens with log-probabilities.
    `fail` may return a response to send instead.
    """

    def __init__(self, reply: Callable[[str, int], str] = hashed_reply, port: int = 0) -> None:
        self.reply = reply
        self.tokens_of: Callable[[str], list[dict[str, Any]]] = one_token
        self.fail: Callable[[dict[str, Any]], Response | None] = lambda body: None
        self.latency_s = 0.0
        self.tokens: list[int] | None = None
        self.served = MODEL
        # replies to send to other calls than completions, by path
        self.instead: dict[str, Response] = {}
        self.log: TextIO | None = None
        self.requests: list[dict[str, Any]] = []
        self.keys: list[str | None] = []  # of the same requests
        self.samples: Counter[tuple[str, int]] = Counter()
        self.in_flight = 0
        self.most_in_flight = 0
        self.aborted = 0
        self.port = port or _free_port()
        self._server: uvicorn.Server | None = None
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def start(self) -> None:
        self._server = self.server()
        self._thread = threading.Thread(target=self._server.run, daemon=True)
        self._thread.start()
        while not self._server.started:
            time.sleep(0.01)

    def stop(self) -> None:
        if self._server and self._thread:
            self._server.force_exit = self._server.should_exit = True
            self._thread.join()

    def server(self) -> uvicorn.Server:
        routes = [
            Route("/v1/models", self._models),
            Route("/models", self._not_here),
            Route("/tokenize", self._tokenize, methods=["POST"]),
            Route("/v1/chat/completions", self._complete, methods=["POST"]),
        ]
        config = uvicorn.Config(
            Starlette(routes=routes),
            host="127.0.0.1",
            port=self.port,
            log_level="error",
            lifespan="off",
        )
        return uvicorn.Server(config)

    async def _models(self, request: Request) -> Response:
        if request.url.path in self.instead:
            return self.instead[request.url.path]
        entry = {"id": self.served, "object": "model", "created": 0, "owned_by": "stub"}
        return JSONResponse({"object": "list", "data": [entry]})

    async def _not_here(self, request: Request) -> Response:
        return self.instead.get(request.url.path, JSONResponse({"detail": "Not Found"}, 404))

    async def _tokenize(self, request: Request) -> Response:
        if request.url.path in self.instead:
            return self.instead[request.url.path]
        if self.tokens is None:
            return JSONResponse({"error": "not here"}, 404)
        return JSONResponse({"count": len(self.tokens), "tokens": self.tokens})

    async def _complete(self, request: Request) -> Response:
        body = json.loads(await request.body())
        self.requests.append(body)
        self.keys.append(request.headers.get("authorization"))
        failure = self.fail(body)
        if failure is not None:
            return failure
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            if self.latency_s:
                gone = asyncio.create_task(self._until_gone(request))
                await asyncio.wait({gone}, timeout=self.latency_s)
                gone.cancel()
        finally:
            self.in_flight -= 1
        return JSONResponse(self._completion(body))

    async def _until_gone(self, request: Request) -> None:
        try:
            while (await request.receive())["type"] != "http.disconnect":
                pass
        except ClientDisconnect:
            pass
        self.aborted += 1

    def _completion(self, body: dict[str, Any]) -> dict[str, Any]:
        prompt = body["messages"][-1]["content"]
        choices = []
        for i in range(body.get("n", 1)):
            seed = body.get("seed", 0) + i
            self.samples[prompt, seed] += 1
            text = self.reply(prompt, seed)
            choice: dict[str, Any] = {
                "index": i,
                "finish_reason": "stop",
                "message": {"role": "assistant", "content": text},
            }
            if body.get("logprobs"):
                choice["logprobs"] = {"content": self.tokens_of(text)}
            choices.append(choice)
            if self.log is not None:
                self.log.write(f"{seed}\n")
                self.log.flush()
        usage = {"prompt_tokens": 1, "completion_tokens": 4 * len(choices), "total_tokens": 1}
        reply = {"id": "x", "object": "chat.completion", "created": 0, "model": MODEL}
        return {**reply, "choices": choices, "usage": usage}


def one_token(text: str) -> list[dict[str, Any]]:
    """The whole reply as one token, likelier if it holds an A."""
    return [token(text, -0.1 if "A" in text else -1.0, text, " B")]


def token(text: str, logprob: float, *likeliest: str) -> dict[str, Any]:
    """A token as servers describe it, with its rivals."""
    top = [{"token": rival, "logprob": logprob, "bytes": None} for rival in likeliest]
    return {"token": text, "logprob": logprob, "bytes": None, "top_logprobs": top}


def openai_refusal(message: str, status: int) -> Response:
    return JSONResponse({"error": {"message": message}}, status)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def main(port: str, latency_s: str, log: str | None = None) -> None:
    stub = StubServer(port=int(port))
    stub.latency_s = float(latency_s)
    stub.log = Path(log).open("a") if log else None  # noqa: SIM115 # it lives as long as the server
    stub.server().run()


if __name__ == "__main__":
    main(*sys.argv[1:])
