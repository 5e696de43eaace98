"""The members of a panel: what makes them differ, and what is refused before training."""

from collections.abc import Callable
from pathlib import Path

import pytest

from trainer.data.bagging import drawn
from trainer.data.preparing import asked, prepare
from trainer.errors import TrainerError
from trainer.members import planned
from trainer.recipe import Recipe

GOOD = """
name = "m"
base = "./base"
train = ["train.jsonl"]
[format]
style = "analysis"
[training]
learning_rate = 1e-4
"""
# The digest of GOOD before recipes could have a panel.
BEFORE_PANELS = "ddd1322ee15ec681b833cb04edaeceb1785ae0fdf5e3efaf59d5ff33205397af"


def load(folder: Path, more: str = "", text: str = GOOD) -> Recipe:
    path = folder / "recipe.toml"
    path.write_text(text + more, encoding="utf-8")
    return Recipe.load(path)


def test_members_differ_by_seed_and_share_by_default(tmp_path: Path) -> None:
    members = planned(load(tmp_path), None)
    assert [(m.name, m.seed, m.share) for m in members] == [
        ("v1", 42, 1.0),
        ("v2", 43, 0.8),
        ("v3", 44, 0.8),
    ]
    assert len(planned(load(tmp_path), 5)) == 5
    assert len(planned(load(tmp_path, "[panel]\nmembers = 4\n"), None)) == 4


def test_the_first_member_is_what_a_run_would_make(tmp_path: Path) -> None:
    recipe = load(tmp_path, "[panel]\nshare = 0.5\n")
    assert planned(recipe, 2)[0].recipe.sha256() == load(tmp_path).sha256()
    assert [member.share for member in planned(recipe, 2)] == [1.0, 0.5]


def test_a_panel_in_the_recipe_keeps_the_digest_of_a_run(tmp_path: Path) -> None:
    digest = load(tmp_path).sha256()
    assert load(tmp_path, "[panel]\nmembers = 3\n").sha256() == digest
    assert digest == BEFORE_PANELS


def test_a_member_differs_as_its_table_says(tmp_path: Path) -> None:
    more = (
        "[lora]\nr = 8\nalpha = 32\n[[panel.member]]\nshare = 0.9\n[[panel.member]]\nseed = 7\n"
        'rank = 32\nformat = {style = "answer", answer_line = "Answer: {label}"}\n'
    )
    first, second, third = planned(load(tmp_path, more), 3)
    assert first.share == 0.9
    assert (second.seed, second.share, third.seed) == (7, 0.8, 44)
    assert (second.recipe.lora.r, second.recipe.lora.alpha) == (32, 128)  # the same scale
    assert second.traits == "seed 7, 80% of the questions, rank 32"
    fmt = second.recipe.format
    assert (fmt.style, fmt.answer_line) == ("answer", "Answer: {label}")
    assert "不要写推理过程" in fmt.system_prompt
    assert fmt.is_read
    assert third.recipe.format == first.recipe.format


def test_a_rank_of_rslora_keeps_alpha(tmp_path: Path) -> None:
    more = "[lora]\nr = 8\nrslora = true\n[[panel.member]]\n[[panel.member]]\nrank = 32\n"
    assert planned(load(tmp_path, more), None)[1].recipe.lora.alpha == 32


@pytest.mark.parametrize(
    ("more", "asked", "says"),
    [
        ("", 1, "2 to 16 members, and 1 are wanted"),
        ("", 17, "2 to 16 members, and 17 are wanted"),
        ("[[panel.member]]\n" * 3, 2, "2 members are wanted, and the recipe describes 3"),
        ("[lora]\ndora = true\n", None, "if lora.dora is true"),
        ("[panel]\nshare = 1\n[[panel.member]]\n[[panel.member]]\nseed = 42\n", 2, "v1 and v2"),
        ("[lora]\nr = 128\n[[panel.member]]\n[[panel.member]]\nrank = 136\n", 2, "add up to 264"),
        ('[lora]\nr = 72\ninit = "pissa"\n', 2, "v1 and v2 add up to 288.*at most 256"),
        (
            '[[panel.member]]\n[[panel.member]]\nformat = {answer = "x"}\n',
            None,
            r"panel\.member\.1\.format\.answer: Extra inputs",
        ),
        (
            '[[panel.member]]\nformat = {answer_line = "Is {label}", label_patterns = ["Z(.)"]}',
            None,
            r"panel\.member\.0\.format: label_patterns cannot read",
        ),
    ],
)
def test_a_panel_that_cannot_be_served_is_refused(
    tmp_path: Path, more: str, asked: int | None, says: str
) -> None:
    recipe = load(tmp_path, more)
    with pytest.raises(TrainerError, match=says):
        planned(recipe, asked)


def test_a_panel_needs_adapters(tmp_path: Path) -> None:
    recipe = load(tmp_path, text='method = "full"\n' + GOOD)
    with pytest.raises(TrainerError, match="a panel is made of adapters"):
        planned(recipe, None)


def test_a_member_cannot_train_analyses_that_the_data_lack(tmp_path: Path) -> None:
    text = GOOD.replace('"analysis"', '"answer"')
    recipe = load(tmp_path, '[[panel.member]]\nformat = {style = "analysis"}\n', text=text)
    with pytest.raises(TrainerError, match=r'Set format.style = "analysis"'):
        planned(recipe, None)


@pytest.mark.parametrize("table", ["share = 0\n", "share = 1.5\n", "mebers = 3\n"])
def test_a_bad_panel_table_names_the_key(tmp_path: Path, table: str) -> None:
    with pytest.raises(TrainerError, match=r"panel\.(share|mebers)"):
        load(tmp_path, f"[panel]\n{table}")


def test_a_member_draws_whole_questions_and_leaves_validation_alone(
    tiny_recipe: Callable[..., Recipe],
) -> None:
    recipe = tiny_recipe()
    data = recipe.data.model_copy(update={"permuted_copies": 1})
    prepared = prepare(recipe.model_copy(update={"data": data}))
    one, same, other = (drawn(prepared, 0.5, seed) for seed in (1, 1, 2))
    questions = {asked(example) for example in prepared.train}
    chosen = {asked(example) for example in one.train}
    assert len(chosen) == round(len(questions) / 2)
    assert one.train == [e for e in prepared.train if asked(e) in chosen]  # with every copy
    assert one.report.trained == len(one.train) < prepared.report.trained
    assert 0 < one.report.copies < prepared.report.copies
    assert sum(one.report.keys_trained.values()) == len(one.train)
    assert one.held_out == prepared.held_out
    assert (one.train, one.sha256) == (same.train, same.sha256)
    assert one.train != other.train
    assert len({prepared.sha256, one.sha256, other.sha256}) == 3
    assert drawn(prepared, 1.0, 1) is prepared
