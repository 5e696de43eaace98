"""Wrong settings: one line each, exit code 2. No line holds a value: it may be a key."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from contract.settings import read_settings
from orchestrator.settings import ApiSettings, Settings

WRONG = [
    ("CONCURRENCY", "secret", "CONCURRENCY: write a whole number from 1 on, or auto"),
    ("REDIS_URL", "nothing", "REDIS_URL: it is no address of Redis; write redis://"),
    ("REDIS_URL", "redis://host:6379/x", "REDIS_URL: its database must be a number"),
    ("REDIS_URL", "redis://host:port/0", "REDIS_URL: it is no address of Redis; write redis://"),
    ("INFERENCE_URL", "localhost:8000", "INFERENCE_URL: it is no address of a server; write"),
    ("INFERENCE_URL", "http://host:99999/v1", "INFERENCE_URL: it is no address of a server"),
    ("REDIS_URL", "redis://:secret/secret@host:6379/0", "REDIS_URL: it is no address of Redis"),
    ("INFERENCE_URL", "http://u:secret@host:port/v1", "INFERENCE_URL: it is no address of a se"),
    ("REDIS_PASSWORD_FILE", "/nowhere", "REDIS_PASSWORD_FILE cannot be read"),
    ("API_PORT", "99999", "API_PORT: Input should be less than"),
    ("INFERENCE_API_KEY", "secret\n", "INFERENCE_API_KEY: it may hold printable ASCII"),
    ("INFERENCE_API_KEY", "sécret", "INFERENCE_API_KEY: it may hold printable ASCII"),
    ("MODEL_NAME", "", "MODEL_NAME: String should have at least 1 character"),
    ("EXTRA_BODY", "secret", "EXTRA_BODY: it is no JSON object"),
    ("EXTRA_BODY", '["secret"]', "EXTRA_BODY: it is no JSON object"),
    ("EXTRA_BODY", '{"top_k": NaN}', "EXTRA_BODY: it is no JSON object"),
    ("EXTRA_BODY", '{"seed": 1}', "EXTRA_BODY: it may not hold seed, which each request sets"),
    ("PANEL_API_KEYS", "secret", "PANEL_API_KEYS: write a JSON object of keys by name"),
    ("PANEL_API_KEYS", '{"a": "secret\\n"}', "PANEL_API_KEYS: write a JSON object of keys by name"),
    ("PANEL_API_KEYS", '{"a": 1}', "PANEL_API_KEYS: write a JSON object of keys by name"),
    ("THINKING", "secret", "THINKING: write auto, on, off, or the most tokens to think"),
    ("THINKING", "0", "THINKING: write auto, on, off, or the most tokens to think"),
    ("THINKING", "off", "THINKING is for MODEL_CONTRACT=default"),
    ("LOG_FORMAT", "xml", "LOG_FORMAT: Input should be 'json' or 'text'"),
]


@pytest.mark.parametrize(("name", "value", "said"), WRONG)
def test_a_wrong_setting_is_reported_in_one_line(
    name: str,
    value: str,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv(name, value)
    for kind in (Settings, ApiSettings):
        with pytest.raises(SystemExit, match="2"):
            read_settings(kind)
        (line,) = capsys.readouterr().err.splitlines()
        assert said in line
        assert "secret" not in line


def test_an_open_api_without_a_key_is_reported_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("API_HOST", "0.0.0.0")
    with pytest.raises(SystemExit, match="2"):
        read_settings(ApiSettings)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("the API would be open to whoever reaches 0.0.0.0")
    monkeypatch.setenv("API_HOST", "0.0.0.0\x1e")
    with pytest.raises(SystemExit, match="2"):
        read_settings(ApiSettings)
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_api_worker_and_command_line_end_with_code_2(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    bad = {"CONCURRENCY": "0", "API_PORT": "x", "QUORUM_URL": "127.0.0.1:8080"}
    folder = {"DATA_DIR": str(tmp_path / "file" / "data")}
    started = {
        name: subprocess.Popen(
            [sys.executable, "-m", *words],
            env={**os.environ, **environment},
            stderr=subprocess.PIPE,
            text=True,
        )
        for name, words, environment in (
            ("api", ["orchestrator.api"], bad),
            ("worker", ["orchestrator.worker"], bad),
            ("folder", ["orchestrator.api"], folder),
            ("quorum", ["orchestrator.cli", "list"], bad),
        )
    }
    said = {name: process.communicate(timeout=120)[1] for name, process in started.items()}
    assert {name: process.returncode for name, process in started.items()} == dict.fromkeys(
        started, 2
    )
    assert not [name for name, text in said.items() if "Traceback" in text]
    for name in ("api", "worker"):
        assert [line.split(": ")[1] for line in said[name].splitlines()] == [
            "API_PORT",
            "CONCURRENCY",
        ]
    assert said["folder"].startswith("DATA_DIR: ")
    assert len(said["folder"].splitlines()) == 1
    assert "is no address" in said["quorum"]
