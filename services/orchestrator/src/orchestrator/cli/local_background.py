"""Local mode in the background: start it there, and end it from another shell."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress

from rich.console import Console

from orchestrator.cli.local_run import FAILED
from orchestrator.local.options import LocalOptions
from orchestrator.local.slots import NAMES, Name, Record, Slot, TakenError
from orchestrator.local.stack import LocalStack

POLL_S = 0.2
SAY_EVERY_S = 10.0


def detach(stack: LocalStack, command: str, name: Name, console: Console) -> int:
    """Run `quorum local COMMAND` in a session of its own, and return once its processes run.

    Returns the exit code.
    """
    slot, log = Slot(stack.var, name), stack.log_of(command)
    try:
        if pid := slot.holder():
            taken = TakenError(name, pid, slot.read())
            console.print(str(taken), style="bold red", markup=False, soft_wrap=True)
            return FAILED
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as output:
            began = output.tell()
            child = _start(stack, command, output.fileno())
    except OSError as error:
        fault = f"{stack.var} cannot be used ({error}): set STATE to another folder"
        console.print(fault, style="bold red", markup=False, soft_wrap=True)
        return FAILED
    try:
        record = _started(slot, child)
    except KeyboardInterrupt:
        child.terminate()
        child.wait()
        raise
    if record is None:
        told = log.read_bytes()[began:].decode(errors="replace").strip()
        told = told or f"it ended without a word in {log}: is the disk full?"
        console.print(told, markup=False, highlight=False, soft_wrap=True)
        return FAILED
    _say_where(record, stack, console)
    return 0


def _start(stack: LocalStack, command: str, output: int) -> subprocess.Popen[bytes]:
    program = [sys.executable, "-m", "orchestrator.cli", "local", command]
    argv = [*program, "--root", str(stack.root), *stack.options.as_words()]
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # which the child inherits
    try:
        return subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    finally:
        signal.signal(signal.SIGHUP, before)


def _started(slot: Slot, child: subprocess.Popen[bytes]) -> Record | None:
    """Its record, once it is past its start; None if it has ended."""
    while child.poll() is None:
        record = slot.read()
        if record is not None and record.pid == child.pid and record.is_under_way:
            return record
        time.sleep(POLL_S)
    record = slot.read()
    done = child.returncode == 0 and record is not None and record.pid == child.pid
    return record if done else None


def _say_where(record: Record, stack: LocalStack, console: Console) -> None:
    program = _as_typed()
    state = stack.options.state
    of_state = "" if state == LocalOptions().state else f" --state {shlex.quote(str(state))}"
    lines = [f"{record.command} runs in the background (pid {record.pid}), stack {record.stack}"]
    if record.page:
        port = record.page.rpartition(":")[2]
        there = f"from another computer: ssh -L {port}:127.0.0.1:{port}"
        lines.append(f"page    {record.page} ({there})")
        lines.append(f"submit  {program} --url {record.page} submit FILE --wait")
    lines += [
        f"logs    {record.logs}",
        f"see     {program} local status{of_state}",
        f"end     {program} local down{of_state}",
    ]
    for line in lines:
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def _as_typed() -> str:
    """This program, as a shell finds it: .venv/bin is seldom on the path."""
    typed = sys.argv[0]
    return "quorum" if shutil.which("quorum") == typed else shlex.quote(typed)


def down(stack: LocalStack, console: Console) -> int:
    """End the service and the trainer of the state folder, and wait until they have ended."""
    slots = [Slot(stack.var, name) for name in NAMES]
    pids = {pid for slot in slots if (pid := slot.holder())}
    if not pids:
        console.print(f"nothing runs in {stack.var}", markup=False, soft_wrap=True)
        return 0
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
    said_s = time.monotonic()
    console.print("stopping: requests and the trainer's step under way may end first")
    while any(slot.holder() in pids for slot in slots):
        if time.monotonic() - said_s > SAY_EVERY_S:
            said_s = time.monotonic()
            console.print("still stopping")
        time.sleep(POLL_S)
    console.print("everything has ended; the next run continues from here")
    return 0
