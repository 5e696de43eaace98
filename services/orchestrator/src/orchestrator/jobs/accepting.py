"""Takes a posted file in: copies it, makes our rows of it, checks them and cuts them into shards.
The whole file is never in memory.
"""

from __future__ import annotations

import hashlib
import math
from pathlib import Path
from typing import BinaryIO, NamedTuple

from contract import ProblemFileError, iter_problems
from contract.files.converting import Recognized, convert
from contract.files.jsonl import read_lines
from contract.files.shapes import Reading
from orchestrator.errors import InvalidFileError
from orchestrator.jobs.reading import POSTED_FILE, ROWS_FILE
from orchestrator.jobs.records import ShardPlace

# A worker needs about as long to take up a smaller shard as to answer it.
FEWEST_QUESTIONS = 25


class Taken(NamedTuple):
    """A file that was taken in. `recognized` is None if it holds our own rows, and so is kept as
    `ROWS_FILE` alone. `labelled`: every question has a key.
    """

    sha256: str
    recognized: Recognized | None
    shards: list[ShardPlace]
    labelled: bool


def take_in(
    file: BinaryIO,
    folder: Path,
    reading: Reading,
    *,
    most_bytes: int,
    shard_questions: int,
    workers: int,
) -> Taken:
    """Write `file` and its rows into a job's folder. It may unpack to `most_bytes`.

    Raises:
        InvalidFileError: the file has faults. Each names a line or row of the file as posted.
    """
    posted, rows = folder / POSTED_FILE, folder / ROWS_FILE
    sha256 = copy_hashed(file, posted)
    try:
        recognized = convert(posted, rows, reading, most_bytes=most_bytes)
        if recognized is None:
            posted.rename(rows)
        shards, labelled = cut_into_shards(rows, shard_questions, workers)
    except ProblemFileError as error:
        raise InvalidFileError(error) from error
    return Taken(sha256, recognized, shards, labelled)


def copy_hashed(source: BinaryIO, target: Path) -> str:
    """Copy in pieces. Returns the SHA-256 of the copied bytes."""
    digest = hashlib.sha256()
    with target.open("wb") as file:
        while piece := source.read(1 << 20):
            digest.update(piece)
            file.write(piece)
    return digest.hexdigest()


def cut_into_shards(
    path: Path, most_questions: int, workers: int = 1
) -> tuple[list[ShardPlace], bool]:
    """Cut a file into shards of whole problems. The bool is True if every question has a key.

    The shards are about equal. They are as many as the workers or a multiple, so that all workers
    end together. A shard has about `most_questions` at most.

    Raises:
        ProblemFileError: the file has faults.
    """
    pieces: list[ShardPlace] = []
    labelled = True
    with path.open("rb") as file:
        offset = line = problems = questions = 0
        for problem in iter_problems(read_lines(file)):
            if not problems:
                offset, line = problem.offset, problem.line
            problems += 1
            questions += len(problem.questions)
            labelled = labelled and all(q.answer is not None for q in problem.questions)
            if questions >= min(FEWEST_QUESTIONS, most_questions):
                pieces.append(
                    ShardPlace(offset=offset, line=line, problems=problems, questions=questions)
                )
                problems = questions = 0
        if problems:
            pieces.append(
                ShardPlace(offset=offset, line=line, problems=problems, questions=questions)
            )
    total = sum(piece.questions for piece in pieces)
    rounds = math.ceil(total / (workers * most_questions))
    return _joined(pieces, rounds * workers), labelled


def _joined(pieces: list[ShardPlace], count: int) -> list[ShardPlace]:
    """Neighbouring pieces joined to `count` shards, or fewer if there are fewer pieces."""
    total, done = sum(piece.questions for piece in pieces), 0
    shards: list[ShardPlace] = []
    is_full = True
    for piece in pieces:
        if is_full:
            shards.append(piece)
        else:
            last = shards[-1]
            shards[-1] = last.model_copy(
                update={
                    "problems": last.problems + piece.problems,
                    "questions": last.questions + piece.questions,
                }
            )
        done += piece.questions
        is_full = done * count >= len(shards) * total
    return shards
