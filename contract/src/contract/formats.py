"""The prompt formats for models that were trained on no contract: Chinese, English, or one that a
user wrote into a TOML file. Their replies are read with `OPEN_PATTERNS`.

The Chinese format is the competition's. Its closed-world sentence (what is not stated is false)
belongs to that competition's questions, so the English format does not have it.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from contract.contract import WHOLE_FILE, PromptFormat, pattern_of
from contract.multiple import MULTIPLE_PROMPT
from contract.patterns import OPEN_PATTERNS
from contract.problems import Problem
from contract.sentences import Sentence

ENGLISH_SYSTEM_PROMPT = (
    "You answer single-choice questions. First think step by step. Then write a last line of the "
    'form "The answer is (X).", where X is the letter of the one correct option.'
)
ENGLISH_MULTIPLE_PROMPT = (
    "You answer multiple-choice questions. One option or several may be correct. First think step "
    'by step. Then write a last line of the form "The answer is (X, Y).", with the letters of all '
    'correct options; if only one is correct, write "The answer is (X).".'
)
# In common tokenizers "The answer is (" ends between two tokens, so a reply that is restricted to
# the letters may begin with it.
ENGLISH = PromptFormat(
    system_prompt=ENGLISH_SYSTEM_PROMPT,
    user_template="Problem:\n{problem}\n\nQuestion:\n{question}\n\nOptions:\n{options}",
    answer_line="The answer is ({label}).",
    label_patterns=OPEN_PATTERNS,
    multiple_prompt=ENGLISH_MULTIPLE_PROMPT,
)
CHINESE = PromptFormat(label_patterns=OPEN_PATTERNS, multiple_prompt=MULTIPLE_PROMPT)
# A file with at least this share of Chinese characters is asked in Chinese. Most Chinese files have
# 0.5 and more, a file of Chinese mathematics in LaTeX 0.10.
CHINESE_FROM = 0.05

_HAN = re.compile("[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]+")
_KANA = re.compile("[\u3040-\u30ff\u31f0-\u31ff\uff66-\uff9d]")
_SPACES = re.compile(r"\s+")
_MOST_BYTES = 1 << 20


class FormatFileError(ValueError):
    """A file with a prompt format cannot be used. The sentence names file, place and reason."""

    def __init__(self, sentence: Sentence) -> None:
        super().__init__(sentence)
        self.sentence = sentence


class _FormatFile(BaseModel):
    """The fields of a format's file. The others of `PromptFormat` follow from these."""

    model_config = ConfigDict(extra="forbid", strict=True)

    system_prompt: str
    user_template: str
    answer_line: str
    option_line: str = "{label}. {text}"
    style: Literal["analysis", "answer"] = "analysis"
    label_patterns: list[str] | None = None
    multiple_prompt: str | None = None


def chinese_share(problems: Iterable[Problem]) -> float:
    """The share of Chinese characters in problems, questions and options, spaces not counted.

    Japanese uses the same characters beside its own: a text with kana has no Chinese ones.
    """
    chinese = characters = 0
    for problem in problems:
        for question in problem.questions:
            for text in (question.text, *question.options):
                han, count = _counts(text)
                chinese, characters = chinese + han, characters + count
        han, count = _counts(problem.text)
        chinese, characters = chinese + han, characters + count
    return chinese / characters if characters else 0.0


def _counts(text: str) -> tuple[int, int]:
    """The Chinese characters of a text, and all of its characters but spaces."""
    characters = len(_SPACES.sub("", text))
    return (0 if _KANA.search(text) else sum(map(len, _HAN.findall(text)))), characters


def format_of_file(path: Path) -> PromptFormat:
    """The format in a TOML file, with a pattern for its answer line before `OPEN_PATTERNS` unless
    the file has patterns of its own.

    Raises:
        FormatFileError: the file cannot be read, or a field is missing, unknown or wrong.
    """
    values = _fields(path)
    try:
        found = _FormatFile.model_validate(values).model_dump(exclude_unset=True)
        if found.get("label_patterns") is None:
            found["label_patterns"] = OPEN_PATTERNS
            made = PromptFormat(**found)
            if made.is_read:
                return made
            found["label_patterns"] = (pattern_of(made.answer_line), *OPEN_PATTERNS)
        made = PromptFormat(**found)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise _fault(path, ".".join(map(str, first["loc"])), _reason(first["msg"])) from error
    if not made.is_read:
        reason = Sentence(
            "patterns-miss-answer-line",
            "cannot read the label in answer_line = {line!r}; leave label_patterns out, or add a "
            "pattern that reads it",
            line=made.answer_line,
        )
        raise _fault(path, "label_patterns", reason)
    return made


def _fields(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            data = file.read(_MOST_BYTES + 1)
    except OSError as error:
        raise FormatFileError(
            Sentence(
                "format-file-unreadable",
                "{path} cannot be read: {words}; PROMPT_FORMAT must be auto, zh, en or the path of "
                "a TOML file",
                path=str(path),
                words=error.strerror or type(error).__name__,
            )
        ) from error
    if len(data) > _MOST_BYTES:
        raise _fault(path, "", Sentence("format-file-too-large", "is larger than 1 MiB"))
    try:
        return tomllib.loads(data.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        reason = Sentence("not-toml", "is not TOML in UTF-8: {words}", words=str(error))
        raise _fault(path, "", reason) from error


def _reason(words: str) -> str:
    return words.removeprefix("Value error, ")


def _fault(path: Path, place: str, reason: str) -> FormatFileError:
    return FormatFileError(
        Sentence(
            "format-file-fault",
            "{path}: {place}: {reason} (formats/example.toml has every field)",
            path=str(path),
            place=place or WHOLE_FILE,
            reason=reason,
        )
    )
