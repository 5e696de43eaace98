"""`quorum doctor`: checks if this host can run the compose stack, and says what to do if it cannot.

Pure functions over the facts that `host_facts` gathers. Works without Docker and without a GPU, and
reports that they are missing.
"""

from __future__ import annotations

import re
from typing import Literal, cast, get_args
from urllib.parse import urlsplit

from pydantic import BaseModel

from contract import Stack, stack_fault
from contract.addresses import is_near
from orchestrator.cli.host_facts import Facts, port_names
from orchestrator.local.choice import UnservedHostError, choose_stack
from orchestrator.settings import is_loopback

GB, GIB = 10**9, 2**30
OLDEST_COMPOSE = (2, 26)
# Sizes of the environments of the stack cu12 and of their packages' cache, measured on 2026-11-26.
# While images are built, there are two copies of each environment.
TRAINER_GIB, SERVER_GIB, PACKAGES_GIB = 7.5, 10.3, 10.6
# Qwen2-7B's weights, for the base and merged model each; base images, the orchestrator's image and
# a checkpoint.
WEIGHTS_GB, OTHER_GB = 15.2, 3.0
CPU_IMAGES_GB, CPU_OTHER_GB = 15.0, 1.0  # images and build cache, measured
# Estimates: weights of 16 bits are read once for merging and once more for verifying.
MEMORY_GB = {"train": 32, "serve": 16, "cpu": 8, "remote": 2}
# A machine with 32 GB reports a little less.
MEMORY_SHOWN = 0.92
SMALLEST_CARD_GIB = 15
COMFORTABLE_CARD_GIB = 22
REQUIRED = ("STACK", "RECIPE", "MODEL_NAME", "COMPOSE_PROFILES", "REDIS_PASSWORD_FILE")
CPU_FILE, CPU_FILES = "compose.cpu.yml", "docker-compose.yml:compose.cpu.yml"


class Finding(BaseModel):
    """`state`: "look" is a warning, "fail" a fault that prevents running. `do` is empty if nothing
    needs to be done.
    """

    what: str
    state: Literal["ok", "look", "fail"]
    found: str
    needed: str
    do: str = ""


def findings(facts: Facts) -> list[Finding]:
    """The findings of all checks, in the order in which to fix them."""
    env = facts.env or {}
    stack = "cpu" if CPU_FILE in env.get("COMPOSE_FILE", "") else env.get("STACK", "cu12")
    profiles = [name.strip() for name in env.get("COMPOSE_PROFILES", "train,serve").split(",")]
    remote = "remote" in profiles and not {"train", "serve"} & set(profiles)
    checks = [_docker(facts)]
    if not facts.docker:
        checks.append(_local_mode(facts))
    checks += [_compose(facts), _env(facts), _password(facts)]
    if stack in get_args(Stack) and stack != "cpu" and not remote:
        checks += [_stack(facts, cast(Stack, stack)), _toolkit(facts), _cards(facts)]
    kind = "remote" if remote else "cpu" if stack == "cpu" else "serve"
    kind = "train" if kind == "serve" and "train" in profiles else kind
    checks += [_memory(facts, kind), _disk(facts, kind, profiles)]
    if kind == "train":
        checks.append(_data(facts, env))
    checks += [_ports(facts, env), _api(env), *_addresses(env, profiles)]
    return checks


def _docker(facts: Facts) -> Finding:
    if facts.docker:
        return Finding(what="Docker", state="ok", found=facts.docker, needed="an engine")
    return Finding(
        what="Docker",
        state="fail",
        found="no engine answers",
        needed="an engine",
        do="install Docker Engine and start it, or add yourself to the group docker; without "
        "Docker, use local mode",
    )


def _local_mode(facts: Facts) -> Finding:
    """What local mode would do here, for hosts that have no Docker."""
    cards = [(card.name, card.capability) for card in facts.cards]
    try:
        stack, why = choose_stack("", facts.driver, cards, cpu_will_do=False)
    except UnservedHostError as error:
        found, do = str(error), "make demo runs on the CPU"
    else:
        found, do = f"it would run the stack {stack}: {why}", "make up-local (docs/local.md)"
    return Finding(
        what="local mode",
        state="look",
        found=found,
        needed="nothing: make installs what it needs",
        do=do,
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
    if facts.env_fault:
        do = "make yourself its owner (sudo chown $USER .env), and save it as UTF-8"
        return Finding(what=".env", state="fail", found=facts.env_fault, needed=needed, do=do)
    if facts.env is None:
        return Finding(what=".env", state="fail", found="none", needed=needed, do="make env")
    missing = [name for name in REQUIRED if not facts.env.get(name)]
    stack = facts.env.get("STACK")
    if missing:
        found, do = "without " + ", ".join(missing), "copy these lines from .env.example"
    elif stack not in get_args(Stack):
        found, do = f"STACK={stack}", f"set STACK to one of {', '.join(get_args(Stack))}"
    elif stack == "cpu" and CPU_FILE not in facts.env.get("COMPOSE_FILE", ""):
        found = "STACK=cpu without compose.cpu.yml: compose would ask for a GPU"
        do = f"set COMPOSE_FILE={CPU_FILES} (make env STACK=cpu writes it)"
    elif facts.shadowed:
        names = ", ".join(facts.shadowed)
        found, do = f"the shell sets {names} to other values", f"compose uses those: unset {names}"
        return Finding(what=".env", state="look", found=found, needed=needed, do=do)
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
        needed="the file that REDIS_PASSWORD_FILE names, readable by everyone",
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
        needed=reason or f"a driver and GPUs for STACK={stack}",
        do=remedy,
    )


