"""The facts that `quorum doctor` checks: this host's Docker, driver, disk, memory, ports and
`.env`.

Works without Docker and without a GPU; a fact is None if its source does not answer.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
from contextlib import closing
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

from dotenv import dotenv_values

from contract.stacks import visible_cards

PORTS = {"API_PORT": "8080", "INFERENCE_PORT": "8000"}
# Variables that compose takes from the shell, though people set them for other programs.
PASSED_ON = ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy")


@dataclass(frozen=True)
class Card:
    name: str
    memory_gib: float
    capability: tuple[int, int]


@dataclass(frozen=True)
class Facts:
    """The facts of a host. Sizes are in bytes.

    `env` is None if there is no `.env`; `env_fault` is the reason if it cannot be read. `shadowed`
    holds the variables to which the shell gives other values than the file: compose takes the
    shell's. `images` holds the images that Docker has.
    """

    docker: str | None = None
    compose: str | None = None
    runtimes: tuple[str, ...] = ()
    images: tuple[str, ...] = ()
    driver: str | None = None
    cards: tuple[Card, ...] = ()
    free_bytes: int = 0
    memory_bytes: int = 0
    taken_ports: tuple[str, ...] = ()
    env: dict[str, str] | None = None
    env_fault: str = ""
    shadowed: tuple[str, ...] = ()
    password_file: bool = False
    training_files: tuple[str, ...] = ()


def gather(root: Path) -> Facts:
    """Collect the facts of this host; `root` is the project's folder."""
    env_fault = ""
    try:
        file = read_env(root / ".env")
    except (OSError, UnicodeDecodeError) as error:
        file, env_fault = None, str(error)
    shadowed = tuple(k for k, v in (file or {}).items() if os.environ.get(k, v) != v)
    shell = {name: os.environ[name] for name in (*shadowed, *PASSED_ON) if name in os.environ}
    env = file and {**file, **shell}
    docker = _ask("docker", "version", "--format", "{{.Server.Version}}")
    info = _ask("docker", "info", "--format", "{{json .}}") if docker else None
    told: dict[str, Any] = json.loads(info) if info else {}
    images = _ask("docker", "image", "ls", "--format", "{{.Repository}}") if docker else None
    place = Path(told.get("DockerRootDir") or root)
    data = root / (env or {}).get("TRAIN_DATA", "data")
    driver, cards = gpus()
    return Facts(
        docker=docker,
        compose=_ask("docker", "compose", "version", "--short"),
        runtimes=tuple(told.get("Runtimes") or ()),
        images=tuple((images or "").split()),
        driver=driver,
        cards=cards,
        free_bytes=shutil.disk_usage(place if place.exists() else root).free,
        memory_bytes=told.get("MemTotal") or _memory_bytes(),
        taken_ports=tuple(p for p in port_names(env or {}).values() if p.isdigit() and _taken(p)),
        env=env,
        env_fault=env_fault,
        shadowed=shadowed,
        password_file=_all_can_read(
            root / (env or {}).get("REDIS_PASSWORD_FILE", "secrets/redis_password")
        ),
        training_files=tuple(sorted(p.name for p in data.glob("*.json*"))),
    )


def read_env(path: Path) -> dict[str, str] | None:
    """The variables of an `.env` file as compose reads them; None if there is no file.

    Raises:
        OSError, UnicodeDecodeError: the file cannot be read.
    """
    if not path.is_file():
        return None
    found = dotenv_values(stream=StringIO(path.read_text(encoding="utf-8")))
    return {name: value for name, value in found.items() if value is not None}


def port_names(env: dict[str, str]) -> dict[str, str]:
    """The published ports, by the variables that set them."""
    return {name: env.get(name) or default for name, default in PORTS.items()}


def parse_cards(rows: str) -> tuple[str | None, tuple[Card, ...]]:
    """Driver version and cards from nvidia-smi's lines: driver, name, memory in MiB, and compute
    capability if the driver tells it. A number that it does not tell ("[N/A]") is 0.

    A line of another form is a message, such as "No devices were found".
    """
    driver, cards = None, []
    for row in rows.splitlines():
        if row.count(",") < 2:
            continue
        driver, name, memory, *capability = (part.strip() for part in row.split(","))
        numbers = [int(n) for n in re.findall(r"\d+", (capability or [""])[0])]
        major, minor = numbers if len(numbers) == 2 else (0, 0)
        size = float(memory) if memory.isdigit() else 0.0
        cards.append(Card(name, size / 1024, (major, minor)))
    return driver, tuple(cards)


def _ask(*argv: str) -> str | None:
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None if done.returncode == 0 else None


def gpus() -> tuple[str | None, tuple[Card, ...]]:
    """The NVIDIA driver's version and the cards; None and no card if nvidia-smi does not answer.

    A driver that is too old to tell the compute capability is still named, with 0.0 for each card.
    """
    for fields in ("compute_cap", None):
        query = ",".join(filter(None, ("driver_version,name,memory.total", fields)))
        rows = _ask("nvidia-smi", f"--query-gpu={query}", "--format=csv,noheader,nounits")
        if rows is not None:
            return parse_cards(rows)
    return None, ()


def visible_gpus() -> tuple[str | None, tuple[Card, ...]]:
    """The same without the cards that CUDA_VISIBLE_DEVICES hides from a process."""
    driver, cards = gpus()
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    ids = (_ask("nvidia-smi", "--query-gpu=uuid", "--format=csv,noheader") or "").split()
    if chosen is None or len(ids) != len(cards):
        return driver, cards
    return driver, tuple(cards[i] for i in visible_cards(ids, chosen))


def gpu_device_is_there() -> bool:
    """True if the kernel shows an NVIDIA GPU to this machine or container."""
    return any(Path("/dev").glob("nvidia[0-9]*"))


def _memory_bytes() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _all_can_read(path: Path) -> bool:
    try:
        return path.is_file() and bool(path.stat().st_mode & 0o004)
    except OSError:
        return False


def _taken(port: str) -> bool:
    with closing(socket.socket()) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", int(port)))
        except (OSError, OverflowError):
            return True
    return False
