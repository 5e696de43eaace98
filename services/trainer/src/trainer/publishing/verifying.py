"""Merge the trained model, save it, and verify the saved files before they are published.

Three models are read in turn: the trained one, the base, and the saved one as a server will load
it. Two are never held at once.
"""

from __future__ import annotations

import gc
import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedTokenizerBase

from contract import Contract, finite, write_json
from contract.published import VERIFICATION_FILE
from trainer.data.examples import Example
from trainer.data.rendering import Rendered, Row, end_token
from trainer.progress import Progress
from trainer.publishing.accuracy import greedy_accuracy
from trainer.publishing.likelihoods import Reading, in_float32, read
from trainer.publishing.merging import save_merged
from trainer.publishing.readback import facts, read_back
from trainer.publishing.replies import greedy_replies
from trainer.publishing.verdict import Verdict, compare, differing, losses, verified_rows
from trainer.run import Run
from trainer.training.base_model import DTYPES, load_base, own_attention
from trainer.training.merged_lora import merged_once

log = logging.getLogger("trainer")


@dataclass(frozen=True)
class Candidate:
    """A model on its way to publication; `staged` is the folder that will be published."""

    run: Run
    contract: Contract
    tokenizer: PreTrainedTokenizerBase
    staged: Path
    device: torch.device


def merge_and_verify(
    trained_model: list[Any],
    candidate: Candidate,
    rows: Rendered,
    held_out: Rendered,
    measured: Sequence[Example] = (),
) -> dict[str, Any]:
    """Fill the candidate's folder with the merged model, and compare that with the trained one.

    The list's one model is taken out and, once it is saved, freed. If examples are to be
    `measured`, the report has the merged model's `accuracy` in them.

    Returns:
        The report of the comparison, which is also written into the run's folder. If its `faults`
        are empty, the model may be published.
    """
    pairs = verified_rows(_pairs(rows), _pairs(held_out))
    compared, examples = [row for row, _ in pairs], [example for _, example in pairs]
    log.info("verifying with %d rows", len(compared))
    with Progress("verifying") as progress:
        trained, meant = _save(trained_model.pop(), candidate, compared, progress)
        _free()
        with ThreadPoolExecutor(1) as beside:  # another process takes seconds to start
            messages = list(candidate.contract.probe.messages)
            found = beside.submit(read_back, candidate.staged, messages)
            base, exact = _read_base(candidate, compared, progress)
        sources = [example.source for example in examples]
        floor = compare(exact, base, sources).nats
        del exact
        _free()
        saved = _load_saved(candidate, progress)
        merged = _read(saved, candidate, compared, progress, "with the merged weights")
        lost = losses(base, trained, merged, min(len(held_out.rows), len(compared)))
        verdict = Verdict(compare(trained, merged, sources), floor, lost, candidate.run.dtype)
        for line in verdict.lines():
            log.info("%s", line)
        report = verdict.report()
        report["faults"] += differing(meant, found.result())
        report["read_back"] = sorted(meant)
        tokenizer, contract = candidate.tokenizer, candidate.contract
        replies = greedy_replies(saved, tokenizer, contract, compared, examples, progress)
        report["replies"] = [reply.model_dump(mode="json") for reply in replies]
        if measured:
            accuracy = greedy_accuracy(saved, tokenizer, contract, measured, progress)
            report["accuracy"] = accuracy._asdict()
    text = write_json(finite(report), indent=1)
    (candidate.run.folder / VERIFICATION_FILE).write_text(text + "\n", encoding="utf-8")
    return report


def _pairs(rendered: Rendered) -> list[tuple[Row, Example]]:
    return list(zip(rendered.rows, rendered.examples, strict=True))


def _save(
    model: Any, candidate: Candidate, compared: Sequence[Row], progress: Progress
) -> tuple[list[Reading], dict[str, Any]]:
    """Read rows with the trained model, merge and save it; the readings, and the facts that
    another process must find in the folder.
    """
    contract, tokenizer = candidate.contract, candidate.tokenizer
    with merged_once(model, candidate.run.recipe.training):
        trained = _read(model, candidate, compared, progress, "with the trained weights")
    with progress.part("merging and saving"):
        save_merged(model, tokenizer, end_token(tokenizer), candidate.staged)
    messages = list(contract.probe.messages)
    meant = facts(model.config, model.generation_config, tokenizer, messages)
    meant["chat_template_sha256"] = contract.chat_template_sha256
    meant["probe_token_ids"] = list(contract.probe.token_ids)
    return trained, meant


def _read_base(
    candidate: Candidate, compared: Sequence[Row], progress: Progress
) -> tuple[list[Reading], list[Reading]]:
    """Rows read with the base in the run's dtype, and in float32."""
    run = candidate.run
    with progress.part("loading the base"):
        attention = own_attention(AutoConfig.from_pretrained(run.base))
        model = load_base(run.base, run.dtype, candidate.device, attention=attention)
    narrow = _read(model, candidate, compared, progress, "with the base")
    if run.dtype == "float32":
        return narrow, narrow
    with in_float32(model):
        return narrow, _read(model, candidate, compared, progress, "with the base in float32")


def _load_saved(candidate: Candidate, progress: Progress) -> Any:
    """The merged weights with transformers' own attention, as another program would load them."""
    dtype = DTYPES[candidate.run.dtype]
    with progress.part("loading the merged weights"):
        attention = own_attention(AutoConfig.from_pretrained(candidate.staged))
        saved: Any = AutoModelForCausalLM.from_pretrained(
            candidate.staged, dtype=dtype, attn_implementation=attention
        )
        return saved.to(candidate.device).eval()


def _read(
    model: Any, candidate: Candidate, compared: Sequence[Row], progress: Progress, how: str
) -> list[Reading]:
    weight = candidate.run.recipe.training.analysis_weight
    with progress.part(f"reading rows {how}", len(compared)):
        return read(model, compared, weight, progress)


def _free() -> None:
    """Give back the memory of the model that was let go last."""
    gc.collect()
    torch.cuda.empty_cache()
