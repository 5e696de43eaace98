"""`quorum doctor`: whether this host can run the compose stack, and what to do where it cannot.

Facts are gathered by asking Docker, the driver and the file system; what they mean is decided by
pure functions over them. Works without Docker and without a GPU, and says so.
"""

from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, cast, get_args

from pydantic import BaseModel

from contract import Stack, stack_fault

GB = 10**9
OLDEST_COMPOSE = (2, 26)
# Estimates for Qwen2-7B: base and merged weights of 15.2 GB each, a checkpoint, and the stack's
# images, which have not been built for a GPU yet.
DISK_GB = {"train": 50, "serve": 30}
CPU_DISK_GB = 15
SMALLEST_CARD_GIB = 15
COMFORTABLE_CARD_GIB = 22
REQUIRED = ("STACK", "RECIPE", "MODEL_NAME", "COMPOSE_PROFILES", "REDIS_PASSWORD_FILE")


@dataclass(frozen=True)
class Card:
    name: str
    memory_gib: float
    capability: tuple[int, int]


@dataclass(frozen=True)
class Facts:
    """What was found; None where nothing answered. Sizes are in bytes."""

    docker: str | None = None
    compose: str | None = None
    runtimes: tuple[str, ...] = ()
    driver: str | None = None
    cards: tuple[Card, ...] = ()
    free_bytes: int = 0
    taken_ports: tuple[int, ...] = ()
    env: dict[str, str] | None = None
    password_file: bool = False
    training_files: tuple[str, ...] = field(default=())


class Finding(BaseModel):
    """`state`: ok, worth a look, or in the way. `do` is empty where nothing is to be done."""

    what: str
    state: Literal["ok", "look", "fail"]
    found: str
    needed: str
    do: str = ""


def findings(facts: Facts) -> list[Finding]:
    """Every check, in the order in which one would mend them."""
    env = facts.env or {}
    stack = env.get("STACK", "cu12")
    profiles = env.get("COMPOSE_PROFILES", "train,serve").split(",")
    checks = [_docker(facts), _compose(facts), _env(facts), _password(facts)]
    if stack in get_args(Stack) and stack != "cpu" and "remote" not in profiles:
        checks += [_stack(facts, cast(Stack, stack)), _toolkit(facts), _memory(facts)]
    checks.append(_disk(facts, stack, profiles))
    if "train" in profiles and stack != "cpu":
        checks.append(_data(facts, env))
    checks.append(_ports(facts, env))
    return checks


def _docker(facts: Facts) -> Finding:
    if facts.docker:
        return Finding(what="Docker", state="ok", found=facts.docker, needed="an engine")
    return Finding(
        what="Docker",
        state="fail",
        found="none answers",
        needed="an engine",
        do="install Docker Engine and start it, or add yourself to the group docker; without it, "
        "make demo and make up-local run everything here",
    )


def _compose(facts: Facts) -> Finding:
    needed = ".".join(map(str, OLDEST_COMPOSE)) + " or newer"
    if facts.compose is None:
        do = "install the package docker-compose-plugin"
        return Finding(what="Compose", state="fail", found="none", needed=needed, do=do)
    numbers = tuple(int(n) for n in re.findall(r"\d+", facts.compose)[:2])
    ok = numbers >= OLDEST_COMPOSE
    return Finding(
        what="Compose",
        state="ok" if ok else "fail",
        found=facts.compose,
        needed=needed,
        do="" if ok else "update the package docker-compose-plugin",
    )


def _env(facts: Facts) -> Finding:
    needed = "a file with " + ", ".join(REQUIRED)
    if facts.env is None:
        return Finding(what=".env", state="fail", found="none", needed=needed, do="make env")
    missing = [name for name in REQUIRED if not facts.env.get(name)]
    stack = facts.env.get("STACK")
    if missing:
        found, do = "without " + ", ".join(missing), "take the lines from .env.example"
    elif stack not in get_args(Stack):
        found, do = f"STACK={stack}", f"set STACK to one of {', '.join(get_args(Stack))}"
    else:
        found = f"STACK={stack}, {facts.env['RECIPE']}, {facts.env['COMPOSE_PROFILES']}"
        return Finding(what=".env", state="ok", found=found, needed=needed)
    return Finding(what=".env", state="fail", found=found, needed=needed, do=do)


def _password(facts: Facts) -> Finding:
    found = "there" if facts.password_file else "missing"
    return Finding(
        what="password of Redis",
        state="ok" if facts.password_file else "fail",
        found=found,
        needed="the file that REDIS_PASSWORD_FILE names, readable for all",
        do="" if facts.password_file else "make env",
    )


def _stack(facts: Facts, stack: Stack) -> Finding:
    fault = stack_fault(stack, facts.driver, [(c.name, c.capability) for c in facts.cards])
    cards = ", ".join(f"{c.name} ({c.capability[0]}.{c.capability[1]})" for c in facts.cards)
    found = f"driver {facts.driver}, {cards}" if facts.driver else "no NVIDIA driver answers"
    reason, _, remedy = (fault or "").partition(": ")
    return Finding(
        what="driver and GPU",
        state="fail" if fault else "ok",
        found=found,
        needed=reason or f"what STACK={stack} runs on",
        do=remedy,
    )


