"""The page's words and the API's sentences that it shows are all translated."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import httpx2
import pytest

from contract import FileFault, ProblemFileError, parse_problems
from contract.tenancy import AT_WORK
from orchestrator import errors
from orchestrator.api.page import FILES
from page_names import OpenPage, words

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


def test_every_fault_has_a_chinese_sentence(api: httpx2.Client, open_page: OpenPage) -> None:
    reasons = {fault.reason for fault in faults()}
    trains = (AT_WORK, "the trainer was killed", "the trainer ended without a model: 没有数据")
    waiting = {f"no model is published in /models/m/current yet: {how}" for how in trains}
    page = open_page(str(api.base_url), "zh")
    told = page.evaluate(
        "(all) => import('/page/i18n.js').then(({ said }) => all.map((one) => said(one)))",
        sorted(reasons | waiting),
    )
    untold = [one for one in told if not re.search("[一-鿿]", one)]
    assert untold == []
    assert not [one for one in told if "trainer" in one]
    assert not [one for one in told if re.search("[a-z]{3,} [a-z]{3,}", one)]
    assert len(reasons) >= 25


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
