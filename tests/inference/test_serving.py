"""The launcher as a process, in front of a stub of vLLM: what it waits for, refuses and takes up.

The tests in e2e and compose show that it starts the real vLLM, and that the real vLLM passes the
checks.
"""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from contract.tenancy import trainer_at_work
from contracts import make_contract
from inference import serving
from inference.held import IMPORTED
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


@pytest.fixture
def launcher(root: Path, tmp_path: Path) -> Iterator[Launcher]:
    launcher = Launcher(root, tmp_path)
    yield launcher
    if launcher.process is not None and launcher.process.poll() is None:
        launcher.stop()


def test_clients_are_told_that_no_model_is_published_yet(launcher: Launcher) -> None:
    launcher.start()
    launcher.until(lambda: "waiting for a published model" in launcher.told("starting"))
    launcher.publish("d1")
    launcher.until(lambda: "is served as it was trained" in launcher.log.read_text())
    assert launcher.started() == ["m@d1 m"]
    log = launcher.log.read_text()
    assert "max-model-len" in log
    assert "room for a prompt of 4096 tokens" in log


def test_the_gpu_is_left_to_a_trainer_at_work(launcher: Launcher) -> None:
    launcher.publish("d1")
    with trainer_at_work(launcher.models):
        launcher.start()
        launcher.until(
            lambda: "d1 is served once the trainer has ended" in launcher.told("starting")
        )
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
        launcher.until(lambda: "is served once the trainer has ended" in launcher.told("starting"))
        (launcher.engine / "slow").unlink()
    launcher.until(lambda: "is served as it was trained" in launcher.log.read_text())
    assert len(launcher.started()) == 2


def test_clients_are_told_how_the_trainer_ended(launcher: Launcher) -> None:
    launcher.start()
    launcher.until(lambda: "no trainer is at work" in launcher.told("starting"))
    with trainer_at_work(launcher.models):
        launcher.until(lambda: "a trainer is at work" in launcher.told("starting"))
    with pytest.raises(ValueError, match="rows"), trainer_at_work(launcher.models):
        raise ValueError("no rows in train.jsonl")
    launcher.until(lambda: "without a model: no rows in train.jsonl" in launcher.told("starting"))
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
    launcher.until(lambda: says in launcher.told())
    assert says in launcher.log.read_text()
    (launcher.engine / "reply").write_text(REPLY)
    (launcher.engine / "tokens").write_text("[1, 2]")
    launcher.publish("d2")
    launcher.until(lambda: launcher.get()[0] == 200)


def test_an_unfit_host_is_refused_before_anything_starts(launcher: Launcher) -> None:
    launcher.environment["STACK"] = "cu12"
    launcher.publish("d1")
    launcher.start()
    launcher.until(lambda: launcher.told() != "")
    message = launcher.told()
    assert message.startswith("STACK=cu12 needs an NVIDIA GPU and none is visible here: install")
    assert launcher.log.read_text().count(message) == 1
    assert not launcher.started()


def test_a_refused_host_is_looked_at_again(launcher: Launcher) -> None:
    launcher.program = [
        "-c",
        "from inference import __main__, serving; serving.RETRY_S = 2.0; __main__.main()",
    ]
    launcher.publish("d1")
    file = launcher.models / "m/d1/contract.json"
    good = file.read_text()
    contract = json.loads(good)
    contract["provenance"]["versions"]["transformers"] = "1.0"
    file.write_text(json.dumps(contract))
    launcher.start()
    launcher.until(lambda: "d1 was trained with transformers 1.0" in launcher.told())
    file.write_text(good)
    launcher.until(lambda: launcher.names() == ["m@d1"])


