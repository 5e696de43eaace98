"""Everything that the pages name exists: tests, files, pictures and make's targets."""

import re
from pathlib import Path

import pytest

PAGES = [
    "README.md",
    "README.zh-CN.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    *(f"docs/{p.name}" for p in (Path(__file__).parents[2] / "docs").glob("*.md")),
]


@pytest.mark.parametrize("page", PAGES)
def test_every_test_that_a_page_names_exists(root: Path, page: str) -> None:
    named = set(re.findall(r"`(test_\w+?)(\.py)?`", (root / page).read_text()))
    files = list((root / "tests").rglob("test_*.py"))
    functions = {name for f in files for name in re.findall(r"def (test_\w+)", f.read_text())}
    modules = {f.stem for f in files}
    assert {n for n, ending in named if n not in (modules if ending else functions)} == set()


@pytest.mark.parametrize("page", PAGES)
def test_every_link_and_recipe_that_a_page_names_exists(root: Path, page: str) -> None:
    text = (root / page).read_text()
    links = re.findall(r"\]\((?!https?:)([^)#]+)", text)
    missing = [link for link in links if not ((root / page).parent / link).exists()]
    recipes = re.findall(r"[\w.-]+\.toml", text)
    known = {path.name for path in root.rglob("*.toml") if ".venv" not in path.parts}
    assert missing == []
    assert set(recipes) <= known | {"my.toml"}


@pytest.mark.parametrize("page", PAGES)
def test_every_make_target_that_a_page_names_exists(root: Path, page: str) -> None:
    named = re.findall(r"`make ([a-z][a-z-]*)", (root / page).read_text())
    known = re.findall(r"^([a-z][a-z-]*):", (root / "Makefile").read_text(), re.MULTILINE)
    assert set(named) <= set(known)


def sections(text: str) -> list[list[str]]:
    """The commands of each section of a page, without their comments."""
    parts = re.split(r"^## ", text, flags=re.MULTILINE)
    return [
        [
            re.sub(r"\s+#.*", "", line)
            for block in re.findall(r"```sh\n(.*?)```", part, re.DOTALL)
            for line in block.splitlines()
        ]
        for part in parts
    ]


def test_both_readmes_have_the_same_sections_and_commands(root: Path) -> None:
    english, chinese = ((root / name).read_text() for name in ("README.md", "README.zh-CN.md"))
    assert len(sections(english)) > 8
    assert sections(chinese) == sections(english)


def test_both_readmes_show_as_many_pictures_of_the_page(root: Path) -> None:
    for name, ending in (("README.md", ""), ("README.zh-CN.md", ".zh-CN")):
        shown = re.findall(r"\]\(docs/(page-.*?\.png)\)", (root / name).read_text())
        assert shown == [f"page-job{ending}.png", f"page-question{ending}.png"]
