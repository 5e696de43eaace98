"""None of our JSON files holds NaN."""

import ast
from pathlib import Path

ROOT = Path(__file__).parents[2]
SOURCES = sorted(
    path for folder in ("contract/src", "services") for path in (ROOT / folder).rglob("*.py")
)


def writes_nan(path: Path) -> list[str]:
    calls = (
        node
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and ast.unparse(node.func) in ("json.dumps", "json.dump")
    )
    return [
        f"{path.relative_to(ROOT)}:{call.lineno}"
        for call in calls
        if not any(word.arg == "allow_nan" for word in call.keywords)
    ]


def test_every_writer_of_json_refuses_nan() -> None:
    assert len(SOURCES) > 80
    assert [place for path in SOURCES for place in writes_nan(path)] == []
