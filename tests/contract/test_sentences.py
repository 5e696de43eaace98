"""Sentences are English texts that keep their code and parameters through JSON and copies."""

import copy
import json

import pytest

from contract import CodedMessage, Sentence, coded

INNER = Sentence("away", "{url} does not answer", url="http://vllm:8000")
OUTER = Sentence("waits", "waiting {seconds:g} s: {reason}", seconds=2.5, reason=INNER)


def test_a_sentence_is_its_english_text() -> None:
    text = "waiting 2.5 s: http://vllm:8000 does not answer"
    assert text == OUTER
    assert f"{OUTER}." == text + "."
    assert json.dumps([OUTER]) == json.dumps([text])
    assert {text: 1}[OUTER] == 1


def test_a_template_without_its_values_is_an_error() -> None:
    with pytest.raises(KeyError):
        Sentence("away", "{url} does not answer")


def test_json_and_copies_keep_code_and_parameters() -> None:
    message = coded(OUTER)
    assert message is not None
    read = CodedMessage.model_validate_json(message.model_dump_json()).sentence()
    for again in (read, copy.deepcopy(OUTER)):
        assert (again, again.code, again.params) == (OUTER, "waits", OUTER.params)
        inner = again.params["reason"]
        assert isinstance(inner, Sentence)
        assert (inner.code, inner.params) == ("away", INNER.params)


def test_a_text_without_a_code_has_no_coded_message() -> None:
    assert coded("ok") is None
    assert coded(None) is None


def test_numbers_that_json_lacks_become_texts() -> None:
    """A time limit may be infinite. An answer's record with null in it could not be read again."""
    message = coded(Sentence("slow", "no reply in {seconds:g} s", seconds=float("inf")))
    assert message is not None
    assert message.params == {"seconds": "inf"}
    assert CodedMessage.model_validate_json(message.model_dump_json()) == message
