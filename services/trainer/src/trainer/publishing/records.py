"""The files that a published model has besides weights, tokenizer and contract: the records of its
run, and the model card.
"""

from __future__ import annotations

import shutil
from typing import Any

from contract import Contract
from contract.published import CARD_FILE, DATA_FILE, DATA_PICTURE, METRICS_FILE, VERIFICATION_FILE
from trainer.data.preparing import DataReport
from trainer.publishing.model_card import model_card
from trainer.publishing.verifying import Candidate
from trainer.training.curves import PICTURE, draw_curves
from trainer.training.metrics import read_metrics


def add_records(
    candidate: Candidate, contract: Contract, data: DataReport, verification: dict[str, Any]
) -> None:
    """Put metrics, reports, pictures, adapter and README.md beside the weights of `candidate`."""
    recipe, run_dir, staged = candidate.run.recipe, candidate.run.folder, candidate.staged
    metrics = read_metrics(run_dir / METRICS_FILE)
    draw_curves({recipe.name: metrics}, run_dir / PICTURE)
    for name in (PICTURE, DATA_FILE, DATA_PICTURE, METRICS_FILE, VERIFICATION_FILE):
        shutil.copyfile(run_dir / name, staged / name)
    if adapter := candidate.run.adapter:
        shutil.copytree(adapter, staged / adapter.name)
    card = model_card(recipe, contract, data, metrics, verification)
    (staged / CARD_FILE).write_text(card, encoding="utf-8")
