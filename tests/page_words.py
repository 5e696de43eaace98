"""The page's words, read from its scripts."""

from __future__ import annotations

import json
import re

from orchestrator.api.page import FILES

# no words to translate
COMMANDS = r"docker compose up -d worker|python -m trainer publish|quorum calibrate JOB"
_ENTRY = re.compile(r'^  (".*?"): (".*"),$', re.MULTILINE)


def words(name: str) -> dict[str, str]:
    """The words by key of a file in words/: `en`, `zh`, or `zh_sentences` by code."""
    text = (FILES / "words" / f"{name}.js").read_text(encoding="utf-8")
    return {json.loads(key): json.loads(value) for key, value in _ENTRY.findall(text)}
