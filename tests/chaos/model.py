"""The stub model server as a process of its own, which misbehaves while a file says so.

    python tests/chaos/model.py PORT LATENCY_S LOG MISCHIEF

LOG gets a line a sample. MISCHIEF is a JSON file with one way to misbehave; empty, the server
behaves.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
from pathlib import Path
from typing import Any

from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

sys.path.insert(0, str(Path(__file__).parents[1]))

from strange_replies import TEXT, UNUSABLE, USABLE
from stub_server import StubServer, hashed_reply


class Silence(Response):
    """No reply for a while, and then an error."""

    def __init__(self, hang_s: float) -> None:
        super().__init__(status_code=504)
        self._hang_s = hang_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.sleep(self._hang_s)
        await super().__call__(scope, receive, send)


class Model:
    def __init__(self, port: int, latency_s: float, log: Path, mischief: Path) -> None:
        self.stub = StubServer(self.reply, port)
        self.stub.latency_s = latency_s
        self.stub.log = log.open("a")
        self.stub.fail = self.misbehave
        self._mischief = mischief

    def reply(self, prompt: str, seed: int) -> str:
        """With the mischief `lies`, the other label than the undisturbed one."""
        text = hashed_reply(prompt, seed)
        if "lies" in self._now():
            return text.translate(str.maketrans("AB", "BA"))
        return text

    def misbehave(self, body: dict[str, Any]) -> Response | None:
        mischief = self._now()
        if random.random() >= mischief.get("share", 1.0):
            return None
        if "status" in mischief:
            return JSONResponse(
                {"error": {"message": "chaos"}}, mischief["status"], mischief.get("headers")
            )
        if "hang_s" in mischief:
            return Silence(mischief["hang_s"])
        if "unusable" in mischief:
            return _as_json(UNUSABLE[mischief["unusable"]][0])
        if "usable" in mischief and body.get("seed", 0):
            prompt, seed = body["messages"][-1]["content"], body["seed"]
            # only where it says what the undisturbed reply says
            if hashed_reply(prompt, seed) == TEXT and self.stub.log is not None:
                self.stub.log.write(f"{seed}\n")
                self.stub.log.flush()
                return _as_json(USABLE[mischief["usable"]])
        return None

    def _now(self) -> dict[str, Any]:
        text = self._mischief.read_text()
        found: dict[str, Any] = json.loads(text) if text else {}
        return found


def _as_json(body: bytes) -> Response:
    return Response(body, media_type="application/json")


if __name__ == "__main__":
    port, latency_s, log, mischief = sys.argv[1:]
    Model(int(port), float(latency_s), Path(log), Path(mischief)).stub.server().run()
