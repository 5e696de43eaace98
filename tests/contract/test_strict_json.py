"""JSON that can be written again unchanged is read; other JSON is refused."""

import json

import pytest

from contract import Sentence, StrictJsonError, finite, read_json, write_json
from contract.strict_json import JsonFault


def faults(text: bytes) -> list[JsonFault]:
    with pytest.raises(StrictJsonError) as caught:
        read_json(text)
    return caught.value.faults


@pytest.mark.parametrize(
    ("text", "place", "reason"),
    [
        (b'{"a": {"b": [1, NaN]}}', "a.b[1]", "NaN is no JSON"),
        (b'{"a": Infinity}', "a", "Infinity is no JSON"),
        (b"[-Infinity]", "[0]", "-Infinity is no JSON"),
        (b'{"a": 1e999}', "a", "1e999 would become infinity; put it in quotes"),
        (b'{"a": -1E400}', "a", "-1E400 would become infinity"),
        (b'{"a": 1e-999}', "a", "1e-999 would become 0.0"),
        (b'{"a": 1e-99999999999999999999}', "a", "would become 0.0"),
        (b'{"a": 1.0000000000000000001}', "a", "1.0000000000000000001 would become 1.0;"),
        (b'{"a": ' + b"9" * 5000 + b"}", "a", "a number of 5000 digits is too long"),
        (b'{"a": 1, "a": 1}', "a", "stands twice"),
        (b'{"a": 1, "\\u0061": 2}', "a", "stands twice"),
        (b'{"x": [{"k k": 1, "k k": 2}]}', 'x[0]["k k"]', "stands twice"),
        ('{"题": {"问": 1, "问": 2}}'.encode(), "题.问", "stands twice"),
        (b'{"a": {"b": NaN}, "a": 1}', "a", "stands twice"),
        (b'{"a": ["x", "\\ud800"]}', "a[1]", "holds \\ud800, half a surrogate pair"),
        (b'{"\\uDFFF": 1}', "", 'the key "\\udfff" holds \\udfff, half a surrogate pair'),
        (b'{"a": ' + b"[" * 101 + b"]" * 101 + b"}", "", "nested too deeply, more than 100"),
        (b"[" * 100_000, "", "nested too deeply"),
        (b'{"a": }', "", "not JSON: Expecting value at column 7"),
        (b'{"a": "\xff"}', "", "not UTF-8: byte 0xff at byte 8 of the line"),
    ],
)
def test_json_that_cannot_be_written_again_is_refused(text: bytes, place: str, reason: str) -> None:
    ((line, found, why),) = faults(text)
    assert (line, found) == (1, place)
    assert reason in why
    why.encode()
    found.encode()


def test_every_fault_is_named_in_the_order_of_the_text() -> None:
    found = faults(b'{"a": NaN, "b": [1e999, {"c": 1, "c": 2}], "d": "\\udc00"}')
    assert [place for _, place, _ in found] == ["a", "b[0]", "b[1].c", "d"]


def test_a_fault_of_a_long_text_names_its_line() -> None:
    assert [line for line, _, _ in faults(b"[\n1,\n2,,\n3]")] == [3]
    assert [line for line, _, _ in faults(b'[\n1,\n"\xff"]')] == [3]


@pytest.mark.parametrize(
    "text",
    [
        "0.1",
        "1.10",
        "1E5",
        "-0.0",
        "0e999",
        "5e-324",
        "0.10000000000000001",  # a double as C prints it, with 17 digits
        "0.1000000000000000055511151231257827",  # with more digits: the exact double
        "12345678901234567890",
        "1" * 1000,
        '"\\ud83d\\ude00"',
        '{"a": {"a": {"a": null}}}',
        "[" * 100 + "]" * 100,
    ],
)
def test_json_that_keeps_its_meaning_is_accepted(text: str) -> None:
    value = read_json(text.encode())
    assert json.loads(write_json(value)) == json.loads(text) == value


def test_a_measurement_that_is_nan_is_written_as_null() -> None:
    nan = float("nan")
    measured = {"nats": nan, "rows": [1.5, -float("inf"), "NaN"], "pair": (nan, 2)}
    assert finite(measured) == {"nats": None, "rows": [1.5, None, "NaN"], "pair": [None, 2]}


@pytest.mark.parametrize("value", [float("nan"), {"a": [float("inf")]}])
def test_writing_nan_as_json_is_an_error(value: object) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(value)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (b"{oops", "json-name-expected"),
        (b'{"a": }', "json-value-expected"),
        (b"[1 2]", "json-comma-expected"),
        (b'{"a" 1}', "json-colon-expected"),
        (b"{} {}", "json-extra-data"),
        (b'{"a', "json-string-not-ended"),
        (b'{"a": "\t"}', "json-control-character"),
        (b'{"a": "\\x"}', "json-bad-escape"),
        (b'{"a": "\\u12"}', "json-bad-unicode-escape"),
    ],
)
def test_what_pythons_reader_says_has_a_code(text: bytes, code: str) -> None:
    ((_, _, reason),) = faults(text)
    said = reason.params["reason"]
    assert isinstance(said, Sentence)
    assert (reason.code, said.code) == ("not-json", code)


def test_faults_beyond_the_first_thousand_are_not_told() -> None:
    with pytest.raises(StrictJsonError) as caught:
        read_json(b"[" + b"1e999," * 3000 + b"0]")
    places = [fault.place for fault in caught.value.faults]
    assert places == [f"[{place}]" for place in range(1000)]
