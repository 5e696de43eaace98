"""A saved model that differs from the trained one is found and not published."""

import gc
import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import PreTrainedModel
from typer.testing import CliRunner

from contract.published import VERIFICATION_FILE, list_published
from tiny_models import make_model
from trainer.__main__ import app
from trainer.data.rendering import Row
from trainer.errors import TrainerError
from trainer.pipeline import run
from trainer.progress import Progress
from trainer.publishing.likelihoods import Reading, in_float32, read
from trainer.publishing.merging import save_merged
from trainer.publishing.publish import prune, publish_refused
from trainer.publishing.verdict import Comparison, Losses, Verdict, compare, losses, verified_rows
from trainer.recipe import Recipe
from trainer.settings import Settings
from trainer.training.base_model import load_base


class Spoiled(NamedTuple):
    """The message and the report of a run whose saved model was changed secretly."""

    said: str
    report: dict[str, Any]
    path: Path
    models_dir: Path
    models_held: int


def spoiled_run(recipe_file: Path, folder: Path, spoil: Callable[[Path], None]) -> Spoiled:
    recipe = Recipe.load(recipe_file)
    settings = Settings(models_dir=folder / "models", runs_dir=folder / "runs")
    held: list[int] = []

    def save_and_spoil(model: Any, tokenizer: Any, end_id: int, directory: Path) -> None:
        save_merged(model, tokenizer, end_id, directory)
        spoil(directory)

    def count_and_load(*args: Any, **options: Any) -> Any:
        held.append(models_in_memory() - before)
        return load_base(*args, **options)

    before = models_in_memory()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("trainer.publishing.verifying.save_merged", save_and_spoil)
        patch.setattr("trainer.publishing.verifying.load_base", count_and_load)
        with pytest.raises(TrainerError, match="and was not published") as raised:
            run(recipe, settings)
    assert not list_published(settings.models_dir)
    (path,) = settings.runs_dir.glob(f"{recipe.name}/*/{VERIFICATION_FILE}")
    assert (path.parent / "adapter" / "adapter_model.safetensors").is_file()
    report = json.loads(path.read_text())
    return Spoiled(str(raised.value), report, path, settings.models_dir, *held)


def models_in_memory() -> int:
    gc.collect()
    return sum(issubclass(type(thing), PreTrainedModel) for thing in gc.get_objects())


