"""The base's answers before any training: for each question, the likeliest label after the answer
line.

The reply is forced to begin with the contract's answer line, and only the question's own labels are
compared.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from contract import ProblemFileError, parse_problems, write_json
from trainer.bases import find_base
from trainer.data.chat_templates import load_tokenizer
from trainer.data.examples import Example
from trainer.data.packing import pack
from trainer.data.rendering import choice
from trainer.errors import TrainerError
from trainer.hosts import check_device
from trainer.recipe import Recipe
from trainer.settings import Settings
from trainer.training.base_model import compute_dtype, load_base
from trainer.training.reply_loss import ReplyLoss, precision


@torch.inference_mode()
def forced_answers(recipe: Recipe, settings: Settings, file: Path) -> Iterator[dict[str, Any]]:
    """One entry a question, in the file's order: id, index, answer.

    Raises:
        TrainerError: the file is missing or not a problem file, or labels do not differ in one
            token after the answer line.
    """
    try:
        problems = parse_problems(file.read_bytes())
    except OSError as error:
        raise TrainerError(f"cannot read {file}: {error.strerror}") from error
    except ProblemFileError as error:
        raise TrainerError(f"{file}: {error}") from error
    check_device(settings.stack)
    base = find_base(recipe.base, settings.model_source)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    dtype = compute_dtype(recipe.training.dtype)
    module = ReplyLoss(load_base(base, dtype, device), precision(dtype, device)).eval()
    questions = [(p, i, q) for p in problems for i, q in enumerate(p.questions)]
    first, _, asked = questions[0]
    tokenizer = load_tokenizer(base, recipe.format.messages(first, asked))
    # no analysis before the label; the key does not matter, so any label will do
    choices = [
        choice(Example(p, replace(q, analysis=None), "A", ""), recipe.format, tokenizer)
        for p, _, q in questions
    ]
    lengths = [len(one) for one in choices]
    answers: dict[int, str] = {}
    for places in pack(lengths, max(recipe.training.pack_tokens, *lengths)):
        scores = module.label_scores([choices[i] for i in places])
        for place, score in zip(places, scores, strict=True):
            answers[place] = questions[place][2].labels[int(score.argmax())]
    for place, (problem, index, _) in enumerate(questions):
        yield {"id": problem.id, "index": index, "answer": answers[place]}


def write_answers(answers: Iterator[dict[str, Any]], out: Path) -> int:
    """Write one JSON line for each answer; returns their number."""
    lines = [write_json(answer) + "\n" for answer in answers]
    out.write_text("".join(lines), encoding="utf-8")
    return len(lines)
