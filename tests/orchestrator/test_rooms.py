"""The rooms of the orchestrator, and the arrows between them."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "services" / "orchestrator" / "src" / "orchestrator"
# A room may import itself, the rooms named here, and the modules outside every room.
ARROWS = {
    "cli": {"local", "api", "jobs"},
    "local": set[str](),
    "api": {"coordination", "jobs"},
    "worker": {"coordination", "jobs"},
    "coordination": {"jobs"},
    "jobs": set[str](),
}
MOST_LINES, MOST_LINES_OF_A_FUNCTION = 350, 50
HTTP_AND_REDIS = {"redis", "rq", "fastapi", "starlette", "openai", "httpx2"}


def imported(path: Path) -> Iterator[str]:
    """The full names of modules that a file imports."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{name.name}" for name in node.names)


def room_of(name: str) -> str | None:
    package, _, rest = name.partition(".")
    room = rest.split(".")[0]
    return room if package == "orchestrator" and room in ARROWS else None


def test_every_folder_is_a_room() -> None:
    assert {path.parent.name for path in PACKAGE.glob("*/__init__.py")} == set(ARROWS)


@pytest.mark.parametrize("room", ARROWS)
def test_arrows_between_rooms_run_one_way(room: str) -> None:
    entered = {
        (path.name, other)
        for path in (PACKAGE / room).rglob("*.py")
        for name in imported(path)
        if (other := room_of(name)) not in {room, None, *ARROWS[room]}
    }
    assert entered == set()


def test_modules_outside_the_rooms_enter_none() -> None:
    assert not [n for path in PACKAGE.glob("*.py") for n in imported(path) if room_of(n)]


def test_a_job_directory_needs_neither_redis_nor_http() -> None:
    names = {n.split(".")[0] for path in (PACKAGE / "jobs").rglob("*.py") for n in imported(path)}
    assert not names & HTTP_AND_REDIS


def test_modules_and_functions_are_short() -> None:
    root = PACKAGE.parents[2].parent
    sources = [
        root / "contract" / "src",
        root / "services" / "orchestrator" / "src",
        root / "services" / "inference" / "src",
    ]
    long: list[tuple[str, int]] = []
    for path in (path for source in sources for path in source.rglob("*.py")):
        text = path.read_text()
        if text.count("\n") > MOST_LINES:
            long.append((str(path), text.count("\n")))
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = (node.end_lineno or 0) - node.lineno + 1
                if lines > MOST_LINES_OF_A_FUNCTION:
                    long.append((f"{path}, {node.name}", lines))
    assert long == []


def test_only_coordination_knows_redis_and_rq() -> None:
    knowing = {
        path.relative_to(PACKAGE).parts[0]
        for path in PACKAGE.rglob("*.py")
        for name in imported(path)
        if name.split(".")[0] in {"redis", "rq"}
    }
    assert knowing == {"coordination", "settings.py"}  # the latter checks REDIS_URL
