"""The usable parts of a server's reply are read, whatever else it holds."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orchestrator.replies import (
    LONGEST_WORDS,
    UnusableReplyError,
    read_completions,
    server_words,
    writable,
)
from strange_replies import TEXT, UNUSABLE, USABLE


@pytest.mark.parametrize("kind", USABLE)
def test_a_reply_with_a_text_is_used(kind: str) -> None:
    (completion,) = read_completions(USABLE[kind])
    assert completion.text.endswith(TEXT)
    assert completion.tokens == completion.prompt_tokens == 0
    assert completion.logprob is None
    completion.text.encode()


@pytest.mark.parametrize("kind", UNUSABLE)
def test_an_unusable_reply_is_reported_in_the_servers_words(kind: str) -> None:
    body, words = UNUSABLE[kind]
    with pytest.raises(UnusableReplyError) as caught:
        read_completions(body)
    assert words in str(caught.value)
    assert len(str(caught.value)) < LONGEST_WORDS + 100
    str(caught.value).encode()


NAMES = ("index", "finish_reason", "message", "logprobs", "content", "reasoning", "usage", "text")
LEAVES: list[Any] = [None, True, -1, 3, 2**80, float("nan"), -1e308, "", "x", "\ud800", [], {}]
JSON: st.SearchStrategy[Any] = st.recursive(
    st.sampled_from(LEAVES),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=2)
    ),
    max_leaves=4,
)
FIELDS = dict.fromkeys(NAMES, JSON)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # on a busy machine
@given(
    choices=JSON | st.lists(st.fixed_dictionaries({}, optional=FIELDS)),
    message=JSON | st.fixed_dictionaries({}, optional=FIELDS),
    rest=st.fixed_dictionaries({}, optional={**FIELDS, "error": JSON}),
)
def test_any_json_is_read_or_reported_as_unusable(
    choices: Any, message: Any, rest: dict[str, Any]
) -> None:
    one = {"message": message, "logprobs": {"content": choices}}
    for given_choices in (choices, [one, one]):
        try:
            completions = read_completions(json.dumps({"choices": given_choices, **rest}).encode())
        except UnusableReplyError as error:
            str(error).encode()
        else:
            assert all(completion.text.encode() is not None for completion in completions)


@given(st.binary())
def test_any_other_bytes_are_reported_as_unusable(body: bytes) -> None:
    with pytest.raises(UnusableReplyError):
        read_completions(body)


def test_reasoning_is_kept_apart_from_the_text() -> None:
    for name in ("reasoning_content", "reasoning"):
        message: dict[str, Any] = {"content": None, name: "假设答案是：A"}
        choice = {"message": message, "finish_reason": "length"}
        (completion,) = read_completions(json.dumps({"choices": [choice]}).encode())
        assert (completion.text, completion.reasoning) == ("", "假设答案是：A")
    thought = {"type": "thinking", "thinking": [{"type": "text", "text": "Hmm."}]}
    message = {"content": [thought, {"type": "text", "text": "B"}]}
    (completion,) = read_completions(json.dumps({"choices": [{"message": message}]}).encode())
    assert (completion.text, completion.reasoning) == ("B", "Hmm.")


def test_hidden_reasoning_is_counted() -> None:
    usage: dict[str, Any] = {"completion_tokens": 90}
    choices = [{"message": {"content": "B"}}]
    usage["completion_tokens_details"] = {"reasoning_tokens": 85}
    (one,) = read_completions(json.dumps({"choices": choices, "usage": usage}).encode())
    assert (one.tokens, one.reasoning_tokens) == (90, 85)
    usage["completion_tokens_details"] = "none"
    (one,) = read_completions(json.dumps({"choices": choices, "usage": usage}).encode())
    assert (one.tokens, one.reasoning_tokens) == (90, 0)


def test_completions_are_ordered_by_their_index() -> None:
    choices = [{"index": i, "message": {"content": str(i)}} for i in (2, 0, 1)]
    body = {"choices": choices, "usage": {"prompt_tokens": 9, "completion_tokens": 4}}
    found = read_completions(json.dumps(body).encode())
    assert [one.text for one in found] == ["0", "1", "2"]
    assert [one.tokens for one in found] == [2, 1, 1]
    assert [one.prompt_tokens for one in found] == [9, 0, 0]


def test_a_long_server_message_is_cut_to_one_line() -> None:
    words = server_words(json.dumps({"detail": "no\n room " * 1000}).encode())
    assert len(words) == LONGEST_WORDS
    assert words.startswith("no room no room")


def test_a_server_message_holds_no_control_characters() -> None:
    assert server_words(b'{"error": "\\u001b[2Jall\\u0000 gone\\u009b"}') == "[2Jall gone"
    assert server_words(b"\x01\x02\x03") == "nothing readable"


def test_a_whole_surrogate_pair_is_one_character() -> None:
    assert writable("\ud83d\ude00") == "😀"
    assert writable("a\ude00") == "a\N{REPLACEMENT CHARACTER}"
