"""Each important event is one log line, with the ids of job, shard and request."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator.jobs.records import JobSettings
from problem_files import problem_file
from workers import Bench, kill_session, until


def test_a_jobs_life_is_logged_in_lines_of_json(bench: Bench, tmp_path: Path) -> None:
    log = tmp_path / "worker.log"
    values = bench.settings.model_dump(mode="json")
    environment = {key.upper(): str(value) for key, value in values.items() if value is not None}
    with log.open("w") as file:
        worker = subprocess.Popen(
            [sys.executable, "-m", "orchestrator.worker"],
            env={**os.environ, **environment, "LOG_FORMAT": "json"},
            stdout=file,
            start_new_session=True,
        )
        job = bench.post(problem_file(6), JobSettings(early_stop=False))
        bench.wait(job, scan=True)
        until(lambda: '"job ended"' in log.read_text())  # logged after the end is written
        kill_session(worker)
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert all({"event", "level", "timestamp"} <= line.keys() for line in lines)
    told = [line for line in lines if line.get("job") == job.id]
    events = [line["event"] for line in told]
    assert events.count("shard taken up") == events.count("shard done") == len(job.shards) == 2
    assert {line["shard"] for line in told if line["event"] == "shard done"} == {0, 1}
    (ended,) = [line for line in told if line["event"] == "job ended"]
    assert (ended["status"], ended["answered"], ended["failed"]) == ("completed", 12, 0)
    assert ended["samples"] >= 36
    assert "第1题" not in log.read_text()


@pytest.mark.parametrize("form", ["json", "text"])
def test_a_logged_traceback_holds_no_values_of_variables(form: str) -> None:
    program = (
        "import structlog; from orchestrator import logs; import sys\n"
        "def fail(prompt): return 1 / 0\n"
        "logs.configure(sys.argv[1])\n"
        "try: fail('a sec' + 'ret')\n"
        "except ZeroDivisionError: structlog.get_logger('quorum').exception('it failed')\n"
    )
    argv = [sys.executable, "-c", program, form]
    said = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
    assert "ZeroDivisionError" in said
    assert "fail" in said
    assert "a secret" not in said
