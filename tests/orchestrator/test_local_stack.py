"""What local mode gives its processes, by what the user chose."""

from __future__ import annotations

import http.server
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from orchestrator.local.choice import Choice
from orchestrator.local.health import ServerHealth, ask_server
from orchestrator.local.options import LocalOptions
from orchestrator.local.ports import free_port
from orchestrator.local.processes import Processes, StepError
from orchestrator.local.stack import LocalStack

RECIPE = 'name = "mine"\nbase = "{base}"\n'


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = tmp_path / "mine.toml"
    path.write_text(RECIPE.format(base="Qwen/Qwen2-7B-Instruct"))
    return path


def test_each_part_of_a_gpu_stack_has_its_own_environment(root: Path) -> None:
    stack = LocalStack.of(root, LocalOptions(), Choice("cu12", ""))
    assert stack.python("trainer") == f"{root}/.venv-cu12-trainer/bin/python"
    assert stack.python("server") == f"{root}/.venv-cu12-server/bin/python"
    assert stack.environment()["STACK"] == "cu12"
    assert LocalStack.of(root).python("server") == f"{root}/.venv-model/bin/python"


def test_folders_and_ports_are_the_users(root: Path, tmp_path: Path, recipe: Path) -> None:
    state, models = tmp_path / "state", tmp_path / "models"
    options = LocalOptions(
        recipe=str(recipe), state=state, models_dir=models, api_port=1234, inference_port=4321
    )
    environment = LocalStack.of(root, options).environment()
    assert environment["MODEL_NAME"] == "mine"
    assert environment["MODELS_DIR"] == str(models)
    assert environment["DATA_DIR"] == str(state / "data")
    assert environment["RUNS_DIR"] == str(state / "runs")
    assert environment["API_PORT"] == "1234"
    assert environment["INFERENCE_URL"] == "http://127.0.0.1:4321/v1"


def test_the_shells_settings_pass_through(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert LocalStack.of(root).environment()["API_HOST"] == "127.0.0.1"
    monkeypatch.setenv("API_HOST", "0.0.0.0")
    monkeypatch.setenv("API_KEY", "secret")
    environment = LocalStack.of(root).environment()
    assert not {"API_HOST", "API_KEY", "CONCURRENCY", "QUANTIZATION"} & set(environment)
    assert LocalStack.of(root).setting("API_KEY") == "secret"


def test_a_hub_is_left_alone_only_if_the_base_is_here(
    root: Path, tmp_path: Path, recipe: Path
) -> None:
    assert LocalStack.of(root).base_is_here
    hub = LocalOptions(recipe=str(recipe))
    assert not LocalStack.of(root, hub).base_is_here
    folder = LocalOptions(recipe=str(recipe), base=str(tmp_path))
    assert LocalStack.of(root, folder).base_is_here
    assert not LocalStack.of(root, LocalOptions(base="Qwen/Qwen2-0.5B")).base_is_here


def test_a_recipe_is_a_shipped_name_or_a_path(root: Path, recipe: Path) -> None:
    shipped = LocalStack.of(root, LocalOptions(recipe="qwen2-7b-24gb.toml"))
    assert shipped.model == "quorum-qwen2-7b"
    assert LocalStack.of(root, LocalOptions(recipe=str(recipe))).model == "mine"
    with pytest.raises(StepError, match=r"no file .*no\.toml: .*demo\.toml"):
        _ = LocalStack.of(root, LocalOptions(recipe="no.toml")).model
    recipe.write_text("name = 3")
    with pytest.raises(StepError, match="has no name"):
        _ = LocalStack.of(root, LocalOptions(recipe=str(recipe))).model


def test_the_trainer_gets_the_files_and_the_base(root: Path, tmp_path: Path, recipe: Path) -> None:
    options = LocalOptions(recipe=str(recipe), train=("a.jsonl", "b.jsonl"), base="x/y")
    stack = LocalStack.of(root, options)
    with Processes(tmp_path / "logs") as processes:
        started = stack.start_trainer(processes)
    argv = started.argv
    assert started.environment["PATH"].startswith(f"{root}/.venv-model/bin:")
    assert "HF_HUB_OFFLINE" not in started.environment
    words = ["--recipe", str(recipe), "--train", "a.jsonl", "--train", "b.jsonl", "--base", "x/y"]
    assert argv[1:] == ["-m", "trainer", "run", *words]


def test_a_folder_that_is_no_folder_is_not_sought_on_a_hub(root: Path, tmp_path: Path) -> None:
    LocalStack.of(root, LocalOptions(base="Qwen/Qwen2-0.5B")).check_inputs()
    LocalStack.of(root, LocalOptions(base=str(tmp_path))).check_inputs()
    stack = LocalStack.of(root, LocalOptions(base="./no/such"))
    with pytest.raises(StepError, match=r"no folder \./no/such: look at BASE"):
        stack.check_inputs()
    stack.check_inputs(train=False)


def test_another_folder_is_not_taken_for_the_projects(tmp_path: Path) -> None:
    with pytest.raises(StepError, match="is not the project's folder: change to it"):
        LocalStack.of(tmp_path).check_inputs()


def test_page_and_server_need_a_port_each(root: Path) -> None:
    port = free_port()
    stack = LocalStack.of(root, LocalOptions(api_port=port, inference_port=port))
    with pytest.raises(StepError, match=f"API_PORT and INFERENCE_PORT are both {port}"):
        stack.check(train=False)


def test_options_pass_to_another_process_as_words() -> None:
    words = LocalOptions(train=("a b", "c"), models_dir=Path("m")).as_words()
    assert [word for word in words if "train" in word] == ["--train=a b", "--train=c"]
    assert {"--models-dir=m", "--state=var", "--api-port=8080"} <= set(words)
    assert not any("models-dir" in word for word in LocalOptions().as_words())


@contextmanager
def refusing(body: bytes) -> Iterator[int]:
    """A server that answers 503 with this body; the launcher's stand-in is such a server."""

    class Refusal(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(503)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Refusal)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def told(kind: str) -> bytes:
    return json.dumps({"error": {"message": "loading", "type": kind, "code": 503}}).encode()


@pytest.mark.parametrize(
    ("body", "health"),
    [
        (told("starting"), ServerHealth("starting", "loading")),
        (told("unavailable"), ServerHealth("unavailable", "loading")),
        (b"", ServerHealth("starting", "it answers with HTTP 503")),
        (b'{"error": 1}', ServerHealth("starting", "it answers with HTTP 503")),
    ],
)
def test_only_a_fault_that_needs_somebody_is_one(body: bytes, health: ServerHealth) -> None:
    with refusing(body) as port:
        assert ask_server(port) == health


def test_a_program_that_does_not_speak_http_is_no_server() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def answer() -> None:
            client, _ = listening.accept()
            with client:
                client.recv(1000)
                client.sendall(b"-ERR unknown command\r\n")

        answering = threading.Thread(target=answer)
        answering.start()
        assert ask_server(listening.getsockname()[1]) == ServerHealth("away")
        answering.join()


def test_a_server_that_does_not_answer_is_away() -> None:
    assert ask_server(free_port()) == ServerHealth("away")