def _toolkit(facts: Facts) -> Finding:
    ok = "nvidia" in facts.runtimes
    return Finding(
        what="container toolkit",
        state="ok" if ok else "fail",
        found="Docker has the runtime nvidia" if ok else "Docker has no runtime nvidia",
        needed="the NVIDIA container toolkit, so that containers see the GPU",
        do=""
        if ok
        else "install nvidia-container-toolkit, then: sudo nvidia-ctk runtime configure "
        "--runtime=docker && sudo systemctl restart docker",
    )


def _cards(facts: Facts) -> Finding:
    needed = f"{COMFORTABLE_CARD_GIB} GiB for Qwen2-7B in 16 bits"
    if not facts.cards:
        return Finding(
            what="GPU memory", state="fail", found="no GPU", needed=needed, do="see above"
        )
    least = min(card.memory_gib for card in facts.cards)
    if not least:
        found = "nvidia-smi does not tell"
        do = "compare with the data sheet of the card"
        return Finding(what="GPU memory", state="look", found=found, needed=needed, do=do)
    total = sum(card.memory_gib for card in facts.cards)
    found = f"{len(facts.cards)} x {least:.0f} GiB"
    if least >= COMFORTABLE_CARD_GIB:
        return Finding(what="GPU memory", state="ok", found=found, needed=needed)
    if total >= COMFORTABLE_CARD_GIB or least >= SMALLEST_CARD_GIB - 1:
        do = "serve over several cards, or set QUANTIZATION=int4; train with quantize = 'nf4'"
        return Finding(what="GPU memory", state="look", found=found, needed=needed, do=do)
    do = "use a smaller base, such as Qwen2.5-1.5B-Instruct"
    return Finding(what="GPU memory", state="fail", found=found, needed=needed, do=do)


def _memory(facts: Facts, kind: str) -> Finding:
    needed = MEMORY_GB[kind]
    ok = facts.memory_bytes >= needed * GB * MEMORY_SHOWN
    return Finding(
        what="memory",
        state="ok" if ok else "look",
        found=f"{facts.memory_bytes / GB:.0f} GB of RAM",
        needed=f"{needed} GB" + (", for Qwen2-7B" if kind in ("train", "serve") else ""),
        do="" if ok else "add RAM or swap, or use a smaller base, such as Qwen2.5-1.5B-Instruct",
    )


def needed_gb(kind: str, profiles: list[str], images: tuple[str, ...] = ()) -> float:
    """Disk space for images that are not built yet and for weights, in GB; docs/deploy.md shows the
    sum.
    """
    if kind == "remote":
        return OTHER_GB
    parts = [name for name, on in (("trainer", "train"), ("inference", "serve")) if on in profiles]
    built = all(any(i.startswith(f"quorum-{part}") for i in images) for part in parts)
    if kind == "cpu":
        return CPU_OTHER_GB + (0 if built else CPU_IMAGES_GB)
    environments = TRAINER_GIB * ("train" in profiles) + SERVER_GIB * ("serve" in profiles)
    building = 0.0 if built else (2 * environments + PACKAGES_GIB) * GIB / GB
    return building + WEIGHTS_GB * (2 if "train" in profiles else 1) + OTHER_GB


def _disk(facts: Facts, kind: str, profiles: list[str]) -> Finding:
    needed = needed_gb(kind, profiles, facts.images)
    free = facts.free_bytes / GB
    ok = free >= needed
    return Finding(
        what="disk",
        state="ok" if ok else "fail",
        found=f"{free:.0f} GB free",
        needed=f"{needed:.0f} GB for images, base and merged weights",
        do=""
        if ok
        else "free some space (docker builder prune removes the build cache), or move Docker's "
        "data-root to a larger disk",
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
    names = port_names(env)
    wrong = [f"{name}={port}" for name, port in names.items() if not port.isdigit()]
    taken = [f"{port} ({name})" for name, port in names.items() if port in facts.taken_ports]
    found, do = "free", ""
    if wrong:
        found, do = f"not a number: {', '.join(wrong)}", "write a number in .env"
    elif taken:
        found = f"taken: {', '.join(taken)}"
        do = "nothing if the stack is already running; else set another port in .env"
    return Finding(
        what="ports",
        state="fail" if wrong else "look" if taken else "ok",
        found=found,
        needed=", ".join(f"{port} ({name})" for name, port in names.items()),
        do=do,
    )


def _api(env: dict[str, str]) -> Finding:
    where = env.get("API_PUBLISHED_ON") or "127.0.0.1"
    ok = is_loopback(where) or bool(env.get("API_KEY"))
    return Finding(
        what="API",
        state="ok" if ok else "fail",
        found=f"published on {where}" + ("" if ok else " without a key: it serves nobody"),
        needed="a key, unless the address is this machine's own",
        do="" if ok else "set API_KEY to a secret, or leave API_PUBLISHED_ON out",
    )


def _addresses(env: dict[str, str], profiles: list[str]) -> list[Finding]:
    """Findings about addresses that mean another host inside a container, or that containers cannot
    use.
    """
    found = []
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy", "INFERENCE_URL"):
        value = env.get(name, "")
        if name == "INFERENCE_URL" and "remote" not in profiles:
            continue
        if value.startswith("socks"):
            what, do = "a SOCKS proxy, which containers cannot use", "set an HTTP proxy"
        elif is_near(value) and _is_this_machine(value):
            what = f"in a container, {value} is the container itself"
            do = "write host.docker.internal instead; the program must listen on all addresses"
        else:
            continue
        needed = "an address that containers can reach"
        found.append(Finding(what=name, state="fail", found=what, needed=needed, do=do))
    return found


def _is_this_machine(url: str) -> bool:
    return is_loopback((urlsplit(url).hostname or "").rstrip("."))
