"""The prompt format of jobs whose model has no contract: which one, and why."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from contract import Problem, Sentence
from contract.formats import (
    CHINESE,
    CHINESE_FROM,
    ENGLISH,
    FormatFileError,
    chinese_share,
    format_of_file,
)
from orchestrator.jobs.records import JobFormat


def choose_format(setting: str, problems: Iterable[Problem]) -> JobFormat:
    """The format that PROMPT_FORMAT names. With "auto", the share of Chinese characters in the
    file's `problems` decides.

    Raises:
        FormatFileError: the setting is the path of a file that cannot be used.
    """
    if setting == "auto":
        return _by_script(chinese_share(problems))
    if setting in ("zh", "en"):
        note = Sentence(
            "format-as-set", "asked in the format {name}, as PROMPT_FORMAT says", name=setting
        )
        if setting == "zh":
            return JobFormat(name="zh", note=note, note_message=note.message(), format=CHINESE)
        return JobFormat(name="en", note=note, note_message=note.message(), format=ENGLISH)
    note = Sentence(
        "format-of-file", "asked in the format of {path}, as PROMPT_FORMAT says", path=setting
    )
    return JobFormat(
        name="own",
        note=note,
        note_message=note.message(),
        file=setting,
        format=format_of_file(Path(setting)),
    )


def _by_script(share: float) -> JobFormat:
    is_chinese = share >= CHINESE_FROM
    note = Sentence(
        "format-by-script",
        "asked in the format {name}: {percent} % of the file's characters are Chinese, and from "
        "{limit} % on it is zh; PROMPT_FORMAT names another",
        name="zh" if is_chinese else "en",
        percent=f"{100 * share:.1f}",
        limit=f"{100 * CHINESE_FROM:.0f}",
    )
    return JobFormat(
        name="zh" if is_chinese else "en",
        note=note,
        note_message=note.message(),
        chinese_share=round(share, 4),
        format=CHINESE if is_chinese else ENGLISH,
    )


def format_fault(setting: str) -> str | None:
    """The reason why PROMPT_FORMAT cannot be used; None if it can."""
    if setting in ("auto", "zh", "en"):
        return None
    try:
        format_of_file(Path(setting))
    except FormatFileError as error:
        return f"wrong setting: PROMPT_FORMAT: {error}"
    return None
