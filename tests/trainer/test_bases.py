"""Where a base comes from, and what is said when it cannot be had."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from trainer.bases import find_base
from trainer.errors import TrainerError


def test_a_directory_is_taken_whatever_the_source(tiny_base: Path) -> None:
    for source in ("local", "huggingface", "modelscope"):
        assert find_base(str(tiny_base), source) == tiny_base


def test_a_directory_without_a_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(TrainerError, match=r"holds no config\.json"):
        find_base(str(tmp_path), "local")


def test_a_hub_id_with_local_as_source_says_which_variable_to_set() -> None:
    with pytest.raises(TrainerError, match="MODEL_SOURCE is local, and there is no directory Q/W"):
        find_base("Q/W", "local")


@pytest.mark.parametrize(
    ("source", "address", "named"),
    [
        ("huggingface", "HF_ENDPOINT", "HF_ENDPOINT names a mirror"),
        ("modelscope", "MODELSCOPE_DOMAIN", "MODEL_SOURCE=huggingface takes the other"),
    ],
)
def test_without_a_network_the_error_names_the_variable_to_set(
    source: str, address: str, named: str, tmp_path: Path
) -> None:
    """Port 9 of this machine, where nobody listens, stands for the hub."""
    program = (
        "import sys; from trainer.bases import find_base; from trainer.errors import TrainerError\n"
        "try: find_base('nobody/nothing', sys.argv[1])\n"
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
