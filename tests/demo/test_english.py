"""The English puzzles: their files, and every key found by another way than the generator's."""

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

import english
import puzzles
from contract import extract_label, parse_problems
from contract.contract import LABEL_PATTERNS, pattern_of

FILES = ("train.jsonl", "validation.jsonl", "problems.jsonl")
SPECS = ("train.jsonl:1200", "validation.jsonl:60", "problems.jsonl:140:plain")
ANSWER_LINE = "The answer is: {label}"
PLACES = {word: i for i, word in enumerate(("first", "second", "third", "fourth", "fifth"))}


def rows(root: Path, name: str) -> list[dict[str, Any]]:
    text = (root / "examples/real" / name).read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def test_no_problem_is_in_two_english_files(root: Path) -> None:
    texts = [row["problem"] for name in FILES for row in rows(root, name)]
    assert len(texts) == len(set(texts))


def test_the_english_files_are_what_the_seed_makes(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["english.py", *SPECS])
    puzzles.main(english.English)
    for name in FILES:
        assert (tmp_path / name).read_bytes() == (root / "examples/real" / name).read_bytes()


@pytest.mark.parametrize("name", FILES)
def test_every_english_file_is_a_problem_file_with_keys(root: Path, name: str) -> None:
    problems = parse_problems((root / "examples/real" / name).read_bytes())
    assert all(2 <= len(q.options) <= 5 and q.answer for p in problems for q in p.questions)
    assert all(len(set(q.options)) == len(q.options) for p in problems for q in p.questions)


def test_english_keys_are_balanced_by_number_of_options(root: Path) -> None:
    by_count: dict[int, Counter[str]] = {}
    for row in rows(root, "train.jsonl"):
        for question in row["questions"]:
            by_count.setdefault(len(question["options"]), Counter())[question["answer"]] += 1
    assert set(by_count) == {2, 3, 4, 5}
    for count, keys in by_count.items():
        fair = keys.total() / count
        assert all(abs(keys[label] - fair) < 5 * fair**0.5 for label in puzzles.LABELS[:count])


def test_every_english_analysis_names_the_key_and_value(root: Path) -> None:
    patterns = (pattern_of(ANSWER_LINE), *LABEL_PATTERNS)
    for row in rows(root, "train.jsonl"):
        for question in row["questions"]:
            label, options = question["answer"], question["options"]
            value = options[puzzles.LABELS.index(label)]
            end = f" The result is {value}. {value[0].upper()}{value[1:]} is option {label}."
            assert question["analysis"].endswith(end)
            reply = f"{question['analysis']}\n{ANSWER_LINE.replace('{label}', label)}"
            assert extract_label(reply, options, patterns) == label


def solve(problem: str, question: str) -> str:
    """Solve a puzzle of any family from its text, by other means than the generator."""
    numbers = [int(number) for number in re.findall(r"\d+", problem)]
    if cars := dict(re.findall(r"(\w+) \w+ in the (\w+) car\.", problem)):
        places: dict[str, str] = dict(re.findall(r"The (\w+) car .*? to (the \w+)\.", problem))
        person = next(word for word in re.findall(r"\w+", question) if word in cars)
        return places[cars[person]]
    if "points" in problem:
        scores = {n: int(s) for n, s in re.findall(r"([A-Z]\w+) (?:\w+) (\d+) points\.", problem)}
        passed = {name for name, score in scores.items() if score >= numbers[0]}
        asked = [word for word in re.findall(r"\w+", question) if word in scores]
        return str(len(passed)) if not asked else "yes" if asked[0] in passed else "no"
    if pairs := re.findall(r"(\w+) is \w+ than (\w+)\.", problem):
        below: dict[str, str] = dict(pairs)
        ranked = [(set(below) - set(below.values())).pop()]
        while ranked[-1] in below:
            ranked.append(below[ranked[-1]])
        return ranked[next((i for word, i in PLACES.items() if word in question), 0)]
    if "odd" in question or "even" in question:
        odd = sum(number & 1 for number in numbers)
        return str(odd if "odd" in question else len(numbers) - odd)
    if "list" not in question:
        signs = [1 if way in ("forward", "up") else -1 for way in _ways(problem)]
        steps = [sign * number for sign, number in zip(signs, numbers[1:], strict=True)]
        return str(numbers[0] + sum(steps if "at the end" in question else steps[:2]))
    front = re.search(r"with (\d) put in front", question)
    row = [int(front[1]), *numbers] if front else numbers
    row = row[1:] if "without" in question else row[::-1] if "reversed" in question else row
    place = next(word for word in re.findall(r"\w+", question) if word in PLACES)
    return str(row[PLACES[place]])


def _ways(problem: str) -> list[str]:
    return re.findall(r"\b(forward|back|up|down)\b", problem)


@pytest.mark.parametrize("name", FILES)
def test_another_solver_finds_every_english_key(root: Path, name: str) -> None:
    for row in rows(root, name):
        for question in row["questions"]:
            value = question["options"][puzzles.LABELS.index(question["answer"])]
            assert solve(row["problem"], question["question"]) == value, (row, question)
