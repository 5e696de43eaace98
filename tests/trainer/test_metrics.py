"""The metrics that a run writes for its steps."""

import json
from pathlib import Path

import torch

from contract.published import METRICS_FILE
from trainer.training.metrics import Metrics


def not_json(text: str) -> float:
    raise AssertionError(f"{text} is no JSON")


def test_an_overflowed_gradient_norm_is_left_out(tmp_path: Path) -> None:
    metrics = Metrics(tmp_path, 0, 2, torch.device("cpu"), tensorboard=False)
    for step, norm in ((1, float("inf")), (2, 0.5)):
        values = {"loss": 1.0, "learning_rate": 1e-3, "gradient_norm": norm}
        metrics.step(step, tokens=8, replies=4, validating_s=0.0, **values)
    metrics.close()
    lines = (tmp_path / METRICS_FILE).read_text().splitlines()
    entries = [json.loads(line, parse_constant=not_json) for line in lines]
    assert [entry.get("gradient_norm") for entry in entries] == [None, 0.5]
    assert [entry["loss"] for entry in entries] == [1.0, 1.0]
