"""Rows for training that hold a prompt and its reply: instruction rows (alpaca: `instruction`,
`input`, `output`), ShareGPT (`conversations`) and messages (`messages`, as in the OpenAI API).

Of several turns, the last question and its reply count.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

from contract.files.shapes import RowFaultsError
from contract.sentences import Sentence

ChatShape = Literal["instruction", "sharegpt", "messages"]

_TURNS: dict[str, ChatShape] = {"conversations": "sharegpt", "messages": "messages"}
# a turn's keys for the speaker and for what is said; files mix them
_ROLE_KEYS, _TEXT_KEYS = ("from", "role"), ("value", "content")
_ROLES = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "human": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "bot": "assistant",
    "model": "assistant",
}

NO_CHAT = Sentence("no-chat", "neither instruction and output, nor conversations, nor messages")
_NO_INSTRUCTION = Sentence("no-instruction", "no instruction and output")
_NO_TURN = Sentence("no-turn", "a turn that is no object with a role and a text")
_OTHER_ROLE = Sentence(
    "other-role", "a turn of another role than system, user (human) and assistant (gpt)"
)
_NO_USER_TURN = Sentence("no-user-turn", "no turn of the user")
_NO_REPLY = Sentence("chat-without-reply", "no reply to the last turn of the user")


class Chat(NamedTuple):
    """A prompt and its reply. `system` has the system turns; "" if there are none. `turns` counts
    the user's turns.
    """

    system: str
    prompt: str
    reply: str
    turns: int = 1


class _Turn(NamedTuple):
    role: str
    text: str


def chat_shape(values: Mapping[str, Any]) -> ChatShape | None:
    """The shape of a record with these values, judged by its keys; None if it is no row of a chat.

    A row with questions is none, whatever else it holds.
    """
    if "questions" in values:
        return None
    for key, shape in _TURNS.items():
        if isinstance(values.get(key), list):
            return shape
    return "instruction" if {"instruction", "output"} <= values.keys() else None


def chat_of(values: Mapping[str, Any]) -> Chat:
    """The prompt and the reply in a record.

    Raises:
        RowFaultsError: the record has none of the shapes, or no question with a reply.
    """
    shape = chat_shape(values)
    if shape is None:
        raise RowFaultsError(("", NO_CHAT))
    if shape == "instruction":
        return _from_instruction(values)
    key = next(key for key, of in _TURNS.items() if of == shape)
    turns = [_turn(turn, f"{key}[{place}]") for place, turn in enumerate(values[key])]
    return _last_exchange(turns, key)


def _from_instruction(values: Mapping[str, Any]) -> Chat:
    instruction, output, more, system = (
        values.get(key) for key in ("instruction", "output", "input", "system")
    )
    if not (
        isinstance(instruction, str) and isinstance(output, str) and isinstance(more, str | None)
    ):
        raise RowFaultsError(("", _NO_INSTRUCTION))
    prompt = f"{instruction.rstrip()}\n{more or ''}".rstrip()
    return Chat(system if isinstance(system, str) else "", prompt, output)


def _last_exchange(turns: list[_Turn], place: str) -> Chat:
    asked = [number for number, turn in enumerate(turns) if turn.role == "user"]
    if not asked:
        raise RowFaultsError((place, _NO_USER_TURN))
    replies = [turn.text for turn in turns[asked[-1] + 1 :] if turn.role == "assistant"]
    if not replies:
        raise RowFaultsError((place, _NO_REPLY))
    system = "\n".join(turn.text for turn in turns if turn.role == "system")
    return Chat(system, turns[asked[-1]].text.rstrip(), "\n".join(replies), len(asked))


def _turn(turn: Any, place: str) -> _Turn:
    values = turn if isinstance(turn, dict) else {}
    role = next((values[key] for key in _ROLE_KEYS if key in values), None)
    text = _text(next((values[key] for key in _TEXT_KEYS if key in values), None))
    if not isinstance(role, str) or text is None:
        raise RowFaultsError((place, _NO_TURN))
    known = _ROLES.get(role.strip().lower())
    if known is None:
        raise RowFaultsError((place, _OTHER_ROLE))
    return _Turn(known, text)


def _text(content: Any) -> str | None:
    """A turn's text; the OpenAI API also takes a list of parts, of which only texts are read."""
    if isinstance(content, list):
        parts = [part.get("text") if isinstance(part, dict) else None for part in content]
        texts = [part for part in parts if isinstance(part, str)]
        return "".join(texts) if texts and len(texts) == len(parts) else None
    return content if isinstance(content, str) else None
