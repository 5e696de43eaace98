"""Writes the tables of docs/benchmarks.md from bench/results/peers-*.json."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from bench.answer import ROOT

PAGE = ROOT / "docs/benchmarks.md"
FIRST, LAST = "<!-- peers -->\n", "<!-- end of peers -->"
Result = dict[str, Any]


def write(results: Path, page: Path = PAGE) -> None:
    """Replace what stands between the markers.

    Raises:
        ValueError: the page lacks the markers.
    """
    before, found, rest = page.read_text(encoding="utf-8").partition(FIRST)
    _, ended, after = rest.partition(LAST)
    if not (found and ended):
        raise ValueError(f"{page} has no lines {FIRST.strip()} and {LAST}")
    files = sorted(results.glob("peers-*.json"))
    texts = [section(json.loads(file.read_text()), file.stem) for file in files]
    text = "\n".join(["", *texts, ""])
    page.write_text(f"{before}{FIRST}{text}{LAST}{after}", encoding="utf-8")


def section(found: Result, name: str) -> str:
    """All that was measured on one machine."""
    where = ", ".join([found["machine"], *found["cards"]])
    loads = ", ".join(f"{load:.1f}" for load in found["load_average"])
    sides: dict[str, Result] = found["sides"]
    measured = {key: side for key, side in sides.items() if "wall_s" in side}
    failed = [side for side in sides.values() if "failed" in side]
    lines = [
        f"### {where}",
        "",
        f"`{found['command']}`, {found['file']}, vLLM {found['vllm']}, {found['date']}. Load "
        f"average at the start of each turn: {loads}. The whole run took "
        f"{found['took_s'] / 60:.0f} minutes.",
        "",
        *_times(measured),
        "",
        *_faster(measured),
        "",
        *_answers(measured),
        "",
        *_killed(measured),
        "",
        *(f"{side['title']} was not measured: {_first_line(side)}.\n" for side in failed),
        f"![Time of each side, and the work that a kill costs](../bench/results/{name}.png)",
        "",
    ]
    return "\n".join(lines)


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _table(head: list[str], rows: list[list[str]]) -> list[str]:
    rule = ["---", *(["---:"] * (len(head) - 1))]
    return [_row(*head), _row(*rule), *(_row(*row) for row in rows)]


def _times(sides: dict[str, Result]) -> list[str]:
    quorum = sides.get("quorum", {}).get("wall_s")
    rows = []
    for side in sides.values():
        low, high = min(side["walls_s"]), max(side["walls_s"])
        start = f", {side['start_s']:.1f} of it start" if "start_s" in side else ""
        rows.append(
            [
                f"{side['title']} ({side['version']})" if side["version"] else side["title"],
                f"{side['wall_s']:.1f} ({low:.1f} to {high:.1f}{start})",
                f"{side['questions_per_s']:.1f}",
                f"{side['wall_s'] / quorum:.2f}" if quorum else "-",
                f"{side['requests']:,.0f}",
                f"{side['samples']:,.0f}",
                f"{side['generated_tokens']:,.0f}",
                f"{side['lines']}",
            ]
        )
    head = ["side", "time, s (range)", "questions/s", "time / Quorum's"]
    return _table([*head, "requests", "samples", "generated tokens", "lines to write"], rows)


def _faster(sides: dict[str, Result]) -> list[str]:
    """Plainly: which other tool was faster than Quorum with early stop."""
    if "quorum" not in sides:
        return []
    quorum = sides["quorum"]["wall_s"]
    found = [
        f"{side['title']} ({side['wall_s']:.1f} s)"
        for name, side in sides.items()
        if not name.startswith("quorum") and side["wall_s"] < quorum
    ]
    if not found:
        return [f"No other side was faster than Quorum ({quorum:.1f} s)."]
    return [f"Faster than Quorum ({quorum:.1f} s): {', '.join(found)}."]


def _answers(sides: dict[str, Result]) -> list[str]:
    rows = [
        [
            side["title"],
            f"{side['questions']}",
            f"{side['unanswered']}",
            _percent(side["right"]),
            _percent(side["same_again"]),
            _percent(side.get("same_as_quorum")),
            _percent(side.get("prefix_cache_hits")),
        ]
        for side in sides.values()
    ]
    head = ["side", "questions", "unanswered", "right", "same votes when repeated"]
    return _table([*head, "same votes as Quorum", "prompt tokens from the cache"], rows)


def _killed(sides: dict[str, Result]) -> list[str]:
    rows = []
    for side in sides.values():
        killed = side.get("killed", {})
        if "share_again" not in killed:
            reason = _first_line(killed) if killed else "-"
            rows.append([side["title"], reason, "-", "-", "-", "-", "-"])
            continue
        rows.append(
            [
                side["title"],
                f"{killed['killed_at_samples']:.0f} of {side['samples']:.0f}",
                f"{killed['samples_of_second']:.0f}",
                f"{max(0, killed['samples_again']):.0f}",
                _percent(max(0.0, killed["share_again"])),
                f"{killed['second_s']:.1f}",
                f"{killed['unanswered']}",
            ]
        )
    head = ["side", "samples when killed", "drawn by the second command", "samples drawn twice"]
    return _table([*head, "tokens in vain", "second command, s", "unanswered"], rows)


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.1f} %"


def _first_line(failed: Result) -> str:
    return str(failed["failed"]).partition("\n")[0].rstrip(".")
