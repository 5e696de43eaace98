import asyncio
from pathlib import Path

from orchestrator.journal import open_journal, read_journal
from orchestrator.records import Answer


def append(path: Path, *answers: Answer) -> None:
    async def write() -> None:
        async with open_journal(path) as journal:
            for answer in answers:
                journal.append(answer)

    asyncio.run(write())


def answer(index: int) -> Answer:
    return Answer(id="题", index=index, answer="A")


def test_what_was_appended_is_read_back(tmp_path: Path) -> None:
    path = tmp_path / "0000.jsonl"
    append(path, answer(0), answer(1))
    append(path, answer(2))
    assert [a.index for a in read_journal(path)[0]] == [0, 1, 2]


def test_a_last_line_cut_by_a_power_failure_is_passed_over_and_then_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "0000.jsonl"
    append(path, answer(0), answer(1))
    path.write_bytes(path.read_bytes()[:-10])
    assert [a.index for a in read_journal(path)[0]] == [0]
    append(path, answer(1))
    assert [a.index for a in read_journal(path)[0]] == [0, 1]


def test_reading_on_from_an_offset_gives_what_is_new(tmp_path: Path) -> None:
    path = tmp_path / "0000.jsonl"
    assert read_journal(path) == ([], 0)
    append(path, answer(0))
    _, offset = read_journal(path)
    append(path, answer(1))
    assert [a.index for a in read_journal(path, offset)[0]] == [1]
