"""Recipes are checked whole, before any weights load."""

from pathlib import Path

import pytest

from trainer.errors import TrainerError
from trainer.recipe import Recipe

GOOD = 'name = "m"\nbase = "./base"\ntrain = ["train.jsonl"]\n[training]\nlearning_rate = 1e-4\n'


def load(folder: Path, text: str) -> Recipe:
    path = folder / "recipe.toml"
    path.write_text(text, encoding="utf-8")
    return Recipe.load(path)


def test_paths_start_at_the_recipes_own_folder_and_hub_ids_stay(tmp_path: Path) -> None:
    assert load(tmp_path, GOOD).base == str(tmp_path / "base")
    assert load(tmp_path, GOOD).train == (str(tmp_path / "train.jsonl"),)
    assert load(tmp_path, GOOD.replace("./base", "Qwen/Qwen2-7B")).base == "Qwen/Qwen2-7B"


def test_moving_base_and_data_does_not_change_the_digest(tmp_path: Path) -> None:
    moved = GOOD.replace("./base", "./elsewhere").replace("train.jsonl", "other.jsonl")
    assert load(tmp_path, GOOD).sha256() == load(tmp_path, moved).sha256()
    assert load(tmp_path, GOOD).sha256() != load(tmp_path, GOOD.replace("1e-4", "2e-4")).sha256()


@pytest.mark.parametrize(
    ("text", "named"),
    [
        (GOOD + "lerning_rate = 1\n", "training.lerning_rate"),
        (GOOD.replace("1e-4", "0"), "training.learning_rate"),
        (GOOD.replace("1e-4", '"high"'), "training.learning_rate"),
        (GOOD.replace('train = ["train.jsonl"]', "train = []"), "train"),
        (GOOD.replace('name = "m"', 'name = "../m"'), "name"),
        (GOOD + "[lora]\nr = 0\n", "lora.r"),
        (GOOD + '[format]\nuser_template = "{problem}"\n', "format.user_template"),
        (GOOD + "[", "is not TOML"),
    ],
)
def test_a_bad_recipe_names_the_key(tmp_path: Path, text: str, named: str) -> None:
    with pytest.raises(TrainerError, match=named):
        load(tmp_path, text)


@pytest.mark.parametrize("name", ["demo.toml", "qwen2-7b-lora.toml"])
def test_the_projects_recipes_load(root: Path, name: str) -> None:
    Recipe.load(root / "services" / "trainer" / "recipes" / name)


def test_the_baselines_recipe_has_the_published_values(root: Path) -> None:
    recipe = Recipe.load(root / "services" / "trainer" / "recipes" / "qwen2-7b-lora.toml")
    assert (recipe.lora.r, recipe.lora.alpha, recipe.lora.dropout) == (8, 32, 0.1)
    assert len(recipe.lora.targets) == 7
    training = recipe.training
    assert (training.learning_rate, training.epochs) == (1e-4, 1)
    assert (training.batch_size, training.gradient_accumulation) == (1, 4)
    assert training.gradient_checkpointing
