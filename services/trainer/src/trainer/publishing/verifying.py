"""From a trained model to a folder that can be published: merged, verified, with all that goes with
the weights.

Three models are read in turn, and never two are held at once: the trained one, the base, and the
saved one as a server will load it.
"""

from __future__ import annotations

import gc
import logging
import shutil
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import (
    AutoModelForCausalLM,
    PreTrainedTokenizerBase,
    StoppingCriteria,
    StoppingCriteriaList,
)

from contract import Contract, PromptFormat, extract_label, finite, write_json
from trainer.data.examples import Example
from trainer.data.preparing import DataReport
from trainer.data.rendering import Rendered, Row, end_token
from trainer.data.report import JSON_FILE as DATA_FILE
from trainer.data.report import PICTURE as DATA_PICTURE
from trainer.progress import Progress
from trainer.publishing.likelihoods import in_float32, read
from trainer.publishing.merging import save_merged
from trainer.publishing.model_card import model_card
from trainer.publishing.publish import VERIFICATION_FILE
from trainer.publishing.readback import facts, read_back
from trainer.publishing.verdict import Verdict, compare, differing, losses, spread, verified_rows
from trainer.run import Run
from trainer.training.base_model import DTYPES, load_base
from trainer.training.curves import PICTURE, draw_curves
from trainer.training.metrics import METRICS_FILE, read_metrics

log = logging.getLogger("trainer")

GENERATED = 3


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
) -> dict[str, Any]:
    """Fill the folder with the merged model; the report of how it compares, written into the run's
    folder too. Its `faults` are empty where the model may be published.

    The list's one model is taken out and, once it is saved, freed.
    """
    model = trained_model.pop()
    pairs = verified_rows(
        list(zip(rows.rows, rows.examples, strict=True)),
        list(zip(held_out.rows, held_out.examples, strict=True)),
    )
    compared, examples = [row for row, _ in pairs], [example for _, example in pairs]
    run, contract, tokenizer = candidate.run, candidate.contract, candidate.tokenizer
    dtype = run.dtype
    weight, count = run.recipe.training.analysis_weight, len(compared)
    log.info("verifying with %d rows", count)
    with Progress("verifying") as progress:
        with progress.part("reading rows with the trained weights", count):
            trained = read(model, compared, weight, progress)
        with progress.part("merging and saving"):
            save_merged(model, tokenizer, end_token(tokenizer), candidate.staged)
        messages = list(contract.probe.messages)
        meant = facts(model.config, model.generation_config, tokenizer, messages)
        meant["chat_template_sha256"] = contract.chat_template_sha256
        meant["probe_token_ids"] = list(contract.probe.token_ids)
        del model
        _free()

        with ThreadPoolExecutor(1) as beside:  # another process takes seconds to start
            found = beside.submit(read_back, candidate.staged, messages)
            with progress.part("loading the base"):
                base = load_base(run.base, dtype, candidate.device, attention="sdpa")
            with progress.part("reading rows with the base", count):
                before = exact = read(base, compared, weight, progress)
            if dtype != "float32":
                with (
                    in_float32(base),
                    progress.part("reading rows with the base in float32", count),
                ):
                    exact = read(base, compared, weight, progress)
        sources = [example.source for example in examples]
        floor = compare(exact, before, sources).nats
        del base, exact
        _free()

        with progress.part("loading the merged weights"):
            # with transformers' own attention, as another program would load them
            saved: Any = AutoModelForCausalLM.from_pretrained(candidate.staged, dtype=DTYPES[dtype])
            saved.to(candidate.device).eval()
        with progress.part("reading rows with the merged weights", count):
            merged = read(saved, compared, weight, progress)
        lost = losses(before, trained, merged, min(len(held_out.rows), count))
        verdict = Verdict(compare(trained, merged, sources), floor, lost, dtype)
        for line in verdict.lines():
            log.info("%s", line)
        report = verdict.report()
        report["faults"] += differing(meant, found.result())
        report["read_back"] = sorted(meant)
        report["replies"] = _greedy_replies(
            saved, tokenizer, contract, compared, examples, progress
        )
    text = write_json(finite(report), indent=1)
    (run.folder / VERIFICATION_FILE).write_text(text + "\n", encoding="utf-8")
    return report


def _free() -> None:
    """Give back what the model just let go of held."""
    gc.collect()
    torch.cuda.empty_cache()


class _Told(StoppingCriteria):  # type: ignore[misc]  # untyped in transformers
    """Stops nothing, and is called once a token."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress

    def __call__(self, ids: torch.Tensor, scores: Any, **_: Any) -> Any:
        self._progress.piece()
        return torch.zeros(len(ids), dtype=torch.bool, device=ids.device)


@torch.inference_mode()
def _greedy_replies(
    model: Any,
    tokenizer: PreTrainedTokenizerBase,
    contract: Contract,
    rows: Sequence[Row],
    examples: Sequence[Example],
    progress: Progress,
) -> list[dict[str, Any]]:
    """What the saved model replies to a few prompts: `source`, `messages`, `key`, `label`, `ended`,
    `text`. The server's first replies are compared with them.
    """
    replies, fmt, limit = [], contract.format, contract.sampling.max_tokens
    chosen = spread(list(zip(rows, examples, strict=True)), GENERATED)
    with progress.part("writing replies, tokens", len(chosen) * limit):
        for row, example in chosen:
            ids = torch.tensor([row.prompt], device=model.device)
            out = model.generate(
                input_ids=ids,
                attention_mask=torch.ones_like(ids),
                do_sample=False,
                max_new_tokens=limit,
                stopping_criteria=StoppingCriteriaList([_Told(progress)]),
            )[0, len(row.prompt) :]
            replies.append(_reply(out, row, example, fmt, tokenizer))
    return replies


def _reply(
    out: torch.Tensor,
    row: Row,
    example: Example,
    fmt: PromptFormat,
    tokenizer: PreTrainedTokenizerBase,
) -> dict[str, Any]:
    text: Any = tokenizer.decode(out, skip_special_tokens=True)
    return {
        "source": example.source,
        "messages": fmt.messages(example.problem, example.question),
        "key": example.label,
        "label": extract_label(text, example.question.options, fmt.label_patterns),
        "ended": int(out[-1]) == row.reply[-1],
        "text": text,
    }


def complete(
    candidate: Candidate, contract: Contract, data: DataReport, verification: dict[str, Any]
) -> None:
    """Everything a published model has besides weights, tokenizer and contract."""
    recipe, run_dir, staged = candidate.run.recipe, candidate.run.folder, candidate.staged
    metrics = read_metrics(run_dir / METRICS_FILE)
    draw_curves({recipe.name: metrics}, run_dir / PICTURE)
    for name in (PICTURE, DATA_FILE, DATA_PICTURE, METRICS_FILE, VERIFICATION_FILE):
        shutil.copyfile(run_dir / name, staged / name)
    if adapter := candidate.run.adapter:
        shutil.copytree(adapter, staged / adapter.name)
    card = model_card(recipe, contract, data, metrics, verification)
    (staged / "README.md").write_text(card, encoding="utf-8")
