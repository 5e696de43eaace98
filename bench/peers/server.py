"""The vLLM server that the sides ask, as local mode starts it, and its engine's options."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.request import Request

from bench.answer import ROOT

from contract import Stack
from contract.addresses import open_url
from orchestrator.local.choice import Choice
from orchestrator.local.processes import Processes
from orchestrator.local.stack import LocalStack

MODULE = "vllm.entrypoints.openai.api_server"
# options of the server that a batch run has no use for
SERVERS_OWN = ("--host", "--port", "--uvicorn-log-level")
# settings of the engine, and the folders of what it compiles
ENGINES = ("VLLM_", "OMP_", "CUDA_", "TORCHINDUCTOR_", "TRITON_")
# lets a run begin with an empty prefix cache, as a new file does
DEVELOPER = {"VLLM_SERVER_DEV_MODE": "1"}


@dataclass(frozen=True)
class Server:
    """`options` and `environment` are the engine's. `model_dir` is what `--model` names."""

    url: str
    model: str
    options: tuple[str, ...]
    environment: dict[str, str]
    model_dir: Path
    environment_folder: str

    @property
    def metrics_url(self) -> str:
        return f"{self.url.removesuffix('/v1')}/metrics"

    def forget_prefixes(self) -> None:
        """Empty the prefix cache. Raises OSError if the server refuses."""
        url = f"{self.url.removesuffix('/v1')}/reset_prefix_cache"
        open_url(Request(url, method="POST"), timeout_s=30).close()


@contextmanager
def served(stack: Stack) -> Iterator[Server]:
    """The demo's model on this host's `stack`, trained first if it is not there yet."""
    local = LocalStack.of(ROOT, choice=Choice(stack, ""))
    local.settings.update(DEVELOPER)
    with Processes(local.var / "logs") as processes:
        processes.finish(local.start_trainer(processes))
        child = local.start_server(processes)
        local.wait_for_server(processes, child, lambda: None)
        command, environment, folder = _engine(local.inference_port)
        yield Server(
            url=local.inference_url,
            model=local.model,
            options=batch_options(command[command.index(MODULE) + 1 :]),
            environment={
                name: value for name, value in environment.items() if name.startswith(ENGINES)
            },
            model_dir=(folder / command[command.index("--model") + 1]).resolve(),
            environment_folder=Path(local.python("server")).parents[1].name,
        )


def batch_options(options: list[str]) -> tuple[str, ...]:
    """A server's options without those that a batch run does not know."""
    found, rest = [], iter(options)
    for word in rest:
        if word in SERVERS_OWN:
            next(rest)
        else:
            found.append(word)
    return tuple(found)


def _engine(front_port: int) -> tuple[list[str], dict[str, str], Path]:
    """Command, environment and folder of the vLLM process behind a launcher's port.

    Raises:
        LookupError: no such process runs.
    """
    for entry in Path("/proc").iterdir():
        with suppress(OSError):
            if not entry.name.isdigit():
                continue
            command = (entry / "cmdline").read_bytes().decode().split("\0")[:-1]
            if MODULE not in command:
                continue
            pairs = (entry / "environ").read_bytes().decode().split("\0")[:-1]
            environment = dict(pair.split("=", 1) for pair in pairs)
            if environment.get("INFERENCE_PORT") == str(front_port):
                return command, environment, (entry / "cwd").readlink()
    raise LookupError(f"no process of {MODULE} behind port {front_port}")
