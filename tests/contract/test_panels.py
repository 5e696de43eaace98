"""A published panel is read whole, or refused with its place."""

import json
from pathlib import Path
from typing import Any

import pytest

from contract.panels import MOST_VOTERS, PANEL_FILE, Accuracy, Panel, PanelError, PanelVoter

FIRST = PanelVoter(name="v1", served_as="quorum@abc", accuracy=Accuracy(right=41, total=60))
SECOND = PanelVoter(name="v2", served_as="quorum-x-v2", folder="members/v2")


def _refused(directory: Path, voters: list[dict[str, Any]]) -> str:
    (directory / PANEL_FILE).write_text(json.dumps({"name": "x", "voters": voters}))
    with pytest.raises(PanelError) as refused:
        Panel.load(directory)
    assert str(directory / PANEL_FILE) in refused.value.sentence
    return str(refused.value)


def _voter(number: int, **changed: Any) -> dict[str, Any]:
    folder = None if number == 1 else f"members/v{number}"
    return {"name": f"v{number}", "served_as": f"m{number}", "folder": folder, **changed}


def test_a_panel_is_read_as_it_was_written(tmp_path: Path) -> None:
    panel = Panel(name="five", voters=(FIRST, SECOND))
    (tmp_path / PANEL_FILE).write_bytes(panel.dump())
    assert Panel.load(tmp_path) == panel


def test_a_directory_without_the_file_has_no_panel(tmp_path: Path) -> None:
    assert Panel.load(tmp_path) is None


def test_an_unreadable_file_is_named(tmp_path: Path) -> None:
    (tmp_path / PANEL_FILE).mkdir()
    with pytest.raises(PanelError, match=r"panel\.json cannot be read"):
        Panel.load(tmp_path)


@pytest.mark.parametrize("field", ["name", "served_as", "folder"])
def test_two_voters_may_not_share(tmp_path: Path, field: str) -> None:
    same = {"name": "v2", "served_as": "m2", "folder": "members/v2"}[field]
    fault = _refused(tmp_path, [_voter(1), _voter(2), _voter(3, **{field: same})])
    assert f"two voters have the {field} {same!r}" in fault


@pytest.mark.parametrize("folder", ["/etc", "../v2", "a/../b", "", ".", "a//b", "a/", "a\\b"])
def test_a_folder_lies_below_the_directory(tmp_path: Path, folder: str) -> None:
    fault = _refused(tmp_path, [_voter(1), _voter(2, folder=folder)])
    assert "voters.1.folder: must be a folder below" in fault


def test_only_the_first_voter_has_no_folder(tmp_path: Path) -> None:
    assert "the first voter, and no other" in _refused(tmp_path, [_voter(2), _voter(1)])
    assert "the first voter, and no other" in _refused(tmp_path, [_voter(1, folder="members/v1")])


def test_a_panel_has_one_to_16_voters(tmp_path: Path) -> None:
    assert "voters: " in _refused(tmp_path, [])
    assert "voters: " in _refused(tmp_path, [_voter(i) for i in range(1, MOST_VOTERS + 2)])


def test_an_accuracy_is_a_share(tmp_path: Path) -> None:
    for accuracy in ({"right": 3, "total": 2}, {"right": 0, "total": 0}, {"right": -1, "total": 2}):
        assert "voters.0.accuracy" in _refused(tmp_path, [_voter(1, accuracy=accuracy)])


def test_a_name_stands_in_files_and_addresses(tmp_path: Path) -> None:
    for name in ("", "a b", "a/b", ".hidden", "x" * 65):
        assert "voters.0.name" in _refused(tmp_path, [_voter(1, name=name)])
