"""One run from top to bottom: prepare, render, train, merge, verify, publish.

Each stage leaves its result on the disk, or can be done again. So the same command continues a run,
whatever stopped it.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from contract import write_json
from contract.published import METRICS_FILE, VERIFICATION_FILE, make_current
from trainer.bases import find_base
from trainer.data.preparing import Prepared, prepare
from trainer.digests import short_digest, tree_sha256
from trainer.hosts import check_device
from trainer.publishing.publish import (
    publish,
    published,
    refused,
    staging_dir,
)
from trainer.recipe import Recipe
from trainer.run import Run
from trainer.settings import Settings

if TYPE_CHECKING:
    from trainer.data.rendering import Choice, Rendered
    from trainer.publishing.verifying import Candidate
    from trainer.training.distributed import World

log = logging.getLogger("trainer")


def run(recipe: Recipe, settings: Settings) -> Path:
    """Train `recipe` and publish it, unless the same base, data and recipe are published already.

    In that case nothing changes, and the current model stays: a stack that is only started again
    serves the same model as before.

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
    digest = short_digest(base_sha256, prepared.sha256, recipe.sha256())
    target = settings.models_dir / recipe.name / digest
    if published(settings.models_dir, recipe.name, digest):
        keep_published(target)
        return target
    # imported here: it takes seconds, and most starts find their model published
    from trainer.training.base_model import compute_dtype
    from trainer.training.distributed import joined

    dtype = compute_dtype(recipe.training.dtype)
    folder = settings.runs_dir / recipe.name / digest
    planned = Run(recipe, base, base_sha256, prepared.sha256, digest, dtype, folder)
    staging = partial(staging_dir, settings.models_dir, recipe.name, digest)
    finish = partial(_verify_and_publish, prepared=prepared)
    with joined(settings) as world:
        train_one(planned, prepared, world, staging, finish, tensorboard=settings.tensorboard)
    return target


def keep_published(target: Path) -> None:
    """Say that there is nothing to do; mend a `current` link that is missing."""
    current = target.with_name("current")
    if not current.exists():
        make_current(target)
    log.info("nothing to do: %s is already published, from the same base, data and recipe", target)
    if current.resolve() != target.resolve():
        log.warning(
            "%s stays the current model; `python -m trainer publish %s` makes this one current",
            current.resolve().name,
            target.name,
        )


def train_one(
    run: Run,
    prepared: Prepared,
    world: World,
    staging: Callable[[], Path],
    finish: Callable[[list[Any], Candidate, Rendered, Rendered], None],
    *,
    tensorboard: bool,
) -> None:
    """Train one model. The first process then calls `finish` with the model in a list, the
    candidate in the folder that `staging` returns, its rows and the held-out rows.
    """
    # imported here, as above
    from trainer.data.chat_templates import load_tokenizer
    from trainer.data.rendering import held_line
    from trainer.publishing.contracts import contract_of
    from trainer.publishing.merging import finished_model
    from trainer.publishing.verifying import Candidate
    from trainer.training.agreement import check_agreement
    from trainer.training.loop import TrainingData, train
    from trainer.training.methods import prepare_model, save_initial_adapter

    recipe, first = run.recipe, prepared.train[0]
    tokenizer = load_tokenizer(run.base, recipe.format.messages(first.problem, first.question))
    rows, held_out, choices = render_all(prepared, tokenizer)
    held = held_line(recipe.format, tokenizer)
    if world.first:
        _record_start(run, prepared)
    model = prepare_model(recipe, run.base, run.dtype, world.device)
    check_agreement(model, rows.rows[0], run.dtype, world.device)
    if recipe.lora.init == "pissa" and recipe.method == "lora" and world.first:
        save_initial_adapter(model, run.folder)
    weights = [example.weight for example in rows.examples]
    data = TrainingData(rows.rows, weights, held_out.rows, choices)
    module = train(model, data, run, world, tensorboard=tensorboard)
    # in a list: whoever takes it out holds the only reference, and can free its memory
    finished = [finished_model(module, run, world)]
    del model, module
    if world.first:
        contract = contract_of(run, tokenizer, rows, held)
        candidate = Candidate(run, contract, tokenizer, staging(), world.device)
        finish(finished, candidate, rows, held_out)


def _verify_and_publish(
    finished: list[Any],
    candidate: Candidate,
    rows: Rendered,
    held_out: Rendered,
    prepared: Prepared,
) -> None:
    """Publish the model in `finished`.

    Raises:
        TrainerError: verification refused it; it is set aside.
    """
    from trainer.publishing.records import add_records
    from trainer.publishing.verifying import merge_and_verify

    run, staged = candidate.run, candidate.staged
    verification = merge_and_verify(finished, candidate, rows, held_out)
    faults = tuple(verification["faults"])
    contract = candidate.contract.despite(faults)
    add_records(candidate, contract, prepared.report, verification)
    if faults:
        raise refused(staged, contract, run.folder / VERIFICATION_FILE)
    target = publish(staged, contract)
    shutil.rmtree(run.checkpoints, ignore_errors=True)
    log.info("published %s", target)


def render_all(prepared: Prepared, tokenizer: Any) -> tuple[Rendered, Rendered, list[Choice]]:
    """Training rows, held-out rows, and the held-out questions with their answers forced. Their
    lengths go into the report.

    Raises:
        TrainerError: more than 1 % of either are too long.
    """
    from trainer.data.rendering import Rendered, choice, render

    recipe = prepared.recipe
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


def _record_start(run: Run, prepared: Prepared) -> None:
    """Log the data report and save it with the recipe in the run's folder."""
    from trainer.data.report import lines, save_report
    from trainer.publishing.model_card import recipe_settings
    from trainer.training.comparing import RECIPE_FILE

    max_length = run.recipe.training.max_length
    for name, value in lines(prepared.report):
        log.info("%s: %s", name, value)
    for source in prepared.report.too_long:
        log.warning("left out because it is longer than %d tokens: %s", max_length, source)
    save_report(prepared.report, run.folder)
    text = write_json(recipe_settings(run.recipe), indent=1)
    (run.folder / RECIPE_FILE).write_text(text + "\n", encoding="utf-8")
    log.info("training in %s; metrics: %s", run.dtype, run.folder / METRICS_FILE)
