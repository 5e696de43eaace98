"""Problem files in JSON Lines, UTF-8: one problem per line; the whole file is checked before use.

A byte order mark, CRLF and blank lines are accepted. A value that cannot be written back unchanged
is refused.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from typing import Any, BinaryIO

from contract.problems import OBJECT, FileFault, Problem, ProblemFileError, must_be, problem_of
from contract.sentences import Sentence
from contract.strict_json import StrictJsonError, read_json

MAX_FAULTS_KEPT = 20
MAX_LINE_BYTES = 16 << 20


def parse_problems(data: bytes) -> list[Problem]:
    """All problems of a file, in order.

    Raises:
        ProblemFileError: with the line, place and reason of the first 20 faults, and their number.
    """
    return list(iter_problems(io.BytesIO(data)))


def iter_problems(
    lines: Iterable[bytes], *, first_line: int = 1, first_offset: int = 0
) -> Iterator[Problem]:
    """Yield a file's problems one by one, each as soon as its line is read; none is kept in memory.

    `first_line` and `first_offset` are the number of the first line in `lines` and its position in
    the file in bytes. A caller that starts in the middle of a file sets them.

    Raises:
        ProblemFileError: after the last line, with the line, place and reason of the first 20
            faults, and their number. A caller that stops early cannot know whether the file has
            faults.
    """
    faults: list[FileFault] = []
    total = 0
    line_of_id: dict[str, int] = {}
    end = first_offset
    for number, line in enumerate(lines, start=first_line):
        offset, end = end, end + len(line)
        bare = line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line
        if not bare.strip():
            continue
        found = _parse_row(bare, number, offset)
        if isinstance(found, Problem):
            earlier = line_of_id.setdefault(found.id, number)
            if earlier == number:
                yield found
                continue
            found = [FileFault(number, "id", repeated_id(found.id, earlier))]
        total += len(found)
        faults += found[: MAX_FAULTS_KEPT - len(faults)]
    if not line_of_id and not faults:
        reason = Sentence("no-rows", "the file has no rows; write one JSON object a line")
        raise ProblemFileError([FileFault(1, "", reason)], 1)
    if faults:
        raise ProblemFileError(faults, total)


def read_lines(file: BinaryIO) -> Iterator[bytes]:
    """The lines of a file, none longer than `MAX_LINE_BYTES`.

    Raises:
        ProblemFileError: a line is longer than that.
    """
    number = 0
    while line := file.readline(MAX_LINE_BYTES + 1):
        number += 1
        if len(line) > MAX_LINE_BYTES:
            reason = Sentence(
                "line-too-long",
                "is longer than {limit} MiB; write one problem a line",
                limit=MAX_LINE_BYTES >> 20,
            )
            raise ProblemFileError([FileFault(number, "", reason)], 1)
        yield line


def _parse_row(line: bytes, number: int, offset: int) -> Problem | list[FileFault]:
    found = read_row(line, number)
    return problem_of(found, number, offset) if isinstance(found, dict) else found


def read_row(line: bytes, number: int) -> dict[str, Any] | list[FileFault]:
    """The object in a line, or the line's faults."""
    try:
        row = read_json(line.rstrip(b"\r\n"))  # so that an unclosed string ends before the newline
    except StrictJsonError as error:
        return [
            FileFault(number, place, _one_a_line(reason) if reason.code == "not-json" else reason)
            for _, place, reason in error.faults
        ]
    if not isinstance(row, dict):
        return [FileFault(number, "", _one_a_line(must_be(OBJECT, row)))]
    return row


def repeated_id(id: str, line: int) -> Sentence:
    return Sentence(
        "repeated-id", "{id!r} is the id of line {line} too; ids must differ", id=id, line=line
    )


def _one_a_line(fault: Sentence) -> Sentence:
    return Sentence(
        "not-one-row-a-line",
        "{fault}; write each row as one JSON object on a line of its own",
        fault=fault,
    )
