"""The demo's puzzles and files."""

import json
import random
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

import puzzles
from contract import parse_problems

FILES = ("train.jsonl", "validation.jsonl", "problems.jsonl")
SPECS = ("train.jsonl:1600", "validation.jsonl:60", "problems.jsonl:140:plain")


def rows(root: Path, name: str) -> list[dict[str, Any]]:
    text = (root / "examples" / "demo" / name).read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def test_the_files_share_no_problem_text(root: Path) -> None:
    texts = [row["problem"] for name in FILES for row in rows(root, name)]
    assert len(texts) == len(set(texts))


def test_the_files_are_what_the_generator_writes(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["puzzles.py", *SPECS])
    puzzles.main()
    for name in FILES:
        assert (tmp_path / name).read_bytes() == (root / "examples/demo" / name).read_bytes()


@pytest.mark.parametrize("name", FILES)
def test_every_file_is_a_labelled_problem_file(root: Path, name: str) -> None:
    problems = parse_problems((root / "examples" / "demo" / name).read_bytes())
    assert all(1 <= len(problem.questions) <= 4 for problem in problems)
    assert all(2 <= len(q.options) <= 5 and q.answer for p in problems for q in p.questions)
    assert all(len(set(q.options)) == len(q.options) for p in problems for q in p.questions)


def test_keys_are_balanced_for_each_number_of_options(root: Path) -> None:
    by_count: dict[int, Counter[str]] = {}
    for row in rows(root, "train.jsonl"):
        for question in row["questions"]:
            by_count.setdefault(len(question["options"]), Counter())[question["answer"]] += 1
    for count, keys in by_count.items():
        fair = keys.total() / count
        assert all(abs(keys[label] - fair) < 5 * fair**0.5 for label in puzzles.LABELS[:count])


def test_an_analysis_ends_with_the_value_of_the_key() -> None:
    for row in puzzles.problems(300, random.Random(1), set()):
        for question in row["questions"]:
            value = question["options"][puzzles.LABELS.index(question["answer"])]
            assert question["analysis"].endswith(
                f"，结果是{value}，{value}是{question['answer']}。"
            )


def solve(problem: str, question: str) -> str:
    """Solve a puzzle of any family from its text, by other means than the generator."""
    if places := re.match(r"坐车：(.*)。车去：(.*)。", problem):
        rides, goes = ({p[0]: p[1] for p in part.split("、")} for part in places.groups())
        return goes[rides[question[0]]]
    if marked := re.match(r"满(\d+)分过。(.*)。", problem):
        scores = {s[0]: int(s[1:-1]) for s in marked[2].split("，")}
        passed = {name for name, score in scores.items() if score >= int(marked[1])}
        return (
            str(len(passed)) if question == "几人过？" else "过" if question[0] in passed else "没"
        )
    if "比" in problem:
        above = {pair[2]: pair[0] for pair in problem.rstrip("。").split("，")}
        names = {name for pair in above.items() for name in pair}

        def height(name: str) -> int:
            return height(above[name]) + 1 if name in above else 1

        return next(name for name in names if height(name) == int(question[1]))
    if problem.startswith("数有"):
        odd = sum(int(number) % 2 for number in problem[2:-1].split("、"))
        return str(odd if "奇" in question else len(problem[2:-1].split("、")) - odd)
    if start := re.match(r".在(\d)号", problem):
        steps = [
            int(n) * (1 if way == "进" else -1) for way, n in re.findall(r"([进退])(\d)", problem)
        ]
        return str(int(start[1]) + sum(steps[: 3 if question.startswith("最后") else 2]))
    row = problem.removeprefix("列表").rstrip("。").split("、")
    if question.startswith("倒"):
        row = row[::-1]
    elif question.startswith("去"):
        row = row[1:]
    else:
        row = [question[3], *row]
    place = re.search(r"第(\d)个是几", question)
    assert place
    return row[int(place[1]) - 1]


def test_an_independent_solver_finds_every_key(root: Path) -> None:
    for name in FILES:
        for row in rows(root, name):
            for question in row["questions"]:
                value = question["options"][puzzles.LABELS.index(question["answer"])]
                assert solve(row["problem"], question["question"]) == value, (row, question)


def test_the_solver_also_finds_the_keys_of_harder_puzzles() -> None:
    sizes: Counter[int] = Counter()
    for row in puzzles.problems(300, random.Random(2), set(), harder=0.5):
        sizes[row["problem"].count("比")] += 1
        for question in row["questions"]:
            value = question["options"][puzzles.LABELS.index(question["answer"])]
            assert solve(row["problem"], question["question"]) == value, (row, question)
    assert set(sizes) == {0, 2, 3, 4}  # a ranking of five people has four pairs of neighbours


def test_the_base_is_as_small_as_promised(root: Path) -> None:
    weights = root / "examples" / "demo" / "base" / "model.safetensors"
    assert weights.stat().st_size < 12_000_000
