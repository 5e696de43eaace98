"""The yield of a teacher's samples, as a table for people."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from trainer.distilling.selection import Yield
from trainer.errors import TrainerError

log = logging.getLogger("trainer")


def report(yields: Sequence[Yield], out: Path, console: Console) -> None:
    """Print the table, and log the names of the files.

    Raises:
        TrainerError: no analysis was kept.
    """
    print_yields(yields, console)
    if not any(found.kept for found in yields):
        raise TrainerError(
            "no analysis was kept: the table above says how many reached the key. If questions "
            f"failed, {out.with_suffix('.failures.jsonl')} gives the reasons"
        )
    log.info("analyses: %s; yield of each question: %s", out, out.with_suffix(".yield.tsv"))


def print_yields(yields: Sequence[Yield], console: Console) -> None:
    """Print how many questions got 0, 1, 2 ... right analyses, as bars, and a summary."""
    spread = Counter(found.right for found in yields)
    most = max(spread.values(), default=1)
    table = Table("right analyses", "questions", "", box=None)
    for right in range(max((found.asked for found in yields), default=0) + 1):
        bar = "█" * round(30 * spread[right] / most)
        table.add_row(f"{right}", f"{spread[right]}", bar or ("▏" if spread[right] else ""))
    console.print(table)
    asked, right = sum(y.asked for y in yields), sum(y.right for y in yields)
    hinted = sum(1 for y in yields if y.hinted_right)
    console.print(
        f"{right} of {asked} analyses reached the key ({right / max(asked, 1):.1%}); "
        f"{sum(y.kept for y in yields)} were kept. The hint helped {hinted} questions, "
        f"{sum(1 for y in yields if not y.kept)} got no analysis, "
        f"{sum(1 for y in yields if y.failed)} failed"
    )
