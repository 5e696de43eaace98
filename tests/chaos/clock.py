"""The wall clock of a stack's processes, which can jump. The machine's own clock is left alone."""

from __future__ import annotations

import shutil
import struct
import subprocess
from pathlib import Path

SOURCE = Path(__file__).with_name("clock.c")


def can_shift() -> bool:
    return shutil.which("gcc") is not None


class Clock:
    """`environment` makes a process follow this clock."""

    def __init__(self, folder: Path) -> None:
        self._offset = folder / "clock.offset"
        self._offset.write_bytes(struct.pack("q", 0))
        self.environment: dict[str, str] = {}
        if can_shift():
            library = folder / "clock.so"
            command = ["gcc", "-O2", "-shared", "-fPIC", "-o", str(library), str(SOURCE)]
            subprocess.run(command, check=True)
            self.environment = {"LD_PRELOAD": str(library), "CHAOS_CLOCK": str(self._offset)}

    def shift(self, seconds: int) -> None:
        """Set the offset from the machine's clock, for all processes at once."""
        with self._offset.open("r+b") as file:  # the same file: processes have it mapped
            file.write(struct.pack("q", seconds))
