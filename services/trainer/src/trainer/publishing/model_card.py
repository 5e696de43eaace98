"""README.md of a published model: its origin, its training, and the checks of its weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from contract import Contract, write_json
from contract.panels import Panel
from contract.published import DATA_PICTURE
from trainer.data.preparing import DataReport
from trainer.data.report import lines
from trainer.publishing.verdict import ERRORS
from trainer.recipe import Recipe
from trainer.training.curves import PICTURE as CURVES


def model_card(
    recipe: Recipe,
    contract: Contract,
    data: DataReport,
    metrics: Sequence[dict[str, Any]],
    verification: dict[str, Any],
) -> str:
    """Markdown with the front matter that the Hugging Face hub reads."""
    origin = contract.provenance
    tasks = {"tags": ["quorum", "multiple-choice", recipe.method]}
    front = write_json({"library_name": "transformers", "base_model": origin.base_model, **tasks})
    parts = [
        f"---\n{front}\n---",
        f"# {contract.model} {contract.digest}",
        "Ask it with the prompts of `contract.json`: it was trained with them.",
        *_despite(origin.despite),
        _table(_origin(recipe, contract)),
        "## Training",
        f"![Curves]({CURVES})",
        _table(_evaluation(metrics)),
        "## Data",
        f"![Data]({DATA_PICTURE})",
        _table(lines(data)),
        "## Merged weights compared with the trained ones",
        _table(_checks(contract, verification)),
        "## Greedy replies of the merged weights",
        *(_reply(reply) for reply in verification["replies"]),
        "## Recipe",
        f"```json\n{write_json(recipe_settings(recipe), indent=1)}\n```",
    ]
    return "\n\n".join(parts) + "\n"


def panel_section(panel: Panel, traits: Sequence[str]) -> str:
    """The card's last section: the members of the panel, each with its `traits`."""
    rows = []
    for voter, made in zip(panel.voters, traits, strict=True):
        right = voter.accuracy
        said = f"{right.right} of {right.total} held-out questions right" if right else "unknown"
        rows.append((f"{voter.name}, served as `{voter.served_as}`", f"{made}; {said}"))
    told = (
        "These weights are v1. The other members are adapters in `members`, which the server loads "
        "beside them. Everything above is about v1."
    )
    return f"\n## Panel\n\n{told}\n\n{_table(rows)}\n"


def _origin(recipe: Recipe, contract: Contract) -> list[tuple[str, str]]:
    origin = contract.provenance
    return [
        ("base", origin.base_model),
        ("base digest", origin.base_sha256),
        ("data digest", origin.data_sha256),
        ("recipe", f"{origin.recipe}, {origin.recipe_sha256}"),
        ("method", recipe.method),
        ("dtype", contract.dtype),
        ("versions", ", ".join(f"{name} {number}" for name, number in origin.versions.items())),
        ("made", origin.created),
    ]


def _checks(contract: Contract, verification: dict[str, Any]) -> list[tuple[str, str]]:
    comparison, lost = verification["comparison"], verification["losses"]
    error = None if lost["error"] is None else ERRORS * lost["error"]
    return [
        ("prompts compared", f"{comparison['rows']}, {comparison['tokens']} tokens"),
        ("distance of merged from trained weights, nats", _number(comparison["nats"])),
        (
            f"distance of the base in {contract.dtype} from float32, nats",
            _number(comparison["floor"]),
        ),
        ("gain of training, nats a token", f"{_number(lost['gain'])} in {_rows(lost)}"),
        ("cost of merging, nats a token", f"{_number(lost['cost'])} ± {_number(error)}"),
        ("same likeliest token", f"{comparison['top1']:.2%}"),
        ("largest distance, nats", _number(comparison["largest"])),
        ("settings read back by another process", ", ".join(verification["read_back"])),
    ]


def _despite(faults: Sequence[str]) -> list[str]:
    if not faults:
        return []
    said = "\n".join(f"- {fault}" for fault in faults)
    return [f"**Published although its verification refused it:**\n\n{said}"]


def _rows(lost: dict[str, Any]) -> str:
    if lost["held_out"] == lost["rows"]:
        return f"{lost['rows']} held-out rows"
    return f"{lost['rows']} rows, {lost['held_out']} of them held out"


def _number(value: float | None) -> str:
    """Reports hold None for a value that is not finite."""
    return "no number" if value is None else f"{value:.5f}"


def recipe_settings(recipe: Recipe) -> dict[str, Any]:
    """The recipe without this host's paths."""
    settings: dict[str, Any] = recipe.model_dump(mode="json")
    for key in ("train", "validation"):
        for entry in settings[key]:
            entry["file"] = entry["file"].rpartition("/")[2]
    settings["base"] = recipe.base.rpartition("/")[2] if recipe.base[0] == "/" else recipe.base
    if recipe.method == "full":
        del settings["lora"]
    return settings


def _evaluation(metrics: Sequence[dict[str, Any]]) -> list[tuple[str, str]]:
    last = metrics[-1]
    rows = [
        ("steps", f"{last['step']} of {last['steps']}"),
        ("training loss, last step", f"{last['loss']:.4f} nats a token"),
        ("tokens a second", f"{last['tokens_per_s']:.0f}"),
        ("memory at most", f"{last['memory_gib']:.1f} GiB"),
        ("time", f"{last['elapsed_s']:.0f} s"),
    ]
    validated = [entry for entry in metrics if "validation_loss" in entry]
    ends = [("at the start", validated[0]), ("last", validated[-1])] if validated else []
    for name, entry in ends:
        rows.append((f"validation loss, {name}", f"{entry['validation_loss']:.4f} nats a token"))
        rows.append((f"labels right, {name}", f"{entry['label_accuracy']:.1%}"))
    return rows


def _reply(reply: dict[str, Any]) -> str:
    ended = "" if reply["ended"] else ", cut off at its limit"
    label = reply["label"] or "no label"
    quoted = "\n".join(f"> {line}" for line in reply["text"].splitlines())
    return f"{reply['source']}: {label}, key {reply['key']}{ended}\n\n{quoted}"


def _table(rows: Sequence[tuple[str, str]]) -> str:
    body = "\n".join(f"| {name} | {value.replace('|', chr(92) + '|')} |" for name, value in rows)
    return f"| | |\n|---|---|\n{body}"
