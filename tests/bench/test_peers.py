"""The pure parts of `python -m bench.peers`: what is counted, compared and written."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from bench.counters import Counters, parse, read_replies
from bench.peers import page
from bench.peers.figures import Resumed, Run, of_kill, of_runs, same
from bench.peers.server import batch_options
from bench.peers.sides import HERE, Side, first_questions, sides, votes_in

METRICS = """
# TYPE vllm:request_success counter
vllm:request_success_total{finished_reason="stop"} 5.0
vllm:request_success_total{finished_reason="length"} 1.0
vllm:request_success_total{finished_reason="abort"} 7.0
# TYPE vllm:generation_tokens counter
vllm:generation_tokens_total 90.0
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running 2.0
# TYPE http_requests counter
http_requests_total{handler="/v1/models",method="GET",status="2xx"} 9.0
http_requests_total{handler="/v1/chat/completions",method="POST",status="2xx"} 2.0
"""
ROWS = [
    {"id": "p1", "problem": "?", "questions": [{"answer": "A"}, {"answer": "B"}]},
    {"id": "p2", "problem": "?", "questions": [{"answer": "C"}]},
]
PROBLEMS = "".join(json.dumps(row) + "\n" for row in ROWS)
KEYS = {("p1", 0): "A", ("p1", 1): "B", ("p2", 0): "C"}
SIDE = Side("bare_n3", "bare client", "bare", ".venv", is_seeded=True)


def test_aborted_samples_and_reads_are_not_counted() -> None:
    found, is_idle = parse(METRICS)
    assert found == Counters(requests=2, samples=6, tokens=90)
    assert not is_idle


def test_a_batch_is_counted_from_its_replies(tmp_path: Path) -> None:
    usage = {"completion_tokens": 9, "prompt_tokens": 20}
    body = {"choices": [{}, {}, {}], "usage": usage}
    file = tmp_path / "replies.jsonl"
    file.write_text(2 * (json.dumps({"response": {"body": body}}) + "\n"))
    assert read_replies(file) == Counters(requests=2, samples=6, tokens=18, prompt_tokens=120)


def test_a_submission_and_lines_of_answers_hold_the_same_votes(tmp_path: Path) -> None:
    submission, lines = tmp_path / "submission.jsonl", tmp_path / "lines.jsonl"
    submission.write_text(PROBLEMS)
    rows = [{"id": id, "index": index, "answer": key} for (id, index), key in KEYS.items()]
    lines.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert votes_in(submission) == votes_in(lines) == KEYS


@pytest.mark.parametrize(("count", "asked"), [(1, 1), (2, 2), (3, 3), (9, 3), (None, 3)])
def test_a_file_is_cut_after_some_questions(count: int | None, asked: int) -> None:
    rows = [json.loads(line) for line in first_questions(PROBLEMS, count).splitlines()]
    assert sum(len(row["questions"]) for row in rows) == asked
    assert all(row["questions"] for row in rows)


def test_a_batch_gets_the_servers_options_without_its_address() -> None:
    options = ["--model", "m", "--host", "h", "--port", "1", "--enforce-eager"]
    assert batch_options(options) == ("--model", "m", "--enforce-eager")


def test_the_time_of_the_first_questions_is_scaled_to_all() -> None:
    run = Run(2.0, 0.0, Counters(3, 3, 30), {("p1", 0): "A"})
    found = of_runs(SIDE, [run, run], KEYS, None)
    assert found["walls_s"] == [6.0, 6.0]
    assert found["questions_per_s"] == 0.5
    assert found["right"] == found["same_again"] == 1.0


def test_work_done_twice_is_what_both_commands_did_above_one_run() -> None:
    undisturbed = Run(2.0, 0.0, Counters(3, 9, 100), KEYS)
    first, second = Counters(samples=5, tokens=60), Counters(samples=6, tokens=65)
    found = of_kill(Resumed(1.0, first, second, KEYS), undisturbed)
    assert found["samples_again"] == 2
    assert found["share_again"] == pytest.approx(0.25)
    assert found["unanswered"] == 0


def test_a_vote_that_is_missing_elsewhere_is_not_the_same() -> None:
    assert same(KEYS, {**KEYS, ("p2", 0): "A"}) == same(KEYS, dict(list(KEYS.items())[:2]))


@pytest.mark.parametrize("side", sides(".venv-model"), ids=lambda side: side.name)
def test_each_side_has_a_command_and_lines_to_count(side: Side) -> None:
    assert (HERE / side.folder / "run.sh").is_file()
    assert side.lines > 0


def found_on_one_machine() -> dict[str, object]:
    runs = [Run(second, 0.0, Counters(3, 9, 100), KEYS) for second in (2.0, 3.0, 4.0)]
    resumed = Resumed(1.0, Counters(samples=5, tokens=60), Counters(3, 6, 65), KEYS)
    quorum = {**of_runs(SIDE, runs, KEYS, KEYS), "title": "Quorum", "version": None}
    bare = {**quorum, "title": "bare client", "wall_s": 2.5, "version": "aiohttp 3"}
    return {
        "machine": "2 cores",
        "cards": [],
        "vllm": "0.29.0",
        "date": "2026-01-01",
        "command": "python -m bench.peers",
        "file": "problems.jsonl, 3 questions",
        "took_s": 60.0,
        "load_average": [0.1, 0.2],
        "sides": {
            "quorum": {**quorum, "killed": of_kill(resumed, runs[0])},
            "bare": {**bare, "killed": {"failed": "it ended too soon\nand more"}},
            "lm_eval": {"title": "harness", "failed": "not installed: no wheel.\nand more"},
        },
    }


def test_the_page_says_which_side_is_faster_and_what_failed(tmp_path: Path) -> None:
    (tmp_path / "peers-cpu.json").write_text(json.dumps(found_on_one_machine()))
    written = tmp_path / "page.md"
    written.write_text(f"before\n{page.FIRST}old\n{page.LAST}\nafter\n")
    page.write(tmp_path, written)
    text = written.read_text()
    assert "old" not in text
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "Faster than Quorum (3.0 s): bare client (2.5 s)." in text
    assert "harness was not measured: not installed: no wheel." in text
    assert "| Quorum | 5 of 9 | 6 | 2 | 25.0 % | 1.0 | 0 |" in text
    assert "it ended too soon" in text
