"""One run from top to bottom: read, render, train, merge, verify, publish."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

from contract import Contract, Provenance
from trainer.data import Examples, load_examples
from trainer.errors import TrainerError
from trainer.publishing import digest_of, make_current, publish, published, staging_dir, tree_sha256
from trainer.recipe import Recipe
from trainer.settings import Settings

log = logging.getLogger("trainer")

DIGEST_CHARACTERS = 16
VERIFIED_ROWS = 8


def run(recipe: Recipe, settings: Settings) -> Path:
    """Train `recipe` and publish it, unless the same base, data and recipe are published already.

    Returns:
        The published model's directory.

    Raises:
        TrainerError: anything the user can mend.
    """
    examples = load_examples(recipe.train)
    base = find_base(recipe.base)
    base_sha256 = tree_sha256(base)
    digest = digest_of(base_sha256, examples.sha256, recipe.sha256())[:DIGEST_CHARACTERS]
    if published(settings.models_dir, recipe.name, digest):
        target = settings.models_dir / recipe.name / digest
        make_current(target)
        log.info("nothing to do: %s was published from the same base, data and recipe", target)
        return target
    for reason, count in examples.dropped.items():
        log.warning("%d questions left out: %s", count, reason)

    target = _train_and_publish(recipe, settings, examples, base, base_sha256, digest)
    log.info("published %s", target)
    return target


def _train_and_publish(
    recipe: Recipe,
    settings: Settings,
    examples: Examples,
    base: Path,
    base_sha256: str,
    digest: str,
) -> Path:
    # imported here, because they take long and most starts find nothing to do
    from transformers import AutoTokenizer

    from trainer.lora import compute_dtype, load_base, pad_token, reply_logprobs, train
    from trainer.merging import save_merged, verify
    from trainer.rendering import (
        Row,
        chat_template_sha256,
        end_token,
        lengths,
        probe,
        render,
    )

    tokenizer = AutoTokenizer.from_pretrained(base)
    rows, too_long = render(examples.rows, recipe.format, tokenizer, recipe.training.max_length)
    for source in too_long:
        log.warning("left out, longer than %d tokens: %s", recipe.training.max_length, source)
    validation: list[Row] = []
    if recipe.validation:
        held_out = load_examples(recipe.validation).rows
        validation, _ = render(held_out, recipe.format, tokenizer, recipe.training.max_length)
    sizes = lengths(rows, recipe.training.max_length)
    log.info(
        "%d rows; longest prompt %d tokens, longest reply %d",
        len(rows),
        sizes.longest_prompt,
        sizes.longest_reply,
    )

    dtype = compute_dtype(recipe.training.dtype)
    run_dir = settings.runs_dir / recipe.name / digest
    run_dir.mkdir(parents=True, exist_ok=True)
    log.info("training in %s, metrics in %s", dtype, run_dir / "metrics.jsonl")
    model = train(
        load_base(base, dtype), rows, validation, recipe, dtype, pad_token(tokenizer), run_dir
    )
    trained = reply_logprobs(model, rows[:VERIFIED_ROWS])

    staged = staging_dir(settings.models_dir, recipe.name, digest)
    save_merged(model, tokenizer, end_token(tokenizer), staged)
    del model
    verify(staged, rows[:VERIFIED_ROWS], trained, dtype)
    contract = Contract(
        model=recipe.name,
        digest=digest,
        dtype=dtype,
        format=recipe.format,
        sampling=recipe.sampling,
        chat_template_sha256=chat_template_sha256(tokenizer),
        probe=probe(examples.rows[0], recipe.format, tokenizer),
        lengths=sizes,
        provenance=Provenance(
            base_model=base.name if Path(recipe.base).is_dir() else recipe.base,
            base_sha256=base_sha256,
            data_sha256=examples.sha256,
            recipe=recipe.name,
            recipe_sha256=recipe.sha256(),
            adapter_sha256=tree_sha256(run_dir / "adapter"),
            versions={name: version(name) for name in ("torch", "transformers", "peft")},
            created=datetime.now(UTC).isoformat(timespec="seconds"),
        ),
    )
    return publish(staged, contract)


def find_base(base: str) -> Path:
    """The base model's directory, downloaded from the hub where `base` is not a directory.

    Raises:
        TrainerError: it is neither here nor to be had.
    """
    if Path(base).is_dir():
        return Path(base)
    if base.startswith("/"):
        raise TrainerError(f"the base model's directory {base} does not exist")
    wanted = ["*.safetensors", "*.json", "*.jinja", "*.txt", "*.model"]
    try:
        return Path(snapshot_download(base, allow_patterns=wanted))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        raise TrainerError(
            f"cannot get the base model {base} from the hub: {error}. Check the name and the "
            "network (HF_TOKEN for a gated model, HF_ENDPOINT for a mirror), or set base to a "
            "directory that holds it."
        ) from error
