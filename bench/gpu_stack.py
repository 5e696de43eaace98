"""Trainer and launcher of a GPU stack as processes, for tests/gpu and bench/gpu.py.

Everything that they write is under one folder: models, runs, caches and logs. STACK names the
version set; `make local-environments` makes its environments.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
import time
import urllib.error
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from contract.addresses import open_url
from orchestrator.local.ports import free_port

ROOT = Path(__file__).parents[1]
RECIPE = ROOT / "services/trainer/recipes/demo.toml"
PROBLEMS = ROOT / "examples/demo/problems.jsonl"
MODEL = "quorum-demo"
TRAIN_TIMEOUT_S = 600.0
SERVE_TIMEOUT_S = 600.0
STOP_TIMEOUT_S = 120.0
PASSED = "recorded replies were compared"
REFUSED = " is not served"


class FailedError(Exception):
    """A process did not do what was asked; the message ends with its log."""


def cards() -> list[str]:
    """The names of the GPUs that nvidia-smi lists; empty without a driver."""
    argv = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
    with suppress(OSError, subprocess.CalledProcessError):
        listed = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
        return listed.split("\n")[:-1]
    return []


class Gaps(threading.Thread):
    """Watches /health while the block runs; `longest_s` is the longest time without a server."""

    def __init__(self, launcher: Launcher) -> None:
        super().__init__(daemon=True)
        self._launcher, self._done = launcher, threading.Event()
        self.longest_s = 0.0

    def __enter__(self) -> Self:
        self.start()
        return self

    def run(self) -> None:
        last_s = time.monotonic()
        while not self._done.wait(0.05):
            if self._launcher.health()[0] == 200:
                self.longest_s = max(self.longest_s, time.monotonic() - last_s)
                last_s = time.monotonic()

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self.join()


@dataclass
class GpuStack:
    """`settings` are passed to every process, over the defaults below."""

    folder: Path
    stack: str
    settings: dict[str, str] = field(default_factory=dict)

    @property
    def models(self) -> Path:
        return self.folder / "models"

    @property
    def runs(self) -> Path:
        return self.folder / "runs"

    def python(self, part: str) -> str:
        """The interpreter of the environment of "trainer" or "server"."""
        name = "model" if self.stack == "cpu" else f"{self.stack}-{part}"
        return str(ROOT / f".venv-{name}" / "bin" / "python")

    def environment(self, **settings: str) -> dict[str, str]:
        caches = self.folder / "cache"
        return {
            **os.environ,
            "STACK": self.stack,
            "MODELS_DIR": str(self.models),
            "RUNS_DIR": str(self.runs),
            "INFERENCE_HOST": "127.0.0.1",
            "HF_HUB_OFFLINE": "1",
            "PYTHONUNBUFFERED": "1",
            "VLLM_CACHE_ROOT": str(caches / "vllm"),
            "TORCHINDUCTOR_CACHE_DIR": str(caches / "inductor"),
            "TRITON_CACHE_DIR": str(caches / "triton"),
            **self.settings,
            **settings,
        }

    def recipe(
        self, name: str, steps: int = 120, top: str = "", lora: str = "", training: str = ""
    ) -> Path:
        """The demo's recipe under another name, with further lines in its tables."""
        text = RECIPE.read_text().replace("../../../", f"{ROOT}/")
        for old, new in (
            (f'name = "{MODEL}"', f'name = "{name}"\n{top}'),
            ("[lora]", f"[lora]\n{lora}"),
            ("[training]", f"[training]\n{training}"),
            ("max_steps = 120", f"max_steps = {steps}"),
        ):
            assert old in text
            text = text.replace(old, new)
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / f"{name}-{len(list(self.folder.glob('*.toml')))}.toml"
        path.write_text(text)
        return path

    def start_trainer(self, recipe: Path, log: str, processes: int = 1, **settings: str) -> Trainer:
        """`processes` above 1: by torchrun, a process a card."""
        argv = [self.python("trainer")]
        if processes > 1:
            argv += ["-m", "torch.distributed.run", "--standalone", "--local-addr", "127.0.0.1"]
            argv += [f"--nproc-per-node={processes}"]
        argv += ["-m", "trainer", "run", "--recipe", str(recipe)]
        path = self.folder / f"{log}.log"
        return Trainer(_start(argv, self.environment(**settings), path), path)

    def published(self, name: str = MODEL) -> Path:
        return (self.models / name / "current").resolve()

    def publish(self, digest: str) -> None:
        """Make a model current that was trained before."""
        argv = [self.python("trainer"), "-m", "trainer", "publish", digest]
        done = subprocess.run(argv, env=self.environment(), capture_output=True, text=True)
        if done.returncode:
            raise FailedError(f"trainer publish: {done.stdout}{done.stderr}")

    @contextmanager
    def launcher(self, log: str, **settings: str) -> Iterator[Launcher]:
        port = free_port()
        given = {"MODEL_NAME": MODEL, "INFERENCE_PORT": str(port), **settings}
        argv = [self.python("server"), "-m", "inference"]
        log_file = self.folder / f"{log}.log"
        log_file.unlink(missing_ok=True)  # of an earlier call with this folder
        launcher = Launcher(argv, self.environment(**given), log_file, port)
        try:
            yield launcher
        finally:
            launcher.stop()


