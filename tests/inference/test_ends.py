"""The launcher in front of a stub of vLLM: servers that die, and stops."""

import re
import signal
import time

import pytest

from inference import serving
from launchers import Launcher


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
    launcher.until(lambda: stops.exists() and stops.read_text().count("\n") == 2, timeout_s=40)
    (launcher.engine / "drains").unlink()
    assert launcher.process.wait(30) == 0


def test_a_stop_does_not_wait_for_the_checks(launcher: Launcher) -> None:
    (launcher.engine / "hangs").touch()
    launcher.publish("d1")
    launcher.start()
    launcher.until(lambda: "checking its replies" in launcher.told("starting"))
    time.sleep(2 * serving.POLL_S)  # until they have begun
    assert launcher.stop() == 0
