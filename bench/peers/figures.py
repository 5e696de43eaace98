"""The figures of a side, from its runs. Pure."""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from bench.counters import Counters
from bench.peers.sides import Side, Votes

Result = dict[str, Any]


@dataclass(frozen=True)
class Run:
    """`start_s`: of `seconds`, those before the side's own engine was ready."""

    seconds: float
    start_s: float
    counted: Counters
    votes: Votes


@dataclass(frozen=True)
class Resumed:
    """A killed run and the one that followed. `seconds` are from the second command to the file;
    for Quorum they begin with the start of its service, which was killed too.
    """

    seconds: float
    first: Counters
    second: Counters
    votes: Votes


def keys_of(problems: str) -> Votes:
    """The right labels of a problem file's text."""
    rows = [json.loads(line) for line in problems.splitlines()]
    return {
        (row["id"], index): question["answer"]
        for row in rows
        for index, question in enumerate(row["questions"])
    }


def same(votes: Votes, others: Votes) -> float:
    """The share of the questions of `votes` whose vote is the same in `others`."""
    return sum(votes[place] == others.get(place) for place in votes) / len(votes)


def of_runs(side: Side, runs: Sequence[Run], keys: Votes, quorum: Votes | None) -> Result:
    """`quorum` are Quorum's votes under the same seeds. A side that was asked only some of the
    questions has its times scaled to all of them.
    """
    votes = [run.votes for run in runs]
    walls = [run.seconds * len(keys) / len(run.votes) for run in runs]
    counted = runs[-1].counted
    found: Result = {
        "title": side.title,
        "questions": len(votes[-1]),
        "wall_s": statistics.median(walls),
        "walls_s": walls,
        "questions_per_s": len(keys) / statistics.median(walls),
        "requests": counted.requests,
        "samples": counted.samples,
        "generated_tokens": counted.tokens,
        "prompt_tokens": counted.prompt_tokens,
        "unanswered": unanswered(votes[-1]),
        "right": statistics.median(same(found, keys) for found in votes),
        "same_again": min((same(votes[0], again) for again in votes[1:]), default=None),
        "lines": side.lines,
        "files": [path.name for path in side.files],
    }
    if side.own_engine:
        found["start_s"] = statistics.median(run.start_s for run in runs)
    if counted.cache_queries:
        found["prefix_cache_hits"] = counted.cache_hits / counted.cache_queries
    if side.is_seeded and quorum:
        found["same_as_quorum"] = same(votes[0], quorum)
    return found


def of_kill(again: Resumed, undisturbed: Run) -> Result:
    """What a kill half way cost, beside an `undisturbed` run of the same side.

    `share_again`: by how much the tokens of both commands exceed those of the undisturbed run.
    """
    samples, tokens = undisturbed.counted.samples, undisturbed.counted.tokens
    missing = len(undisturbed.votes.keys() - again.votes.keys())
    return {
        "killed_at_samples": again.first.samples,
        "second_s": again.seconds,
        "samples_of_second": again.second.samples,
        "samples_again": again.first.samples + again.second.samples - samples,
        "share_again": (again.first.tokens + again.second.tokens) / tokens - 1,
        "unanswered": unanswered(again.votes) + missing,
        "same": same(undisturbed.votes, again.votes),
    }


def unanswered(votes: Votes) -> int:
    return sum(not label for label in votes.values())
