"""The members of a panel: one recipe each, derived from the panel's recipe.

Everything that could fail later is checked here, before any weights load: the server loads the
difference of a member's adapter and the first member's, so all must be plain LoRA, and the sum of
two ranks must have a kernel.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from pydantic import ValidationError

from contract.panels import MOST_VOTERS
from contract.ranks import RANKS, kernel_rank
from trainer.errors import TrainerError
from trainer.recipe import Lora, PanelMember, PanelTable, Recipe, RecipeFormat

DEFAULT_MEMBERS = 3
FEWEST = 2


@dataclass(frozen=True)
class Member:
    """`recipe` trains it, on `share` of the training questions, which its seed draws."""

    name: str
    recipe: Recipe
    share: float

    @property
    def seed(self) -> int:
        return self.recipe.training.seed

    @property
    def traits(self) -> str:
        """What it was made with, for the log and the model card."""
        share = "all questions" if self.share == 1 else f"{self.share:.0%} of the questions"
        return f"seed {self.seed}, {share}, rank {self.recipe.lora.r}"


def planned(recipe: Recipe, asked: int | None) -> list[Member]:
    """The members of `recipe`'s panel; `asked` replaces the recipe's number of members. The style
    of the recipe's replies must be settled.

    The first member is the model that `trainer run` would make, unless its own table says
    otherwise: questions that are asked without the panel are answered by it.

    Raises:
        TrainerError: the panel cannot be trained or could not be served.
    """
    _check_method(recipe)
    table = recipe.panel or PanelTable()
    count = _count(table, asked)
    tables = [*table.member, *[PanelMember()] * (count - len(table.member))]
    members = [_member(recipe, table, one, number) for number, one in enumerate(tables, start=1)]
    for one, other in combinations(members, 2):
        if (one.recipe.sha256(), one.share) == (other.recipe.sha256(), other.share):
            raise TrainerError(
                f"[panel]: {one.name} and {other.name} would be the same model: give one of them "
                "another seed, rank or format in its [[panel.member]]"
            )
    _check_ranks(members)
    return members


def _check_method(recipe: Recipe) -> None:
    if recipe.method == "full":
        raise TrainerError(
            'a panel is made of adapters, and method = "full" trains all weights: leave method out'
        )
    if recipe.lora.dora:
        raise TrainerError(
            "the server cannot load a panel's members beside one another if lora.dora is true: "
            "leave it out"
        )


def _count(table: PanelTable, asked: int | None) -> int:
    count = asked or table.members or max(len(table.member), DEFAULT_MEMBERS)
    if not FEWEST <= count <= MOST_VOTERS:
        raise TrainerError(f"a panel has {FEWEST} to {MOST_VOTERS} members, and {count} are wanted")
    if count < len(table.member):
        raise TrainerError(
            f"{count} members are wanted, and the recipe describes {len(table.member)}: remove "
            f"[[panel.member]] tables, or train {len(table.member)} members"
        )
    return count


def _member(recipe: Recipe, table: PanelTable, one: PanelMember, number: int) -> Member:
    usual_share = 1.0 if number == 1 else table.share
    seed = recipe.training.seed + number - 1 if one.seed is None else one.seed
    changed: dict[str, Any] = {
        "training": recipe.training.model_copy(update={"seed": seed}),
        "panel": None,
    }
    if one.rank is not None:
        changed["lora"] = _with_rank(recipe.lora, one.rank)
    if one.format:
        changed["format"] = _format(recipe, one, f"panel.member.{number - 1}.format")
    share = usual_share if one.share is None else one.share
    return Member(f"v{number}", recipe.model_copy(update=changed), share)


def _with_rank(lora: Lora, rank: int) -> Lora:
    """`lora` with another rank and the same scale of its update. rsLoRA's alpha stays: its scale
    is made for every rank.
    """
    alpha = lora.alpha if lora.rslora else lora.alpha * rank / lora.r
    return lora.model_copy(update={"r": rank, "alpha": alpha})


def _format(recipe: Recipe, one: PanelMember, place: str) -> RecipeFormat:
    given = recipe.format.model_dump(exclude_unset=True)
    if "answer_line" in one.format:
        given.pop("label_patterns", None)  # made for the recipe's own line
    own = {key: value for key, value in one.format.items() if (key, value) != ("style", "auto")}
    try:
        fmt = RecipeFormat.model_validate({**given, **own})
    except ValidationError as error:
        lines = [f"  {'.'.join((place, *map(str, e['loc'])))}: {e['msg']}" for e in error.errors()]
        raise TrainerError("the recipe's panel has faults:\n" + "\n".join(lines)) from error
    if not fmt.is_read:
        raise TrainerError(
            f"{place}: label_patterns cannot read answer_line = {fmt.answer_line!r}: leave "
            "label_patterns out, or add a pattern that reads it"
        )
    if fmt.style == "analysis" and recipe.format.style == "answer":
        raise TrainerError(
            f'{place}.style = "analysis", and the recipe trains the label alone: the questions '
            'that the recipe trains need not have an analysis. Set format.style = "analysis", and '
            'style = "answer" for the members that train the label alone'
        )
    return fmt


def _check_ranks(members: Sequence[Member]) -> None:
    first = members[0]
    for member in members[1:]:
        both = _saved_rank(first.recipe.lora) + _saved_rank(member.recipe.lora)
        if kernel_rank(both) is None:
            raise TrainerError(
                f"[panel]: the ranks of {first.name} and {member.name} add up to {both}, and the "
                f"server can load at most {RANKS[-1]}: set smaller ranks (PiSSA's count twice)"
            )


def _saved_rank(lora: Lora) -> int:
    """The rank of the saved adapter: PiSSA's, made for the unchanged base, has twice the rank."""
    return lora.r * (2 if lora.init == "pissa" else 1)
