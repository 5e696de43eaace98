"""Ports of this machine: free ones, taken ones, and whether something answers on one."""

from __future__ import annotations

import socket
import time
from contextlib import closing

from contract.addresses import open_url
from orchestrator.local.processes import StepError


def check_port(name: str, port: int, setting: str) -> None:
    """Raises StepError if another process uses the port."""
    with closing(socket.socket()) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            reason = f"port {port} is used by another process ({error.strerror})"
            raise StepError(name, f"{reason}: end it, or set {setting}") from error


def free_port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def answers(url: str) -> bool:
    try:
        with open_url(url, timeout_s=2) as reply:
            return reply.status == 200
    except OSError:
        time.sleep(0.3)
        return False
