"""A journal that is cut or garbled loses at most its damaged lines, and its job still ends."""

from __future__ import annotations

import asyncio
import io
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from damage import FUZZED, damaged
from orchestrator.jobs.counting import Counting
from orchestrator.jobs.finishing import finish
from orchestrator.jobs.journal import open_journal, read_journal
from orchestrator.jobs.progress import ProgressReader
from orchestrator.jobs.questions import QuestionIndex
from orchestrator.jobs.records import Answer, Counts, Drawn, JobFile, JobSettings, Sample
from orchestrator.jobs.store import JobStore
from problem_files import problem_file

PROBLEMS = 3


def _sample(slot: int, label: str | None) -> Sample:
    return Sample(
        slot=slot, attempt=0, label=label, seed=7, finish_reason="stop", tokens=3, text="答案是：A"
    )


def _answer(number: int, kind: str) -> Answer:
    """The answer of question `number` of the job, as a worker journals it."""
    place = {"id": f"p{number // 2}", "index": number % 2, "key": "A"}
    if kind == "failed":
        return Answer.model_validate({**place, "answer": None, "error": "no reply"})
    samples = (_sample(0, "A"), _sample(1, "B" if kind == "tie" else "A"))
    vote = {"agreement": 0.5, "tally": {"A": 1, "B": 1}, "flags": ("tie",)}
    if kind == "forced":
        samples = (_sample(0, None), _sample(1, "A"))
        vote = {"flags": ("forced", "resampled")}
    elif kind == "plain":
        vote = {"agreement": 1.0, "tally": {"A": 2}}
    return Answer.model_validate(
        {
            **place,
            **vote,
            "answer": "A",
            "samples": samples,
            "latency_s": 0.25,
            "prompt_tokens": 9,
            "finished_at": 1763978400.5 + number,
        }
    )


KINDS = st.sampled_from(["plain", "tie", "forced", "failed"])
RECORDS = st.lists(KINDS, min_size=1, max_size=2 * PROBLEMS).map(
    lambda kinds: [_answer(number, kind) for number, kind in enumerate(kinds)]
)
DRAWN = Drawn(id="p0", index=0, drawn=(_sample(0, "A"),), prompt_tokens=9)


def _journal(answers: list[Answer], *, with_drawn: bool) -> bytes:
    records = [DRAWN, *answers] if with_drawn else answers
    return b"".join(record.model_dump_json().encode() + b"\n" for record in records)


JOURNALS = st.builds(_journal, RECORDS, with_drawn=st.booleans())


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("journal") / "0000.jsonl"


def _append(path: Path, answer: Answer) -> None:
    async def append() -> None:
        async with open_journal(path, lambda: None) as journal:
            await journal.append(answer)

    asyncio.run(append())


@FUZZED
@given(data=st.data(), whole=JOURNALS)
def test_damage_costs_its_own_lines_alone(path: Path, data: st.DataObject, whole: bytes) -> None:
    found = data.draw(damaged(st.just(whole), most=1))
    path.write_bytes(found)
    records = [record.model_dump_json().encode() for record in read_journal(path)]
    lines, kept = whole.splitlines(), found.split(b"\n")[:-1]
    before = next((i for i, line in enumerate(lines) if line not in kept[i : i + 1]), len(lines))
    assert records[:before] == lines[:before]
    untouched = [line for line in lines if line in kept]
    assert set(untouched) <= set(records)
    late = Answer(id="late", index=0, answer="B")
    _append(path, late)
    again = [record.model_dump_json().encode() for record in read_journal(path)]
    assert again == [*records, late.model_dump_json().encode()]


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> tuple[JobStore, JobFile]:
    store = JobStore(tmp_path_factory.mktemp("jobs"))
    partial = JobSettings(samples=2, allow_partial=True)
    made, _ = store.create(io.BytesIO(problem_file(PROBLEMS)), "f", partial, shard_questions=2048)
    return store, made


@FUZZED
@given(damaged(JOURNALS))
def test_a_job_with_a_damaged_journal_ends(job: tuple[JobStore, JobFile], data: bytes) -> None:
    store, made = job
    directory = store.directory(made.id)
    store.journal(made.id, 0).write_bytes(data)
    (directory / "end.json").unlink(missing_ok=True)
    store.mark_done(made.id, 0, Counts())
    assert ProgressReader(store).read(made).counts.done <= 2 * PROBLEMS
    index = QuestionIndex(store, made)
    index.read_on()
    assert index.figures(ended=True).sums.answered <= 2 * PROBLEMS
    for position in range(2 * PROBLEMS):
        assert index.detail(position).model_dump_json()
    counting = Counting()
    for answer in store.answers(made, 0).values():
        counting.add(answer)
    assert counting.counts().done <= 2 * PROBLEMS + 1
    finish(store, made)
    if store.open_shards(made):  # an answer was lost, so its question is asked again
        assert {asked.key for asked in store.shard(made, 0)} - set(store.answers(made, 0))
        assert store.end(made.id) is None
        return
    for name in ("report.json", "end.json"):
        assert json.loads((directory / name).read_bytes())
    assert len((directory / "submission.jsonl").read_bytes().splitlines()) == PROBLEMS
