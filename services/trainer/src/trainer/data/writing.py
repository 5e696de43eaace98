"""Prepared rows as chats in the usual shapes, for whoever trains elsewhere.

| form | prompt | reply |
|---|---|---|
| an.json | the user template alone | the label alone |
| ana.json | system prompt and user template, for analyses | analysis and answer line |
| sharegpt, messages | as a run would train the row | as a run would train the row |
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from contract import Message, PromptFormat, write_json
from contract.replacing import replacing
from trainer.data.chat_forms import ChatForm
from trainer.data.examples import Example
from trainer.errors import TrainerError
from trainer.recipe import Recipe

log = logging.getLogger(__name__)

_SHAREGPT_ROLES = {"system": "system", "user": "human", "assistant": "gpt"}


def write_forms(
    sides: Mapping[str, Sequence[Example]],
    forms: Sequence[ChatForm],
    asked: Recipe,
    settled: Recipe,
    folder: Path,
) -> None:
    """Write each side's examples in each of `forms` into `folder`: train.ana.json and so on.

    `settled` is the recipe `asked`, with its style settled by the data. The names of the sides are
    the beginnings of the files' names.

    Raises:
        TrainerError: ana.json is asked for, and no row has an analysis, or the recipe's prompt asks
            for none.
    """
    everything = [example for examples in sides.values() for example in examples]
    if ChatForm.ANA in forms and not any(example.question.analysis for example in everything):
        raise TrainerError(
            "no row has an analysis for ana.json: write analyses with `trainer distill`, or write "
            "an.json"
        )
    format_for = {form: _format_of(form, asked, settled) for form in forms}
    for form, fmt in format_for.items():
        for side, examples in sides.items():
            path = folder / f"{side}{form.ending}"
            count = write_chats(examples, fmt, form, path)
            left = len(examples) - count
            log.info("%s: %d rows%s", path, count, f", {left} without an analysis" if left else "")
    if forms and any(example.weight != 1 for example in everything):
        log.warning("the weights of data files are not in the files written: no form has them")


def write_chats(examples: Sequence[Example], fmt: PromptFormat, form: ChatForm, path: Path) -> int:
    """Write `examples` to one file, and return the number of rows. An ana.json has only those with
    an analysis. The file appears whole or not at all.

    Raises:
        TrainerError: it cannot be written, for example because the disk is full.
    """
    usable = [one for one in examples if form is not ChatForm.ANA or one.question.analysis]
    rows = [write_json(chat_row(example, fmt, form)) for example in usable]
    if form is ChatForm.MESSAGES:
        text = "".join(f"{row}\n" for row in rows)
    else:
        text = "[\n" + ",\n".join(rows) + "\n]\n" if rows else "[]\n"
    try:
        with replacing(path) as file:
            file.write(text.encode("utf-8"))
    except OSError as error:
        raise TrainerError(f"cannot write {path}: {error.strerror}") from error
    return len(rows)


def _format_of(form: ChatForm, asked: Recipe, settled: Recipe) -> PromptFormat:
    if form is not ChatForm.ANA:
        return settled.format
    if asked.format.style == "answer":
        raise TrainerError(
            'ana.json has analyses, but format.style = "answer" asks for none: set it to "auto", '
            "or write an.json"
        )
    return asked.with_style("analysis").format


def chat_row(example: Example, fmt: PromptFormat, form: ChatForm) -> dict[str, Any]:
    """One row of a file. An ana.json needs an example with an analysis."""
    *system, user = fmt.messages(example.problem, example.question)
    if form is ChatForm.AN:
        return _instruction(user["content"], example.label)
    reply = fmt.reply(example.label, example.question.analysis)
    if form is ChatForm.ANA:
        prompt = "\n\n".join(message["content"] for message in (*system, user))
        return _instruction(prompt, reply)
    turns: list[Message] = [*system, user, {"role": "assistant", "content": reply}]
    if form is ChatForm.MESSAGES:
        return {"messages": turns}
    return {
        "conversations": [
            {"from": _SHAREGPT_ROLES[turn["role"]], "value": turn["content"]} for turn in turns
        ]
    }


def _instruction(prompt: str, reply: str) -> dict[str, str]:
    return {"instruction": prompt, "input": "", "output": reply}
