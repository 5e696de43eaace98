"""A data volume of a stack's own, which can be full or slow. It needs root."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from functools import cache
from pathlib import Path

SIZE_BYTES = 256 << 20
SLOW_BYTES_PER_S = 24 << 10
THROTTLE = Path("/sys/fs/cgroup/blkio/blkio.throttle.write_bps_device")


@cache
def can_mount() -> bool:
    """True if this process may mount a file system, as root outside of most containers may."""
    if shutil.which("mkfs.ext4") is None or not Path("/dev/loop-control").exists():
        return False
    return subprocess.run(["unshare", "--mount", "true"], capture_output=True).returncode == 0


def can_throttle() -> bool:
    return can_mount() and os.access(THROTTLE, os.W_OK)


class Volume:
    """A folder `path`: an ext4 file system in a file, or a plain folder without root."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._image = path.with_suffix(".img")
        self._filler = path / "filler"
        path.mkdir()
        self.is_mounted = can_mount()
        if self.is_mounted:
            with self._image.open("wb") as image:
                image.truncate(SIZE_BYTES)
            subprocess.run(["mkfs.ext4", "-q", "-m", "0", "-F", str(self._image)], check=True)
            subprocess.run(["mount", "-o", "loop", str(self._image), str(path)], check=True)

    def fill(self) -> None:
        """Take all room that is left."""
        left = os.statvfs(self.path)
        with self._filler.open("wb") as file:
            step = left.f_bavail * left.f_frsize
            while step >= left.f_frsize:
                size = file.seek(0, os.SEEK_END)
                try:
                    os.posix_fallocate(file.fileno(), size, step)
                except OSError:  # less is left than the file system said
                    step //= 2

    def empty(self) -> None:
        self._filler.unlink(missing_ok=True)

    def throttle(self, bytes_per_s: int) -> None:
        """Limit writes to the device; 0 means no limit."""
        device = self.path.stat().st_dev
        THROTTLE.write_text(f"{os.major(device)}:{os.minor(device)} {bytes_per_s}")

    def end(self) -> None:
        if self.is_mounted:
            if can_throttle():
                self.throttle(0)
            for _ in range(20):
                if subprocess.run(["umount", str(self.path)], capture_output=True).returncode == 0:
                    return
                time.sleep(0.5)
            subprocess.run(["umount", "--lazy", str(self.path)], check=True)
