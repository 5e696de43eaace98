"""Data on its way to rows: styles, conflicts, the split, leaks, and the report."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from contract import CodedMessage, PromptFormat, coded
from trainer.data.examples import load_examples
from trainer.data.preparing import Prepared, prepare, write_examples
from trainer.data.report import lines, save_report
from trainer.data.splitting import near_duplicates
from trainer.errors import TrainerError
from trainer.recipe import DataFile, Recipe, load_recipe

RECIPES = Path(__file__).parents[2] / "services" / "trainer" / "recipes"


def row(number: int, label: str = "A", analysis: str | None = "甲高。", text: str = "") -> Any:
    worked = {"analysis": analysis} if analysis else {}
    return {
        "id": f"{number}",
        "problem": text or f"{number * 7919 % 1000003}号盒子里有{number * 31 % 97}个球，都是红的。",
        "questions": [
            {"question": "几个？", "options": ["甲", "乙"], "answer": label, **worked},
            {"question": "什么？", "options": ["丙", "丁", "戊"], "answer": label, **worked},
        ],
    }


@pytest.fixture
def prepared(tiny_recipe: Callable[..., Recipe], tmp_path: Path) -> Callable[..., Prepared]:
    def make(rows: list[Any], share: float = 0.2, style: str = "analysis", **data: Any) -> Prepared:
        path = tmp_path / "rows.jsonl"
        path.write_text("".join(json.dumps(r, ensure_ascii=False) + "\n" for r in rows))
        recipe = tiny_recipe()
        settings = recipe.data.model_copy(update={"validation_share": share, **data})
        changes = {
            "train": (DataFile(file=str(path)),),
            "data": settings,
            "format": recipe.format.model_copy(update={"style": style}),
        }
        return prepare(recipe.model_copy(update=changes))

    return make


def test_the_split_is_by_problem(prepared: Callable[..., Prepared]) -> None:
    made = prepared([row(i) for i in range(50)])
    held, trained = ({e.problem.id for e in side} for side in (made.held_out, made.train))
    assert len(held) == 10
    assert not held & trained
    assert (len(made.held_out), len(made.train)) == (20, 80)


def test_questions_without_a_problem_are_split_one_by_one(
    prepared: Callable[..., Prepared], tmp_path: Path
) -> None:
    """They have the same problem text, none, and are not one problem for it."""
    rows = [row(i) for i in range(50)]
    for number, one in enumerate(rows):
        text = one.pop("problem")
        one["questions"] = [{**one["questions"][0], "question": f"{text}几个？"}]
        if number % 2:  # the same question in another row, with its options in another order
            again = {**rows[number - 1]["questions"][0], "options": ["乙", "甲"], "answer": "B"}
            one["questions"] = [again]
    made = prepared(rows)
    held, trained = ({e.question.text for e in side} for side in (made.held_out, made.train))
    assert (len(held), len(trained)) == (5, 20)
    assert not held & trained
    path = tmp_path / "written.jsonl"
    write_examples(made.train, path)
    assert "problem" not in json.loads(path.read_text().splitlines()[0])
    back = load_examples([DataFile(file=str(path))], made.recipe.format).rows
    assert [e.question for e in back] == [e.question for e in made.train]


def test_near_duplicates_stay_together(prepared: Callable[..., Prepared]) -> None:
    long = "这是一个很长的题目，" * 8
    rows = [row(i, text=f"{long}{'甲乙丙丁戊己庚辛壬癸'[i % 10] * 9}{i // 10}") for i in range(40)]
    made = prepared(rows, near_duplicate=0.7)
    sides = [[e.problem.text for e in side] for side in (made.train, made.held_out)]
    assert not near_duplicates(sides[0], 0.7, sides[1])
    assert made.report.leaking == 0


def test_bare_keys_are_not_trained_for_a_model_told_to_reason(
    prepared: Callable[..., Prepared],
) -> None:
    rows = [row(i, analysis=None if i < 5 else "甲高。") for i in range(20)]
    made = prepared(rows)
    assert made.report.dropped == {'no analysis, which format.style = "analysis" trains': 10}
    assert len(prepared(rows, style="answer").train) == 32
    with pytest.raises(TrainerError, match=r"write analyses with `trainer distill`, or set format"):
        prepared([row(i, analysis=None) for i in range(20)])


@pytest.mark.parametrize(
    ("worked", "total", "style"),
    [(0, 20, "answer"), (9, 20, "answer"), (10, 20, "analysis"), (20, 20, "analysis")],
)
def test_the_style_follows_the_data_and_is_reported(
    prepared: Callable[..., Prepared], worked: int, total: int, style: str
) -> None:
    rows = [row(i, analysis="甲高。" if i < worked else None) for i in range(total)]
    made = prepared(rows, share=0.0, style="auto")
    assert made.recipe.format.style == style
    assert len(made.train) == 2 * (worked if style == "analysis" else total)
    said = dict(lines(made.report))["replies trained"]
    assert f"{2 * worked} of {2 * total} questions have an analysis" in said
    assert ("python -m trainer distill" in said) == (style == "answer")


def test_500_analyses_are_enough_for_any_number_of_questions(
    prepared: Callable[..., Prepared],
) -> None:
    rows = [row(i, analysis="甲高。" if i < 250 else None) for i in range(700)]
    made = prepared(rows, share=0.0, style="auto", near_duplicate=1.0)
    assert made.recipe.format.style == "analysis"
    assert made.report.dropped == {'no analysis, which format.style = "analysis" trains': 900}


def test_an_analysis_in_another_row_counts_for_the_same_question(
    prepared: Callable[..., Prepared],
) -> None:
    keys = [row(i, analysis=None) for i in range(10)]
    worked = [row(i) | {"id": f"again{i}"} for i in range(8)]
    made = prepared([*keys, *worked], share=0.0, style="auto")
    assert made.recipe.format.style == "analysis"
    assert "16 of 20 questions have an analysis" in made.report.replies


def test_a_style_named_in_the_recipe_is_kept(prepared: Callable[..., Prepared]) -> None:
    made = prepared([row(i) for i in range(10)], style="answer")
    assert made.recipe.format.style == "answer"
    assert made.report.replies == (
        "the answer line alone, as the recipe says; 20 of 20 questions have an analysis"
    )


@pytest.mark.parametrize("name", sorted(path.name for path in RECIPES.glob("*.toml")))
def test_every_recipe_accepts_a_file_with_keys_alone(name: str, tmp_path: Path) -> None:
    path = tmp_path / "train.jsonl"
    rows = [row(i, analysis=None) for i in range(40)]
    real = os.environ.get("QUORUM_REAL_DATA")
    path.write_text("".join(json.dumps(r, ensure_ascii=False) + "\n" for r in rows))
    made = prepare(
        load_recipe(RECIPES / name, [Path(real) / "train.jsonl" if real else path], None)
    )
    assert made.recipe.format.style == "answer"
    own_prompt = name in ("demo.toml", "smollm2-135m.toml")
    assert own_prompt or "不要写推理过程" in made.recipe.format.system_prompt
    assert made.report.dropped == {}
    example = made.train[0]
    line = made.recipe.format.answer_line.format(label=example.label)
    assert made.recipe.format.reply(example.label, None) == line
    assert (
        line == ("The answer is: " if name == "smollm2-135m.toml" else "答案是：") + example.label
    )


def test_a_question_with_two_keys_is_left_out(prepared: Callable[..., Prepared]) -> None:
    rows = [row(i) for i in range(20)]
    contradiction = row(3, label="B") | {"id": "again"}
    made = prepared([*rows, contradiction])
    assert made.report.dropped == {"the same question stands elsewhere with another key": 4}


def test_repeats_are_counted_and_kept(prepared: Callable[..., Prepared]) -> None:
    made = prepared([*(row(i) for i in range(20)), row(3, analysis="别的解法。") | {"id": "again"}])
    assert made.report.repeated == 2
    assert made.report.trained + made.report.held_out == 42


def test_leaked_validation_questions_are_left_out(
    tiny_recipe: Callable[..., Recipe], tmp_path: Path
) -> None:
    recipe = tiny_recipe()
    held = tmp_path / "held.jsonl"
    known = Path(recipe.train[0].file).read_text().splitlines()[0]
    stranger = json.dumps(row(1), ensure_ascii=False)
    held.write_text(f"{known}\n{stranger}\n")
    no_share = recipe.data.model_copy(update={"validation_share": 0.0})
    changes = {"validation": (DataFile(file=str(held)),), "data": no_share}
    made = prepare(recipe.model_copy(update=changes))
    assert made.report.leaking == len(json.loads(known)["questions"])
    assert {e.problem.id for e in made.held_out} == {"1"}


def test_permuted_copies_balance_only_training_rows(
    prepared: Callable[..., Prepared],
) -> None:
    made = prepared([row(i, label="B") for i in range(40)], permuted_copies=1)
    assert {e.label for e in made.held_out} == {"B"}
    assert made.report.copies == 64
    keys = made.report.keys_trained
    assert keys["A"] >= 40
    assert sum(keys.values()) == made.report.trained == 128


def test_written_examples_are_read_back_unchanged(
    prepared: Callable[..., Prepared], tmp_path: Path
) -> None:
    made = prepared([row(i) for i in range(10)], permuted_copies=1)
    write_examples(made.train, tmp_path / "out.jsonl")
    back = load_examples([DataFile(file=str(tmp_path / "out.jsonl"))], PromptFormat()).rows
    assert [(e.problem.text, e.question) for e in back] == [
        (e.problem.text, e.question) for e in made.train
    ]


def test_the_report_is_saved_with_a_picture(
    prepared: Callable[..., Prepared], tmp_path: Path
) -> None:
    report = prepared([row(i) for i in range(10)]).report
    report.prompt_tokens, report.reply_tokens, report.max_length = [10, 20], [3, 4], 64
    save_report(report, tmp_path)
    saved = json.loads((tmp_path / "data.json").read_text())
    assert saved["trained"] == 16
    assert saved["keys_read"] == {"A": 20}
    assert Image.open(tmp_path / "data.png").size > (800, 300)
    said = dict(lines(report))
    assert said["keys as read"] == "A 20 (100%)"
    assert said["questions held out"] == "4 of 2 problems"
    assert said["tokens of a prompt"] == "least 10, median 10, 95 % up to 10, most 20"


@pytest.mark.skipif("QUORUM_REAL_DATA" not in os.environ, reason="QUORUM_REAL_DATA is not set")
def test_real_keys_are_balanced_and_the_split_is_clean(tiny_recipe: Callable[..., Recipe]) -> None:
    recipe = tiny_recipe()
    folder = Path(os.environ["QUORUM_REAL_DATA"])
    data = recipe.data.model_copy(update={"validation_share": 0.1, "permuted_copies": 2})
    changes = {
        "train": (DataFile(file=str(folder / "train.jsonl")),),
        "data": data,
        "format": recipe.format.model_copy(update={"style": "answer"}),
    }
    made = prepare(recipe.model_copy(update=changes))
    assert made.report.read == 980
    by_four = [e.label for e in made.train if len(e.question.options) == 4]
    before = made.report.keys_read
    assert before["B"] / sum(before.values()) > 0.38
    shares = [by_four.count(label) / len(by_four) for label in "ABCD"]
    assert max(shares) - min(shares) < 0.03
    sides = [[e.problem.text for e in side] for side in (made.train, made.held_out)]
    assert not near_duplicates(sides[0], 0.8, sides[1])


def test_the_report_and_its_rows_keep_their_codes(
    prepared: Callable[..., Prepared], tmp_path: Path
) -> None:
    """The page tells reasons and sources in Chinese by their codes."""
    made = prepared([row(0, analysis=None), *(row(i) for i in range(1, 30))], permuted_copies=1)
    made.report.too_long = [example.source for example in made.train]
    save_report(made.report, tmp_path)
    (reason,) = made.report.dropped
    message = json.loads((tmp_path / "data.json").read_text())["dropped_messages"][reason]
    assert message == {"code": "no-analysis", "text": reason, "params": {}}
    moved = coded(made.train[-1].source)
    assert moved is not None
    source = moved.params["source"]
    assert isinstance(source, CodedMessage)
    assert (moved.code, source.code) == ("options-in-order", "from-problem-file")
    assert source.params["file"] == "rows.jsonl"
