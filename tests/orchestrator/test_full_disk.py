"""A full disk or a closed terminal ends no process of local mode."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest
from rich.console import Console

from orchestrator.cli.local_run import Supervisor, record_of
from orchestrator.cli.unfailing import Unfailing
from orchestrator.local import processes as processes_module
from orchestrator.local.options import LocalOptions
from orchestrator.local.processes import Processes, bound_log
from orchestrator.local.slots import Slot
from orchestrator.local.stack import LocalStack


def test_output_that_cannot_be_written_is_dropped() -> None:
    said = False
    with suppress(OSError), Path("/dev/full").open("w") as full:  # closing it fails, too
        console = Console(file=Unfailing(full))  # type: ignore[arg-type]
        console.print("api was killed; it is restarted in 1 s")
        said = True
    assert said


def test_a_record_that_cannot_be_written_ends_nothing(root: Path, tmp_path: Path) -> None:
    stack = LocalStack.of(root, LocalOptions(state=tmp_path))
    slot = Slot(tmp_path, "service")
    (tmp_path / "local" / "service.new").mkdir(parents=True)  # in the way of the record
    record = record_of(stack, "serve", with_service=True)
    with pytest.raises(IsADirectoryError), slot.held():
        slot.write(record)
    with Processes(tmp_path / "logs") as processes:
        supervisor = Supervisor(stack, slot, record, processes, Console())
        processes.start("one", ["sleep", "600"], {}, kept_up=True)
        supervisor.does("serving")
        supervisor.poll()
        (tmp_path / "local" / "service.new").rmdir()
        supervisor.does("stopping")
    told = slot.read()
    assert told is not None
    assert [child.name for child in told.processes] == ["one"]


def test_a_log_that_cannot_be_copied_is_emptied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes_module, "LOG_BYTES", 10)
    log = tmp_path / "api.log"
    log.write_text("x" * 11)
    (tmp_path / "api.log.1").mkdir()  # in the way of the copy
    bound_log(log)
    assert log.read_text() == ""
