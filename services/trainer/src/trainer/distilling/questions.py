"""Which questions a teacher is asked: those of labelled files, or the ones that a job got wrong."""

from __future__ import annotations

import logging
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from contract import PromptFormat, read_json
from contract.addresses import open_url
from trainer.data.examples import Example, load_examples
from trainer.errors import TrainerError
from trainer.recipe import DataFile, Recipe

log = logging.getLogger("trainer")


def questions_to_ask(
    recipe: Recipe, files: Sequence[Path], only_missed: str | None, api_key: str
) -> tuple[list[Example], PromptFormat]:
    """The questions of `files`, and the format in which they are asked. If `only_missed` names a
    finished job, only the questions that it answered wrong.
    """
    fmt = (recipe.with_style("analysis") if recipe.format.style == "auto" else recipe).format
    examples = load_examples([DataFile(file=str(path)) for path in files], fmt).rows
    if only_missed:
        examples = missed_in(examples, job_answers(only_missed, api_key))
        log.info("%d questions were answered wrong in %s", len(examples), only_missed)
    return examples, fmt


def missed_in(examples: Sequence[Example], answers: Sequence[dict[str, Any]]) -> list[Example]:
    """The examples that a job answered wrong; `answers` are the job's.

    Raises:
        TrainerError: the job answered none of them.
    """
    answered = {(str(a["id"]), int(a["index"])): a["answer"] for a in answers}
    places = [
        (e.problem.id, next(i for i, q in enumerate(e.problem.questions) if q is e.question))
        for e in examples
    ]
    if not any(place in answered for place in places):
        raise TrainerError(
            "the job answered no question of these files: give the posted file with labels added "
            "and the same ids"
        )
    return [
        example
        for example, place in zip(examples, places, strict=True)
        if place in answered and answered[place] != example.label
    ]


def job_answers(job: str, api_key: str) -> list[dict[str, Any]]:
    """The answers of a finished job: its directory, its answers.jsonl, or its URL at the API, which
    is sent `api_key` unless that is empty.

    Raises:
        TrainerError: there are none yet, or they cannot be read.
    """
    try:
        if job.startswith(("http://", "https://")):
            headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
            asked = urllib.request.Request(job.rstrip("/") + "/answers", headers=headers)
            with open_url(asked, timeout_s=60) as reply:
                data = reply.read()
        else:
            path = Path(job)
            path = path / "answers.jsonl" if path.is_dir() else path
            data = path.read_bytes()
        answers = [read_json(line) for line in data.split(b"\n") if line.strip()]
    except urllib.error.HTTPError as error:
        known = {409: "it has not finished", 401: "the API needs a key; set API_KEY"}
        why = known.get(error.code, f"{error.code} {error.reason}")
        raise TrainerError(f"cannot read the answers of {job}: {why}") from error
    except (OSError, ValueError) as error:
        raise TrainerError(f"cannot read the answers of {job}: {error}") from error
    for number, answer in enumerate(answers, start=1):
        if not isinstance(answer, dict) or not {"id", "index", "answer"} <= {*answer}:
            raise TrainerError(f"cannot read the answers of {job}: line {number} is not an answer")
    return answers