@pytest.mark.long
def test_a_newer_model_takes_over_without_a_gap(launcher: Launcher) -> None:
    launcher.publish("d1")
    launcher.start()
    launcher.until(lambda: "d1 is served as it was trained" in launcher.log.read_text())
    (launcher.engine / "busy").touch()
    launcher.publish("d2")
    launcher.until(lambda: len(launcher.started()) == 2)
    assert "its server starts beside the old one" in launcher.log.read_text()
    time.sleep(serving.IDLE_S + 5)
    assert launcher.names() == ["m@d1"]
    (launcher.engine / "busy").unlink()
    answered = [launcher.get()[0]]

    def has_switched() -> bool:
        answered.append(launcher.get()[0])
        return launcher.names() == ["m@d2"]

    launcher.until(has_switched)
    assert set(answered) == {200}
    assert "d2 is served as it was trained" in launcher.log.read_text()
    assert launcher.started() == ["m@d1 m", "m@d2 m"]


@pytest.mark.long
def test_without_room_a_newer_server_is_held_until_the_old_ends(launcher: Launcher) -> None:
    launcher.environment["CPU_KV_CACHE_GIB"] = "1000"
    launcher.publish("d1")
    launcher.start()
    launcher.until(lambda: "d1 is served as it was trained" in launcher.log.read_text())
    launcher.publish("d2")
    said = "its server starts once the old one has ended, because it needs about 1003.0 GiB"
    launcher.until(lambda: said in launcher.log.read_text())
    launcher.until(lambda: launcher.log.read_text().count(IMPORTED) == 2)
    assert launcher.started() == ["m@d1 m"]
    launcher.until(lambda: launcher.names() == ["m@d2"])
    assert re.search(
        r"there was no server for \d+ s, from the old one's end", launcher.log.read_text()
    )


@pytest.mark.long
def test_a_refused_newer_model_waits_for_the_old_ones_jobs(launcher: Launcher) -> None:
    launcher.publish("d1")
    launcher.start()
    launcher.until(lambda: "d1 is served as it was trained" in launcher.log.read_text())
    (launcher.engine / "busy").touch()
    (launcher.engine / "reply").write_text("!" * 32)
    launcher.publish("d2")
    launcher.until(lambda: "d2 is not served" in launcher.log.read_text())
    assert launcher.names() == ["m@d1"]
    (launcher.engine / "busy").unlink()
    launcher.until(lambda: "d2 is not served" in launcher.told())


@pytest.mark.long
def test_a_model_that_comes_back_waits_for_jobs_again(launcher: Launcher) -> None:
    launcher.publish("d1")
    launcher.start()
    launcher.until(lambda: "d1 is served as it was trained" in launcher.log.read_text())
    (launcher.engine / "reply").write_text("!" * 32)
    launcher.publish("d2")
    launcher.until(lambda: "d2 is not served" in launcher.log.read_text())
    time.sleep(5)  # the old server is idle, but not for long enough
    launcher.point_to("d1")
    time.sleep(serving.IDLE_S)
    launcher.point_to("d2")
    time.sleep(serving.IDLE_S / 2)
    assert launcher.names() == ["m@d1"]
    launcher.until(lambda: "d2 is not served" in launcher.told())


def test_a_model_that_cannot_be_read_ends_no_server(launcher: Launcher) -> None:
    launcher.publish("d1")
    launcher.start()
    launcher.until(lambda: "d1 is served as it was trained" in launcher.log.read_text())
    launcher.publish("d2")
    launcher.point_to("d1")
    (launcher.models / "m/d2/config.json").rename(launcher.models / "config.json")
    launcher.point_to("d2")
    launcher.until(lambda: "the server cannot be started ([Errno 2]" in launcher.log.read_text())
    assert launcher.names() == ["m@d1"]


TRANSFORMERS = """
import runpy, sys
if __name__ == "__main__":
    sys.argv[1:] = ["--served-model-name", *sys.argv[2:]]
    runpy.run_module("vllm.entrypoints.openai.api_server", run_name="__main__", alter_sys=True)
"""


