"""A base's chat template renders questions whole, and the same on every day."""

import json
import logging
import shutil
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer
from typer.testing import CliRunner

from contract import Message
from trainer.__main__ import app
from trainer.data.chat_templates import load_tokenizer
from trainer.data.rendering import end_token, prompt_ids
from trainer.errors import TrainerError

REMEDY = 'set format.system_prompt = "" in the recipe'
TURNS = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
LLAMA = (
    "{% if not date_string is defined %}{% if strftime_now is defined %}"
    '{% set date_string = strftime_now("%d %b %Y") %}{% else %}'
    '{% set date_string = "26 Jul 2024" %}{% endif %}{% endif %}Today Date: {{ date_string }}\n'
)
NO_SYSTEM = (
    "{% if messages[0].role == 'system' %}{{ raise_exception('System role not supported') }}"
    "{% endif %}"
)
MESSAGES: list[Message] = [
    {"role": "system", "content": "Answer with a letter."},
    {"role": "user", "content": "Which?\nA. one\nB. two"},
]


@pytest.fixture
def base(tiny_base: Path, tmp_path: Path) -> Callable[[str], Path]:
    """The tiny base with another chat template, in the tokenizer's own file for it."""

    def make(template: str) -> Path:
        folder = shutil.copytree(tiny_base, tmp_path / "base")
        config = folder / "tokenizer_config.json"
        values = json.loads(config.read_text())
        values.pop("chat_template", None)
        config.write_text(json.dumps(values))
        (folder / "chat_template.jinja").write_text(template)
        return folder

    return make


@pytest.mark.parametrize(
    ("printed", "pinned"),
    [
        (LLAMA, "Today Date: 26 Jul 2024\n"),
        ("{{ strftime_now( '%Y-%m-%d' ) }}", "2024-07-26"),
        ("{{ strftime_now ('%d %b') | upper }}", "26 JUL"),
        ("{% if strftime_now('%w') == '0' %}Sunday{% else %}Week{% endif %}", "Week"),
        ("{% if strftime_now('%H') | int > 12 %}Good day{% else %}Good night{% endif %}", "Good n"),
    ],
)
def test_a_date_is_written_into_the_template(
    printed: str,
    pinned: str,
    base: Callable[[str], Path],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    folder = base(printed + TURNS)
    with caplog.at_level(logging.INFO, "trainer"):
        tokenizer = load_tokenizer(folder, MESSAGES)
    (said,) = caplog.messages
    assert "the template that is trained and published always prints 2024-07-26" in said
    # the saved template renders the same for every reader, on any day
    tokenizer.save_pretrained(tmp_path / "published")
    saved: Any = AutoTokenizer.from_pretrained(tmp_path / "published")
    for now in (datetime(2026, 1, 1), datetime(2031, 12, 9, 16, 57)):
        text = saved.apply_chat_template(MESSAGES, tokenize=False, strftime_now=now.strftime)
        assert text.startswith(pinned)
    assert prompt_ids(saved, MESSAGES) == prompt_ids(tokenizer, MESSAGES)
    end_token(saved)


@pytest.mark.parametrize(
    "printed",
    [
        "{% set form = '%Y' %}{{ strftime_now(form) }}",
        "{{ strftime_now('%d' ~ ' %Y') }}",
        "{% if strftime_now(format='%A') == 'Sunday' %}Rest{% endif %}",
        "{{ ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h'] | random }}" * 20,
    ],
)
def test_a_template_whose_date_cannot_be_fixed_is_refused(
    printed: str, base: Callable[[str], Path]
) -> None:
    with pytest.raises(TrainerError, match="gives another prompt at another time") as raised:
        load_tokenizer(base(printed + TURNS), MESSAGES)
    assert "\n" not in str(raised.value)


def test_a_template_without_a_date_stays_as_it_is(
    base: Callable[[str], Path], caplog: pytest.LogCaptureFixture
) -> None:
    with_tools = "{% if tools %}{{ strftime_now('%Y') }}{% endif %}" + TURNS
    assert load_tokenizer(base(with_tools), MESSAGES).chat_template == with_tools
    assert not caplog.messages


@pytest.mark.parametrize(
    ("template", "said"),
    [
        (NO_SYSTEM + TURNS, "refuses a system message (System role not supported)"),
        (
            TURNS.replace("{% for m in messages %}", "{% for m in messages[-1:] %}"),
            "leaves out or changes the system message",
        ),
    ],
)
def test_a_template_without_system_messages_names_the_setting(
    template: str, said: str, base: Callable[[str], Path]
) -> None:
    folder = base(template)
    with pytest.raises(TrainerError, match=REMEDY) as raised:
        load_tokenizer(folder, MESSAGES)
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)
    assert load_tokenizer(folder, MESSAGES[1:]).chat_template == template


def test_a_system_message_inside_the_users_turn_is_accepted(base: Callable[[str], Path]) -> None:
    """Gemma 3's template does this."""
    template = (
        "<|im_start|>user\n{% for m in messages %}{{ m.content | trim }}\n\n{% endfor %}<|im_end|>"
    )
    assert load_tokenizer(base(template), MESSAGES)


@pytest.mark.parametrize(
    ("template", "said"),
    [
        (
            TURNS.replace("m.content", "m.content | upper"),
            "leaves out or changes the system message",
        ),
        (
            TURNS.replace("m.content", "m.content | replace('B.', '')"),
            "leaves out or changes a question's",
        ),
        ("{{ messages[7].content.parts }}", "cannot render a question"),
        ("{% for m in messages %}", "cannot render a question"),
        ("", "has no chat template"),
    ],
)
def test_a_template_that_spoils_a_question_is_refused(
    template: str, said: str, base: Callable[[str], Path]
) -> None:
    with pytest.raises(TrainerError, match=said) as raised:
        load_tokenizer(base(template), MESSAGES)
    assert "\n" not in str(raised.value)


def test_an_opened_think_block_is_reported(
    base: Callable[[str], Path], caplog: pytest.LogCaptureFixture
) -> None:
    load_tokenizer(base(TURNS.replace("assistant\n", "assistant\n<think>\n")), MESSAGES)
    assert "opens a <think> block for every reply" in caplog.text


def test_prepare_refuses_a_template_that_a_run_refuses(
    base: Callable[[str], Path], recipe_file: Callable[..., Path], tmp_path: Path
) -> None:
    recipe = recipe_file(base=base(NO_SYSTEM + TURNS))
    done = CliRunner().invoke(
        app, ["prepare", "--recipe", str(recipe), "--out", str(tmp_path / "prepared")]
    )
    assert isinstance(done.exception, TrainerError)
    assert REMEDY in str(done.exception)
