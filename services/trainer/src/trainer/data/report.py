"""The data report for people: a table on the terminal, and JSON and a picture in a folder."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.table import Table

from contract import write_json
from contract.published import DATA_FILE, DATA_PICTURE
from trainer.data.preparing import DataReport
from trainer.plots import BLUE, ORANGE, figure, save


def save_report(report: DataReport, folder: Path) -> None:
    """Write data.json and data.png into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    text = write_json(report.to_dict(), indent=1)
    (folder / DATA_FILE).write_text(text + "\n", encoding="utf-8")
    _picture(report, folder / DATA_PICTURE)


def lines(report: DataReport) -> list[tuple[str, str]]:
    """The report's entries, as pairs of name and value."""
    said = [(f"read from {form}", f"{count}") for form, count in report.recognized.items()]
    said += [(f"dropped: {reason}", f"{count}") for reason, count in report.dropped.items()]
    said += [
        ("replies trained", report.replies),
        ("problems", f"{report.problems}"),
        ("near-duplicate problems", f"{report.near_duplicate_problems}, kept on the same side"),
        ("repeated questions", f"{report.repeated}"),
        (
            "questions trained",
            f"{report.trained}, {report.copies} of them copies with permuted options",
        ),
        ("questions held out", f"{report.held_out} of {report.held_out_problems} problems"),
        ("held-out questions that leaked", f"{report.leaking}, left out"),
        ("keys as read", _shares(report.keys_read)),
        ("keys as trained", _shares(report.keys_trained)),
    ]
    if report.prompt_tokens:
        said += [
            ("tokens of a prompt", _spread(report.prompt_tokens)),
            ("tokens of a reply", _spread(report.reply_tokens)),
            (f"longer than {report.max_length} tokens, dropped", f"{len(report.too_long)}"),
        ]
    return said


def print_report(report: DataReport, console: Console) -> None:
    table = Table(show_header=False, box=None, pad_edge=False)
    for name, value in lines(report):
        table.add_row(name, value)
    console.print(table)


def _shares(keys: dict[str, int]) -> str:
    total = sum(keys.values())
    return ", ".join(f"{label} {count} ({count / total:.0%})" for label, count in keys.items())


def _spread(lengths: list[int]) -> str:
    ordered = sorted(lengths)
    at = [ordered[int(share * (len(ordered) - 1))] for share in (0, 0.5, 0.95, 1)]
    return "least {}, median {}, 95 % up to {}, most {}".format(*at)


def _picture(report: DataReport, path: Path) -> None:
    drawing, (left, right) = figure(2)
    labels = sorted({*report.keys_read, *report.keys_trained})
    for offset, name, keys, color in (
        (-0.2, "as read", report.keys_read, BLUE),
        (0.2, "as trained", report.keys_trained, ORANGE),
    ):
        total = sum(keys.values()) or 1
        heights = [100 * keys.get(label, 0) / total for label in labels]
        left.bar([i + offset for i in range(len(labels))], heights, 0.4, label=name, color=color)
    left.set_xticks(range(len(labels)), labels)
    left.set(title="Keys", ylabel="% of questions")
    left.legend(frameon=False)
    if report.prompt_tokens:
        both = [report.prompt_tokens, report.reply_tokens]
        right.hist(both, bins=30, label=["prompt", "reply"], color=[BLUE, ORANGE])
        right.legend(frameon=False)
    right.set(title="Lengths", xlabel="tokens", ylabel="rows")
    save(drawing, path)
