"""The page's words and the API's sentences that it shows are all translated."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from playwright.sync_api import Page, expect

from contract import CodedMessage, FileFault, ProblemFileError, Sentence, parse_problems
from contract.files.known import SHAPES
from make_messages import templates
from orchestrator import errors
from orchestrator.api.page import FILES
from page_names import OpenPage
from page_words import COMMANDS, words
from question_files import converted

SCRIPTS = sorted(FILES.glob("*.js"))
ROW = {"id": "a", "problem": "p", "questions": [{"question": "q", "options": ["x", "y"]}]}


def test_both_languages_have_the_same_keys_and_placeholders() -> None:
    english, chinese = words("en"), words("zh")
    assert list(english) == list(chinese)
    for key, text in english.items():
        assert text
        assert set(re.findall(r"\{\w+\}", text)) == set(re.findall(r"\{\w+\}", chinese[key])), key


def test_scripts_use_every_word_and_no_missing_one() -> None:
    scripts = "".join(path.read_text(encoding="utf-8") for path in SCRIPTS)
    named = set(re.findall(r'"([a-z][\w]*(?:\.[\w.]+)?)"', scripts))
    known = set(words("en"))
    called = set(re.findall(r'\bt\("([^"]+)"', scripts))
    assert called <= known
    # composed keys, as in t(`status.${job.status}`) and t(`setting.${name}.why`)
    put_together = re.findall(r"`([\w.]+\.\$\{[^`]*)`", scripts)
    patterns = [
        re.escape(re.sub(r"\$\{[^}]*\}", "*", one)).replace(r"\*", r"[\w.-]+")
        for one in put_together
    ]
    spare = {
        key for key in known - named if not any(re.fullmatch(pattern, key) for pattern in patterns)
    }
    assert spare == set()


def faults() -> Iterator[FileFault]:
    """One fault of each kind that a problem file can have."""
    question = {"question": "q", "options": ["x", "y"]}
    changes: list[dict[str, object]] = [
        {"id": ""},
        {"id": 1.5},
        {"problem": ""},
        {"problem": "x" * 200_001},
        {"questions": []},
        {"questions": 3},
        {"questions": [question] * 1001},
        {"questions": ["q"]},
        {"questions": [{"question": "q"}]},
        {"questions": [{"question": "q", "options": [1]}]},
        {"questions": [{"question": "q", "options": [["x"]]}]},
        {"questions": [{"question": "q", "options": ["x" * 200_001]}]},
        {"questions": [{"question": "q", "options": ["x", "y"], "answer": "C"}]},
        {"questions": [{"question": "q", "options": ["x", "y"], "answer": {}}]},
        {"questions": [{"question": "q", "options": ["x", "y"], "answer": ["A", "C"]}]},
        {"questions": [{"question": "q", "options": ["x", "y"], "analysis": 3}]},
        {"problem": "\ud800"},
        {"extra": {"\ud800": 1}},
        {"extra": float("nan")},
    ]
    rows = [json.dumps({**ROW, **change}).encode() for change in changes]
    rows += [b"", b"\xff", b"{oops", b"[1]", b'{"a": 1,}', b'{"a" 1}', b'{"a": }', b"{} {}", b'{"a']
    rows += [b'{"a": "\t"}', b'{"a": "\\x"}', b'{"a": "\\u12"}', b"[" * 100_000]
    rows += [b'{"a": 1e999}', b'{"a": ' + b"9" * 5000 + b"}", b'{"a": 1, "a": 2}']
    rows.append(b'{"a": ' + b"[" * 101 + b"]" * 101 + b"}")
    rows.append((json.dumps(ROW) + "\n" + json.dumps(ROW)).encode())
    for row in rows:
        with pytest.raises(ProblemFileError) as caught:
            parse_problems(row + b"\n")
        yield from caught.value.faults


# Files that are refused as a whole or in a record, each in its own way.
REFUSED: list[tuple[bytes, dict[str, Any]]] = [
    (b"", {}),
    (b"{}", {}),
    (b"[]", {}),
    (b"[{}]", {}),
    (b"[{}]", {"shape": "flat"}),
    (b"[{}]", {"shape": "arc"}),
    (b'[{"alpha": 1, "beta": 2}]', {}),
    (b'[{"question": "q"}]', {}),
    (b'[{"stem": "q", "query": "r", "A": "x", "B": "y"}]', {}),
    (b'[{"question": "q", "options": 3}]', {}),
    (b'[{"question": "q", "options": ["x", "y"], "answer": 1}]', {}),
    (b'[{"question": "q", "options": ["x", "y"], "answer": "Z"}]', {}),
    (b'[{"question": "q", "options": ["x", ""], "answer": "A"}]', {}),
    (b'[{"question": "q", "options": ["x", "y"]}]', {"shape": "none"}),
    (b'[{"question": "q", "options": ["x", "y"]}]', {"encoding": "none"}),
    (b'[{"question": "q", "options": ["x", "y"]}]', {"columns": {"question": "none"}}),
    (b'[{"question": "q", "options": ["x", "y"]}]', {"columns": {"none": "question"}}),
    (b'[{"instruction": "i", "output": "o"}]', {}),
    (b'{"train": [{"question": "q"}], "test": [{"question": "q"}]}', {}),
    (b"question,A,B,answer\nq,x,y,A\nq,x\n", {}),
    (b"question,A,A,answer\nq,x,y,A\n", {}),
    ("question,A,B\n首都在哪里？,北京,上海\n".encode("gbk"), {}),
    (b"| question | A | B |\n|---|---|---|\n| q | x | y |\n", {}),
    (b"PK\x03\x04 no archive", {}),
    (b"%PDF-1.7 no text", {}),
]


def file_faults(folder: Path) -> Iterator[FileFault]:
    for data, reading in REFUSED:
        with pytest.raises(ProblemFileError) as caught:
            converted(folder, data, **reading)
        yield from caught.value.faults


def in_chinese(page: Page, messages: Iterable[CodedMessage]) -> list[str]:
    """What the page shows for each message. None holds two English words, but for commands."""
    told: list[str] = page.evaluate(
        "(all) => import('/page/i18n.js').then("
        "({ said }) => all.map((message) => said(message.text, message)))",
        [message.model_dump() for message in messages],
    )
    plain = [re.sub(COMMANDS, "", one) for one in told]
    assert [one for one in plain if re.search("[a-z]{3,} [a-z]{3,}", one)] == []
    return told


def test_every_fault_has_a_chinese_sentence(api: httpx2.Client, open_page: OpenPage) -> None:
    reasons = {fault.reason: fault.reason.message() for fault in faults()}
    told = in_chinese(open_page(str(api.base_url), "zh"), reasons.values())
    assert [one for one in told if not re.search("[一-鿿]", one)] == []
    assert len(reasons) >= 25


def test_every_refusal_of_a_file_is_told_in_chinese(
    api: httpx2.Client, open_page: OpenPage, tmp_path: Path
) -> None:
    reasons = {fault.reason: fault.reason.message() for fault in file_faults(tmp_path)}
    told = in_chinese(open_page(str(api.base_url), "zh"), reasons.values())
    assert [one for one in told if not re.search("[一-鿿]", one)] == []
    assert len(reasons) >= 20


def test_what_a_file_was_read_as_is_told_in_chinese(
    api: httpx2.Client, open_page: OpenPage
) -> None:
    about = [shape.about.message() for shape in SHAPES.values()]
    told = in_chinese(open_page(str(api.base_url), "zh"), about)
    assert len(set(told)) == len(SHAPES)
    assert [one for one in told if "、" not in one] == []


def test_chinese_sentences_in_chinese_ones_stand_without_spaces(
    api: httpx2.Client, open_page: OpenPage
) -> None:
    with pytest.raises(ProblemFileError) as caught:
        parse_problems(b'[1]\n{"problem": "p", "questions": "none"}\n')
    reasons = [fault.reason.message() for fault in caught.value.faults]
    assert in_chinese(open_page(str(api.base_url), "zh"), reasons) == [
        "应为一个 JSON 对象，现为含 1 项的列表；请将每一行写成单独一个 JSON 对象",
        '应为至少含一个问题的列表，现为 "none"',
    ]


@pytest.mark.parametrize("language", ["en", "zh"])
def test_a_reply_that_is_not_the_apis_is_told_by_its_status(
    api: httpx2.Client, open_page: OpenPage, language: str
) -> None:
    page = open_page(str(api.base_url), language)
    page.route("**/jobs?**", lambda route: route.fulfill(status=502, body="<h1>Bad Gateway</h1>"))
    page.reload()
    told = words(language)["failure.other"].replace("{status}", "502")
    expect(page.get_by_role("alert")).to_have_text(told)


def test_every_sentence_is_told_in_chinese_with_its_values(
    api: httpx2.Client, open_page: OpenPage
) -> None:
    """Each parameter is a sentence once more, whose one value must come back translated, as often
    as the Chinese sentence has it.
    """
    away = Sentence("server-away", "away: {url} {error}", url="http://vllm", error="503")
    messages = [
        CodedMessage(
            code=code,
            text=text,
            params={name: "failed" if name == "status" else away.message() for name in given},
        )
        for code, text, given in templates()
    ]
    told = in_chinese(open_page(str(api.base_url), "zh"), messages)
    chinese = words("zh_sentences")
    for message, one in zip(messages, told, strict=True):
        places = re.findall(r"\{(\w+)\}", chinese[message.code])
        assert set(places) == set(message.params), one
        values = [name for name in places if name != "status"]
        assert one.count("模型服务器 http://vllm 没有响应：503") == len(values), one
        assert ("失败" in one) >= ("status" in message.params), one


def test_a_code_that_the_page_does_not_know_is_told_in_english(
    api: httpx2.Client, open_page: OpenPage
) -> None:
    page = open_page(str(api.base_url), "zh")
    for coded in ("{ code: 'of-a-later-version', text: 'it is so', params: {} }", "undefined"):
        script = f"import('/page/i18n.js').then(({{ said }}) => said('it is so', {coded}))"
        assert page.evaluate(script) == "it is so"


def test_every_kind_of_failure_has_a_name_in_both_languages() -> None:
    found = [kind for kind in vars(errors).values() if isinstance(kind, type)]
    kinds = [kind for kind in found if issubclass(kind, errors.QuorumError)]
    codes = {kind.code for kind in kinds}
    assert len(codes) == len(kinds) - 1  # a job with other weights also waits for the model
    for language in ("en", "zh"):
        assert codes == {
            key.removeprefix("problem.") for key in words(language) if key.startswith("problem.")
        }
    assert {words("en")[f"problem.{kind.code}"] for kind in kinds} == {k.title for k in kinds}
