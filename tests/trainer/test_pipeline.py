"""A whole run on the demo's base, a few steps long: trained, merged, verified, published."""

import io
import json
import logging
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from transformers import AutoTokenizer

from contract import Contract, parse_problems
from contract.published import make_current
from trainer.baseline import forced_answers, write_answers
from trainer.data.rendering import prompt_ids
from trainer.errors import TrainerError
from trainer.pipeline import run
from trainer.recipe import Recipe
from trainer.settings import Settings
from trainer.training.comparing import differences, draw, endings, load_run
from trainer.training.metrics import read_metrics


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    folder = tmp_path_factory.mktemp("trained")
    return Settings(models_dir=folder / "models", runs_dir=folder / "runs")


@pytest.fixture(scope="module")
def recipe(root: Path) -> Recipe:
    demo = Recipe.load(root / "services" / "trainer" / "recipes" / "demo.toml")
    return demo.model_copy(update={"training": demo.training.model_copy(update={"max_steps": 6})})


@pytest.fixture(scope="module")
def log() -> Iterator[io.StringIO]:
    """The run's log."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    logger = logging.getLogger("trainer")
    logger.setLevel(logging.INFO)
    logger.addHandler(handler)
    yield stream
    logger.removeHandler(handler)


@pytest.fixture(scope="module")
def published(recipe: Recipe, settings: Settings, log: io.StringIO) -> Path:
    return run(recipe, settings)


def test_the_log_reports_data_progress_and_verification(published: Path, log: io.StringIO) -> None:
    said = log.getvalue()
    assert "read from train.jsonl: problem file, with analyses: 3477" in said
    assert "questions held out: 136 of 60 problems" in said
    assert "step 0/6, validation loss" in said
    assert re.search(
        r"step 6/6, loss [\d.]+, learning rate [\d.e-]+, \d+ tokens/s, [\d.]+ GiB, "
        r"validation loss [\d.]+, [\d.]+ % of labels right, 0 s left",
        said,
    )
    dtype = Contract.load(published).dtype
    assert re.search(
        r"the merged weights are 0\.\d+ nats from the trained ones over 512 tokens; the base in "
        rf"{dtype} is 0\.\d+ from float32; at most 0\.\d+ is allowed",
        said,
    )
    assert re.search(
        r"loss in 32 held-out rows: base [\d.]+, trained [\d.]+, merged [\d.]+ nats a token: "
        r"training gained [\d.]+, merging cost -?[\d.]+",
        said,
    )
    assert f"published {published}" in said


def test_a_published_model_is_whole_and_current(published: Path, settings: Settings) -> None:
    current = settings.models_dir / "quorum-demo" / "current"
    assert current.resolve() == published.resolve()
    names = {path.name for path in published.iterdir()}
    assert {"contract.json", "config.json", "generation_config.json", "model.safetensors"} <= names
    assert {"tokenizer.json", "tokenizer_config.json", "chat_template.jinja"} <= names
    assert {
        "README.md",
        "curves.png",
        "data.json",
        "data.png",
        "metrics.jsonl",
        "verification.json",
    } <= names
    adapter = {path.name for path in (published / "adapter").iterdir()}
    assert {"adapter_config.json", "adapter_model.safetensors"} <= adapter
    assert not list(published.parent.glob(".*"))


def test_the_contract_holds_what_was_trained(published: Path, recipe: Recipe) -> None:
    contract = Contract.load(published)
    assert contract.digest == published.name
    assert contract.format.style == "analysis"  # the demo's rows have analyses
    assert contract.format.model_dump() == recipe.with_style("analysis").format.model_dump()
    assert contract.sampling == recipe.sampling
    tokenizer = AutoTokenizer.from_pretrained(published)
    assert prompt_ids(tokenizer, list(contract.probe.messages)) == list(contract.probe.token_ids)
    assert contract.provenance.base_model == "base"


def test_generation_stops_at_the_templates_end_token(published: Path) -> None:
    config = json.loads((published / "generation_config.json").read_text())
    tokenizer = AutoTokenizer.from_pretrained(published)
    end, end_of_text = tokenizer.convert_tokens_to_ids(["<|im_end|>", "<|endoftext|>"])
    assert sorted(config["eos_token_id"]) == sorted([end, end_of_text])
    assert json.loads((published / "config.json").read_text())["eos_token_id"] == end
    assert tokenizer.eos_token_id == end


def test_the_metrics_hold_every_step_and_validation(settings: Settings, published: Path) -> None:
    path = settings.runs_dir / "quorum-demo" / published.name / "metrics.jsonl"
    untrained, *entries = read_metrics(path)
    assert [entry["step"] for entry in entries] == [1, 2, 3, 4, 5, 6]
    assert entries[-1]["steps"] == 6
    assert entries[-1]["eta_s"] == 0
    for entry in entries:
        assert entry["tokens_per_s"] > entry["reply_tokens_per_s"] > 0
        assert min(entry["loss"], entry["gradient_norm"], entry["memory_gib"]) > 0
    validated = [entry["step"] for entry in entries if "validation_loss" in entry]
    assert validated == [2, 3, 5, 6]
    assert untrained["step"] == 0
    assert entries[-1]["validation_loss"] < untrained["validation_loss"]
    assert 0 <= entries[-1]["label_accuracy"] <= 1


def test_the_model_card_names_origin_and_checks(published: Path) -> None:
    card = (published / "README.md").read_text()
    front = json.loads(card.split("---")[1])
    assert front["base_model"] == "base"
    contract = Contract.load(published)
    origin = contract.provenance
    for digest in (contract.digest, origin.base_sha256, origin.data_sha256, origin.recipe_sha256):
        assert digest in card
    for part in ("![Curves](curves.png)", "![Data](data.png)", "| prompts compared | 32, 512"):
        assert part in card
    for name in (
        "distance of merged from trained weights",
        f"distance of the base in {contract.dtype} from float32",
    ):
        assert f"| {name}" in card
    for name in ("gain of training, nats a token", "cost of merging, nats a token"):
        assert f"| {name} |" in card
    lost = json.loads((published / "verification.json").read_text())["losses"]
    assert f"{lost['cost']:.5f} ± {2 * lost['error']:.5f}" in card
    assert '"learning_rate": 0.004' in card
    assert card.count("> ") >= 3
    assert str(published.parent.parent) not in card
    assert Image.open(published / "curves.png").size[0] > 1000


def test_a_repeated_run_has_nothing_to_do(
    published: Path, recipe: Recipe, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    weights = published / "model.safetensors"
    before = weights.stat().st_mtime_ns
    caplog.set_level("INFO")
    assert run(recipe, settings) == published
    assert weights.stat().st_mtime_ns == before
    assert "nothing to do" in caplog.text


def test_current_moves_to_a_model_published_before(published: Path) -> None:
    other = published.parent / "other"
    other.mkdir()
    make_current(other)
    assert (published.parent / "current").resolve() == other.resolve()
    make_current(published)
    assert (published.parent / "current").resolve() == published.resolve()


def test_a_run_with_nothing_to_do_leaves_another_model_current(
    recipe: Recipe, settings: Settings, published: Path, caplog: pytest.LogCaptureFixture
) -> None:
    other = published.parent / "other"
    other.mkdir(exist_ok=True)
    make_current(other)
    caplog.set_level("INFO")
    assert run(recipe, settings) == published
    assert (published.parent / "current").resolve() == other.resolve()
    assert f"`python -m trainer publish {published.name}` makes this one current" in caplog.text
    make_current(published)


def test_a_missing_base_is_named(recipe: Recipe, settings: Settings) -> None:
    gone = recipe.model_copy(update={"base": "/nowhere/base"})
    with pytest.raises(TrainerError, match="/nowhere/base does not exist"):
        run(gone, settings)


def test_the_base_is_asked_with_forced_letters(
    root: Path, recipe: Recipe, settings: Settings, tmp_path: Path
) -> None:
    file = root / "examples" / "demo" / "validation.jsonl"
    answers = list(forced_answers(recipe, settings, file))
    asked = [(p.id, i) for p in parse_problems(file.read_bytes()) for i in range(len(p.questions))]
    assert [(answer["id"], answer["index"]) for answer in answers] == asked
    assert {answer["answer"] for answer in answers} <= set("ABCDE")
    assert write_answers(iter(answers), tmp_path / "out.jsonl") == 136


@pytest.mark.long
def test_early_stopping_publishes_the_best_weights(
    tiny_recipe: Callable[..., Recipe], settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    """The loss soon gets worse; the kept weights are those of a run that ends at its best step."""
    recipe = tiny_recipe(training="patience = 2\nepochs = 20\nschedule = 'constant'")
    training = recipe.training.model_copy(
        update={"learning_rate": 0.3, "max_steps": 60, "validations": 30}
    )
    caplog.set_level("INFO")
    published = run(recipe.model_copy(update={"training": training}), settings)
    entries = [e for e in read_metrics(published / "metrics.jsonl") if "validation_loss" in e]
    losses = {entry["step"]: entry["validation_loss"] for entry in entries if entry["step"]}
    best = min(losses, key=losses.__getitem__)
    assert max(losses) < 60
    assert [step for step in losses if step > best] == list(losses)[-2:]
    assert f"the weights of step {best} are taken: they validated best" in caplog.text
    until_then = training.model_copy(update={"max_steps": best, "patience": None})
    left_there = run(recipe.model_copy(update={"training": until_then}), settings)
    adapters = [
        load_file(folder / "adapter" / "adapter_model.safetensors")
        for folder in (published, left_there)
    ]
    assert adapters[0]
    assert adapters[0].keys() == adapters[1].keys()
    for name, weight in adapters[0].items():
        assert torch.equal(weight, adapters[1][name])


@pytest.mark.long
def test_two_runs_are_compared(
    tiny_recipe: Callable[..., Recipe], settings: Settings, tmp_path: Path
) -> None:
    one = run(tiny_recipe(), settings)
    other = run(tiny_recipe(top="[lora]\nr = 2"), settings)
    runs = (load_run(settings.runs_dir, one.name[:10]), load_run(settings.runs_dir, other.name))
    assert differences(*runs) == [("lora.r", "8", "2")]
    ends = {name: (a, b) for name, a, b in endings(*runs)}
    assert ends["step"] == ("6", "6")
    assert float(ends["validation_loss"][0]) > 0
    draw(*runs, tmp_path / "both.png")
    assert Image.open(tmp_path / "both.png").size[0] > 1000
    with pytest.raises(TrainerError, match="no runs have a digest that begins with 'zz'"):
        load_run(settings.runs_dir, "zz")


def test_tensorboard_files_are_written_on_request(
    tiny_recipe: Callable[..., Recipe], tmp_path: Path
) -> None:
    own = Settings(models_dir=tmp_path / "m", runs_dir=tmp_path / "r", tensorboard=True)
    run(tiny_recipe(), own)
    (events,) = own.runs_dir.glob("tiny/*/tensorboard/events.*")
    assert events.stat().st_size > 500
