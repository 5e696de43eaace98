"""Reads a file of questions as the API would, and says what is in it."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel

from contract import FileFault, ProblemFileError, Sentence, iter_problems
from contract.files.converting import Recognized, convert
from contract.files.jsonl import read_lines
from contract.files.shapes import Reading
from contract.problems import refused_file
from orchestrator.api.schemas import Fault
from orchestrator.cli.client import unsaid_faults
from orchestrator.errors import BodyTooLargeError

_OURS = Sentence("read-as-ours", "our own rows in JSON lines: taken as they are")


class Checked(BaseModel):
    """What the API would make of a file. `recognized` is None for our own rows in JSON lines.
    `labelled` counts the questions with an answer. A refused file has only `errors`. If `stopped`,
    reading stopped after `error_count` of them.
    """

    accepted: bool
    statement: str = ""
    problems: int = 0
    questions: int = 0
    labelled: int = 0
    recognized: Recognized | None = None
    errors: list[Fault] = []
    error_count: int = 0
    stopped: bool = False


def checked_file(file: Path, rows: Path, reading: Reading, most_bytes: int) -> Checked:
    """What is in a file. Its rows are in `rows` then, unless it holds our own in JSON lines."""
    try:
        if file.stat().st_size > most_bytes:
            raise refused_file(BodyTooLargeError(most_bytes).sentence)
        recognized = convert(file, rows, reading, most_bytes=most_bytes)
        problems = questions = labelled = 0
        with (rows if recognized else file).open("rb") as found:
            for problem in iter_problems(read_lines(found)):
                problems += 1
                questions += len(problem.questions)
                labelled += sum(question.answer is not None for question in problem.questions)
    except ProblemFileError as error:
        faults = [Fault.of(fault) for fault in error.faults]
        return Checked(
            accepted=False, errors=faults, error_count=error.total, stopped=error.stopped
        )
    statement = recognized.statement if recognized else _OURS.message()
    return Checked(
        accepted=True,
        statement=statement.text,
        problems=problems,
        questions=questions,
        labelled=labelled,
        recognized=recognized,
    )


def said_of(file: Path, checked: Checked) -> str:
    """What the file was read as; the faults, one a line, if it is refused."""
    if checked.accepted:
        return f"{file}: {checked.statement}"
    told = [
        str(FileFault(one.line, one.place, Sentence.made(one.reason, "", {}), one.unit))
        for one in checked.errors
    ]
    unsaid = checked.error_count - len(told)
    more = [unsaid_faults(unsaid, stopped=checked.stopped)] if unsaid else []
    return "\n  ".join([f"{file} is refused:", *told, *more])
