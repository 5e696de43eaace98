"""A state folder has one service and one trainer at a time, whatever became of the last."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from orchestrator.local.slots import Record, Slot, TakenError

HOLD = """
import os, sys
from pathlib import Path
from orchestrator.local.slots import Slot
with Slot(Path(sys.argv[1]), "service").held():
    print("held", flush=True)
    sys.stdin.read()
"""


def record(folder: Path, pid: int) -> Record:
    return Record(
        pid=pid,
        command="serve",
        since=time.time(),
        stack="cpu",
        why="",
        model="m",
        recipe=folder / "r.toml",
        state=folder,
        models_dir=folder,
        logs=folder,
        page="http://127.0.0.1:8080",
    )


def holding(folder: Path) -> subprocess.Popen[str]:
    argv = [sys.executable, "-c", HOLD, str(folder)]
    holder = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    return holder


def test_a_second_one_is_told_who_holds_the_slot(tmp_path: Path) -> None:
    slot = Slot(tmp_path, "service")
    assert slot.holder() is None
    with holding(tmp_path) as holder:
        slot.write(record(tmp_path, holder.pid))
        assert slot.holder() == holder.pid
        with pytest.raises(TakenError, match=rf"pid {holder.pid}, since .*8080"), slot.held():
            pass
        with Slot(tmp_path, "trainer").held():
            pass
        holder.kill()
    assert slot.holder() is None
    with slot.held():
        pass


def test_a_dead_one_is_not_in_the_way(tmp_path: Path) -> None:
    with holding(tmp_path) as holder:
        slot = Slot(tmp_path, "service")
        slot.write(record(tmp_path, holder.pid))
        holder.kill()
        while slot.holder():  # it is a zombie until it is reaped
            time.sleep(0.01)
        left = slot.read()
        assert left is not None
        assert left.pid == holder.pid
        with slot.held():
            slot.write(record(tmp_path, os.getpid()))


def test_a_record_that_cannot_be_read_counts_as_none(tmp_path: Path) -> None:
    slot = Slot(tmp_path, "service")
    with slot.held():
        pass
    (tmp_path / "local" / "service.json").write_text('{"pid": 1')
    assert slot.read() is None


def test_a_path_that_is_no_folder_has_no_holder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    slot = Slot(tmp_path / "file", "service")
    assert slot.holder() is None
    assert slot.read() is None
