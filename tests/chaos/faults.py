"""The faults: each is one entry in `FAULTS`, with what does it and what undoes it."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from random import Random

from chaos.clock import can_shift
from chaos.network import Mode
from chaos.stack import WORKERS, Stack
from chaos.uploads import Upload, cut_upload
from chaos.volume import SLOW_BYTES_PER_S, can_mount, can_throttle
from strange_replies import UNUSABLE, USABLE

HOUR_S = 3600
# A lease lasts 20 s: a process that was halted for longer has lost it.
PAST_A_LEASE_S = 24.0
# So long that every lease has run out, and the job has stood still for a while.
LONG_AWAY_S = 34.0
HANG_S = 60.0
# The share of requests at which a misbehaving model misbehaves.
SHARES = (1.0, 0.3)
EVERYTHING = ("model", "redis", "api", *WORKERS)


class NotNowError(Exception):
    """The fault cannot be done at this moment, for example because no work horse runs."""


@dataclass
class Scene:
    """What a fault may use, and what it leaves for its undoing.

    `file` is the posted file. A fault may post it again; the ids are in `jobs`, and those jobs must
    complete as well.
    """

    stack: Stack
    random: Random
    file: bytes
    jobs: list[str] = field(default_factory=list)
    halted: list[int] = field(default_factory=list)
    uploads: list[Upload] = field(default_factory=list)


Step = Callable[[Scene], None]


@dataclass(frozen=True)
class Fault:
    """`undo` is None for a fault that is over as soon as it is done.

    `hold_s` is the time until it is undone, if it is not random. `words` are the reasons that the
    note of a waiting job may name; without any, every note will do. `row` is the table's row, if
    it is not the name. `possible` is False where this machine lacks what the fault needs.
    """

    name: str
    do: Step
    undo: Step | None = None
    words: tuple[str, ...] = ()
    hold_s: float | None = None
    row: str = ""
    possible: bool = True


# ---- processes --------------------------------------------------------------------------------


def send(number: signal.Signals, *names: str) -> Step:
    """To the started processes alone, as an operator does it."""

    def step(scene: Scene) -> None:
        for name in names:
            scene.stack.send(name, number)

    return step


def send_to_all(number: signal.Signals, *names: str) -> Step:
    """To the started processes and to everything that they forked, as to a container."""

    def step(scene: Scene) -> None:
        for name in names:
            scene.stack.send_to_all(name, number)

    return step


def send_to_horse(number: signal.Signals) -> Step:
    def step(scene: Scene) -> None:
        pid = scene.stack.send_to_horse(number)
        if pid is None:
            raise NotNowError
        scene.halted.append(pid)

    return step


def let_horses_go_on(scene: Scene) -> None:
    scene.stack.continue_processes(scene.halted)


def wipe_redis(scene: Scene) -> None:
    scene.stack.send("redis", signal.SIGKILL)
    shutil.rmtree(scene.stack.redis_files)
    scene.stack.redis_files.mkdir()


def flush_redis(scene: Scene) -> None:
    scene.stack.redis.flushall()


def process_faults() -> Iterator[Fault]:
    targets = {
        "a worker": (WORKERS[:1], ()),
        "all workers": (WORKERS, ("for a worker",)),
        "the API": (("api",), ()),
        "Redis": (("redis",), ("edis",)),
        "the model server": (("model",), ("the model", "replies")),
        "every process": (EVERYTHING, ()),
    }
    yield Fault("kill -9: a work horse", send_to_horse(signal.SIGKILL))
    for target, (names, _) in targets.items():
        yield Fault(f"kill -9: {target}", send_to_all(signal.SIGKILL, *names))
    yield Fault("kill -9: Redis, and its files removed", wipe_redis)
    yield Fault("SIGTERM: a work horse", send_to_horse(signal.SIGTERM))
    for target, (names, _) in targets.items():
        yield Fault(f"SIGTERM: {target}", send(signal.SIGTERM, *names))
    yield Fault("SIGSTOP: a work horse", send_to_horse(signal.SIGSTOP), let_horses_go_on)
    for target, (names, words) in targets.items():
        yield Fault(
            f"SIGSTOP: {target}",
            send_to_all(signal.SIGSTOP, *names),
            send_to_all(signal.SIGCONT, *names),
            words,
        )
    yield Fault(
        f"SIGSTOP: all workers, for {PAST_A_LEASE_S:.0f} s",
        send_to_all(signal.SIGSTOP, *WORKERS),
        send_to_all(signal.SIGCONT, *WORKERS),
        ("for a worker",),
        PAST_A_LEASE_S,
    )
    yield Fault("FLUSHALL of Redis", flush_redis)


# ---- the model's replies ----------------------------------------------------------------------


def misbehave(**mischief: object) -> Step:
    def step(scene: Scene) -> None:
        scene.stack.misbehave(share=scene.random.choice(SHARES), **mischief)

    return step


def behave(scene: Scene) -> None:
    scene.stack.misbehave()


def model_faults() -> Iterator[Fault]:
    words = ("the model",)
    for status in (500, 503):
        yield Fault(f"model: status {status}", misbehave(status=status), behave, words)
    yield Fault("model: 429", misbehave(status=429), behave, words)
    later = misbehave(status=429, headers={"Retry-After": "2"})
    yield Fault("model: 429 with Retry-After", later, behave, words)
    hang = misbehave(hang_s=HANG_S)
    yield Fault("model: no reply for a minute", hang, behave, ("the model", "replies"))
    for name in UNUSABLE:
        row = f"model: an unusable body ({len(UNUSABLE)} kinds)"
        yield Fault(f"model: {name}", misbehave(unusable=name), behave, words, row=row)
    for name in USABLE:
        row = f"model: a strange body that can be used ({len(USABLE)} kinds)"
        yield Fault(f"model: {name}", misbehave(usable=name), behave, row=row)


# ---- network, volume, clock, uploads ----------------------------------------------------------


def model_link(mode: Mode) -> Step:
    return lambda scene: scene.stack.network.do(scene.stack.model_link.set_mode(mode))


def redis_link(mode: Mode) -> Step:
    return lambda scene: scene.stack.network.do(scene.stack.redis_link.set_mode(mode))


def network_faults() -> Iterator[Fault]:
    for where, link, words in (
        ("the model server", model_link, ("the model", "replies")),
        ("Redis", redis_link, ("edis",)),
    ):
        whole = link("open")
        yield Fault(f"network: {where} is refused", link("refused"), whole, words)
        yield Fault(f"network: no byte to or from {where}", link("frozen"), whole, words)
        yield Fault(f"network: replies of {where} break off", link("halved"), whole, words)
    yield Fault(
        f"network: no byte to or from Redis, for {LONG_AWAY_S:.0f} s",
        redis_link("frozen"),
        redis_link("open"),
        ("edis",),
        LONG_AWAY_S,
    )


def throttle(bytes_per_s: int) -> Step:
    return lambda scene: scene.stack.volume.throttle(bytes_per_s)


def shift_clock(seconds: int) -> Step:
    return lambda scene: scene.stack.clock.shift(seconds)


def start_upload(scene: Scene) -> None:
    scene.uploads.append(Upload(scene.stack, scene.file))


def finish_upload(scene: Scene) -> None:
    scene.jobs += [upload.job_id() for upload in scene.uploads]
    scene.uploads.clear()


def machine_faults() -> Iterator[Fault]:
    yield Fault(
        "volume: full",
        lambda scene: scene.stack.volume.fill(),
        lambda scene: scene.stack.volume.empty(),
        ("for room",),
        possible=can_mount(),
    )
    yield Fault(
        f"volume: writes at {SLOW_BYTES_PER_S >> 10} KiB/s",
        throttle(SLOW_BYTES_PER_S),
        throttle(0),
        possible=can_throttle(),
    )
    for name, seconds in (("an hour on", HOUR_S), ("an hour back", -HOUR_S), ("30 s on", 30)):
        jump = shift_clock(seconds)
        possible = can_shift()
        yield Fault(f"clock: {name}, then right", jump, shift_clock(0), possible=possible)
    yield Fault("upload: cut in the middle", lambda scene: cut_upload(scene.stack, scene.file))
    yield Fault("upload: in drops", start_upload, finish_upload, hold_s=2.0)


FAULTS = (*process_faults(), *model_faults(), *network_faults(), *machine_faults())
