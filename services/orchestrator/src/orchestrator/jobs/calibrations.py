"""The calibrations under a data folder, one file each, and the one that holds for a job.

They are kept on the data volume: the models volume, where the weights are, is read-only for the API
and the workers.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from pydantic import JsonValue

from contract import Problem, Sentence
from orchestrator.errors import JobDamagedError, StateError
from orchestrator.jobs.asked import all_asked
from orchestrator.jobs.calibration import Calibration, Conditions, fitted
from orchestrator.jobs.confidence.votes import Case, case_of
from orchestrator.jobs.files import read_record, write_atomically
from orchestrator.jobs.reading import JobReader
from orchestrator.jobs.records import Answer, JobFile, JobSettings, StartFile

log = logging.getLogger("quorum")

FEWEST_QUESTIONS = 200


def in_need(settings: JobSettings) -> str | None:
    """The first setting that was chosen and needs a calibration."""
    names = ("abstain_below", "answer_sets")
    return next((name for name in names if getattr(settings, name) is not None), None)


def no_calibration(setting: str) -> Sentence:
    return Sentence(
        "no-calibration",
        "{setting} needs a calibration for the job's model and settings, and there is none: post "
        "a file with keys (at least {fewest} questions) with the same settings but without "
        "{setting}, then run quorum calibrate JOB with its id",
        setting=setting,
        fewest=FEWEST_QUESTIONS,
    )


class Calibrations:
    """The calibrations under a data folder. Safe to use from several processes."""

    def __init__(self, data_dir: Path) -> None:
        self._folder = data_dir / "calibrations"

    def make(self, reader: JobReader, job: JobFile) -> Calibration:
        """Fit and keep a calibration. Later jobs with the same conditions use it from their start.

        Raises:
            StateError: the job cannot be used for one.
        """
        made_at = datetime.now(UTC)
        name = f"cal_{made_at.strftime('%Y%m%d%H%M%S%f')[:17]}_{secrets.token_hex(4)}"
        made = calibrate(reader, job, name, made_at.isoformat(timespec="milliseconds"))
        self._folder.mkdir(parents=True, exist_ok=True)
        write_atomically(self._folder / f"{name}.json", made.model_dump_json().encode())
        return made

    def all(self) -> Iterator[Calibration]:
        """Newest first. One that cannot be read is logged and left out."""
        for path in sorted(self._folder.glob("cal_*.json"), reverse=True):
            try:
                found = read_record(path, Calibration)
            except JobDamagedError as error:
                log.warning("a calibration is left out: %s", error)
                continue
            if found is not None:
                yield found

    def may_hold_for(
        self, model: str, digest: str | None, url: str, settings: dict[str, JsonValue]
    ) -> bool:
        """True if one holds for a job that has not started, as far as is known of it.

        A setting of None is the model's default, which is not known yet.
        """
        known = {name: value for name, value in settings.items() if value is not None}
        return any(
            (c.model, c.digest) == (model, digest)
            and (digest is not None or c.url == url)
            and known.items() <= c.settings.items()
            for c in (found.conditions for found in self.all())
        )

    def holding_for(self, conditions: Conditions) -> Calibration | None:
        """The newest calibration for jobs with these conditions."""
        return next((found for found in self.all() if found.conditions == conditions), None)


def calibrate(reader: JobReader, job: JobFile, name: str, made_at: str) -> Calibration:
    """Fit a calibration to a job's answered questions with keys.

    Raises:
        StateError: the job has not ended or was cancelled, has too few such questions, or is of a
            version that did not keep what a calibration needs.
    """
    start = _ended(reader, job)
    conditions = Conditions.of(job.settings, start)
    answered: list[list[tuple[Answer, Case]]] = []
    for shard in range(len(job.shards)):
        answers = reader.answers(job, shard)
        answered += (_cases(problem, answers) for problem in reader.problems(job, shard))
    answered = [problem for problem in answered if problem]
    count = sum(map(len, answered))
    if count < FEWEST_QUESTIONS:
        raise StateError(
            Sentence(
                "too-few-to-calibrate",
                "{job} has {count} answered questions with a key; a calibration needs {fewest}",
                job=job.id,
                count=count,
                fewest=FEWEST_QUESTIONS,
            )
        )
    return fitted(job, conditions, answered, name, made_at)


def _ended(reader: JobReader, job: JobFile) -> StartFile:
    end, start = reader.end(job.id), reader.started(job.id)
    if end is None or end.status == "cancelled":
        raise StateError(
            Sentence(
                "calibrate-ended",
                "{job} cannot be used for a calibration: {state}; use a job that ran to its end",
                job=job.id,
                state=Sentence("has-not-ended", "it has not ended")
                if end is None
                else Sentence("was-cancelled", "it was cancelled"),
            )
        )
    if start is None or (start.digest is None and start.url is None):
        raise StateError(
            Sentence(
                "calibrate-unknown-model",
                "{job} cannot be used for a calibration: an earlier version ran it and did not "
                "keep the address of its model; run its file again",
                job=job.id,
            )
        )
    return start


def _cases(problem: Problem, answers: dict[tuple[str, int], Answer]) -> list[tuple[Answer, Case]]:
    found = []
    for asked in all_asked([problem]):
        answer = answers.get(asked.key)
        case = answer and case_of(answer, len(asked.question.options))
        if answer and case:
            found.append((answer, case))
    return found
