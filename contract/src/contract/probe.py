"""A chat message, and the probe: messages and the tokens that a server must make of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict
from typing_extensions import TypedDict  # pydantic requires this one on Python 3.11

from contract.sentences import Sentence


class Message(TypedDict):
    """A chat message, as the OpenAI API takes it."""

    role: Literal["system", "user", "assistant"]
    content: str


class Probe(BaseModel):
    """Messages and the token ids that they must become, including the generation prompt."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    messages: tuple[Message, ...]
    token_ids: tuple[int, ...]

    def request(self, served_name: str) -> dict[str, Any]:
        """The request body for vLLM's /tokenize that renders the probe."""
        messages = list(self.messages)
        return {"model": served_name, "messages": messages, "add_generation_prompt": True}

    def difference(self, token_ids: Sequence[int]) -> Sentence | None:
        """How a server's tokens differ from the trained ones; None if they are the same."""
        if tuple(token_ids) == self.token_ids:
            return None
        pairs = zip(token_ids, self.token_ids, strict=False)
        place = next((i for i, (got, meant) in enumerate(pairs) if got != meant), None)
        if place is not None:
            return Sentence("differs-at-token", "at token {place}", place=place)
        return Sentence(
            "differs-in-length",
            "in length ({count}, trained {trained})",
            count=len(token_ids),
            trained=len(self.token_ids),
        )
