"""Adapters of other models beside the merged one: what is loaded, and what is refused."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from contract.panels import PANEL_FILE, Panel, PanelVoter
from contracts import make_contract
from inference.adapters import arguments, panel_of, prepare_adapters, why_no_voters
from inference.errors import RefusedError
from inference.settings import Settings

PREFIX = "base_model.model.model.layers.0.self_attn"


def publish(models: Path, place: str, *, base: str = "b", seed: int = 0, **config: Any) -> Path:
    """A model with an adapter for q_proj and, if the seed is even, v_proj: from 6 values to 4."""
    folder = models / "m" / place
    (folder / "adapter").mkdir(parents=True)
    contract = make_contract(folder.name)
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
    (found,) = prepare_adapters("second=m/d2", None, tmp_path, served, tmp_path / "out")
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
    assert arguments(prepare_adapters("", None, tmp_path, tmp_path, tmp_path)) == []


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
        arguments(prepare_adapters(wanted, None, tmp_path, served, tmp_path / "out"))


def publish_panel(models: Path, **second: Any) -> Path:
    """A panel of three: v1 is the merged model, v2 and v3 are in its folder."""
    served = publish(models, "d1", seed=1, r=4)
    publish(models, "d1/members/v2", **{"seed": 2, "r": 4, **second})
    publish(models, "d1/members/v3", seed=3, r=8)
    voters = [
        PanelVoter(name=f"v{i}", served_as=f"m-v{i}@d1", folder=f"members/v{i}") for i in (2, 3)
    ]
    panel = Panel(name="m", voters=(PanelVoter(name="v1", served_as="m@d1"), *voters))
    (served / PANEL_FILE).write_bytes(panel.dump())
    return served


def test_a_panels_voters_are_served_without_adapters_setting(tmp_path: Path) -> None:
    served = publish_panel(tmp_path)
    found = prepare_adapters("", panel_of(served), tmp_path, served, tmp_path / "out")
    assert [(a.name, a.rank, a.model) for a in found] == [
        ("m-v2@d1", 8, served / "members/v2"),
        ("m-v3@d1", 12, served / "members/v3"),
    ]
    for adapter in found:
        for module in ("q_proj", "v_proj"):
            scale = (
                6.0 / json.loads((adapter.model / "adapter/adapter_config.json").read_text())["r"]
            )
            merged = update(served / "adapter", module, 6.0 / 4)
            meant = update(adapter.model / "adapter", module, scale)
            torch.testing.assert_close(merged + update(adapter.folder, module, 1.0), meant)
    argv = arguments(found)
    assert argv[:5] == ["--enable-lora", "--max-lora-rank", "16", "--max-loras", "2"]
    assert argv[5:] == ["--lora-modules", *[f"{a.name}={a.folder}" for a in found]]


def test_other_adapters_are_served_beside_a_panel(tmp_path: Path) -> None:
    served = publish_panel(tmp_path)
    publish(tmp_path, "d2", seed=4)
    panel = panel_of(served)
    found = prepare_adapters("v2=m/d2", panel, tmp_path, served, tmp_path / "out")
    assert [adapter.name for adapter in found] == ["m-v2@d1", "m-v3@d1", "v2"]
    with pytest.raises(RefusedError, match="another adapter is already named m-v2@d1: rename one"):
        prepare_adapters("m-v2@d1=m/d2", panel, tmp_path, served, tmp_path / "other")


def test_an_unusable_voter_is_refused_by_name(tmp_path: Path) -> None:
    served = publish_panel(tmp_path, use_dora=True)
    with pytest.raises(RefusedError, match=r"the panel's voter v2: v2 is not plain LoRA"):
        prepare_adapters("", panel_of(served), tmp_path, served, tmp_path / "out")


def test_a_damaged_panel_is_refused(tmp_path: Path) -> None:
    served = publish_panel(tmp_path)
    (served / PANEL_FILE).write_text("{")
    with pytest.raises(RefusedError, match=r"panel\.json.*publish the model again"):
        panel_of(served)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"engine": "transformers"}, "ENGINE=transformers loads no adapters: set ENGINE=vllm"),
        ({"deterministic": True}, "DETERMINISTIC=true does not hold with adapters: leave it out"),
    ],
)
def test_a_server_that_loads_no_adapters_says_so(
    tmp_path: Path, given: dict[str, Any], says: str
) -> None:
    panel = panel_of(publish_panel(tmp_path))
    assert panel is not None
    assert why_no_voters(panel, Settings(stack="cpu")) is None
    why = why_no_voters(panel, Settings(stack="cpu", **given))
    assert why == f"the panel's voters v2, v3 are not served, because {says}"
