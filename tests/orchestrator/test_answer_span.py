"""The tokens of an answer: which ones count towards its log-probability."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.replies import Token
from orchestrator.worker.answer_span import TAIL, answer_logprob


def tokens(*texts: str | bytes) -> tuple[Token, ...]:
    """The n-th token, from 1, has the log-probability -n."""
    parts = (text.encode() if isinstance(text, str) else text for text in texts)
    return tuple(Token(part, -n) for n, part in enumerate(parts, 1))


def place_of(part: str, text: str) -> tuple[int, int]:
    return text.rindex(part), text.rindex(part) + len(part)


@pytest.mark.parametrize(
    ("drawn", "expected"),
    [
        (tokens("答案", "是", "：", "B"), -4),
        (tokens("答案", "是", "：B"), -3),  # the label stands inside a longer token
        (tokens("答案是：B"), -1),
        (tokens("答案是：", "B", "<|im_end|>"), -2),  # an end token is not in the text
        (tokens("<think>选B</think>\n\n", "答案是：", "B"), -3),  # nor is what was thought
        (tokens("", "答案是：", "", "B"), -4),
    ],
)
def test_a_token_counts_if_the_label_is_in_it(drawn: tuple[Token, ...], expected: float) -> None:
    text = "答案是：B"
    assert answer_logprob(text, place_of("B", text), drawn) == (expected, "answer")


def test_all_tokens_of_a_longer_answer_count() -> None:
    text = "答案是：甲乙丙。"
    drawn = tokens("答案是：", "甲", "乙", "丙。")
    assert answer_logprob(text, place_of("甲乙丙", text), drawn) == (-3, "answer")
    assert answer_logprob(text, place_of("甲乙", text), drawn) == (-2.5, "answer")


def test_a_character_in_two_tokens_is_put_together_by_its_bytes() -> None:
    text = "答案是：𠮷"
    halves = "𠮷".encode()
    drawn = tokens("答案是：", halves[:2], halves[2:])
    assert answer_logprob(text, place_of("𠮷", text), drawn) == (-2.5, "answer")


def test_the_answers_line_is_found_if_an_earlier_one_is_not() -> None:
    """Servers that give no bytes show a character in two tokens as two U+FFFD."""
    text = "因为𠮷。\n答案是：B"
    drawn = tokens("因为", "�", "�", "。\n", "答案是：", "B")
    assert answer_logprob(text, place_of("B", text), drawn) == (-6, "answer")


def test_the_last_tokens_count_if_the_answers_are_not_known() -> None:
    text = "答案是：B"
    place = place_of("B", text)
    drawn = tokens(*(f"token_id:{n}" for n in range(TAIL + 4)))
    last = [token.logprob for token in drawn[-TAIL:]]
    assert answer_logprob(text, place, drawn) == (sum(last) / TAIL, "tail")
    assert answer_logprob(text, place, drawn[:2]) == (-1.5, "tail")


def test_the_last_tokens_count_if_the_place_is_empty() -> None:
    assert answer_logprob("答案是：B", (4, 4), tokens("答案是：", "B")) == (-1.5, "tail")


def test_a_reply_without_tokens_has_none() -> None:
    with pytest.raises(ValueError, match="without tokens"):
        answer_logprob("A", (0, 1), ())


@given(st.lists(st.text(min_size=1, max_size=4), min_size=1, max_size=12), st.data())
def test_any_cut_into_tokens_finds_those_of_the_place(
    parts: list[str], data: st.DataObject
) -> None:
    text = "".join(parts)
    start = data.draw(st.integers(0, len(text) - 1))
    end = data.draw(st.integers(start + 1, len(text)))
    ends = [sum(map(len, parts[:n])) for n in range(len(parts) + 1)]
    counted = [-n for n in range(1, len(parts) + 1) if ends[n - 1] < end and start < ends[n]]
    value, span = answer_logprob(text, (start, end), tokens(*parts))
    assert span == "answer"
    assert value == pytest.approx(sum(counted) / len(counted))
