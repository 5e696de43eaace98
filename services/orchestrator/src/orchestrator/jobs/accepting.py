"""Copies a posted file, checks it and cuts it into shards. The whole file is never in memory."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import BinaryIO

from contract import iter_problems
from contract.files.jsonl import read_lines
from orchestrator.jobs.records import ShardPlace


def copy_hashed(source: BinaryIO, target: Path) -> str:
    """Copy in pieces. Returns the SHA-256 of the copied bytes."""
    digest = hashlib.sha256()
    with target.open("wb") as file:
        while piece := source.read(1 << 20):
            digest.update(piece)
            file.write(piece)
    return digest.hexdigest()


def cut_into_shards(path: Path, shard_questions: int) -> tuple[list[ShardPlace], bool]:
    """Cut a file into shards of whole problems. The bool is True if every question has a key.

    A shard ends with the problem that makes it reach `shard_questions` questions.

    Raises:
        ProblemFileError: the file has faults.
    """
    shards: list[ShardPlace] = []
    labelled = True
    with path.open("rb") as file:
        offset = line = problems = questions = 0
        for problem in iter_problems(read_lines(file)):
            if not problems:
                offset, line = problem.offset, problem.line
            problems += 1
            questions += len(problem.questions)
            labelled = labelled and all(q.answer is not None for q in problem.questions)
            if questions >= shard_questions:
                shards.append(
                    ShardPlace(offset=offset, line=line, problems=problems, questions=questions)
                )
                problems = questions = 0
        if problems:
            shards.append(
                ShardPlace(offset=offset, line=line, problems=problems, questions=questions)
            )
    return shards, labelled