def test_transformers_server_keeps_its_model(launcher: Launcher, tmp_path: Path) -> None:
    stub = tmp_path / "stub/transformers/cli/transformers.py"
    stub.parent.mkdir(parents=True)
    for folder in stub.parents[:2]:
        (folder / "__init__.py").touch()
    stub.write_text(TRANSFORMERS)
    launcher.environment["PYTHONPATH"] += f"{os.pathsep}{tmp_path / 'stub'}"
    launcher.environment["ENGINE"] = "transformers"
    launcher.publish("d1")
    launcher.start()
    launcher.until(lambda: launcher.names() == ["m@d1"])
    launcher.publish("d2")
    said = "d2 is published; with ENGINE=transformers it is served after a restart"
    launcher.until(lambda: said in launcher.log.read_text())
    assert launcher.log.read_text().count(IMPORTED) == 1
    launcher.kill_server()
    launcher.until(lambda: launcher.names() == ["m@d2"])


def test_a_model_that_is_taken_back_is_not_taken_up(launcher: Launcher) -> None:
    launcher.publish("d1")
    launcher.start()
    launcher.until(lambda: "d1 is served as it was trained" in launcher.log.read_text())
    (launcher.engine / "slow").write_text("")
    launcher.publish("d2")
    launcher.until(lambda: len(launcher.started()) == 2)
    launcher.point_to("d1")
    said = "the start of d2 is broken off: another model is published"
    launcher.until(lambda: said in launcher.log.read_text())
    assert launcher.names() == ["m@d1"]


def test_clients_are_told_how_far_a_start_is(launcher: Launcher) -> None:
    (launcher.engine / "slow").write_text(
        "INFO Starting to load model /m...\n"
        "Loading safetensors checkpoint shards:  25% Completed | 1/4 [00:01<00:03]\n"
    )
    launcher.publish("d1")
    launcher.start()
    launcher.until(lambda: "loading the weights (25 %)" in launcher.told("starting"))
    assert re.fullmatch(
        r"m@d1 is being started: loading the weights \(25 %\); \d+ s so far",
        launcher.told("starting"),
    )
    (launcher.engine / "slow").unlink()
    launcher.until(lambda: launcher.get()[0] == 200)
    (launcher.engine / "slow").write_text("")
    launcher.kill_server()
    launcher.until(lambda: ", and the last start here took " in launcher.told("starting"))


def test_a_server_that_dies_is_started_again(launcher: Launcher) -> None:
    launcher.publish("d1")
    launcher.start()
    launcher.until(lambda: "is served as it was trained" in launcher.log.read_text())
    launcher.kill_server()
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
    launcher.until(lambda: launcher.told() != "")
    assert len(launcher.started()) == serving.MOST_EARLY_DEATHS
    assert "d1 is not served: 3 times in a row the server ended with exit code 1" in launcher.told()
    assert "torch.OutOfMemoryError: CUDA out of memory. Tried 2 GiB." in launcher.told()
    assert DEATH in launcher.log.read_text()
    (launcher.engine / "dies").unlink()
    launcher.publish("d2")
    launcher.until(lambda: "d2 is served as it was trained" in launcher.log.read_text())


@pytest.mark.long
def test_a_death_in_the_checks_says_nothing_about_the_weights(launcher: Launcher) -> None:
    (launcher.engine / "fails").touch()
    launcher.publish("d1")
    launcher.start()
    launcher.until(lambda: "exit code 1 before it was ready" in launcher.told("starting"))
    assert "is not served" not in launcher.log.read_text()
    (launcher.engine / "fails").unlink()
    launcher.until(lambda: launcher.names() == ["m@d1"])


@pytest.mark.long
def test_deaths_of_another_model_do_not_count(launcher: Launcher) -> None:
    (launcher.engine / "dies").write_text(DEATH)
    launcher.publish("d1")
    launcher.start()
    launcher.until(lambda: len(launcher.started()) == serving.MOST_EARLY_DEATHS - 1)
    launcher.publish("d2")
    launcher.until(lambda: launcher.started().count("m@d2 m") == 1)
    deaths = re.compile("ERROR the server ended .*; it is started again")
    launcher.until(lambda: len(deaths.findall(launcher.log.read_text())) == 3)


