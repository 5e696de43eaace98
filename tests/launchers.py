"""The model server's launcher as a process, in front of a stub of vLLM."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

from contract.panels import PANEL_FILE, Panel, PanelVoter
from contracts import make_contract

REPLY = "庚绿，绿湖，结果是湖。\n答案是：B"


class Launcher:
    def __init__(self, root: Path, folder: Path, **environment: str) -> None:
        self.engine, self.models = folder / "engine", folder / "models"
        self.engine.mkdir()
        (self.engine / "reply").write_text(REPLY)
        (self.engine / "tokens").write_text("[1, 2]")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.log = folder / "log"
        paths = [str(root / "tests/stub_engine"), os.environ.get("PYTHONPATH", "")]
        self.environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(paths),
            "STUB_ENGINE": str(self.engine),
            "STACK": "cpu",
            "MODELS_DIR": str(self.models),
            "MODEL_NAME": "m",
            "INFERENCE_PORT": str(self.port),
            "VLLM_CACHE_ROOT": str(folder / "cache"),
            **environment,
        }
        self.root = root
        self.program = ["-m", "inference"]
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, *arguments: str) -> None:
        with self.log.open("ab") as log:
            argv = [sys.executable, *self.program, *arguments]
            self.process = subprocess.Popen(argv, env=self.environment, stdout=log, stderr=log)

    def publish(self, digest: str) -> None:
        model = self.models / "m" / digest
        model.mkdir(parents=True)
        config = (self.root / "examples/demo/base/config.json").read_bytes()
        (model / "config.json").write_bytes(config)
        replies = [{"source": "row 1", "messages": [{"role": "user", "content": "?"}]}]
        recorded = {"replies": [{**replies[0], "text": REPLY}]}
        (model / "verification.json").write_text(json.dumps(recorded))
        (model / "contract.json").write_bytes(make_contract(digest).dump())
        self.point_to(digest)

    def publish_panel(self, digest: str, reply: str = REPLY) -> str:
        """Make the published model `digest` a panel of two; the name of its second voter."""
        import torch
        from safetensors.torch import save_file

        model = self.models / "m" / digest
        for rank, folder in ((2, model), (4, model / "members/v2")):
            (folder / "adapter").mkdir(parents=True)
            config = {"r": rank, "lora_alpha": 6.0, "use_rslora": False}
            (folder / "adapter/adapter_config.json").write_text(json.dumps(config))
            module = "base_model.model.model.layers.0.self_attn.q_proj"
            tensors = {
                f"{module}.lora_A.weight": torch.ones(rank, 6),
                f"{module}.lora_B.weight": torch.ones(4, rank),
            }
            save_file(tensors, folder / "adapter/adapter_model.safetensors")
        own = make_contract(digest).model_copy(update={"model": "m-v2"})
        (model / "members/v2/contract.json").write_bytes(own.dump())
        recorded = json.loads((model / "verification.json").read_text())
        recorded["replies"][0]["text"] = reply
        (model / "members/v2/verification.json").write_text(json.dumps(recorded))
        voters = (
            PanelVoter(name="v1", served_as=f"m@{digest}"),
            PanelVoter(name="v2", served_as=own.served_name, folder="members/v2"),
        )
        (model / PANEL_FILE).write_bytes(Panel(name="m", voters=voters).dump())
        return own.served_name

    def point_to(self, digest: str) -> None:
        new = self.models / "m" / ".current"
        new.symlink_to(digest)
        new.rename(self.models / "m" / "current")

    def get(self) -> tuple[int, str]:
        """The status and body of `/health`."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/health") as reply:
                return reply.status, reply.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except OSError:
            return 0, ""

    def told(self, kind: str = "unavailable") -> str:
        """The reason why no server answers; empty if one does, or if the reason's kind differs."""
        status, body = self.get()
        error = json.loads(body)["error"] if status == 503 else {}
        return str(error["message"]) if error.get("type") == kind else ""

    def names(self) -> list[str]:
        """The first name that the answering server lists; none if no server answers."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/v1/models") as reply:
                return [entry["id"] for entry in json.loads(reply.read())["data"]][:1]
        except OSError:
            return []

    def kill_server(self) -> None:
        assert self.process is not None
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        os.kill(int(children.read_text().split()[0]), signal.SIGKILL)

    def started(self) -> list[str]:
        path = self.engine / "started"
        return path.read_text().splitlines() if path.exists() else []

    def until(self, holds: Callable[[], bool], timeout_s: float = 60) -> None:
        deadline = time.monotonic() + timeout_s
        while not holds():
            assert self.process is not None
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.1)

    def stop(self) -> int:
        assert self.process is not None
        self.process.terminate()
        return self.process.wait(30)
