"""One run from top to bottom: prepare, render, train, merge, verify, publish.

Every stage leaves what the next needs on the disk or can be done again, so the same command goes on
wherever a run was stopped.
"""

from __future__ import annotations

import logging
import shutil
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from contract import Contract, Provenance, write_json
from contract.published import make_current
from trainer.bases import find_base
from trainer.data.preparing import Prepared, prepare
from trainer.digests import digest_of, tree_sha256
from trainer.hosts import check_device
from trainer.publishing.publish import (
    VERIFICATION_FILE,
    publish,
    published,
    refused,
    staging_dir,
)
from trainer.recipe import Recipe
from trainer.settings import Settings

if TYPE_CHECKING:
    from trainer.data.rendering import Choice, Rendered

log = logging.getLogger("trainer")

DIGEST_CHARACTERS = 16


def run(recipe: Recipe, settings: Settings) -> Path:
    """Train `recipe` and publish it, unless the same base, data and recipe are published already.

    Then nothing is changed, the current model neither: a stack that is only started again goes on
    serving what it served.

    Returns:
        The published model's directory.

    Raises:
        StoppedError: it was asked to stop; the same call goes on.
        TrainerError: anything the user can mend.
    """
    check_device(settings.stack)
    prepared = prepare(recipe)
    recipe = prepared.recipe
    base = find_base(recipe.base, settings.model_source)
    base_sha256 = tree_sha256(base)
    digest = digest_of(base_sha256, prepared.sha256, recipe.sha256())[:DIGEST_CHARACTERS]
    target = settings.models_dir / recipe.name / digest
    if published(settings.models_dir, recipe.name, digest):
        current = target.with_name("current")
        if not current.exists():
            make_current(target)
        log.info("nothing to do: %s was published from the same base, data and recipe", target)
        if current.resolve() != target.resolve():
            log.warning(
                "%s stays the current model; `python -m trainer publish %s` makes this one current",
                current.resolve().name,
                digest,
            )
        return target
    _train_and_publish(recipe, settings, prepared, base, base_sha256, digest)
    return target


def _train_and_publish(
    recipe: Recipe,
    settings: Settings,
    prepared: Prepared,
    base: Path,
    base_sha256: str,
    digest: str,
) -> None:
    # imported here, because they take long and most starts find nothing to do
    from trainer.data.chat_templates import load_tokenizer
    from trainer.data.rendering import chat_template_sha256, held_line, lengths, probe
    from trainer.publishing.merging import finished_model
    from trainer.publishing.verifying import Made, complete, merge_and_verify
    from trainer.training.base_model import compute_dtype
    from trainer.training.distributed import joined
    from trainer.training.loop import TrainingData, train
    from trainer.training.methods import prepare_model, save_initial_adapter

    first = prepared.train[0]
    tokenizer = load_tokenizer(base, recipe.format.messages(first.problem, first.question))
    dtype = compute_dtype(recipe.training.dtype)
    run_dir = settings.runs_dir / recipe.name / digest
    rows, held_out, choices = render_all(prepared, recipe, tokenizer)
    held = held_line(recipe.format, tokenizer)
    with joined(settings) as world:
        if world.first:
            _start(recipe, prepared, dtype, run_dir)
        model = prepare_model(recipe, base, dtype, world.device)
        if recipe.lora.init == "pissa" and recipe.method == "lora" and world.first:
            save_initial_adapter(model, run_dir)
        data = TrainingData(
            rows.rows, [example.weight for example in rows.examples], held_out.rows, choices
        )
        module = train(model, data, recipe, dtype, run_dir, world, tensorboard=settings.tensorboard)
        # in a list, so that who takes it out holds it alone, and can let go of its memory
        finished = [finished_model(module, recipe, base, dtype, run_dir, world)]
        del model, module
        if not world.first:
            return
        adapter = run_dir / "adapter" if recipe.method == "lora" else None
        contract = Contract(
            model=recipe.name,
            digest=digest,
            dtype=dtype,
            format=recipe.format,
            sampling=recipe.sampling,
            chat_template_sha256=chat_template_sha256(tokenizer),
            probe=probe(rows.examples[0], recipe.format, tokenizer),
            held=held,
            lengths=lengths(rows.rows, recipe.training.max_length),
            provenance=Provenance(
                base_model=base.name if Path(recipe.base).is_dir() else recipe.base,
                base_sha256=base_sha256,
                data_sha256=prepared.sha256,
                recipe=recipe.name,
                recipe_sha256=recipe.sha256(),
                adapter_sha256=tree_sha256(adapter) if adapter else None,
                versions={name: version(name) for name in ("torch", "transformers", "peft")},
                created=datetime.now(UTC).isoformat(timespec="seconds"),
            ),
        )
        staged = staging_dir(settings.models_dir, recipe.name, digest)
        made = Made(recipe, base, contract, staged, run_dir, world.device)
        verification = merge_and_verify(finished, tokenizer, rows, held_out, made)
        faults = tuple(verification["faults"])
        contract = contract.despite(faults)
        complete(made, contract, prepared.report, verification)
        if faults:
            raise refused(staged, contract, run_dir / VERIFICATION_FILE)
        publish(staged, contract)
        shutil.rmtree(run_dir / "checkpoints", ignore_errors=True)
        log.info("published %s", settings.models_dir / recipe.name / digest)


def render_all(
    prepared: Prepared, recipe: Recipe, tokenizer: Any
) -> tuple[Rendered, Rendered, list[Choice]]:
    """Training rows, held-out rows, and the held-out questions with their answers forced; the
    report gets their lengths.

    Raises:
        TrainerError: more than 1 % of either are too long.
    """
    from trainer.data.rendering import Rendered, choice, render

    limit = recipe.training.max_length
    rows = render(prepared.train, recipe.format, tokenizer, limit)
    held_out = Rendered([], [], [])
    if prepared.held_out:
        held_out = render(prepared.held_out, recipe.format, tokenizer, limit)
    report = prepared.report
    report.prompt_tokens = [len(row.prompt) for row in rows.rows]
    report.reply_tokens = [len(row.reply) for row in rows.rows]
    report.too_long = rows.too_long + held_out.too_long
    report.max_length = limit
    return rows, held_out, [choice(e, recipe.format, tokenizer) for e in held_out.examples]


def _start(recipe: Recipe, prepared: Prepared, dtype: str, run_dir: Path) -> None:
    """Say what is about to be trained, and write it down."""
    from trainer.data.report import lines, save_report
    from trainer.publishing.model_card import recipe_settings
    from trainer.training.comparing import RECIPE_FILE
    from trainer.training.metrics import METRICS_FILE

    for name, value in lines(prepared.report):
        log.info("%s: %s", name, value)
    for source in prepared.report.too_long:
        log.warning("left out, longer than %d tokens: %s", recipe.training.max_length, source)
    save_report(prepared.report, run_dir)
    text = write_json(recipe_settings(recipe), indent=1)
    (run_dir / RECIPE_FILE).write_text(text + "\n", encoding="utf-8")
    log.info("training in %s, metrics in %s", dtype, run_dir / METRICS_FILE)
