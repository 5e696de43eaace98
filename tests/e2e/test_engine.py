"""Other ways to serve the demo's model: transformers' server, and adapters beside it in vLLM."""

import io
import json
import shutil
import time
from pathlib import Path

import httpx2
import pytest

from orchestrator.cli.client import Client
from orchestrator.local.ports import answers, free_port
from orchestrator.local.processes import Processes
from orchestrator.local.stack import LocalStack

pytestmark = [pytest.mark.e2e, pytest.mark.long]


def test_transformers_own_server_answers_a_job(root: Path, tmp_path: Path) -> None:
    stack = LocalStack(
        root, tmp_path, {"ENGINE": "transformers", "CONCURRENCY": "4"}, api_port=free_port()
    )
    file = tmp_path / "problems.jsonl"
    rows = (root / "examples/demo/problems.jsonl").read_text().splitlines(keepends=True)
    file.write_text("".join(rows[:4]))
    with Processes(tmp_path / "logs") as processes:
        processes.finish(stack.start_trainer(processes))
        server = stack.start_server(processes)
        stack.wait_for_server(processes, server, lambda: None)
        stack.start_service(processes)
        while not answers(f"{stack.api_url}/readyz"):
            processes.check()
        with Client(stack.api_url) as client:
            job = client.submit(file, {"samples": 3, "allow_partial": True})
            while job.status not in ("completed", "failed"):
                processes.check()
                job = client.show(job.id)
            file_of_answers = io.BytesIO()
            client.download(job.id, "answers", file_of_answers)
    found = [json.loads(line) for line in file_of_answers.getvalue().splitlines()]
    assert job.status == "completed"
    # this server cannot restrict replies: if no sample names an option, there is no answer
    without = [answer["error"] for answer in found if answer["answer"] is None]
    assert job.request_counts.completed + len(without) == job.request_counts.total == len(found)
    assert len(without) <= 2
    assert all("no sample named an option" in error for error in without)
    assert all(len(answer["samples"]) >= 2 for answer in found)
    seeds = [sample["seed"] for answer in found for sample in answer["samples"]]
    assert len(seeds) == len(set(seeds))
    log = (tmp_path / "logs" / "inference.log").read_text()
    assert "is served as it was trained" in log


def test_an_adapter_replies_as_its_own_merged_model(root: Path, tmp_path: Path) -> None:
    models = {"MODELS_DIR": str(tmp_path / "models"), "RUNS_DIR": str(tmp_path / "runs")}
    stack = LocalStack(root, tmp_path, models, api_port=free_port())
    recipe = tmp_path / "other.toml"
    text = stack.recipe.read_text().replace("../../../", f"{root}/")
    recipe.write_text(text.replace("max_steps = 120", "max_steps = 20\nseed = 43"))
    published = tmp_path / "models" / "quorum-demo"
    if (made := root / "var" / "models").exists():  # earlier tests have trained it
        shutil.copytree(made, tmp_path / "models", symlinks=True)
    with Processes(tmp_path / "logs") as processes:
        processes.finish(stack.start_trainer(processes))
        first = (published / "current").resolve()
        argv = [stack.python("trainer"), "-m", "trainer", "run", "--recipe", str(recipe)]
        processes.finish(processes.start("other", argv, stack.environment()))
        second = (published / "current").resolve()
        assert first != second
        stack.settings["ADAPTERS"] = f"first=quorum-demo/{first.name}"
        server = stack.start_server(processes)
        log = tmp_path / "logs" / "inference.log"
        stack.wait_for_server(processes, server, lambda: None)
        while "6 recorded replies were compared" not in log.read_text():
            processes.check()
            assert "not served" not in log.read_text(), log.read_text()
            time.sleep(0.5)
        url = f"http://127.0.0.1:{stack.inference_port}/v1"
        served = [entry["id"] for entry in httpx2.get(f"{url}/models").json()["data"]]
        assert served == [f"quorum-demo@{second.name}", "quorum-demo", "first"]
        texts: dict[str, list[str]] = {"first": [], "quorum-demo": []}
        recorded = json.loads((first / "verification.json").read_text())["replies"]
        for name, found in texts.items():
            for entry in recorded:
                asked = {"model": name, "messages": entry["messages"], "temperature": 0}
                reply = httpx2.post(f"{url}/chat/completions", json=asked, timeout=60).json()
                found.append(reply["choices"][0]["message"]["content"])
    assert texts["first"] == [entry["text"] for entry in recorded]
    assert texts["quorum-demo"] != texts["first"]
