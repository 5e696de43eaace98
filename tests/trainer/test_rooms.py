"""The trainer's rooms import one way, and modules and functions are short."""

import ast
from pathlib import Path

import trainer

PACKAGE = Path(trainer.__file__).parent
TREES = {
    path.relative_to(PACKAGE): ast.parse(path.read_text()) for path in sorted(PACKAGE.rglob("*.py"))
}
# top-level modules: every room may use them, and they use no room
FOUNDATIONS = {
    "digests",
    "errors",
    "members",
    "plots",
    "progress",
    "recipe",
    "run",
    "settings",
}
ROOMS = {
    "data": {"data"},
    "training": {"training", "data"},
    "distilling": {"distilling", "data"},
    "publishing": {"publishing", "training", "data"},
}
LINES_A_MODULE, LINES_A_FUNCTION = 350, 50


def imported(tree: ast.AST) -> set[str]:
    """Rooms and top modules of the trainer that `tree` imports, inside functions too."""
    names: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            names += [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
    return {one.split(".")[1] for one in names if one.startswith("trainer.")}


def test_imports_between_rooms_go_one_way() -> None:
    assert {path.parts[0] for path in TREES if len(path.parts) > 1} == ROOMS.keys()
    for path, tree in TREES.items():
        part = path.with_suffix("").parts[0]
        if part in ROOMS or part in FOUNDATIONS:
            assert imported(tree) - FOUNDATIONS <= ROOMS.get(part, set()), path


def test_modules_and_functions_are_short() -> None:
    for path, tree in TREES.items():
        assert len((PACKAGE / path).read_text().splitlines()) <= LINES_A_MODULE, path
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno:
                assert node.end_lineno - node.lineno < LINES_A_FUNCTION, (path, node.name)