def edit(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.fixture(scope="module")
def other_settings(
    recipe_in: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory
) -> Spoiled:
    """A model saved with another RoPE base, chat template and end of reply."""
    folder = tmp_path_factory.mktemp("spoiled")

    def spoil(directory: Path) -> None:
        config = directory / "config.json"
        if "rope_theta" in json.loads(config.read_text()):
            edit(config, rope_theta=10_000.0)
        else:
            edit(config, rope_parameters={"rope_type": "default", "rope_theta": 10_000.0})
        template = directory / "chat_template.jinja"
        template.write_text(template.read_text().replace("<|im_start|>", "<|im_start|>\n"))
        edit(directory / "generation_config.json", eos_token_id=433)

    return spoiled_run(recipe_in(folder), folder, spoil)


def test_another_rope_base_is_found_by_reading_the_config(other_settings: Spoiled) -> None:
    said = "rope_theta was 50000.0 in training, and another process reads 10000.0"
    assert said in other_settings.said
    assert said in other_settings.report["faults"]


def test_another_chat_template_is_found_by_rendering_the_probe(
    other_settings: Spoiled,
) -> None:
    assert "chat_template_sha256 was" in other_settings.said
    assert "probe_token_ids was" in other_settings.said


def test_another_end_of_reply_is_found(other_settings: Spoiled) -> None:
    said = "generation_eos_token_id was [433, 435] in training, and another process reads [433]"
    assert said in other_settings.said


def test_one_model_is_in_memory_at_a_time(other_settings: Spoiled) -> None:
    """When the base is loaded, the trained model is no longer in memory."""
    assert other_settings.models_held == 0


def test_a_refused_model_can_be_published_despite_its_report(other_settings: Spoiled) -> None:
    path, models = other_settings.path, other_settings.models_dir
    assert f"publish --despite {path}" in other_settings.said
    CliRunner().invoke(
        app,
        ["publish", "--despite", str(path)],
        env={"MODELS_DIR": str(models)},
        catch_exceptions=False,
    )
    (model,) = list_published(models)
    assert model.current
    faults = model.contract.provenance.despite
    assert list(faults) == other_settings.report["faults"]
    card = (model.directory / "README.md").read_text()
    assert "Published although its verification refused it" in card
    assert all(fault in card for fault in faults)
    assert [path.name for path in model.directory.glob("contract*")] == ["contract.json"]
    with pytest.raises(TrainerError, match="holds no refused model"):
        publish_refused(models, path)


def test_other_weights_are_found_by_distance_and_loss(
    recipe_file: Callable[..., Path], tmp_path: Path
) -> None:
    def spoil(directory: Path) -> None:
        path = directory / "model.safetensors"
        weights = load_file(path)
        torch.manual_seed(1)
        name = "model.layers.1.mlp.down_proj.weight"
        weights[name] = weights[name] + torch.randn_like(weights[name])
        save_file(weights, path, metadata={"format": "pt"})

    spoiled = spoiled_run(recipe_file(), tmp_path, spoil)
    assert "nats from the trained ones on average, and at most" in spoiled.said
    assert "merging raised the replies' loss by" in spoiled.said
    assert "train.jsonl, " in spoiled.report["comparison"]["largest_in"]


def test_an_adapter_lost_in_merging_is_found(
    recipe_file: Callable[..., Path], tiny_base: Path, tmp_path: Path
) -> None:
    def spoil(directory: Path) -> None:
        shutil.copyfile(tiny_base / "model.safetensors", directory / "model.safetensors")

    report = spoiled_run(recipe_file(training='dtype = "float32"'), tmp_path, spoil).report
    assert len(report["faults"]) == 2
    assert report["losses"]["cost"] == pytest.approx(report["losses"]["gain"], rel=1e-3)
    assert report["comparison"]["floor"] == 0


def test_pruning_removes_refused_models(tmp_path: Path) -> None:
    (tmp_path / "tiny" / ".refused-0").mkdir(parents=True)
    prune(tmp_path, 1)
    assert not list((tmp_path / "tiny").iterdir())


def test_a_file_that_is_not_a_report_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TrainerError, match="is not a verification report"):
        publish_refused(tmp_path, tmp_path / "missing.json")


@pytest.mark.parametrize("family", ["qwen2", "llama"])
def test_casting_layer_by_layer_gives_float32_results(
    family: str, root: Path, tmp_path: Path
) -> None:
    base = make_model(root, tmp_path, family, tie_word_embeddings=family == "llama")
    rows = [Row([5, 6, 7, 8], [9, 10, 11], 1)]
    narrow = load_base(base, "bfloat16", torch.device("cpu"), attention="sdpa")
    exact = load_base(base, "bfloat16", torch.device("cpu"), attention="sdpa").float()
    with Progress("reading") as progress:
        before = read(narrow, rows, 0.5, progress)
        with in_float32(narrow):
            (inside,) = read(narrow, rows, 0.5, progress)
        (whole,) = read(exact, rows, 0.5, progress)
        after = read(narrow, rows, 0.5, progress)
    assert torch.equal(inside.logprobs, whole.logprobs)
    assert inside.loss == pytest.approx(whole.loss)
    assert inside.weight == 2.5
    assert torch.equal(before[0].logprobs, after[0].logprobs)
    assert compare([whole], before, ["here"]).nats > 0
    assert {p.dtype for p in narrow.parameters()} == {torch.bfloat16}