def _toolkit(facts: Facts) -> Finding:
    ok = "nvidia" in facts.runtimes
    return Finding(
        what="container toolkit",
        state="ok" if ok else "fail",
        found="Docker has the runtime nvidia" if ok else "Docker knows no runtime nvidia",
        needed="the NVIDIA container toolkit, so that containers see the GPU",
        do=""
        if ok
        else "install nvidia-container-toolkit, then: sudo nvidia-ctk runtime configure "
        "--runtime=docker && sudo systemctl restart docker",
    )


def _memory(facts: Facts) -> Finding:
    needed = f"{COMFORTABLE_CARD_GIB} GiB for Qwen2-7B in 16 bits"
    if not facts.cards:
        return Finding(
            what="GPU memory", state="fail", found="no GPU", needed=needed, do="see above"
        )
    least = min(card.memory_gib for card in facts.cards)
    total = sum(card.memory_gib for card in facts.cards)
    found = f"{len(facts.cards)} x {least:.0f} GiB"
    if least >= COMFORTABLE_CARD_GIB:
        return Finding(what="GPU memory", state="ok", found=found, needed=needed)
    if total >= COMFORTABLE_CARD_GIB or least >= SMALLEST_CARD_GIB - 1:
        do = "serve over several cards, or set QUANTIZATION=int4; train with quantize = 'nf4'"
        return Finding(what="GPU memory", state="look", found=found, needed=needed, do=do)
    do = "take a smaller base, Qwen2.5-1.5B-Instruct say"
    return Finding(what="GPU memory", state="fail", found=found, needed=needed, do=do)


def _disk(facts: Facts, stack: str, profiles: list[str]) -> Finding:
    kind = "train" if "train" in profiles else "serve"
    needed = CPU_DISK_GB if stack == "cpu" else DISK_GB[kind]
    free = facts.free_bytes / GB
    ok = free >= needed
    return Finding(
        what="disk",
        state="ok" if ok else "fail",
        found=f"{free:.0f} GB free",
        needed=f"{needed} GB for images, base and merged weights",
        do="" if ok else "free some, or move Docker's data-root to a larger disk",
    )


def _data(facts: Facts, env: dict[str, str]) -> Finding:
    folder = env.get("TRAIN_DATA", "./data")
    return Finding(
        what="training data",
        state="ok" if facts.training_files else "look",
        found=", ".join(facts.training_files[:3]) or f"no .json or .jsonl in {folder}",
        needed="the labelled files that the recipe names (train.jsonl)",
        do="" if facts.training_files else f"put them into {folder} (docs/training.md)",
    )


def _ports(facts: Facts, env: dict[str, str]) -> Finding:
    names = _port_names(env)
    taken = [f"{port} ({name})" for name, port in names.items() if port in facts.taken_ports]
    return Finding(
        what="ports",
        state="look" if taken else "ok",
        found=f"taken: {', '.join(taken)}" if taken else "free",
        needed=", ".join(f"{port} ({name})" for name, port in names.items()),
        do="the stack is up already, or another program has them: set the variable in .env"
        if taken
        else "",
    )


def _port_names(env: dict[str, str]) -> dict[str, int]:
    return {
        name: int(env.get(name) or default)
        for name, default in (("API_PORT", 8080), ("INFERENCE_PORT", 8000))
    }


# ---- gathering ----------------------------------------------------------------------------------


def gather(root: Path) -> Facts:
    """Ask the host; `root` is the project's folder."""
    env = read_env(root / ".env")
    docker = _ask("docker", "version", "--format", "{{.Server.Version}}")
    info = _ask("docker", "info", "--format", "{{json .}}") if docker else None
    told = json.loads(info) if info else {}
    place = Path(told.get("DockerRootDir") or root)
    password = root / (env or {}).get("REDIS_PASSWORD_FILE", "secrets/redis_password")
    data = root / (env or {}).get("TRAIN_DATA", "data")
    driver, cards = _gpus()
    return Facts(
        docker=docker,
        compose=_ask("docker", "compose", "version", "--short"),
        runtimes=tuple(told.get("Runtimes") or ()),
        driver=driver,
        cards=cards,
        free_bytes=shutil.disk_usage(place if place.exists() else root).free,
        taken_ports=tuple(port for port in _port_names(env or {}).values() if _taken(port)),
        env=env,
        password_file=password.is_file() and bool(password.stat().st_mode & 0o004),
        training_files=tuple(sorted(p.name for p in data.glob("*.json*"))),
    )


def read_env(path: Path) -> dict[str, str] | None:
    """The variables of an .env file, None where there is none."""
    if not path.is_file():
        return None
    pairs = (line.split("=", 1) for line in path.read_text().splitlines() if "=" in line)
    return {k.strip(): v.strip() for k, v in pairs if not k.lstrip().startswith("#")}


def _ask(*argv: str) -> str | None:
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None if done.returncode == 0 else None


def _gpus() -> tuple[str | None, tuple[Card, ...]]:
    query = "--query-gpu=driver_version,name,memory.total,compute_cap"
    rows = _ask("nvidia-smi", query, "--format=csv,noheader,nounits")
    if rows is None:
        return None, ()
    return parse_cards(rows)


def parse_cards(rows: str) -> tuple[str | None, tuple[Card, ...]]:
    """nvidia-smi's lines: driver, name, memory in MiB, compute capability."""
    driver, cards = None, []
    for row in rows.splitlines():
        driver, name, memory, capability = (part.strip() for part in row.split(","))
        major, minor = capability.split(".")
        cards.append(Card(name, float(memory) / 1024, (int(major), int(minor))))
    return driver, tuple(cards)


def _taken(port: int) -> bool:
    with closing(socket.socket()) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return True
    return False
