"""A panel from top to bottom: several adapters from one base, trained one after the other and
published as one directory.

Every member has a run of its own, named by its own digest. So a member that is complete is not
trained again, neither after a kill nor for a panel with more members, and a member that was stopped
goes on from its checkpoint. `current` moves once, when all members are there.
"""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from contract import CONTRACT_FILE
from trainer.bases import find_base
from trainer.data.bagging import drawn
from trainer.data.preparing import Prepared, prepare
from trainer.digests import short_digest, tree_sha256
from trainer.hosts import check_device
from trainer.members import planned
from trainer.pipeline import keep_published, train_one
from trainer.publishing.publish import published, staging_path
from trainer.recipe import Recipe
from trainer.run import Part, Run
from trainer.settings import Settings

if TYPE_CHECKING:
    from trainer.publishing.panels import MemberRun
    from trainer.training.distributed import World

log = logging.getLogger("trainer")

POLL_S = 1.0


def run_panel(recipe: Recipe, settings: Settings, asked: int | None) -> Path:
    """Train the members of `recipe`'s panel and publish them, unless the same panel is published
    already. `asked` replaces the recipe's number of members.

    Returns:
        The published directory.

    Raises:
        StoppedError: it was asked to stop; the same call goes on.
        TrainerError: anything the user can mend.
    """
    check_device(settings.stack)
    prepared = prepare(recipe)
    members = planned(prepared.recipe, asked)
    base = find_base(recipe.base, settings.model_source)
    base_sha256 = tree_sha256(base)
    data = [
        replace(drawn(prepared, member.share, member.seed), recipe=member.recipe)
        for member in members
    ]
    digests = [short_digest(base_sha256, d.sha256, d.recipe.sha256()) for d in data]
    digest = short_digest("panel", *digests)
    target = settings.models_dir / recipe.name / digest
    if published(settings.models_dir, recipe.name, digest):
        keep_published(target)
        return target
    # imported here: it takes seconds, and most starts find their panel published
    from trainer.publishing.panels import MemberRun, publish_panel
    from trainer.training.base_model import compute_dtype
    from trainer.training.distributed import joined

    dtype = compute_dtype(recipe.training.dtype)
    made: list[MemberRun] = []
    for member, own, name in zip(members, data, digests, strict=True):
        folder = settings.runs_dir / recipe.name / name
        run = Run(member.recipe, base, base_sha256, own.sha256, name, dtype, folder)
        place = folder if made else staging_path(settings.models_dir, recipe.name, digest)
        made.append(MemberRun(member, run, own, place))
    _say_what_comes(made, prepared)
    with joined(settings) as world:
        _train_all(made, world, target, settings)
        if world.first:
            log.info("published %s", publish_panel(recipe.name, made))
    return target


def _say_what_comes(made: Sequence[MemberRun], prepared: Prepared) -> None:
    log.info("a panel of %d members", len(made))
    for one in made:
        log.info("%s: %s", one.member.name, one.member.traits)
    if not prepared.held_out:
        log.warning(
            "no question is held out, so the members' accuracy stays unknown: set "
            "data.validation_share, or name validation files"
        )


def _train_all(made: Sequence[MemberRun], world: World, target: Path, settings: Settings) -> None:
    from trainer.publishing.panels import finish_member

    for number, one in enumerate(made, start=1):
        name = f"member {number} of {len(made)} ({one.member.name})"
        if one.is_made:
            log.info("%s is complete already", name)
            continue
        log.info("%s is trained", name)
        later = sum(not other.is_made for other in made[number:])
        run = replace(one.run, part=Part(number, len(made), later))
        started_s = time.monotonic()
        staging, finish = partial(_fresh, one), partial(finish_member, one=one)
        train_one(run, one.prepared, world, staging, finish, tensorboard=settings.tensorboard)
        # the first of several processes verifies; a collective call of the others could time out
        while not (world.first or one.is_made or (target / CONTRACT_FILE).is_file()):
            time.sleep(POLL_S)
        took_s = time.monotonic() - started_s
        log.info(
            "%s is complete after %.0f s; about %.0f s left for %d more",
            name,
            took_s,
            later * took_s,
            later,
        )


def _fresh(one: MemberRun) -> Path:
    """An empty folder for a member's merged model."""
    folder = one.place if one.is_first else one.run.folder / "merged"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder
