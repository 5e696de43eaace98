"""Rows as token ids, with the demo's real tokenizer."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from contract import LABELS, HeldLine, PromptFormat
from problem_files import problem_file
from trainer.data.examples import Example, load_examples
from trainer.data.rendering import choice, end_token, held_line, probe, prompt_ids, render
from trainer.errors import TrainerError
from trainer.recipe import DataFile

FMT = PromptFormat()


@pytest.fixture
def tokenizer(root: Path) -> Any:
    return AutoTokenizer.from_pretrained(root / "examples" / "demo" / "base")


@pytest.fixture
def examples(tmp_path: Path) -> list[Example]:
    (tmp_path / "a.jsonl").write_bytes(problem_file(3))
    return load_examples([DataFile(file=str(tmp_path / "a.jsonl"))], FMT).rows


def test_a_reply_ends_with_the_templates_end_token(tokenizer: Any, examples: list[Example]) -> None:
    rows = render(examples, FMT, tokenizer, 2048).rows
    assert tokenizer.convert_ids_to_tokens(rows[0].reply[-1]) == "<|im_end|>"
    assert end_token(tokenizer) != tokenizer.pad_token_id


def test_a_row_is_the_templates_rendering_of_the_conversation(
    tokenizer: Any, examples: list[Example]
) -> None:
    rows = render(examples, FMT, tokenizer, 2048).rows
    messages: Any = FMT.messages(examples[0].problem, examples[0].question)
    whole = [*messages, {"role": "assistant", "content": FMT.reply("A", None)}]
    ids = tokenizer.apply_chat_template(whole, tokenize=True, return_dict=False)
    assert ids[: len(rows[0].prompt) + len(rows[0].reply)] == rows[0].prompt + rows[0].reply


def test_the_probe_holds_the_token_ids_a_server_must_produce(
    tokenizer: Any, examples: list[Example]
) -> None:
    made = probe(examples[0], FMT, tokenizer)
    assert list(made.token_ids) == prompt_ids(tokenizer, list(made.messages))


def test_a_row_that_is_too_long_is_dropped_and_counted_never_cut(
    tokenizer: Any, examples: list[Example]
) -> None:
    rows = render(examples, FMT, tokenizer, 2048).rows
    longest = max(len(row.prompt) + len(row.reply) for row in rows)
    with pytest.raises(TrainerError, match=f"6 of 6 rows .* the longest has {longest} "):
        render(examples, FMT, tokenizer, longest - 1)
    rendered = render(examples * 200, FMT, tokenizer, longest)
    assert (len(rendered.rows), rendered.too_long) == (1200, [])


def test_up_to_one_row_in_a_hundred_may_be_dropped_and_is_named(
    tokenizer: Any, examples: list[Example]
) -> None:
    long = replace(examples[0], label="B", source="the long one")
    long = replace(long, question=replace(long.question, analysis="长" * 500))
    rendered = render([*examples * 20, long], FMT, tokenizer, 400)
    assert len(rendered.rows) == len(rendered.examples) == 120
    assert rendered.too_long == ["the long one"]


def test_a_row_knows_where_its_answer_line_begins(tokenizer: Any, examples: list[Example]) -> None:
    question = replace(examples[0].question, analysis="甲比乙高，选甲。")
    (row,) = render([replace(examples[0], question=question)], FMT, tokenizer, 2048).rows
    assert tokenizer.decode(row.reply[row.label_start :]).strip() == "答案是：A<|im_end|>"
    assert tokenizer.decode(row.reply[: row.label_start]).strip() == "甲比乙高，选甲。"


def test_a_choice_has_the_rows_tokens_up_to_its_label(
    tokenizer: Any, examples: list[Example]
) -> None:
    question = replace(examples[0].question, analysis="甲比乙高，选甲。")
    example = replace(examples[0], question=question)
    (row,) = render([example], FMT, tokenizer, 2048).rows
    forced = choice(example, FMT, tokenizer)
    assert forced.ids == (row.prompt + row.reply)[: len(forced.ids)]
    assert forced.label_ids[forced.key] == (row.prompt + row.reply)[len(forced.ids)]
    assert tokenizer.convert_ids_to_tokens(forced.label_ids) == list(question.labels)


def test_the_demos_tokenizer_tokenizes_as_it_was_trained(root: Path, tokenizer: Any) -> None:
    """Loading it as a Qwen2 tokenizer replaces the pre-tokenizer. That must change no text."""
    trained = Tokenizer.from_file(str(root / "examples" / "demo" / "base" / "tokenizer.json"))
    text = (root / "examples" / "demo" / "train.jsonl").read_text(encoding="utf-8")
    for line in text.splitlines()[:300]:
        assert tokenizer(line)["input_ids"] == trained.encode(line).ids


# answer line, its start in whole tokens of SmolLM2, the label's text after that
JOINED = [
    ("Answer: {label}", "Answer:", " {label}"),
    ("The answer is {label}.", "The answer is", " {label}"),
    ("Answer: ({label})", "Answer: (", "{label}"),
    ("**Answer: {label}**", "**Answer:", " {label}"),
    ("答案是：{label}", "答案是：", "{label}"),
    ("答案是： {label}", "答案是：", " {label}"),
    ("{label}", "", "{label}"),
]


@pytest.mark.parametrize(("line", "lead", "label"), JOINED)
def test_a_label_begins_where_the_tokens_of_two_labels_differ(
    smol_tokenizer: Any, examples: list[Example], line: str, lead: str, label: str
) -> None:
    fmt = PromptFormat(answer_line=line)
    assert held_line(fmt, smol_tokenizer) == HeldLine(lead=lead, label=label)
    example = replace(examples[0], question=replace(examples[0].question, analysis="Because."))
    (row,) = render([example], fmt, smol_tokenizer, 2048).rows
    forced = choice(example, fmt, smol_tokenizer)
    whole = row.prompt + row.reply
    assert forced.ids == whole[: len(forced.ids)]
    assert forced.label_ids[forced.key] == whole[len(forced.ids)]
    texts = [label.replace("{label}", letter) for letter in example.question.labels]
    assert [smol_tokenizer.decode([token]) for token in forced.label_ids] == texts


@pytest.mark.parametrize(("line", "lead", "label"), JOINED)
def test_a_restricted_reply_has_the_trained_tokens(
    smol_tokenizer: Any, line: str, lead: str, label: str
) -> None:
    held = held_line(PromptFormat(answer_line=line), smol_tokenizer)
    for text, letter in held.choices(LABELS).items():
        trained = smol_tokenizer(line.replace("{label}", letter), add_special_tokens=False)
        begun = smol_tokenizer(held.lead, add_special_tokens=False)["input_ids"]
        chosen = smol_tokenizer(text, add_special_tokens=False)["input_ids"]
        assert trained["input_ids"][: len(begun) + 1] == [*begun, *chosen]


def test_the_demos_tokenizer_joins_no_label_to_its_space(tokenizer: Any) -> None:
    assert held_line(FMT, tokenizer) == HeldLine.of(FMT)


def test_a_tokenizer_that_cannot_distinguish_labels_is_refused() -> None:
    words = Tokenizer(WordLevel({"?": 0, "Answer:": 1, "A": 2}, unk_token="?"))
    words.pre_tokenizer = WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, unk_token="?")
    with pytest.raises(
        TrainerError, match=r"no token of this tokenizer distinguishes the labels in 'Answer: A'"
    ):
        held_line(PromptFormat(answer_line="Answer: {label}"), tokenizer)


def test_a_question_with_one_option_has_a_label_too(
    smol_tokenizer: Any, examples: list[Example]
) -> None:
    question = replace(examples[0].question, options=("甲",))
    forced = choice(replace(examples[0], question=question), FMT, smol_tokenizer)
    assert (len(forced.label_ids), forced.key) == (1, 0)
