import asyncio
import errno
import os
from pathlib import Path

import pytest

from orchestrator.coordination.leases import LeaseLostError
from orchestrator.jobs import journal as journal_module
from orchestrator.jobs.journal import journal_lines, open_journal, read_journal
from orchestrator.jobs.records import Answer, Sample


def may_write() -> None:
    pass


def append(path: Path, *answers: Answer) -> None:
    async def write() -> None:
        async with open_journal(path, may_write) as journal:
            for answer in answers:
                await journal.append(answer)

    asyncio.run(write())


def answer(index: int) -> Answer:
    return Answer(id="题", index=index, answer="A")


def read(path: Path) -> list[int]:
    return [record.index for record in read_journal(path)]


def test_appended_answers_are_read_back(tmp_path: Path) -> None:
    path = tmp_path / "0000.jsonl"
    append(path, answer(0), answer(1))
    append(path, answer(2))
    assert read(path) == [0, 1, 2]


def test_an_incomplete_last_line_is_skipped_and_then_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "0000.jsonl"
    append(path, answer(0), answer(1))
    path.write_bytes(path.read_bytes()[:-10])
    assert read(path) == [0]
    append(path, answer(1))
    assert read(path) == [0, 1]


def test_a_block_of_zeros_loses_only_its_own_answers(
    tmp_path: Path,
) -> None:
    path = tmp_path / "0000.jsonl"
    append(path, answer(0), answer(1))
    whole = path.read_bytes()
    path.write_bytes(whole[:20] + b"\0" * 20 + whole[40:])
    append(path, answer(0))
    assert read(path) == [1, 0]


@pytest.mark.parametrize(
    ("written", "damaged"),
    [
        (b'"agreement":0.5', b'"agreement":9.5'),
        (b'"agreement":0.5', b'"agreement":NaN'),
        (b'"finished_at":1.5', b'"finished_at":-99'),
        (b'"slot":1', b'"slot":9999999999'),
    ],
)
def test_a_figure_that_cannot_be_costs_its_own_line(
    tmp_path: Path, written: bytes, damaged: bytes
) -> None:
    path = tmp_path / "0000.jsonl"
    sample = Sample(slot=1, attempt=0, label="A", seed=1, finish_reason="stop", tokens=1, text="A")
    whole = answer(0).model_copy(
        update={"agreement": 0.5, "finished_at": 1.5, "samples": (sample,)}
    )
    append(path, whole, answer(1))
    assert written in path.read_bytes()
    path.write_bytes(path.read_bytes().replace(written, damaged))
    assert read(path) == [1]


def test_reading_from_an_offset_gives_only_new_answers(tmp_path: Path) -> None:
    path = tmp_path / "0000.jsonl"
    assert list(journal_lines(path)) == []
    append(path, answer(0))
    ((_, offset),) = journal_lines(path)
    append(path, answer(1))
    ((line, _),) = journal_lines(path, offset)
    assert Answer.model_validate_json(line).index == 1


def test_a_writer_that_lost_its_lease_writes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "0000.jsonl"

    def lost() -> None:
        raise LeaseLostError("lost")

    async def write() -> None:
        async with open_journal(path, lost) as journal:
            await journal.append(answer(0))

    with pytest.raises(LeaseLostError):
        asyncio.run(write())
    assert path.read_bytes() == b""


def test_on_a_full_volume_an_answer_waits_without_a_half_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "0000.jsonl"
    monkeypatch.setattr(journal_module, "FULL_RETRY_S", 0.01)
    write, calls, seen = os.write, 0, []

    def full_for_a_while(descriptor: int, data: bytes) -> int:
        """Force the fault twice: room for ten bytes, then none. After that, there is room again."""
        nonlocal calls
        calls += 1
        if calls in (2, 4):
            seen.append(path.read_bytes())
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(descriptor, data[:10] if calls < 5 else data)

    monkeypatch.setattr(os, "write", full_for_a_while)
    append(path, answer(0), answer(1))
    assert [len(half) for half in seen] == [10, 10]
    assert read(path) == [0, 1]
    assert path.read_bytes().count(b"\n") == 2


def test_an_answer_is_on_disk_within_a_second_and_synced_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "0000.jsonl"
    synced: list[int] = []
    fsync = os.fsync

    def watched(descriptor: int) -> None:
        synced.append(os.fstat(descriptor).st_size)
        fsync(descriptor)

    async def write() -> None:
        async with open_journal(path, may_write) as journal:
            for index in range(3):
                await journal.append(answer(index))
                await asyncio.sleep(1)

    monkeypatch.setattr(os, "fsync", watched)
    asyncio.run(write())
    line = path.stat().st_size // 3
    assert synced == [line, 2 * line, 3 * line]
