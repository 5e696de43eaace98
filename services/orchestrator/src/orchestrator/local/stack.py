"""The stack on one machine: Redis, the trainer, vLLM, the API and two workers."""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from contract import Stack
from contract.tenancy import AT_WORK, what_trains
from orchestrator.local.choice import Choice
from orchestrator.local.health import ask_server
from orchestrator.local.options import API_PORT, LocalOptions
from orchestrator.local.ports import check_port, free_port
from orchestrator.local.processes import Child, Processes, StepError
from orchestrator.local.service import start_api_and_workers, start_redis

SERVER_TIMEOUT_S = 600.0
# A trainer that is asked to stop ends its step and writes a checkpoint.
TRAINER_STOP_S = 120.0
# The launcher gives requests DRAIN_S seconds, vLLM 20, its children 10, and clients 5 to read.
DRAIN_S, ENGINE_STOP_S = 60, 40
CPU = Choice("cpu", "")


@dataclass
class LocalStack:
    """Paths and ports of a stack, and its processes' common environment.

    `state` is the folder for the files of jobs and Redis. `settings` holds values other than the
    defaults.
    """

    root: Path
    state: Path
    settings: dict[str, str] = field(default_factory=dict)
    api_port: int = API_PORT
    workers: int = 2
    inference_port: int = field(default_factory=lambda: free_port())
    options: LocalOptions = field(default_factory=LocalOptions)
    choice: Choice = CPU

    @classmethod
    def of(
        cls, root: Path, options: LocalOptions | None = None, choice: Choice = CPU
    ) -> LocalStack:
        """The stack of some options, with all of its files under the folder STATE."""
        options = options or LocalOptions()
        return cls(
            root,
            root / options.state,
            api_port=options.api_port,
            workers=options.workers,
            inference_port=options.inference_port or free_port(),
            options=options,
            choice=choice,
        )

    @property
    def stack(self) -> Stack:
        return self.choice.stack

    @property
    def var(self) -> Path:
        return self.root / self.options.state

    @property
    def logs(self) -> Path:
        return self.var / "logs"

    def log_of(self, command: str) -> Path:
        """The output of a detached `quorum local` itself."""
        return self.logs / f"quorum-{command}.log"

    @property
    def models_dir(self) -> Path:
        given = self.options.models_dir
        return given.resolve() if given else self.var / "models"

    @property
    def api_url(self) -> str:
        return f"http://127.0.0.1:{self.api_port}"

    @property
    def inference_url(self) -> str:
        return f"http://127.0.0.1:{self.inference_port}/v1"

    @property
    def _recipes(self) -> Path:
        return self.root / "services" / "trainer" / "recipes"

    @property
    def recipe(self) -> Path:
        shipped = self._recipes / self.options.recipe
        return shipped if shipped.is_file() else Path(self.options.recipe).resolve()

    def recipe_says(self, key: str) -> str:
        """A word of the recipe. Raises StepError if it has none, or cannot be read."""
        try:
            told = tomllib.loads(self.recipe.read_text(encoding="utf-8")).get(key)
        except FileNotFoundError as error:
            shipped = sorted(file.name for file in self._recipes.glob("*.toml"))
            remedy = f"set RECIPE to a path, or to one of {', '.join(shipped)}"
            raise StepError("recipe", f"there is no file {self.recipe}: {remedy}") from error
        except (OSError, ValueError) as error:
            raise StepError("recipe", f"{self.recipe} cannot be read: {error}") from error
        if not isinstance(told, str):
            raise StepError("recipe", f"{self.recipe} has no {key}")
        return told

    @property
    def model(self) -> str:
        return self.recipe_says("name")

    @property
    def base_is_here(self) -> bool:
        """True if the base is a folder, so no hub is asked."""
        base = self.options.base
        folder = Path(base) if base else self.recipe.parent / self.recipe_says("base")
        return folder.is_dir()

    def python(self, part: str) -> str:
        """The interpreter of `trainer` or `server`."""
        folder = ".venv-model" if self.stack == "cpu" else f".venv-{self.stack}-{part}"
        return str(self.root / folder / "bin" / "python")

    def environment(self, redis_url: str = "") -> dict[str, str]:
        """What the processes get besides this one's environment, so other settings pass through."""
        cache = self.var / "cache"
        defaults = {
            "INFERENCE_API_KEY": "",
            "API_HOST": "127.0.0.1",
            "API_KEY": "",
            "VLLM_CACHE_ROOT": str(cache / "vllm"),
            "TORCHINDUCTOR_CACHE_DIR": str(cache / "inductor"),
            "TRITON_CACHE_DIR": str(cache / "triton"),
            "PYTHONWARNINGS": "ignore",
            "LOG_FORMAT": "text",
        }
        return {
            **{name: value for name, value in defaults.items() if name not in os.environ},
            "MODELS_DIR": str(self.models_dir),
            "RUNS_DIR": str(self.var / "runs"),
            "DATA_DIR": str(self.state / "data"),
            "STACK": self.stack,
            "MODEL_NAME": self.settings.get("MODEL_NAME") or self.model,
            "MODEL_CONTRACT": "published",
            "PANEL": str(self.options.panel),
            "ADAPTERS": self.options.adapters,
            "INFERENCE_HOST": "127.0.0.1",
            "INFERENCE_PORT": str(self.inference_port),
            "INFERENCE_URL": self.inference_url,
            "API_PORT": str(self.api_port),
            "API_PUBLISHED_ON": "",
            "REDIS_URL": redis_url,
            "PYTHONUNBUFFERED": "1",
            **self.settings,
        }

    def _model_environment(self, part: str) -> dict[str, str]:
        """The same for `trainer` or `server`, which find their environment's programs first. No hub
        is asked for a base that is here.
        """
        programs = f"{Path(self.python(part)).parent}:{os.environ.get('PATH', '')}"
        offline = self.base_is_here and "HF_HUB_OFFLINE" not in os.environ
        hub = {"HF_HUB_OFFLINE": "1"} if offline else {}
        return {**self.environment(), "PATH": programs, **hub}

    def setting(self, name: str) -> str:
        """A setting that is passed through; empty if it is not set."""
        return self.settings.get(name) or os.environ.get(name, "")

    def check(self, *, train: bool = True, serve: bool = True) -> None:
        """Raises StepError if a file or an environment is missing, or if a port is in use."""
        self.check_inputs(train=train)
        parts = {"trainer": train, "server": serve}
        for python in (self.python(part) for part, needed in parts.items() if needed):
            if not Path(python).exists():
                remedy = "make local-environments makes it, in the project's folder"
                raise StepError("environments", f"{python} does not exist; {remedy}")
        if train and what_trains(self.models_dir) == AT_WORK:
            reason = f"a trainer is already at work on {self.models_dir}"
            raise StepError("train", f"{reason}; quorum local serve waits until it has ended")
        if serve:
            if self.api_port == self.inference_port:
                reason = f"API_PORT and INFERENCE_PORT are both {self.api_port}: set another"
                raise StepError("inference", reason)
            check_port("api", self.api_port, "API_PORT")
            check_port("inference", self.inference_port, "INFERENCE_PORT")

    def check_inputs(self, *, train: bool = True) -> None:
        """Raises StepError if the recipe, or a file or folder to train with, is missing."""
        if not self._recipes.is_dir():
            remedy = "change to it, or name it with --root"
            raise StepError("root", f"{self.root} is not the project's folder: {remedy}")
        _ = self.model
        for file in self.options.train if train else ():
            if not Path(file).is_file():
                raise StepError("train", f"there is no file {file}: look at TRAIN")
        base = self.options.base
        if train and base.startswith((".", "/", "~")) and not Path(base).is_dir():
            raise StepError("train", f"there is no folder {base}: look at BASE")

    def start_trainer(self, processes: Processes) -> Child:
        argv = [self.python("trainer"), "-m", "trainer", "run", "--recipe", str(self.recipe)]
        for file in self.options.train:
            argv += ["--train", file]
        return processes.start(
            "trainer",
            [*argv, *self._base()],
            self._model_environment("trainer"),
            drain_s=TRAINER_STOP_S,
        )

    def _base(self) -> list[str]:
        return ["--base", self.options.base] if self.options.base else []

    def start_baseline(self, processes: Processes, file: Path, out: Path) -> Child:
        argv = [self.python("trainer"), "-m", "trainer", "baseline", "--recipe", str(self.recipe)]
        argv += [*self._base(), "--file", str(file), "--out", str(out)]
        # On a CPU this step runs during the server's start, and two programs that each use every
        # core slow each other down.
        one_core = {"OMP_NUM_THREADS": "1"} if self.stack == "cpu" else {}
        return processes.start("baseline", argv, {**self._model_environment("trainer"), **one_core})

    def start_server(self, processes: Processes) -> Child:
        drain_s = self.setting("DRAIN_S")
        return processes.start(
            "inference",
            [self.python("server"), "-m", "inference"],
            self._model_environment("server"),
            kept_up=True,
            drain_s=(int(drain_s) if drain_s.isdigit() else DRAIN_S) + ENGINE_STOP_S,
        )

    def wait_for_server(
        self,
        processes: Processes,
        server: Child,
        each_poll: Callable[[], None],
        say: Callable[[str], None] = lambda note: None,
        timeout_s: float = SERVER_TIMEOUT_S,
    ) -> None:
        """Wait until the server is ready; `say` gets what it tells while it starts.

        Raises:
            StepError: somebody must act before it can start, or it is not ready in time.
        """

        def serves() -> bool:
            health = ask_server(self.inference_port)
            if health.state == "unavailable":
                raise StepError("inference", health.note, server.log)
            if health.note:
                say(health.note)
            return health.state == "ready"

        processes.until(server, serves, timeout_s, each_poll)

    def start_service(self, processes: Processes) -> None:
        """Start Redis, the API and the workers. Returns once the API answers."""
        redis_url = start_redis(processes, self.state)
        environment = self.environment(redis_url)
        start_api_and_workers(processes, environment, self.api_url, self.workers)

    def training_metrics(self, since: float) -> dict[str, Any] | None:
        """The metrics of the last step of a run that started after `since` (a time.time())."""
        return self.metrics_of(self.model, since)

    def metrics_of(self, model: str, since: float) -> dict[str, Any] | None:
        files = [
            path
            for path in (self.var / "runs" / model).glob("*/metrics.jsonl")
            if path.stat().st_mtime >= since
        ]
        if not files:
            return None
        lines = max(files, key=lambda path: path.stat().st_mtime).read_text().splitlines()
        whole = [json.loads(line) for line in lines[-2:] if line.endswith("}")]
        steps: list[dict[str, Any]] = [entry for entry in whole if "loss" in entry]
        return steps[-1] if steps else None
