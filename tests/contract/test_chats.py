"""Rows of chats: their shapes, and the prompt and reply in them."""

from typing import Any

import pytest

from contract.files.chats import Chat, chat_of, chat_shape
from contract.files.shapes import RowFaultsError

ASKED, REPLIED = "谁高？\nA. 甲\nB. 乙", "甲高。\n答案是：A"
TURNS = [("system", "做题。"), ("user", ASKED), ("assistant", REPLIED)]


def messages(*turns: tuple[Any, Any]) -> dict[str, Any]:
    return {"messages": [{"role": role, "content": text} for role, text in turns]}


def conversations(*turns: tuple[Any, Any]) -> dict[str, Any]:
    return {"conversations": [{"from": who, "value": text} for who, text in turns]}


@pytest.mark.parametrize(
    ("values", "shape"),
    [
        ({"instruction": "x", "output": "y"}, "instruction"),
        ({"instruction": "x", "input": "", "output": "y", "id": 7}, "instruction"),
        ({"instruction": "x"}, None),
        (conversations(), "sharegpt"),
        (messages(), "messages"),
        ({"messages": "none"}, None),
        ({"question": "x", "options": ["y"], "answer": "A"}, None),
        ({"problem": "x", "questions": [], "messages": []}, None),
    ],
)
def test_a_rows_shape_is_known_by_its_keys(values: dict[str, Any], shape: str | None) -> None:
    assert chat_shape(values) == shape


@pytest.mark.parametrize(
    ("values", "prompt"),
    [
        ({"instruction": ASKED + " \n", "output": REPLIED}, ASKED),
        ({"instruction": "做题。\n", "input": ASKED, "output": REPLIED}, f"做题。\n{ASKED}"),
        ({"instruction": ASKED, "input": None, "output": REPLIED}, ASKED),
    ],
)
def test_an_instruction_and_its_input_are_one_prompt(values: dict[str, Any], prompt: str) -> None:
    assert chat_of(values) == Chat("", prompt, REPLIED)
    assert chat_of({**values, "system": "做题。"}) == Chat("做题。", prompt, REPLIED)


@pytest.mark.parametrize(
    "values",
    [
        messages(*TURNS),
        messages(("developer", "做题。"), *TURNS[1:]),
        conversations(("system", "做题。"), ("human", ASKED), ("gpt", REPLIED)),
        conversations(("System", "做题。"), ("User", ASKED), ("Assistant", REPLIED)),
        {"conversations": messages(*TURNS)["messages"]},
        {"messages": conversations(*TURNS)["conversations"]},
        messages(("system", [{"type": "text", "text": "做题。"}]), *TURNS[1:]),
    ],
)
def test_turns_are_read_in_every_usual_spelling(values: dict[str, Any]) -> None:
    assert chat_of(values) == Chat("做题。", ASKED, REPLIED)


def test_the_last_question_of_a_chat_and_its_reply_count() -> None:
    said = chat_of(messages(("user", "在吗？"), ("assistant", "在。"), *TURNS))
    assert said == Chat("做题。", ASKED, REPLIED, turns=2)
    two = chat_of(messages(("user", ASKED), ("assistant", "甲高。"), ("assistant", "答案是：A")))
    assert two.reply == REPLIED


@pytest.mark.parametrize(
    ("values", "place", "reason"),
    [
        ({"question": "x"}, "", "neither instruction and output, nor conversations, nor messages"),
        ({"instruction": "x", "output": None}, "", "no instruction and output"),
        ({"instruction": "x", "output": "y", "input": 7}, "", "no instruction and output"),
        (messages(), "messages", "no turn of the user"),
        (messages(("assistant", REPLIED)), "messages", "no turn of the user"),
        (
            conversations(*TURNS, ("human", "为什么？")),
            "conversations",
            "no reply to the last turn",
        ),
        (messages(("user", None)), "messages[0]", "no object with a role and a text"),
        (messages((7, "x")), "messages[0]", "no object with a role and a text"),
        ({"messages": ["x"]}, "messages[0]", "no object with a role and a text"),
        (messages(("user", ASKED), ("tool", "7")), "messages[1]", "a turn of another role"),
        (messages(("user", [{"type": "image_url"}])), "messages[0]", "with a role and a text"),
        (messages(("user", ["x"])), "messages[0]", "with a role and a text"),
        (messages(("user", [])), "messages[0]", "with a role and a text"),
    ],
)
def test_a_row_without_a_question_and_reply_says_why(
    values: dict[str, Any], place: str, reason: str
) -> None:
    with pytest.raises(RowFaultsError, match=reason) as caught:
        chat_of(values)
    assert [at for at, _ in caught.value.faults] == [place]
