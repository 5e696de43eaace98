"""The contract of a trained model: the format it was trained in, and its origin."""

from __future__ import annotations

from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from transformers import PreTrainedTokenizerBase

from contract import Contract, HeldLine, Provenance
from trainer.data.rendering import Rendered, chat_template_sha256, lengths, probe
from trainer.digests import tree_sha256
from trainer.run import Run


def contract_of(
    run: Run, tokenizer: PreTrainedTokenizerBase, rows: Rendered, held: HeldLine
) -> Contract:
    """The contract to publish with `run`'s weights, dated now; its adapter must be saved."""
    recipe = run.recipe
    return Contract(
        model=recipe.name,
        digest=run.digest,
        dtype=run.dtype,
        format=recipe.format,
        sampling=recipe.sampling,
        chat_template_sha256=chat_template_sha256(tokenizer),
        probe=probe(rows.examples[0], recipe.format, tokenizer),
        held=held,
        lengths=lengths(rows.rows, recipe.training.max_length),
        provenance=Provenance(
            base_model=run.base.name if Path(recipe.base).is_dir() else recipe.base,
            base_sha256=run.base_sha256,
            data_sha256=run.data_sha256,
            recipe=recipe.name,
            recipe_sha256=recipe.sha256(),
            adapter_sha256=tree_sha256(run.adapter) if run.adapter else None,
            versions={name: version(name) for name in ("torch", "transformers", "peft")},
            created=datetime.now(UTC).isoformat(timespec="seconds"),
        ),
    )
