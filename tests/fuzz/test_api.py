"""The API's OpenAPI document is true: schemathesis calls everything in it, also in sequences, with
values that fit the document and with values that do not.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from damage import FUZZED
from orchestrator.settings import Settings
from orchestrator_parts import serving
from problem_files import problem_file
from workers import Bench

TESTS = Path(__file__).parents[1]
KEY = "s3cret"
EXAMPLES = FUZZED.max_examples // 100


def check(port: int, folder: Path, *options: str) -> None:
    argv = [
        *(sys.executable, "-m", "schemathesis.cli", "run"),
        *(f"http://127.0.0.1:{port}/openapi.json", "--no-color", "--continue-on-failure"),
        *("--max-examples", str(EXAMPLES), "--request-timeout", "30", *options),
    ]
    if EXAMPLES < 10:
        argv += ["--generation-deterministic"]
    hooks = {"SCHEMATHESIS_HOOKS": "schemathesis_hooks", "PYTHONPATH": str(TESTS)}
    done = subprocess.run(
        argv, cwd=folder, env={**os.environ, **hooks}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("key", [KEY, pytest.param("", marks=pytest.mark.long)])
def test_every_reply_is_as_the_document_says(
    settings: Settings, bench: Bench, two_models: Path, tmp_path: Path, key: str
) -> None:
    job = bench.post(problem_file(3))
    bench.start_worker()
    bench.wait(job)
    options = ["--header", f"Authorization: Bearer {KEY}"] if key else []
    with serving(settings.model_copy(update={"api_key": key})) as port:
        check(port, tmp_path, *options)
