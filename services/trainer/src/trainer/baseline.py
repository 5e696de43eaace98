"""What the base answers before any training: the option label it finds likeliest right behind the
answer line.

The letter is forced: the reply begins with the contract's answer line, and only the question's own
labels are compared.
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
        TrainerError: the file is missing or not a problem file, or a label is more than one token
        behind the answer line.
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
    # no analysis stands before the label, and the key plays no part: any label stands for it
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
    """Write one JSON line an answer; their number."""
    lines = [write_json(answer) + "\n" for answer in answers]
    out.write_text("".join(lines), encoding="utf-8")
    return len(lines)
