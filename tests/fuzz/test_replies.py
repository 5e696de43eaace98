"""Any reply of a model server gives completions or UnusableReplyError."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from contract import PromptFormat, extract_label
from damage import FUZZED, damaged
from orchestrator.jobs.records import Sample
from orchestrator.replies import LONGEST_WORDS, UnusableReplyError, read_completions, server_words
from strange_replies import UNUSABLE, USABLE


def _reply(texts: list[str], usage: dict[str, Any], extra: dict[str, Any]) -> bytes:
    choices = [
        {
            "index": index,
            "finish_reason": "stop",
            "message": {"role": "assistant", "content": text, **extra},
            "logprobs": {"content": [{"token": "A", "logprob": -0.5, "top_logprobs": []}]},
        }
        for index, text in enumerate(texts)
    ]
    return json.dumps({"id": "1", "choices": choices, "usage": usage}).encode()


REPLIES = st.builds(
    _reply,
    st.lists(st.text(max_size=20), min_size=1, max_size=3),
    st.dictionaries(
        st.sampled_from(["prompt_tokens", "completion_tokens"]), st.integers() | st.floats()
    ),
    st.dictionaries(st.sampled_from(["reasoning", "reasoning_content"]), st.text(max_size=9)),
)
KNOWN = st.sampled_from([*USABLE.values(), *(body for body, _ in UNUSABLE.values())])
BODIES = damaged(REPLIES) | damaged(KNOWN.filter(lambda body: len(body) < 10_000))


def check_said(said: str) -> None:
    assert len(said) < LONGEST_WORDS + 100
    assert said.encode()


@FUZZED
@given(BODIES | st.binary(max_size=200))
def test_any_body_gives_completions_or_one_error(body: bytes) -> None:
    words = server_words(body)
    assert 0 < len(words) <= LONGEST_WORDS
    assert words.isprintable() or words.split()
    assert words.encode()
    try:
        completions = read_completions(body)
    except UnusableReplyError as error:
        check_said(str(error))
        return
    assert completions
    for completion in completions:
        assert completion.tokens >= 0 <= completion.prompt_tokens
        sample = Sample(
            slot=0,
            attempt=0,
            label=extract_label(completion.text, ["x", "y"], PromptFormat().label_patterns),
            seed=0,
            finish_reason=completion.finish_reason,
            tokens=completion.tokens,
            logprob=completion.logprob,
            reasoning=completion.reasoning,
            text=completion.text,
        )
        assert Sample.model_validate_json(sample.model_dump_json()) == sample
