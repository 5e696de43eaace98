"""The forms in which prepared rows are written for training elsewhere."""

from __future__ import annotations

from enum import StrEnum


class ChatForm(StrEnum):
    AN = "an.json"
    ANA = "ana.json"
    SHAREGPT = "sharegpt"
    MESSAGES = "messages"

    @property
    def ending(self) -> str:
        """The end of a file's name, after "train" or "validation"."""
        return {
            ChatForm.AN: ".an.json",
            ChatForm.ANA: ".ana.json",
            ChatForm.SHAREGPT: ".sharegpt.json",
            ChatForm.MESSAGES: ".messages.jsonl",
        }[self]
