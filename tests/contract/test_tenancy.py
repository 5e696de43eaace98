"""The server reads on the models volume if a trainer works, and how the last one ended."""

import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from contract.tenancy import AT_WORK, LOCK_FILE, NO_TRAINER, trainer_at_work, what_trains

HOLD = """
import sys, time
from pathlib import Path
from contract.tenancy import trainer_at_work
with trainer_at_work(Path(sys.argv[1])):
    print("at work", flush=True)
    time.sleep(60)
"""


def test_a_trainer_is_seen_while_it_works_and_not_after(tmp_path: Path) -> None:
    models = tmp_path / "models"
    assert what_trains(models) == NO_TRAINER
    with trainer_at_work(models), trainer_at_work(models):  # two servers, each on its own GPU
        assert what_trains(models) == AT_WORK
    assert what_trains(models) == NO_TRAINER


def test_a_reader_is_not_mistaken_for_a_trainer(tmp_path: Path) -> None:
    with trainer_at_work(tmp_path):
        pass
    with ThreadPoolExecutor(8) as readers:
        found = set(readers.map(lambda _: what_trains(tmp_path), range(4000)))
    assert found == {NO_TRAINER}


def test_a_read_only_folder_can_be_read(tmp_path: Path) -> None:
    with trainer_at_work(tmp_path):
        (tmp_path / LOCK_FILE).chmod(0o444)
        tmp_path.chmod(0o555)
        assert what_trains(tmp_path) == AT_WORK
    tmp_path.chmod(0o755)


def test_a_trainer_that_fails_leaves_its_reason(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no rows"), trainer_at_work(tmp_path):
        raise ValueError("no rows\nin train.jsonl")
    assert what_trains(tmp_path) == "the trainer ended without a model: no rows in train.jsonl"
    with trainer_at_work(tmp_path):
        pass
    assert what_trains(tmp_path) == NO_TRAINER


def test_a_killed_trainer_frees_the_gpu(tmp_path: Path) -> None:
    argv = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as trainer:
        assert trainer.stdout is not None
        trainer.stdout.readline()
        assert what_trains(tmp_path) == AT_WORK
        os.kill(trainer.pid, signal.SIGKILL)
    assert what_trains(tmp_path) == "the trainer was killed"
