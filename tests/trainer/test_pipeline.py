"""A whole run on the demo's base, a few steps long: trained, merged, verified, published."""

import io
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

from contract import Contract
from trainer.baseline import forced_answers
from trainer.errors import TrainerError
from trainer.lora import load_base, reply_logprobs
from trainer.merging import verify
from trainer.pipeline import run
from trainer.publishing import make_current
from trainer.recipe import Recipe
from trainer.rendering import Row, prompt_ids
from trainer.settings import Settings


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
    """What the run logs."""
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


def test_the_log_tells_rows_validation_loss_and_agreement(
    published: Path, log: io.StringIO
) -> None:
    said = log.getvalue()
    assert "3477 rows; longest prompt" in said
    assert "validation loss" in said
    assert "on 136 rows" in said
    assert "merged weights agree with the adapter" in said
    assert f"published {published}" in said


def test_a_published_model_is_whole_and_current(published: Path, settings: Settings) -> None:
    current = settings.models_dir / "quorum-demo" / "current"
    assert current.resolve() == published.resolve()
    names = {path.name for path in published.iterdir()}
    assert {"contract.json", "config.json", "generation_config.json", "model.safetensors"} <= names
    assert {"tokenizer.json", "tokenizer_config.json"} <= names
    assert not list(published.parent.glob(".*"))


def test_the_contract_holds_what_was_trained(published: Path, recipe: Recipe) -> None:
    contract = Contract.load(published)
    assert contract.digest == published.name
    assert contract.format == recipe.format
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


def test_the_metrics_tell_step_loss_and_time_left(settings: Settings, published: Path) -> None:
    path = settings.runs_dir / "quorum-demo" / published.name / "metrics.jsonl"
    entries = [json.loads(line) for line in path.read_text().splitlines()]
    assert [entry["step"] for entry in entries] == [1, 2, 3, 4, 5, 6]
    assert entries[-1]["steps"] == 6
    assert entries[-1]["eta_s"] == 0
    assert all(entry["loss"] > 0 and entry["tokens_per_s"] > 0 for entry in entries)


def test_the_merged_weights_say_what_base_and_adapter_say(
    published: Path, settings: Settings, recipe: Recipe
) -> None:
    adapter = settings.runs_dir / "quorum-demo" / published.name / "adapter"
    base = load_base(Path(recipe.base), "bfloat16")
    tuned = PeftModel.from_pretrained(base, str(adapter)).eval()
    merged = AutoModelForCausalLM.from_pretrained(published, dtype=torch.bfloat16)
    probe = Contract.load(published).probe
    row = Row(list(probe.token_ids), [5, 6, 7, 8])
    (one,), (two,) = reply_logprobs(tuned, [row]), reply_logprobs(merged, [row])
    assert (one.argmax(-1) == two.argmax(-1)).all()
    assert (one.exp() * (one - two).abs()).sum(-1).mean() < 0.1


def test_weights_that_say_something_else_are_not_published(published: Path) -> None:
    row = Row(list(Contract.load(published).probe.token_ids), [5, 6, 7, 8])
    vocabulary = json.loads((published / "config.json").read_text())["vocab_size"]
    other = torch.full((4, vocabulary), -50.0)
    other[:, 0] = 0.0
    with pytest.raises(TrainerError, match="Nothing was published"):
        verify(published, [row], [other], "bfloat16")


def test_a_second_run_of_the_same_has_nothing_to_do(
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


def test_a_missing_base_is_named(recipe: Recipe, settings: Settings) -> None:
    gone = recipe.model_copy(update={"base": "/nowhere/base"})
    with pytest.raises(TrainerError, match="/nowhere/base does not exist"):
        run(gone, settings)


def test_the_base_is_asked_with_its_letter_forced(root: Path, recipe: Recipe) -> None:
    base: Any = load_base(Path(recipe.base), "bfloat16")
    tokenizer = AutoTokenizer.from_pretrained(recipe.base)
    file = root / "examples" / "demo" / "validation.jsonl"
    answers = forced_answers(base, tokenizer, recipe.format, file)
    assert len(answers) == 136
    assert {answer["answer"] for answer in answers} <= set("ABCDE")
