"""What the base answers before any training: the option label it finds likeliest right behind the
answer line.

The letter is forced: the reply begins with the contract's answer line, and only the question's own
labels are compared.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedTokenizerBase

from contract import ProblemFileError, PromptFormat, parse_problems
from trainer.errors import TrainerError
from trainer.rendering import prompt_ids


@torch.inference_mode()
def forced_answers(
    model: Any, tokenizer: PreTrainedTokenizerBase, fmt: PromptFormat, file: Path
) -> list[dict[str, Any]]:
    """One entry a question: id, index, answer.

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
    before = fmt.answer_line.split("{label}")[0]
    lead = tokenizer(before, add_special_tokens=False)["input_ids"]
    answers = []
    for problem in problems:
        for index, question in enumerate(problem.questions):
            ids = prompt_ids(tokenizer, fmt.messages(problem, question)) + lead
            logits = model(input_ids=torch.tensor([ids], device=model.device)).logits[0, -1]
            labels = [label_token(tokenizer, before, lead, label) for label in question.labels]
            answers.append(
                {
                    "id": problem.id,
                    "index": index,
                    "answer": question.labels[int(logits[labels].argmax())],
                }
            )
    return answers


def label_token(
    tokenizer: PreTrainedTokenizerBase, before: str, lead: list[int], label: str
) -> int:
    ids = tokenizer(before + label, add_special_tokens=False)["input_ids"]
    if ids[:-1] != lead:
        raise TrainerError(f"{label!r} is not one token behind {before!r} in this tokenizer")
    return int(ids[-1])


def write_answers(answers: list[dict[str, Any]], out: Path) -> None:
    out.write_text(
        "".join(json.dumps(answer, ensure_ascii=False) + "\n" for answer in answers),
        encoding="utf-8",
    )