def test_progress_is_reported_during_a_long_piece(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO", "trainer"), Progress("verifying", every_s=0.02) as progress:
        with progress.part("loading the base"):
            wait_for(lambda: "verifying: loading the base" in caplog.text)
        with progress.part("reading rows", 4):
            wait_for(lambda: "verifying: reading rows, 0 of 4" in caplog.text)
            progress.piece()
            wait_for(lambda: "verifying: reading rows, 1 of 4, about " in caplog.text)


def wait_for(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.005)


def readings(logprobs: list[torch.Tensor], loss: float = 1.0) -> list[Reading]:
    return [Reading(part, loss, 1.0) for part in logprobs]


def verdict(
    *, nats: float = 0.0, floor: float = 0.0, gain: float = 0.0, cost: float = 0.0, error: float = 0
) -> Verdict:
    """Of 32 held-out rows."""
    lost = Losses(32, 32, base=1 + gain, trained=1.0, merged=1 + cost, error=error)
    return Verdict(Comparison(32, 512, nats, nats, "here", 1.0), floor, lost, "bfloat16")


def test_weights_that_are_nan_never_pass() -> None:
    trained = readings([torch.zeros(2, 5).log_softmax(-1)])
    saved = readings([torch.full((2, 5), torch.nan)], torch.nan)
    compared = compare(trained, saved, ["here"])
    one = Verdict(compared, 1.0, losses(trained, trained, saved, 1), "float16")
    assert len(one.faults()) == 2
    assert json.loads(json.dumps(one.report(), allow_nan=False))["comparison"]["nats"] is None


def test_the_largest_difference_is_reported_with_its_row() -> None:
    trained = [torch.zeros(1, 4).log_softmax(-1)] * 3
    other = [trained[0], torch.tensor([[1.0, 0, 0, 0]]).log_softmax(-1), trained[0]]
    compared = compare(readings(trained), readings(other), ["one", "two", "three"])
    assert compared.largest_in == "two"
    assert compared.tokens == 3
    assert compared.largest == pytest.approx(3 * compared.nats)


def test_the_distance_is_judged_against_the_models_own_floor() -> None:
    """The first numbers are SmolLM2's after six steps; a fixed limit of 0.05 refused them."""
    assert not verdict(nats=0.0507, floor=0.035, gain=0.2).faults()
    (fault,) = verdict(nats=0.106, floor=0.035, gain=0.2).faults()
    assert "0.1060 nats from the trained ones on average, and at most 0.1050 is allowed" in fault


def test_merging_may_cost_a_twentieth_of_the_gain() -> None:
    assert not verdict(gain=1.0, cost=0.0499).faults()
    (fault,) = verdict(gain=1.0, cost=0.0501).faults()
    assert "merging raised the replies' loss by 0.0501" in fault
    assert "a twentieth of the 1.0000 that training gained" in fault


def test_a_cost_within_its_standard_error_is_no_fault() -> None:
    assert not verdict(gain=0.1, cost=0.02, error=0.01).faults()
    assert verdict(gain=0.1, cost=0.02, error=0.001).faults()


@pytest.mark.parametrize("gain", [0.0, -0.3])
def test_rounding_passes_if_training_gained_nothing(gain: float) -> None:
    assert not verdict(nats=1e-6, floor=0.0, gain=gain, cost=1e-6).faults()
    assert len(verdict(nats=0.01, floor=0.0, gain=gain, cost=0.01).faults()) == 2


def test_rows_of_equal_relative_cost_have_no_standard_error() -> None:
    before = [Reading(torch.zeros(1, 2), 4.0, 2.0), Reading(torch.zeros(1, 2), 8.0, 4.0)]
    trained = [Reading(torch.zeros(1, 2), 2.0, 2.0), Reading(torch.zeros(1, 2), 4.0, 4.0)]
    merged = [Reading(torch.zeros(1, 2), 2.2, 2.0), Reading(torch.zeros(1, 2), 4.4, 4.0)]
    lost = losses(before, trained, merged, 0)
    assert (lost.rows, lost.held_out) == (2, 0)
    assert (lost.gain, lost.cost) == pytest.approx((1.0, 0.1))
    assert lost.error == pytest.approx(0, abs=1e-9)


def test_losses_use_only_held_out_rows_if_there_are_eight() -> None:
    one = readings([torch.zeros(1, 2)] * 32)
    assert losses(one, one, one, 8).rows == 8
    assert (losses(one, one, one, 7).rows, losses(one, one, one, 7).held_out) == (32, 7)


def test_held_out_rows_are_compared_before_training_rows() -> None:
    assert len(verified_rows(range(100), range(200, 205))) == 32
    assert verified_rows(range(100), range(200, 205))[:5] == [200, 201, 202, 203, 204]
    assert len(verified_rows(range(100), range(200, 300))) == 32
    assert verified_rows(range(3), []) == [0, 1, 2]