@dataclass
class Trainer:
    process: subprocess.Popen[bytes]
    log: Path

    def finish(self) -> None:
        """Raises FailedError if it fails, or takes too long."""
        try:
            code = self.process.wait(TRAIN_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            _end(self.process)
            code = -1
        if code:
            raise FailedError(f"the trainer ended with exit code {code}\n{_tail(self.log)}")


@dataclass
class Launcher:
    argv: list[str]
    environment: dict[str, str]
    log: Path
    port: int
    process: subprocess.Popen[bytes] = field(init=False)

    def __post_init__(self) -> None:
        self.start()

    def start(self) -> None:
        """Start it, also once more after a stop."""
        self.process = _start(self.argv, self.environment, self.log)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    @property
    def model(self) -> str:
        return self.environment["MODEL_NAME"]

    def health(self) -> tuple[int, str]:
        """The status of /health, and the reason if it is 503; 0 if nothing answers."""
        try:
            with open_url(f"http://127.0.0.1:{self.port}/health", timeout_s=5) as reply:
                return reply.status, ""
        except urllib.error.HTTPError as error:
            return error.code, str(json.loads(error.read())["error"]["message"])
        except OSError:
            return 0, ""

    def text(self) -> str:
        return self.log.read_text(errors="replace")

    def until(self, holds: Callable[[], bool], each_s: float = 0.2) -> float:
        """Seconds until it holds.

        Raises:
            FailedError: the launcher ends or refuses the model, or it takes too long.
        """
        began = time.monotonic()
        while not holds():
            is_late = time.monotonic() - began > SERVE_TIMEOUT_S
            if self.process.poll() is not None or is_late or REFUSED in self.text():
                raise FailedError(f"the launcher does not serve\n{_tail(self.log)}")
            time.sleep(each_s)
        return time.monotonic() - began

    def until_served(self, digest: str = "") -> float:
        """Seconds until the checks of this model have passed (of any, if none is named) and it
        answers.

        Raises:
            FailedError: as `until`.
        """

        def served() -> bool:
            lines = self.text().splitlines()
            passed = [line for line in lines if PASSED in line and digest in line]
            return bool(passed) and self.health()[0] == 200

        return self.until(served)

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(STOP_TIMEOUT_S)
        _end(self.process)


def problem_file(path: Path, copies: int) -> Path:
    """The demo's problems, several times, each with an id of its own."""
    rows = [json.loads(line) for line in PROBLEMS.read_text().splitlines()]
    with path.open("w") as out:
        for copy in range(copies):
            for row in rows:
                again: dict[str, Any] = {**row, "id": f"{row['id']}-{copy}"}
                out.write(json.dumps(again, ensure_ascii=False) + "\n")
    return path


def _start(argv: Sequence[str], environment: dict[str, str], log: Path) -> subprocess.Popen[bytes]:
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        return subprocess.Popen(
            argv,
            cwd=ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill what is left of it and its children."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _tail(log: Path) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-40:])
