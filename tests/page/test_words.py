"""The page's words and the API's sentences that it shows are all translated."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator

import httpx2
import pytest
from playwright.sync_api import Page

from contract import CodedMessage, FileFault, ProblemFileError, Sentence, parse_problems
from make_messages import templates
from orchestrator import errors
from orchestrator.api.page import FILES
from page_names import OpenPage
from page_words import COMMANDS, words

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
