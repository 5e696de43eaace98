"""The model of a large shape that the benches on a GPU serve."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from bench.wide import Shape, widen
from transformers import AutoModelForCausalLM

from contract import CONTRACT_FILE
from contracts import make_contract

SHAPE = Shape(512, 6, 4, 2, 128, 1024, 2048)


@pytest.fixture(scope="module")
def small(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "small"
    shutil.copytree(root / "examples/demo/base", folder)
    (folder / CONTRACT_FILE).write_text(make_contract().model_dump_json())
    return folder


def logits(model: Path, ids: torch.Tensor) -> torch.Tensor:
    loaded = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32)
    with torch.no_grad():
        found: torch.Tensor = loaded(ids).logits[0]
    return found


def test_a_wide_model_has_the_small_ones_logits(small: Path) -> None:
    ids = torch.randint(0, 430, (1, 60), generator=torch.Generator().manual_seed(1))
    wanted = logits(small, ids)
    wide = small.parent / "large" / "wide"
    widen(small, wide, SHAPE)
    found = logits(wide, ids)
    assert found.shape[1] == SHAPE.vocabulary
    assert (found[:, : wanted.shape[1]] - wanted).abs().max() < 0.05  # its weights are in bfloat16
    assert found[:, wanted.shape[1] :].max() < wanted.min() - 50
    contract = json.loads((wide / CONTRACT_FILE).read_bytes())
    assert (contract["model"], contract["digest"]) == ("large", "wide")


def test_noise_changes_a_wide_model_only_a_little(small: Path) -> None:
    ids = torch.randint(0, 430, (1, 60), generator=torch.Generator().manual_seed(1))
    wanted = logits(small, ids)
    noisy = small.parent / "noisy" / "wide"
    widen(small, noisy, SHAPE, noise=1e-3)
    differences = (logits(noisy, ids)[:, : wanted.shape[1]] - wanted).abs()
    assert 1e-3 < differences.mean() < 0.1
