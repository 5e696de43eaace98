"""Writes docs/messages.md: every sentence that has a code, as the sources have it.

python docs/make_messages.py
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from string import Formatter

HERE = Path(__file__).parent
SOURCES = sorted(
    path
    for folder in ("contract/src", "services")
    for path in HERE.parent.glob(f"{folder}/**/*.py")
)
INTRO = """\
# Messages

Errors, notes of waiting jobs and the model's state are sentences for people. Beside each text, JSON
has an object with the sentence's `code` and `params`
([jobs.md](jobs.md#sentences-and-their-codes)). A code never changes; its English sentence may.

A parameter may be a sentence itself. The parameter `status` is a job's status. Codes that begin
with `pydantic-` say why a parameter or a form field is refused. They are not in this list: they are
the types of [pydantic's errors](https://docs.pydantic.dev/latest/errors/validation_errors/), with
`-` in place of `_`."""


def templates() -> Iterator[tuple[str, str, set[str]]]:
    """Each sentence of the sources: its code, its template, and the names of its parameters."""
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Name)
                and node.func.id == "Sentence"
            ):
                code, template = (ast.literal_eval(given) for given in node.args)
                yield code, template, {str(word.arg) for word in node.keywords}


def parameters(template: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(template) if name}


def page() -> str:
    rows = ["| code | sentence |", "|---|---|"]
    rows += [f"| `{code}` | {_shown(template)} |" for code, template, _ in sorted(templates())]
    return "\n\n".join((INTRO, "\n".join(rows))) + "\n"


def _shown(template: str) -> str:
    """The template without formats, as Markdown has it."""
    plain = "".join(
        text + (f"{{{name}}}" if name else "") for text, name, _, _ in Formatter().parse(template)
    )
    return plain.replace("|", "\\|").replace("<", "&lt;")


def outputs() -> dict[Path, str]:
    return {HERE / "messages.md": page()}


if __name__ == "__main__":
    for path, text in outputs().items():
        path.write_text(text, encoding="utf-8")
