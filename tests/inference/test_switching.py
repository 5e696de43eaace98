"""The launcher in front of a stub of vLLM: how a newer model takes over."""

import os
import re
import time
from pathlib import Path

import pytest

from inference import serving
from inference.held import IMPORTED
from launchers import Launcher


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
