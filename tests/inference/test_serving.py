"""The launcher as a process, in front of a stub of vLLM: what it waits for, refuses and takes up.

The tests in e2e and compose show that it starts the real vLLM, and that the real vLLM passes the
checks.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from contract.tenancy import trainer_at_work
from contracts import make_contract
from inference import serving
from inference.settings import Settings
from stub_proxy import stub_proxy

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
            **environment,
        }
        self.root = root
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, *arguments: str) -> None:
        with self.log.open("ab") as log:
            argv = [sys.executable, "-m", "inference", *arguments]
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
        new = self.models / "m" / ".current"
        new.symlink_to(digest)
        new.rename(self.models / "m" / "current")

    def get(self) -> tuple[int, str]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/health") as reply:
                return reply.status, reply.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except OSError:
            return 0, ""

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


@pytest.fixture
def launcher(root: Path, tmp_path: Path) -> Iterator[Launcher]:
    launcher = Launcher(root, tmp_path)
    yield launcher
    if launcher.process is not None and launcher.process.poll() is None:
        launcher.stop()


def test_clients_are_told_that_no_model_is_published_yet(launcher: Launcher) -> None:
    launcher.start()
    launcher.until(lambda: launcher.get()[0] == 503)
    assert "waiting for a published model" in json.loads(launcher.get()[1])["error"]["message"]
    launcher.publish("d1")
    launcher.until(lambda: "is served as it was trained" in launcher.log.read_text())
    assert launcher.started() == ["m@d1 m"]
    log = launcher.log.read_text()
    assert "max-model-len" in log
    assert "room for a prompt of 4096 tokens" in log


def told(launcher: Launcher) -> str:
    status, body = launcher.get()
    return str(json.loads(body)["error"]["message"]) if status == 503 else ""


def test_the_gpu_is_left_to_a_trainer_at_work(launcher: Launcher) -> None:
    launcher.publish("d1")
    with trainer_at_work(launcher.models):
        launcher.start()
        launcher.until(lambda: "d1 is served once the trainer has ended" in told(launcher))
        assert launcher.process is not None
        loaded = Path(f"/proc/{launcher.process.pid}/maps").read_text()
        assert not [name for name in ("cuda", "nvidia", "torch") if name in loaded]
    launcher.until(lambda: "is served as it was trained" in launcher.log.read_text())
    assert launcher.started() == ["m@d1 m"]


def test_a_loading_server_makes_room_for_a_trainer(launcher: Launcher) -> None:
    (launcher.engine / "slow").write_text("")
    launcher.publish("d1")
    launcher.start()
    launcher.until(lambda: len(launcher.started()) == 1)
    with trainer_at_work(launcher.models):
        launcher.until(lambda: "is served once the trainer has ended" in told(launcher))
        (launcher.engine / "slow").unlink()
    launcher.until(lambda: "is served as it was trained" in launcher.log.read_text())
    assert len(launcher.started()) == 2


def test_clients_are_told_how_the_trainer_ended(launcher: Launcher) -> None:
    launcher.start()
    launcher.until(lambda: "no trainer is at work" in told(launcher))
    with trainer_at_work(launcher.models):
        launcher.until(lambda: "a trainer is at work" in told(launcher))
    with pytest.raises(ValueError, match="rows"), trainer_at_work(launcher.models):
        raise ValueError("no rows in train.jsonl")
    launcher.until(lambda: "without a model: no rows in train.jsonl" in told(launcher))
    launcher.publish("d1")
    launcher.until(lambda: "is served as it was trained" in launcher.log.read_text())
    assert "the model published before it is served" in launcher.log.read_text()


@pytest.mark.parametrize(
    ("file", "content", "says"),
    [
        ("reply", "!" * 32, "d1 is not served: row 1: a reply that only repeats '!': the numbers"),
        ("reply", "", "an empty reply"),
        ("reply", "另一个模型的回答", "none of 1 greedy replies begins as the trainer recorded it"),
        (
            "tokens",
            "[1, 3, 4]",
            "turns the contract's probe into other tokens than the trainer, at token 1",
        ),
    ],
)
def test_a_server_of_other_weights_is_stopped_with_a_reason(
    launcher: Launcher, file: str, content: str, says: str
) -> None:
    launcher.publish("d1")
    (launcher.engine / file).write_text(content)
    launcher.start()
    launcher.until(lambda: launcher.get()[0] == 503)
    assert says in json.loads(launcher.get()[1])["error"]["message"]
    assert says in launcher.log.read_text()
    (launcher.engine / "reply").write_text(REPLY)
    (launcher.engine / "tokens").write_text("[1, 2]")
    launcher.publish("d2")
    launcher.until(lambda: launcher.get()[0] == 200)


def test_an_unfit_host_is_refused_before_anything_starts(launcher: Launcher) -> None:
    launcher.environment["STACK"] = "cu12"
    launcher.publish("d1")
    launcher.start()
    launcher.until(lambda: launcher.get()[0] == 503)
    message = json.loads(launcher.get()[1])["error"]["message"]
    assert message.startswith("STACK=cu12 needs an NVIDIA GPU and none is visible here: install")
    assert launcher.log.read_text().count(message) == 1
    assert not launcher.started()


@pytest.mark.long
def test_a_newer_model_is_served_once_no_request_runs(launcher: Launcher) -> None:
    launcher.publish("d1")
    launcher.start()
    launcher.until(lambda: "is served as it was trained" in launcher.log.read_text())
    (launcher.engine / "busy").touch()
    launcher.publish("d2")
    launcher.until(lambda: "it is served once no job asks any more" in launcher.log.read_text())
    time.sleep(serving.IDLE_S + 3)
    assert launcher.started() == ["m@d1 m"]
    (launcher.engine / "busy").unlink()
    launcher.until(lambda: "d2 is served as it was trained" in launcher.log.read_text())
    assert launcher.started() == ["m@d1 m", "m@d2 m"]


def test_a_server_that_dies_is_started_again(launcher: Launcher) -> None:
    launcher.publish("d1")
    launcher.start()
    launcher.until(lambda: "is served as it was trained" in launcher.log.read_text())
    assert launcher.process is not None
    children = Path(f"/proc/{launcher.process.pid}/task/{launcher.process.pid}/children")
    os.kill(int(children.read_text().split()[0]), signal.SIGKILL)
    launcher.until(lambda: len(launcher.started()) == 2 and launcher.get()[0] == 200)


DEATH = """Traceback (most recent call last):
(EngineCore pid=7) ERROR [core.py:700] torch.OutOfMemoryError: CUDA out of memory. Tried 2 GiB.
(APIServer pid=5) RuntimeError: Engine core initialization failed. See root cause above.
"""


@pytest.mark.long
def test_a_server_that_cannot_start_is_told_with_its_error(launcher: Launcher) -> None:
    (launcher.engine / "dies").write_text(DEATH)
    launcher.publish("d1")
    launcher.start()
    launcher.until(lambda: launcher.get()[0] == 503)
    assert len(launcher.started()) == serving.MOST_EARLY_DEATHS
    assert "d1 is not served: 3 times in a row the server ended with exit code 1" in told(launcher)
    assert "torch.OutOfMemoryError: CUDA out of memory. Tried 2 GiB." in told(launcher)
    assert DEATH in launcher.log.read_text()
    (launcher.engine / "dies").unlink()
    launcher.publish("d2")
    launcher.until(lambda: "d2 is served as it was trained" in launcher.log.read_text())


def test_another_programs_port_is_named_and_waited_for(launcher: Launcher) -> None:
    launcher.publish("d1")
    with socket.create_server(("127.0.0.1", launcher.port)):
        launcher.start()
        said = f"port {launcher.port} of 127.0.0.1 cannot be used (Address already in use): end"
        launcher.until(lambda: said in launcher.log.read_text())
        assert not launcher.started()
    launcher.until(lambda: "is served as it was trained" in launcher.log.read_text())


def test_a_reason_is_told_once_its_port_is_free(launcher: Launcher) -> None:
    """What the server started may keep the port for a moment after the server was stopped."""
    launcher.publish("d1")
    current = launcher.models / "m" / "current"
    settings = Settings(models_dir=launcher.models, stack="cpu", inference_port=launcher.port)
    model, told = current.resolve(), []
    with socket.create_server(("127.0.0.1", launcher.port)):
        arguments = (settings, current, model, "it is unfit")
        telling = threading.Thread(target=serving._refuse, args=arguments, kwargs={"for_s": 2.0})
        telling.start()
        time.sleep(0.5)
    while telling.is_alive():
        told.append(launcher.get()[0])
        time.sleep(0.1)
    assert 503 in told


def test_quantized_weights_are_not_called_as_trained(launcher: Launcher) -> None:
    launcher.environment |= {"QUANTIZATION": "fp8"}
    launcher.publish("d1")
    launcher.start()
    launcher.until(lambda: "d1 is served in fp8, so not exactly as" in launcher.log.read_text())


def test_the_checks_ask_no_proxy(launcher: Launcher) -> None:
    with stub_proxy() as proxy:
        launcher.environment |= {"http_proxy": proxy.url, "no_proxy": "", "NO_PROXY": ""}
        launcher.publish("d1")
        launcher.start()
        launcher.until(lambda: "is served as it was trained" in launcher.log.read_text())
    assert proxy.asked == []


def test_a_stop_ends_server_and_launcher_cleanly(launcher: Launcher) -> None:
    launcher.publish("d1")
    launcher.start()
    launcher.until(lambda: "is served as it was trained" in launcher.log.read_text())
    assert launcher.stop() == 0
    assert launcher.get() == (0, "")


def test_a_stack_must_be_named(launcher: Launcher) -> None:
    del launcher.environment["STACK"]
    launcher.start()
    assert launcher.process is not None
    assert launcher.process.wait(30) == 2
    assert "STACK: Field required" in launcher.log.read_text()


def test_in_a_container_wrong_settings_are_reported_over_http(launcher: Launcher) -> None:
    """The container is then not restarted again and again."""
    launcher.environment |= {"MAX_MODEL_LEN": "many"}
    launcher.start("--stay")
    launcher.until(lambda: "MAX_MODEL_LEN: Input should be a valid integer" in told(launcher))
    assert launcher.stop() == 2  # the exit code for wrong settings everywhere