def test_another_programs_port_is_named_and_waited_for(launcher: Launcher) -> None:
    launcher.publish("d1")
    with socket.create_server(("127.0.0.1", launcher.port)):
        launcher.start()
        said = f"port {launcher.port} of 127.0.0.1 cannot be used (Address already in use): end"
        launcher.until(lambda: said in launcher.log.read_text())
        assert not launcher.started()
    launcher.until(lambda: "is served as it was trained" in launcher.log.read_text())


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="no IPv6 here")
def test_every_address_of_ipv6_includes_ipv4(launcher: Launcher) -> None:
    """A container's health check asks 127.0.0.1."""
    launcher.environment["INFERENCE_HOST"] = "::"
    launcher.start()
    launcher.until(lambda: "waiting for a published model" in launcher.told("starting"))


def test_a_host_without_an_address_is_named(launcher: Launcher) -> None:
    launcher.environment["INFERENCE_HOST"] = "no-host.invalid"
    launcher.start()
    launcher.until(lambda: "of no-host.invalid cannot be used (" in launcher.log.read_text())
    assert "Unknown error" not in launcher.log.read_text()
    assert launcher.stop() == 0


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


def test_a_closed_terminal_leaves_no_server_behind(launcher: Launcher) -> None:
    launcher.publish("d1")
    launcher.start()
    launcher.until(lambda: "is served as it was trained" in launcher.log.read_text())
    assert launcher.process is not None
    launcher.process.send_signal(signal.SIGHUP)
    assert launcher.process.wait(30) == 0
    assert (launcher.engine / "stops").exists()


def test_a_second_stop_signal_does_not_cut_off_the_requests(launcher: Launcher) -> None:
    launcher.publish("d1")
    launcher.start()
    launcher.until(lambda: "is served as it was trained" in launcher.log.read_text())
    assert launcher.process is not None
    launcher.process.terminate()
    launcher.until(lambda: (launcher.engine / "stops").exists())
    assert launcher.stop() == 0
    assert (launcher.engine / "stops").read_text() == f"{signal.SIGTERM.value}\n"


def test_a_stop_asks_both_servers_to_end_at_once(launcher: Launcher) -> None:
    """One after the other, they could take longer than a container gets."""
    launcher.publish("d1")
    launcher.start()
    launcher.until(lambda: "is served as it was trained" in launcher.log.read_text())
    (launcher.engine / "slow").write_text("")
    launcher.publish("d2")
    launcher.until(lambda: len(launcher.started()) == 2)
    (launcher.engine / "drains").touch()
    assert launcher.process is not None
    launcher.process.terminate()
    stops = launcher.engine / "stops"
    launcher.until(lambda: stops.exists() and stops.read_text().count("\n") == 2, timeout_s=15)
    (launcher.engine / "drains").unlink()
    assert launcher.process.wait(30) == 0


def test_a_stop_does_not_wait_for_the_checks(launcher: Launcher) -> None:
    (launcher.engine / "hangs").touch()
    launcher.publish("d1")
    launcher.start()
    launcher.until(lambda: "checking its replies" in launcher.told("starting"))
    time.sleep(2 * serving.POLL_S)  # until they have begun
    assert launcher.stop() == 0


@pytest.mark.parametrize("name", ["hub", "adapters"])
def test_a_model_may_have_any_name(launcher: Launcher, name: str) -> None:
    launcher.publish("d1")
    (launcher.models / "m").rename(launcher.models / name)
    file = launcher.models / name / "d1" / "contract.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"model": name}))
    launcher.environment["MODEL_NAME"] = name
    launcher.start()
    launcher.until(lambda: launcher.names() == [f"{name}@d1"])


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
    launcher.until(lambda: "MAX_MODEL_LEN: Input should be a valid integer" in launcher.told())
    assert launcher.stop() == 2  # the exit code for wrong settings everywhere
