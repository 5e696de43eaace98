"""Jobs with answers that were journaled by hand: many of them without asking a server."""

from __future__ import annotations

import io
import json
import random
from typing import Any

from orchestrator.jobs.records import (
    Answer,
    Counts,
    EndFile,
    JobFile,
    JobSettings,
    Sample,
    StartFile,
)
from orchestrator.jobs.store import JobStore
from orchestrator.settings import Settings

OPTIONS = ["one", "two", "three", "four"]


def rows(problems: int, *, keyed: bool = True) -> bytes:
    question: dict[str, Any] = {"question": "which?", "options": OPTIONS}
    questions = [question | ({"answer": "A"} if keyed else {})] * 2
    lines = [
        json.dumps({"id": f"p{n}", "problem": "text", "questions": questions})
        for n in range(problems)
    ]
    return "\n".join(lines).encode()


def answered(rng: random.Random, problem: str, index: int, *, keyed: bool = True) -> Answer:
    """Three samples, mostly right; one question in five misleads nearly all of them."""
    ease = rng.choice([0.95, 0.9, 0.8, 0.7, 0.1])
    labels = ["A" if rng.random() < ease else "B" for _ in range(3)]
    votes = {label: labels.count(label) for label in labels}
    winner = max(votes, key=lambda label: votes[label])
    samples = tuple(
        Sample(
            slot=slot, attempt=0, label=label, seed=0, finish_reason="stop", tokens=1, text="x" * 20
        )
        for slot, label in enumerate(labels)
    )
    return Answer(
        id=problem,
        index=index,
        answer=winner,
        key="A" if keyed else None,
        agreement=votes[winner] / 3,
        tally=dict(votes),
        samples=samples,
    )


def started(settings: Settings, **changed: Any) -> StartFile:
    facts = {"model": "m", "digest": None, "url": settings.inference_url}
    values = {"temperature": 0.5, "top_p": 1.0, "max_tokens": 512}
    return StartFile.model_validate(
        {"started_at": "2026-11-27T00:00:00+00:00", "versions": {}, **facts, **values, **changed}
    )


def answered_job(
    store: JobStore,
    settings: Settings,
    problems: int = 150,
    *,
    keyed: bool = True,
    chosen: JobSettings | None = None,
    start: StartFile | None = None,
    seed: int = 7,
) -> JobFile:
    """A job with two questions a problem, whose answers were journaled by hand."""
    file = io.BytesIO(rows(problems, keyed=keyed))
    job, _ = store.create(file, "p.jsonl", chosen or JobSettings(), 10_000)
    store.write_start(job.id, start or started(settings))
    rng = random.Random(seed)
    answers = [
        answered(rng, f"p{n}", index, keyed=keyed) for n in range(problems) for index in (0, 1)
    ]
    lines = b"".join(answer.model_dump_json().encode() + b"\n" for answer in answers)
    store.journal(job.id, 0).write_bytes(lines)
    store.mark_done(job.id, 0, Counts(completed=len(answers)))
    return job


def ended_job(
    store: JobStore,
    settings: Settings,
    problems: int = 150,
    *,
    status: str = "completed",
    **how: Any,
) -> JobFile:
    job = answered_job(store, settings, problems, **how)
    end = EndFile.model_validate({"status": status, "finished_at": "2026-11-27T00:01:00+00:00"})
    store.write_end(job.id, end)
    return job
