"""Sources of a base, and the errors if it cannot be fetched."""

import errno
import json
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest

from trainer import bases
from trainer.bases import find_base
from trainer.errors import TrainerError


def test_a_directory_is_used_whatever_the_source(tiny_base: Path) -> None:
    for source in ("local", "huggingface", "modelscope"):
        assert find_base(str(tiny_base), source) == tiny_base


def test_a_directory_without_a_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(TrainerError, match=r"it has no config\.json"):
        find_base(str(tmp_path), "local")


def test_a_hub_id_with_a_local_source_names_the_variable_to_set() -> None:
    with pytest.raises(
        TrainerError, match="MODEL_SOURCE is local, and the folder Q/W does not exist"
    ):
        find_base("Q/W", "local")


@pytest.mark.parametrize(
    ("source", "address", "named"),
    [
        ("huggingface", "HF_ENDPOINT", "HF_ENDPOINT names a mirror"),
        pytest.param(
            "modelscope",
            "MODELSCOPE_DOMAIN",
            "MODEL_SOURCE=huggingface uses the other",
            marks=pytest.mark.long,
        ),
    ],
)
def test_without_a_network_the_error_names_the_variable_to_set(
    source: str, address: str, named: str, tmp_path: Path
) -> None:
    """Port 9 of this machine stands for the hub: nothing listens there."""
    program = (
        "import sys; from trainer import bases; from trainer.errors import TrainerError\n"
        "bases.PAUSES_S = (0, 0)\n"
        "try: bases.find_base('nobody/nothing', sys.argv[1])\n"
        "except TrainerError as error: print(error)"
    )
    target = "http://127.0.0.1:9" if source == "huggingface" else "127.0.0.1:9"
    hubs = {address: target, "HF_HOME": str(tmp_path), "MODELSCOPE_CACHE": str(tmp_path)}
    child = subprocess.run(
        [sys.executable, "-c", program, source],
        env={**os.environ, **hubs},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert "cannot get the base model nobody/nothing from" in child.stdout, child.stderr
    assert named in child.stdout
    assert child.stderr.count("it is resumed in 0 s") == 2


CONFIG = b"{" + b" " * 3_000_000 + b"}"


class FlakyHub(BaseHTTPRequestHandler):
    """Enough of a hub for one model with one file. At first it fails with a status that the library
    does not retry, and once it breaks off in the middle of the file.
    """

    asked: ClassVar[list[str]] = []
    broken: ClassVar[list[str]] = []

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def _answer(self, *, body: bool) -> None:
        type(self).asked.append(f"{self.command} {self.path}")
        if "/revision/" in self.path and self.asked.count(f"GET {self.path}") == 1:
            self.send_error(520, "come back later")
            return
        if self.path.startswith("/api/models/"):
            listing = {"type": "file", "path": "config.json", "size": len(CONFIG), "oid": "0" * 40}
            entry = {"rfilename": "config.json", "size": len(CONFIG), "blobId": "0" * 40}
            model = {"id": "some/model", "sha": "1" * 40, "siblings": [entry]}
            answer = [listing] if "/tree/" in self.path else model
            self._send(json.dumps(answer).encode(), 0, body=True)
            return
        start = int((self.headers.get("Range") or "bytes=0-")[6:].split("-")[0])
        self._send(CONFIG, start, body=body)

    def _send(self, content: bytes, start: int, *, body: bool) -> None:
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(content) - start))
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.send_header("ETag", '"' + "0" * 40 + '"')
        self.send_header("X-Repo-Commit", "1" * 40)
        self.end_headers()
        if not body:
            return
        if content is CONFIG and not self.broken:
            type(self).broken.append(self.path)
            self.wfile.write(content[: len(content) // 2])
            self.close_connection = True
            return
        self.wfile.write(content[start:])

    def log_message(self, *_: Any) -> None:
        """Says nothing."""


def test_a_failing_download_is_retried_and_reports_progress(tmp_path: Path) -> None:
    program = (
        "import logging, sys, time; from trainer import bases, progress\n"
        "logging.basicConfig(level='INFO', stream=sys.stdout)\n"
        "bases.PAUSES_S = (0.3, 0.3, 0.3)\n"
        "progress.SAID_EVERY_S = 0.1\n"
        "print(bases.find_base('some/model', 'huggingface'))"
    )
    server = ThreadingHTTPServer(("127.0.0.1", 0), FlakyHub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        child = subprocess.run(
            [sys.executable, "-c", program],
            env={
                **os.environ,
                "HF_ENDPOINT": f"http://127.0.0.1:{server.server_port}",
                "HF_HOME": str(tmp_path),
                "HF_HUB_DISABLE_XET": "1",
            },
            capture_output=True,
            text=True,
            timeout=300,
        )
    finally:
        server.shutdown()
    assert FlakyHub.broken, child.stderr
    *said, folder = child.stdout.splitlines()
    assert (Path(folder) / "config.json").read_bytes() == CONFIG, child.stdout
    assert any("it is resumed in 0 s" in line for line in said), FlakyHub.asked
    assert any("downloading some/model: 0.00 GiB so far" in line for line in said)
    assert "\r" not in child.stdout + child.stderr


@pytest.mark.parametrize(
    ("error", "final"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), True),
        (ConnectionResetError(errno.ECONNRESET, "reset"), False),
        (TimeoutError("timed out"), False),
    ],
)
def test_a_download_to_a_full_disk_is_not_retried(error: Exception, final: bool) -> None:
    assert bases.is_final(error) is final
    wrapped = ValueError("inside")
    wrapped.__cause__ = error
    assert bases.is_final(wrapped) is final


@pytest.mark.parametrize("proxy", ["socks5://127.0.0.1:1", "http://127.0.0.1:port"])
def test_an_unusable_proxy_is_reported_at_once(tmp_path: Path, proxy: str) -> None:
    """This holds for the Hugging Face hub; ModelScope's library first retries by itself."""
    code = (
        "import logging, sys\n"
        "from trainer import bases\n"
        "logging.basicConfig(stream=sys.stdout)\n"
        "bases.PAUSES_S = (0,)\n"
        "try:\n"
        "    bases.find_base('some/model', 'huggingface')\n"
        "except bases.TrainerError as error:\n"
        "    print(error)\n"
    )
    environment = {**os.environ, "all_proxy": proxy, "https_proxy": proxy, "http_proxy": proxy}
    environment |= {"HF_HOME": str(tmp_path), "no_proxy": "", "NO_PROXY": ""}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=120
    )
    assert "cannot get the base model some/model" in done.stdout, done.stderr
    assert "trying again" not in done.stdout
