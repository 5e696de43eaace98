"""The launcher in front of a stub of vLLM: what it waits for, refuses, tells and serves.

The tests in e2e and compose show that it starts the real vLLM, and that the real vLLM passes the
checks.
"""

import json
import re
import socket
from pathlib import Path

import pytest

from contract.tenancy import trainer_at_work
from launchers import REPLY, Launcher
from stub_proxy import stub_proxy


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


@pytest.mark.parametrize("name", ["hub", "adapters"])
def test_a_model_may_have_any_name(launcher: Launcher, name: str) -> None:
    launcher.publish("d1")
    (launcher.models / "m").rename(launcher.models / name)
    file = launcher.models / name / "d1" / "contract.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"model": name}))
    launcher.environment["MODEL_NAME"] = name
    launcher.start()
    launcher.until(lambda: launcher.names() == [f"{name}@d1"])


def test_the_voters_of_a_panel_are_started_and_checked_with_the_model(launcher: Launcher) -> None:
    launcher.publish("d1")
    served = launcher.publish_panel("d1")
    launcher.start()
    launcher.until(lambda: "is served as it was trained" in launcher.log.read_text())
    log = launcher.log.read_text()
    assert f"--enable-lora --max-lora-rank 8 --max-loras 1 --lora-modules {served}=" in log
    assert "2 recorded replies were compared" in log


def test_a_voter_with_other_weights_is_not_served(launcher: Launcher) -> None:
    launcher.publish("d1")
    served = launcher.publish_panel("d1", reply="不是这句话")
    launcher.start()
    launcher.until(lambda: "is not served" in launcher.told())
    assert f"adapter {served}: none of 1 greedy replies begins as the trainer" in launcher.told()


def test_a_server_without_adapters_serves_a_panels_model_and_says_so(launcher: Launcher) -> None:
    launcher.publish("d1")
    launcher.publish_panel("d1")
    launcher.environment["ENGINE"] = "transformers"
    launcher.start()
    sentence = "the panel's voters v2 are not served, because ENGINE=transformers loads no adapters"
    launcher.until(lambda: sentence in launcher.log.read_text())


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
