"""Every command that a page or message names exists, with the options that it names."""

from __future__ import annotations

import ast
import re
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import typer.main

from orchestrator.cli.commands import app as quorum

ROOT = Path(__file__).parents[2]
# imported by name: mypy would follow it to torch, which this environment lacks
trainer = import_module("trainer.__main__").app
PROGRAMS = {"quorum": quorum, "trainer": trainer, "python -m trainer": trainer}
# A command stands at the start of a piece of code, or after a colon or "run": words, then options.
COMMAND = re.compile(
    r"(?:^|[`;:|]|\brun) *(?:docker compose run --rm trainer )?"
    r"(quorum|python -m trainer|trainer)((?: [^\s`;|#]+)+)",
    re.MULTILINE,
)
MODULE = re.compile(r"python3? -m ((?:trainer|inference|orchestrator)[\w.]*)")
PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *(ROOT / "docs").glob("*.toml")]
SOURCES = [
    *(ROOT / "contract/src").rglob("*.py"),
    *(path for path in (ROOT / "services").rglob("*.py") if "src" in path.parts),
]
SENTENCES = ROOT / "services/orchestrator/src/orchestrator/api/page_files/words"


def code_of(page: str) -> str:
    """The pieces of code in a Markdown page, each on its own line."""
    blocks = re.findall(r"```\w*\n(.*?)```", page, re.DOTALL)
    spans = re.findall(r"(?<!`)`([^`]+)`(?!`)", re.sub(r"```.*?```", "", page, flags=re.DOTALL))
    return "\n".join([*blocks, *(" ".join(span.split()) for span in spans)])


def said_by(source: str) -> str:
    """The text of a module's messages, without docstrings. A word stands for an inserted value."""
    tree = ast.parse(source)
    docs = {
        node.body[0].value
        for node in ast.walk(tree)
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef))
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    texts: list[str] = []
    within: set[ast.expr] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            within.update(node.values)
            parts = (part.value if isinstance(part, ast.Constant) else "X" for part in node.values)
            texts.append("".join(map(str, parts)))
        elif isinstance(node, ast.Constant) and node not in docs | within:
            texts.append(str(node.value))
    return "\n".join(texts)


def texts() -> dict[str, str]:
    pages = {
        str(path.relative_to(ROOT)): code_of(path.read_text())
        for path in PAGES
        if path.name != "CHANGELOG.md"
    }
    sources = {str(path.relative_to(ROOT)): said_by(path.read_text()) for path in SOURCES}
    words = {path.name: path.read_text() for path in SENTENCES.glob("*.js")}
    return {**pages, **sources, **words}


def fault(program: str, words: list[str]) -> str | None:
    """The part of a command line that does not exist; None if all of it exists."""
    command: Any = typer.main.get_command(PROGRAMS[program])
    known = {"--help"}
    while True:
        known |= {name for option in command.params for name in option.opts + option.secondary_opts}
        commands = getattr(command, "commands", None)  # of a group
        if commands is None:
            break
        while words and words[0].startswith("-"):  # options with values, before the command
            if words[0] not in known:
                return words[0]
            words = words[2:]
        if not words:
            return None
        if words[0] not in commands:
            return words[0]
        command, words = commands[words[0]], words[1:]
    options = [word.split("=")[0] for word in words if re.match(r"--?[a-z]", word)]
    return next((option for option in options if option not in known), None)


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("run python -m trainer rollback where it is", "rollback"),
        ("follow it with: quorum wait X", None),
        ("quorum submit f --sampels 3", "--sampels"),
        ("quorum --url http://x list --limit 3", None),
        ("quorum local stop", "stop"),
        ("trainer publish DIGEST", None),
    ],
)
def test_a_command_that_does_not_exist_is_found(text: str, wrong: str | None) -> None:
    found = COMMAND.search(text)
    assert found is not None
    assert fault(found[1], found[2].split()) == wrong


def test_every_command_in_pages_and_messages_exists() -> None:
    told = {
        (where, program, words)
        for where, text in texts().items()
        for program, words in COMMAND.findall(text)
    }
    assert len(told) > 30
    wrong = [(where, program + words) for where, program, words in told if is_wrong(program, words)]
    assert wrong == []


def is_wrong(program: str, words: str) -> bool:
    return fault(program, words.split()) is not None


def test_every_module_in_pages_and_messages_exists() -> None:
    told = {name for text in texts().values() for name in MODULE.findall(text)}
    assert "trainer" in told
    assert [name for name in told if find_spec(name.strip(".")) is None] == []
