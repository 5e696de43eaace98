"""The verdict on a saved model, before it is published: does it do what was trained?

Rounding changes every model, each by a different amount. So the merged weights may differ from the
trained ones by a few times as much as rounding changes the base in the same rows, and merging may
lose only a small part of what training gained.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch

from trainer.publishing.likelihoods import Reading

VERIFIED_ROWS = 32
# with fewer held-out rows, trained rows are compared too
LEAST_HELD_OUT = 8

MOST_FLOORS = 3.0
MOST_OF_THE_GAIN = 1 / 20
# standard errors that a difference may have by chance: about one in forty is larger
ERRORS = 2.0
# nats a token that nobody could notice; allowed even if the floor or the gain is zero
NEGLIGIBLE = 1e-3


@dataclass(frozen=True)
class Comparison:
    """How far two models' next-token distributions are apart, over `tokens` tokens of `rows` rows.

    `nats`: mean absolute difference of log-probabilities, weighted by the first model's
    probability. `largest`: the same for the token where it is largest, in the row `largest_in`.
    `top1`: the share of tokens whose likeliest successor is the same.
    """

    rows: int
    tokens: int
    nats: float
    largest: float
    largest_in: str
    top1: float


def compare(one: Sequence[Reading], other: Sequence[Reading], sources: Sequence[str]) -> Comparison:
    """`sources` names the rows."""
    pairs = [(a.logprobs, b.logprobs) for a, b in zip(one, other, strict=True)]
    # weighted by probability, so that tokens that are hardly ever drawn do not dominate
    apart = [(a.exp() * (a - b).abs()).sum(-1) for a, b in pairs]
    same = [a.argmax(-1) == b.argmax(-1) for a, b in pairs]
    # NaN counts as the largest, so that broken weights cannot pass
    worst = max(range(len(apart)), key=lambda i: float(apart[i].max().nan_to_num(torch.inf)))
    return Comparison(
        rows=len(apart),
        tokens=sum(len(part) for part in apart),
        nats=float(torch.cat(apart).mean()),
        largest=float(apart[worst].max()),
        largest_in=sources[worst],
        top1=float(torch.cat(same).float().mean()),
    )


@dataclass(frozen=True)
class Losses:
    """Reply loss in nats a token over the same `rows` rows; `held_out` of them were not trained.

    `error`: the standard error of the difference between merged and trained, paired by rows.
    """

    rows: int
    held_out: int
    base: float
    trained: float
    merged: float
    error: float

    @property
    def gain(self) -> float:
        return self.base - self.trained

    @property
    def cost(self) -> float:
        return self.merged - self.trained


def losses(
    base: Sequence[Reading],
    trained: Sequence[Reading],
    merged: Sequence[Reading],
    held_out: int,
) -> Losses:
    """Over the held-out rows, which are the first, if they are enough; else over all rows."""
    count = held_out if held_out >= LEAST_HELD_OUT else len(trained)
    weights = [one.weight for one in trained[:count]]
    total = sum(weights)
    costs = [b.loss - a.loss for a, b in zip(trained[:count], merged[:count], strict=True)]
    mean = sum(costs) / total
    # of a ratio of sums: longer replies weigh more (Cochran 1977, section 6.4)
    spread = sum((cost - mean * weight) ** 2 for cost, weight in zip(costs, weights, strict=True))
    return Losses(
        rows=count,
        held_out=min(held_out, count),
        base=sum(one.loss for one in base[:count]) / total,
        trained=sum(one.loss for one in trained[:count]) / total,
        merged=sum(one.loss for one in merged[:count]) / total,
        error=math.sqrt(spread * count / max(count - 1, 1)) / total,
    )


@dataclass(frozen=True)
class Verdict:
    """`floor`: nats between the base in `dtype` and the base in float32, over the same rows."""

    comparison: Comparison
    floor: float
    losses: Losses
    dtype: str

    @property
    def allowed_nats(self) -> float:
        return max(MOST_FLOORS * self.floor, NEGLIGIBLE)

    @property
    def allowed_cost(self) -> float:
        return max(MOST_OF_THE_GAIN * self.losses.gain, NEGLIGIBLE)

    def faults(self) -> list[str]:
        """Reasons not to publish. The comparisons are written so that NaN is a fault."""
        found = []
        compared, cost = self.comparison, self.losses.cost
        if not compared.nats <= self.allowed_nats:
            found.append(
                f"the merged weights are {compared.nats:.4f} nats from the trained ones on "
                f"average, and at most {self.allowed_nats:.4f} is allowed ({MOST_FLOORS:.0f} times "
                f"the {self.floor:.4f} of the base between {self.dtype} and float32); the largest "
                f"distance is {compared.largest:.4f}, in {compared.largest_in}"
            )
        if not cost - ERRORS * self.losses.error <= self.allowed_cost:
            found.append(
                f"merging raised the replies' loss by {cost:.4f} ± "
                f"{ERRORS * self.losses.error:.4f} nats a token, and at most "
                f"{self.allowed_cost:.4f} is allowed (a twentieth of the "
                f"{self.losses.gain:.4f} that training gained)"
            )
        return found

    def lines(self) -> list[str]:
        """The findings as sentences, for the log and the model card."""
        compared, lost = self.comparison, self.losses
        origin = (
            f"{lost.rows} held-out rows"
            if lost.held_out == lost.rows
            else f"{lost.rows} rows, {lost.held_out} of them held out"
        )
        return [
            f"the merged weights are {compared.nats:.4f} nats from the trained ones over "
            f"{compared.tokens} tokens; the base in {self.dtype} is {self.floor:.4f} from float32; "
            f"at most {self.allowed_nats:.4f} is allowed",
            f"loss in {origin}: base {lost.base:.4f}, trained {lost.trained:.4f}, merged "
            f"{lost.merged:.4f} nats a token: training gained {lost.gain:.4f}, merging cost "
            f"{lost.cost:.4f} ± {ERRORS * lost.error:.4f}; at most {self.allowed_cost:.4f} is "
            "allowed",
        ]

    def report(self) -> dict[str, Any]:
        lost = self.losses
        compared = {"floor": self.floor, "allowed": self.allowed_nats}
        costs = {"gain": lost.gain, "cost": lost.cost, "allowed": self.allowed_cost}
        return {
            "comparison": _json(asdict(self.comparison) | compared),
            "losses": _json(asdict(lost) | costs),
            "summary": self.lines(),
            "faults": self.faults(),
        }


def _json(values: dict[str, Any]) -> dict[str, Any]:
    """`values` with None for NaN and infinity, which JSON does not have."""
    return {
        name: None if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in values.items()
    }


def verified_rows(rows: Sequence[Any], held_out: Sequence[Any]) -> list[Any]:
    """Up to 32 rows, evenly spread: held-out ones first, then others if those are too few."""
    first = spread(held_out, VERIFIED_ROWS)
    return first + spread(rows, VERIFIED_ROWS - len(first))


def spread(rows: Sequence[Any], count: int) -> list[Any]:
    if len(rows) <= count:
        return list(rows)
    return [rows[i * len(rows) // count] for i in range(count)]


def differing(meant: dict[str, Any], found: dict[str, Any]) -> list[str]:
    """A sentence for each value that another process reads differently."""
    return [
        f"{name} was {value} in training, and another process reads {found[name]}"
        for name, value in meant.items()
        if found[name] != value
    ]
