"""Adapters of other models beside the merged one: what is loaded, and what is refused."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from contracts import make_contract
from inference.adapters import arguments, prepare_adapters
from inference.errors import RefusedError

PREFIX = "base_model.model.model.layers.0.self_attn"


def publish(models: Path, digest: str, *, base: str = "b", seed: int = 0, **config: Any) -> Path:
    """A model with an adapter for q_proj and, if the seed is even, v_proj: from 6 values to 4."""
    folder = models / "m" / digest
    (folder / "adapter").mkdir(parents=True)
    contract = make_contract(digest)
    provenance = contract.provenance.model_copy(update={"base_sha256": base})
    contract = contract.model_copy(update={"provenance": provenance})
    (folder / "contract.json").write_bytes(contract.dump())
    settings = {"r": 2, "lora_alpha": 6.0, "use_rslora": False, **config}
    (folder / "adapter/adapter_config.json").write_text(json.dumps(settings))
    torch.manual_seed(seed)
    tensors = {}
    for module in ("q_proj", "v_proj")[: 1 if seed % 2 else 2]:
        tensors[f"{PREFIX}.{module}.lora_A.weight"] = torch.randn(settings["r"], 6)
        tensors[f"{PREFIX}.{module}.lora_B.weight"] = torch.randn(4, settings["r"])
    save_file(tensors, folder / "adapter/adapter_model.safetensors")
    return folder


def update(folder: Path, module: str, scale: float) -> torch.Tensor:
    """scale * B * A from an adapter's folder; zeros if it has no part for the module."""
    factors = load_file(folder / "adapter_model.safetensors")
    a = factors.get(f"{PREFIX}.{module}.lora_A.weight")
    return (
        torch.zeros(4, 6) if a is None else scale * factors[f"{PREFIX}.{module}.lora_B.weight"] @ a
    )


def test_a_loaded_adapter_gives_the_other_models_weights(tmp_path: Path) -> None:
    served = publish(tmp_path, "d1", seed=1)
    other = publish(tmp_path, "d2", seed=2, r=4, lora_alpha=8.0, use_rslora=True)
    (found,) = prepare_adapters("second=m/d2", tmp_path, served, tmp_path / "out")
    assert (found.name, found.rank, found.model) == ("second", 6, other)
    for module in ("q_proj", "v_proj"):
        merged = update(served / "adapter", module, 3.0)  # alpha / r
        meant = update(other / "adapter", module, 4.0)  # alpha / sqrt(r)
        torch.testing.assert_close(merged + update(found.folder, module, 1.0), meant)
    config = json.loads((found.folder / "adapter_config.json").read_text())
    assert config["r"] == config["lora_alpha"] == 6
    assert config["target_modules"] == ["q_proj", "v_proj"]
    argv = arguments([found])
    assert argv[:5] == ["--enable-lora", "--max-lora-rank", "8", "--max-loras", "1"]
    assert argv[5:] == ["--lora-modules", f"second={found.folder}"]


def test_without_adapters_vllm_gets_no_lora_flags(tmp_path: Path) -> None:
    assert arguments(prepare_adapters("", tmp_path, tmp_path, tmp_path)) == []


@pytest.mark.parametrize(
    ("wanted", "config", "says"),
    [
        ("second", {}, "Write name=MODEL/DIGEST"),
        ("second=m/none", {}, "names no published adapter"),
        ("second=m/d2", {"base": "another"}, "second and d1 were trained from different bases"),
        ("second=m/d2", {"use_dora": True}, r"is not plain LoRA \(use_dora\)"),
        ("second=m/d2", {"r": 300}, "add up to 302, and vLLM serves at most 256"),
    ],
)
def test_an_unusable_adapter_is_refused_by_name(
    tmp_path: Path, wanted: str, config: dict[str, Any], says: str
) -> None:
    served = publish(tmp_path, "d1", seed=1)
    publish(tmp_path, "d2", seed=2, **config)
    with pytest.raises(RefusedError, match=says):
        arguments(prepare_adapters(wanted, tmp_path, served, tmp_path / "out"))
