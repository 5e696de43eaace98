import pytest

from inference.checks import begins_alike, garbage


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "empty"),
        (" \n ", "empty"),
        ("!!!!!!!!!!!!", "alone"),
        ("! ! ! ! ! ! ! !", "alone"),
        ("答案\ufffd\ufffd\ufffd\ufffd", "no text"),
    ],
)
def test_what_a_broken_card_or_dtype_writes_is_known_for_garbage(text: str, says: str) -> None:
    assert says in str(garbage(text))


@pytest.mark.parametrize("text", ["答案是：B", "B", "!!!", "由题意，甲在乙左边。\n答案是：A"])
def test_a_reply_is_no_garbage(text: str) -> None:
    assert garbage(text) is None


def test_replies_may_part_somewhere_but_must_begin_alike() -> None:
    assert begins_alike("庚绿，绿湖，结果是湖", "庚绿，绿湖，因此")
    assert not begins_alike("我不知道。", "庚绿，绿湖，结果是湖")
