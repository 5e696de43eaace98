"""The model server's state, as it or the launcher that stands in for it tells by HTTP."""

from __future__ import annotations

import urllib.error
from http.client import HTTPException
from typing import Literal, NamedTuple

from pydantic import BaseModel, ValidationError

from contract.addresses import open_url


class ServerHealth(NamedTuple):
    """`away`: nothing answers. `unavailable`: somebody must act, as `note` says."""

    state: Literal["ready", "starting", "unavailable", "away"]
    note: str = ""


class _Told(BaseModel):
    type: str
    message: str


class _Refusal(BaseModel):
    error: _Told


def ask_server(port: int) -> ServerHealth:
    try:
        with open_url(f"http://127.0.0.1:{port}/health", timeout_s=2):
            return ServerHealth("ready")
    except urllib.error.HTTPError as error:
        try:
            told = _Refusal.model_validate_json(error.read()).error
        except (OSError, HTTPException, ValidationError):  # vLLM's own refusal has no text
            return ServerHealth("starting", f"it answers with HTTP {error.code}")
        return ServerHealth(
            "unavailable" if told.type == "unavailable" else "starting", told.message
        )
    except (OSError, HTTPException):  # or another program, which does not speak HTTP
        return ServerHealth("away")
