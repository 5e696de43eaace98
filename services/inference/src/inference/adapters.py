"""Adapters of other models, which one vLLM serves beside the merged weights.

An adapter was trained on the base, but the served weights are the base with another adapter merged
into it. So the difference of the two adapters is loaded: a LoRA whose rank is the sum of both
ranks. With W the base, s the scales, o the other adapter and m the merged one:

    W + s_o B_o A_o  =  (W + s_m B_m A_m) + [s_o B_o, -s_m B_m] [A_o; A_m]

This is exact except for the rounding of the merged weights.

The adapters are those of the published model's own panel (panel.json) and those that ADAPTERS
names.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any, NamedTuple

from contract import Contract, ContractError
from contract.panels import Panel, PanelError
from contract.ranks import RANKS, kernel_rank
from inference.errors import RefusedError
from inference.settings import Settings

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"


class Adapter(NamedTuple):
    """`name` is its model name in requests. `folder` holds the difference. `model` is the folder of
    its published model, which has its recorded replies.
    """

    name: str
    folder: Path
    rank: int
    model: Path


def panel_of(model: Path) -> Panel | None:
    """The panel of a published model, if it has one.

    Raises:
        RefusedError: its panel.json cannot be used.
    """
    try:
        return Panel.load(model)
    except PanelError as error:
        raise RefusedError(str(error)) from error


def why_no_voters(panel: Panel, settings: Settings) -> str | None:
    """Why this server serves only the merged model of a panel, with the way out; None if it serves
    all of the panel.
    """
    if settings.engine == "transformers":
        why = "ENGINE=transformers loads no adapters: set ENGINE=vllm"
    elif settings.deterministic:
        why = "DETERMINISTIC=true does not hold with adapters: leave it out"
    else:
        return None
    voters = ", ".join(voter.name for voter in panel.voters if voter.folder)
    return f"the panel's voters {voters} are not served, because {why}"


def prepare_adapters(
    wanted: str, panel: Panel | None, models_dir: Path, served: Path, folder: Path
) -> list[Adapter]:
    """Write the adapters of the panel's voters, and then those named in ADAPTERS
    (`name=model/digest`, separated by commas), into `folder`.

    Raises:
        RefusedError: an adapter is missing, was trained from another base, or is not a plain LoRA;
            or two have the same name.
    """
    found = []
    for voter in panel.voters if panel else ():
        if voter.folder is None:  # the merged weights
            continue
        target = folder / "voters" / voter.name
        said, model = f"the panel's voter {voter.name}", served / voter.folder
        rank = _write_difference(said, model, served, target)
        found.append(Adapter(voter.served_as, target, rank, model))
    names = {adapter.name for adapter in found}
    for entry in filter(None, (part.strip() for part in wanted.split(","))):
        name, _, place = entry.partition("=")
        model = models_dir / place
        if not name or not place or not (model / "adapter" / CONFIG).is_file():
            raise RefusedError(
                f"ADAPTERS: {entry!r} names no published adapter: {model / 'adapter'} does not "
                "exist. Write name=MODEL/DIGEST; `trainer list` shows both"
            )
        if name in names:
            raise RefusedError(f"ADAPTERS: another adapter is already named {name}: rename one")
        names.add(name)
        target = folder / "named" / name
        rank = _write_difference(f"ADAPTERS: {name}", model, served, target)
        found.append(Adapter(name, target, rank, model))
    return found


def arguments(adapters: list[Adapter]) -> list[str]:
    """vLLM's arguments for the adapters."""
    if not adapters:
        return []
    largest = max(adapter.rank for adapter in adapters)
    fits = kernel_rank(largest)
    if fits is None:
        raise RefusedError(
            f"adapters: the ranks of both adapters add up to {largest}, and vLLM serves at most "
            f"{RANKS[-1]}: train with a smaller lora.r"
        )
    modules = [f"{adapter.name}={adapter.folder}" for adapter in adapters]
    limits = ["--max-lora-rank", str(fits), "--max-loras", str(len(adapters))]
    return ["--enable-lora", *limits, "--lora-modules", *modules]


def _write_difference(said: str, other: Path, served: Path, target: Path) -> int:
    """Write the adapter that turns `served` into `other`, which errors call `said`. Returns its
    rank.
    """
    try:
        bases = [Contract.load(model).provenance.base_sha256 for model in (other, served)]
    except ContractError as error:
        raise RefusedError(f"{said}: {error}") from error
    if bases[0] != bases[1]:
        raise RefusedError(
            f"{said} and {served.name} were trained from different bases: serve it alone"
        )
    import torch
    from safetensors.torch import load_file, save_file

    configs = [_plain_config(said, model) for model in (other, served)]
    factors = [load_file(model / "adapter" / WEIGHTS) for model in (other, served)]
    ranks = [int(config["r"]) for config in configs]
    scales = [_scale(configs[0]), -_scale(configs[1])]
    modules = sorted({key.rpartition(".lora_")[0] for part in factors for key in part})
    tensors: dict[str, Any] = {}
    for module in modules:
        a_name, b_name = f"{module}.lora_A.weight", f"{module}.lora_B.weight"
        shapes = next((p[a_name].shape[1], p[b_name].shape[0]) for p in factors if a_name in p)
        rows, columns = [], []
        for part, rank, scale in zip(factors, ranks, scales, strict=True):
            there = a_name in part
            rows.append(part[a_name] if there else torch.zeros(rank, shapes[0]))
            columns.append(part[b_name] * scale if there else torch.zeros(shapes[1], rank))
        tensors[a_name] = torch.cat(rows, dim=0).contiguous()
        tensors[b_name] = torch.cat(columns, dim=1).contiguous()
    target.mkdir(parents=True)
    save_file(tensors, target / WEIGHTS, metadata={"format": "pt"})
    rank = sum(ranks)
    config = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": str(served),
        "r": rank,
        "lora_alpha": rank,  # the factors already include the scales
        "lora_dropout": 0.0,
        "bias": "none",
        "target_modules": sorted({module.rpartition(".")[2] for module in modules}),
    }
    (target / CONFIG).write_text(json.dumps(config, allow_nan=False))
    return rank


def _plain_config(said: str, model: Path) -> dict[str, Any]:
    path = model / "adapter" / CONFIG
    if not path.is_file():
        raise RefusedError(f"{said}: {model.name} has no adapter: all its weights were trained")
    config: dict[str, Any] = json.loads(path.read_bytes())
    more = [key for key in ("use_dora", "rank_pattern", "alpha_pattern") if config.get(key)]
    if more:
        raise RefusedError(
            f"{said}: {model.name} is not plain LoRA ({', '.join(more)}): serve it merged"
        )
    return config


def _scale(config: dict[str, Any]) -> float:
    rank = config["r"]
    return float(config["lora_alpha"] / (math.sqrt(rank) if config.get("use_rslora") else rank))
