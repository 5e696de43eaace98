"""A panel: several adapters from one base, trained one after the other, published as one."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from contract import Contract
from contract.panels import Panel
from contract.published import list_published
from trainer.data.preparing import prepare
from trainer.data.rendering import prompt_ids
from trainer.panel import run_panel
from trainer.pipeline import run
from trainer.progress import Progress
from trainer.publishing.accuracy import greedy_accuracy, replies_to
from trainer.publishing.listed import rows
from trainer.publishing.publish import prune
from trainer.recipe import Recipe
from trainer.settings import Settings
from trainer.training.metrics import read_metrics

# The second member has another rank and another format, so that both are seen to be its own.
PANEL = """
[[panel.member]]
[[panel.member]]
rank = 4
format = {user_template = "{problem}\\n{question}\\n\\n{options}"}
"""


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    folder = tmp_path_factory.mktemp("panel")
    return Settings(models_dir=folder / "models", runs_dir=folder / "runs")


@pytest.fixture(scope="module")
def recipe(recipe_in: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Recipe:
    return Recipe.load(recipe_in(tmp_path_factory.mktemp("recipe"), top=PANEL))


@pytest.fixture(scope="module")
def published(recipe: Recipe, settings: Settings) -> Path:
    return run_panel(recipe, settings, 2)


def panel_in(folder: Path) -> Panel:
    panel = Panel.load(folder)
    assert panel is not None
    return panel


def adapter_in(folder: Path) -> dict[str, torch.Tensor]:
    weights: dict[str, torch.Tensor] = load_file(folder / "adapter" / "adapter_model.safetensors")
    return weights


def test_a_panel_is_one_published_directory(published: Path, settings: Settings) -> None:
    assert (published.parent / "current").resolve() == published.resolve()
    panel, digest = panel_in(published), published.name
    assert panel.name == "tiny"
    assert [(v.name, v.served_as, v.folder) for v in panel.voters] == [
        ("v1", f"tiny@{digest}", None),
        ("v2", f"tiny-v2@{digest}", "members/v2"),
    ]
    assert {p.name for p in (published / "members/v2").iterdir()} == {
        "adapter",
        "contract.json",
        "metrics.jsonl",
        "verification.json",
    }
    assert [model.directory for model in list_published(settings.models_dir)] == [published]
    assert not list(published.parent.glob(".*"))
    assert not list(settings.runs_dir.glob("*/*/checkpoints"))
    assert not list(settings.runs_dir.glob("*/*/merged"))


def test_each_member_has_the_contract_it_was_trained_with(published: Path) -> None:
    first, second = Contract.load(published), Contract.load(published / "members/v2")
    assert [one.served_name for one in (first, second)] == [
        voter.served_as for voter in panel_in(published).voters
    ]
    assert first.format.user_template == "{problem}\n\n{question}\n{options}"
    assert second.format.user_template == "{problem}\n{question}\n\n{options}"
    assert first.provenance.base_sha256 == second.provenance.base_sha256
    assert first.provenance.adapter_sha256 != second.provenance.adapter_sha256
    config = json.loads((published / "members/v2/adapter/adapter_config.json").read_text())
    assert (config["r"], config["lora_alpha"]) == (4, 16)  # the recipe has 8 and 32
    assert json.loads((published / "adapter/adapter_config.json").read_text())["r"] == 8
    replies = json.loads((published / "members/v2/verification.json").read_text())["replies"]
    assert [len(reply["messages"]) for reply in replies] == [2, 2, 2]


def test_members_are_measured_by_the_same_held_out_questions(
    published: Path, recipe: Recipe
) -> None:
    held_out = len(prepare(recipe).held_out)
    for voter in panel_in(published).voters:
        assert voter.accuracy is not None
        assert voter.accuracy.total == held_out == 16
        folder = published / (voter.folder or "")
        report = json.loads((folder / "verification.json").read_text())
        assert report["accuracy"] == {"right": voter.accuracy.right, "total": 16}


def test_the_model_card_names_the_members(published: Path) -> None:
    card = (published / "README.md").read_text()
    assert f"# tiny {published.name}" in card
    assert card.count("## Panel") == 1
    section = card.partition("## Panel")[2]
    right = [voter.accuracy.right for voter in panel_in(published).voters if voter.accuracy]
    for row in (
        f"| v1, served as `tiny@{published.name}` | seed 42, all questions, rank 8; "
        f"{right[0]} of 16 held-out questions right |",
        f"| v2, served as `tiny-v2@{published.name}` | seed 43, 80% of the questions, rank 4; "
        f"{right[1]} of 16 held-out questions right |",
    ):
        assert row in section


def test_the_list_shows_the_members_below_the_model(published: Path, settings: Settings) -> None:
    (model,) = list_published(settings.models_dir)
    first, *members = rows(model)
    assert first[:3] == ("tiny", published.name, "yes")
    names = [(row[0].strip(), row[1], row[-1].endswith("of 16")) for row in members]
    assert names == [
        ("v1", f"tiny@{published.name}", True),
        ("v2", f"tiny-v2@{published.name}", True),
    ]
    (published / "panel.json").rename(published / "kept")
    try:
        assert rows(model) == [first]
        (published / "panel.json").write_text("{")
        assert "publish the model again" in rows(model)[1][0]
    finally:
        (published / "kept").rename(published / "panel.json")


@pytest.mark.usefixtures("published")
def test_the_metrics_give_the_time_left_for_all_members(settings: Settings) -> None:
    entries = [read_metrics(path)[-1] for path in settings.runs_dir.glob("tiny/*/metrics.jsonl")]
    assert {(entry["member"], entry["members"]) for entry in entries} == {(1, 2), (2, 2)}
    by_member = {entry["member"]: entry for entry in entries}
    assert by_member[1]["panel_eta_s"] == by_member[1]["elapsed_s"] > 0  # for the second member
    assert by_member[2]["panel_eta_s"] == 0


def test_a_published_panel_is_not_trained_again(
    published: Path, recipe: Recipe, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    assert run_panel(recipe, settings, 2) == published
    assert "nothing to do" in caplog.text


def test_a_panel_without_held_out_questions_has_no_accuracy(
    tiny_recipe: Callable[..., Recipe], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    recipe = tiny_recipe()
    recipe = recipe.model_copy(
        update={
            "data": recipe.data.model_copy(update={"validation_share": 0.0}),
            "training": recipe.training.model_copy(update={"max_steps": 1}),
        }
    )
    own = Settings(models_dir=tmp_path / "m", runs_dir=tmp_path / "r")
    panel = panel_in(run_panel(recipe, own, 2))
    assert [voter.accuracy for voter in panel.voters] == [None, None]
    assert "no question is held out" in caplog.text


@pytest.mark.long
def test_the_merged_model_of_a_panel_is_the_one_of_a_run(
    published: Path, recipe: Recipe, settings: Settings
) -> None:
    alone = run(recipe, settings)
    assert not (alone / "panel.json").exists()
    one, other = (load_file(folder / "model.safetensors") for folder in (alone, published))
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.long
def test_a_larger_panel_takes_over_the_members_that_are_there(
    published: Path, recipe: Recipe, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    larger = run_panel(recipe, settings, 3)
    assert larger != published
    assert "member 2 of 3 (v2) is complete already" in caplog.text
    assert [voter.name for voter in panel_in(larger).voters] == ["v1", "v2", "v3"]
    before, after = adapter_in(published / "members/v2"), adapter_in(larger / "members/v2")
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert Contract.load(larger / "members/v2").digest == larger.name
    assert [model.directory for model in prune(settings.models_dir, keep=1)] != []
    assert (larger / "members/v3/contract.json").is_file()


@pytest.mark.long
def test_a_killed_panel_goes_on_with_the_member_that_it_had_reached(
    recipe_file: Callable[..., Path], tmp_path: Path
) -> None:
    path = recipe_file(training="checkpoint_every_s = 0")
    argv = [sys.executable, "-m", "trainer", "panel", "--recipe", str(path), "--members", "3"]
    paths = {"MODELS_DIR": str(tmp_path / "models"), "RUNS_DIR": str(tmp_path / "runs")}
    environment = {**os.environ, **paths, "OMP_NUM_THREADS": "1"}
    child = subprocess.Popen(argv, env=environment, stdout=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 900
    while len(list(tmp_path.glob("*/tiny/*/contract.member.json"))) < 2:
        assert child.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)
    child.kill()
    child.wait()
    assert not (tmp_path / "models/tiny/current").exists()
    again = subprocess.run(argv, env=environment, capture_output=True, text=True, timeout=900)
    assert again.returncode == 0, again.stdout
    assert "member 1 of 3 (v1) is complete already" in again.stdout
    assert "member 2 of 3 (v2) is complete already" in again.stdout
    current = (tmp_path / "models/tiny/current").resolve()
    assert len(panel_in(current).voters) == 3


class Scripted:
    """Stands for a model: it answers every prompt with `reply`, and runs out of memory if it gets
    more than `most` prompts at once.
    """

    device = torch.device("cpu")

    def __init__(self, reply: Sequence[int], most: int) -> None:
        self.reply, self.most = torch.tensor(reply), most
        self.asked: list[tuple[Any, Any]] = []

    def generate(self, *, input_ids: Any, attention_mask: Any, **given: Any) -> Any:
        if len(input_ids) > self.most:
            raise torch.OutOfMemoryError("no memory")
        self.asked.append((input_ids, attention_mask))
        return torch.cat([input_ids, self.reply.expand(len(input_ids), -1)], dim=1)


def test_accuracy_counts_the_replies_that_name_the_key(recipe: Recipe, published: Path) -> None:
    tokenizer, contract = AutoTokenizer.from_pretrained(published), Contract.load(published)
    held_out = prepare(recipe).held_out
    model: Any = Scripted(tokenizer("答案是：B", add_special_tokens=False)["input_ids"], most=5)
    with Progress("measuring") as progress:
        found = greedy_accuracy(model, tokenizer, contract, held_out, progress)
    assert found == (sum(example.label == "B" for example in held_out), 16)
    assert 0 < found.right < 16
    assert [len(ids) for ids, _ in model.asked] == [4, 4, 4, 4]  # 16, 8, 4
    for ids, mask in model.asked:
        starts = [int(row.sum()) for row in mask]
        assert all(row[: len(row) - n].sum() == 0 for row, n in zip(mask, starts, strict=True))
        assert max(starts) == ids.shape[1]


def test_padded_prompts_get_the_replies_of_single_ones(published: Path, recipe: Recipe) -> None:
    tokenizer, contract = AutoTokenizer.from_pretrained(published), Contract.load(published)
    model = AutoModelForCausalLM.from_pretrained(published, dtype=torch.float32)
    questions = prepare(recipe).held_out[:4]
    prompts = [
        prompt_ids(tokenizer, contract.format.messages(one.problem, one.question))
        for one in questions
    ]
    assert len({len(prompt) for prompt in prompts}) > 1
    texts: list[list[str]] = []
    for size in (4, 1):
        seen: list[str] = []
        for start in range(0, 4, size):
            seen += replies_to(model, tokenizer, prompts[start : start + size], contract)
        texts.append(seen)
    assert texts[0] == texts[1]
