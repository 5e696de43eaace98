"""Recipes are checked whole, before any weights load."""

from pathlib import Path

import pytest

from trainer.errors import TrainerError
from trainer.recipe import DataFile, Recipe, load_recipe

GOOD = 'name = "m"\nbase = "./base"\ntrain = ["train.jsonl"]\n[training]\nlearning_rate = 1e-4\n'


def load(folder: Path, text: str) -> Recipe:
    path = folder / "recipe.toml"
    path.write_text(text, encoding="utf-8")
    return Recipe.load(path)


def test_paths_are_relative_to_the_recipes_folder(tmp_path: Path) -> None:
    assert load(tmp_path, GOOD).base == str(tmp_path / "base")
    assert load(tmp_path, GOOD).train == (DataFile(file=str(tmp_path / "train.jsonl")),)
    assert load(tmp_path, GOOD.replace("./base", "Qwen/Qwen2-7B")).base == "Qwen/Qwen2-7B"


def test_moving_base_and_data_keeps_the_digest(tmp_path: Path) -> None:
    moved = GOOD.replace("./base", "./elsewhere").replace("train.jsonl", "other.jsonl")
    assert load(tmp_path, GOOD).sha256() == load(tmp_path, moved).sha256()
    assert load(tmp_path, GOOD).sha256() != load(tmp_path, GOOD.replace("1e-4", "2e-4")).sha256()


@pytest.mark.parametrize(
    ("text", "named"),
    [
        (GOOD + "lerning_rate = 1\n", "training.lerning_rate"),
        (GOOD.replace("1e-4", "0"), "training.learning_rate"),
        (GOOD.replace("1e-4", '"high"'), "training.learning_rate"),
        (GOOD.replace("1e-4", "nan"), "training.learning_rate"),
        (GOOD.replace("1e-4", "inf"), "training.learning_rate"),
        (GOOD.replace('train = ["train.jsonl"]', "train = []"), "train"),
        (GOOD.replace('name = "m"', 'name = "../m"'), "name"),
        (GOOD + "[lora]\nr = 0\n", "lora.r"),
        (GOOD + '[format]\nuser_template = "{problem}"\n', "format.user_template"),
        (GOOD + "[", "is not TOML"),
        (GOOD + "pack_tokens = 1000\n", "pack_tokens = 1000 is less than max_length = 2048"),
        (GOOD + "patience = 2\n", "patience needs validation files"),
        (GOOD + "fsdp = true\n", 'fsdp is for method = "full"'),
        (GOOD + "compile = true\n[lora]\ndora = true\n", "compile and lora.dora exclude"),
        (GOOD + "compile = true\n[lora]\ndropout = 0.1\n", "compile and lora.dropout exclude"),
        (GOOD + 'compile = true\n[lora]\nquantize = "nf4"\n', "compile and lora.quantize exclude"),
        ('method = "full"\n' + GOOD + "compile = true\n", 'compile and method = "full" exclude'),
        (GOOD + "[lora]\npro = true\ndora = true\n", "pro and dora exclude each other"),
        (GOOD + "[lora]\npro = true\nplus_ratio = 4\n", "pro and plus_ratio exclude"),
        (GOOD + '[lora]\ninit = "pissa"\nquantize = "nf4"\n', "quantize exclude each other"),
        (GOOD + '[lora]\ninit = "pissa"\ndora = true\n', "dora exclude each other"),
        (GOOD + '[lora]\ninit = "svd"\n', r"lora\.init: Input should be 'zero' or 'pissa'"),
        ('method = "full"\n' + GOOD + "[lora]\nr = 8\n", "leave \\[lora\\] out"),
        (GOOD.replace('"train.jsonl"', '{file = "a", weight = 0}'), r"train\.0\.weight"),
        (
            'validation = ["v.jsonl"]\n' + GOOD + "[data]\nvalidation_share = 0.1\n",
            "validation files and data.validation_share exclude",
        ),
    ],
)
def test_a_bad_recipe_names_the_key(tmp_path: Path, text: str, named: str) -> None:
    with pytest.raises(TrainerError, match=named):
        load(tmp_path, text)


def test_a_file_may_have_a_weight(tmp_path: Path) -> None:
    text = GOOD.replace('"train.jsonl"', '"a.jsonl", {file = "b.jsonl", weight = 2}')
    weights = [(Path(data.file).name, data.weight) for data in load(tmp_path, text).train]
    assert weights == [("a.jsonl", 1.0), ("b.jsonl", 2.0)]


def test_settings_that_change_only_memory_keep_the_digest(
    tmp_path: Path,
) -> None:
    digest = load(tmp_path, GOOD).sha256()
    for line in (
        "pack_tokens = 4096",
        "gradient_checkpointing = false",
        "compile = true",
        "checkpoint_every_s = 1",
    ):
        assert load(tmp_path, f"{GOOD}{line}\n").sha256() == digest
    assert load(tmp_path, f"{GOOD}batch_rows = 8\n").sha256() != digest


def test_the_default_system_prompt_fits_the_style(tmp_path: Path) -> None:
    worked = load(tmp_path, GOOD).with_style("analysis").format
    bare = load(tmp_path, GOOD + '[format]\nstyle = "answer"\n').format
    assert "逐步推理" in worked.system_prompt
    assert "不要写推理过程" in bare.system_prompt
    own = load(tmp_path, GOOD + '[format]\nsystem_prompt = "x"\n').with_style("answer").format
    assert (own.style, own.system_prompt) == ("answer", "x")


def test_an_automatic_style_equals_the_named_one(tmp_path: Path) -> None:
    for style in ("analysis", "answer"):
        named = load(tmp_path, GOOD + f'[format]\nstyle = "{style}"\n')
        assert load(tmp_path, GOOD).with_style(style) == named
        assert load(tmp_path, GOOD).with_style(style).sha256() == named.sha256()


def test_the_command_line_replaces_files_and_base(tmp_path: Path, tiny_base: Path) -> None:
    load(tmp_path, GOOD)
    path = tmp_path / "recipe.toml"
    replaced = load_recipe(path, [tmp_path / "mine.jsonl"], str(tiny_base))
    assert replaced.train == (DataFile(file=str(tmp_path / "mine.jsonl")),)
    assert replaced.base == str(tiny_base)
    assert load_recipe(path, None, "Qwen/Qwen2.5-7B-Instruct").base == "Qwen/Qwen2.5-7B-Instruct"


RECIPES = Path(__file__).parents[2] / "services" / "trainer" / "recipes"


SMALL = {"demo": "quorum-demo", "smollm2-135m": "quorum-smollm2"}


@pytest.mark.parametrize("path", sorted(RECIPES.glob("*.toml")), ids=lambda path: path.name)
def test_the_projects_recipes_load(path: Path) -> None:
    assert Recipe.load(path).name == SMALL.get(path.stem, "quorum-qwen2-7b")


def test_the_baselines_recipe_has_the_published_values() -> None:
    recipe = Recipe.load(RECIPES / "qwen2-7b-baseline.toml")
    assert (recipe.lora.r, recipe.lora.alpha, recipe.lora.dropout) == (8, 32, 0.1)
    assert len(recipe.lora.targets) == 7
    training = recipe.training
    assert (training.learning_rate, training.epochs, training.batch_rows) == (1e-4, 1, 4)
    assert training.gradient_checkpointing
