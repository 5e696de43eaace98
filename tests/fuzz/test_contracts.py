"""A contract is loaded or refused with ContractError, whatever the file holds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract import CONTRACT_FILE, Contract, ContractError, extract_label
from contract.problems import Problem, Question
from contracts import make_contract
from damage import FUZZED, damaged
from orchestrator.errors import JobDamagedError
from orchestrator.jobs.files import read_record

WHOLE = make_contract().dump()
# patterns and lines that are odd, and some that are no patterns at all
ODD = [
    "(x{99999999999})",
    "(" * 5000 + ")" * 5000,
    "(a)(b)",
    "(?P<x>a)(?P=x)",
    "[",
    "(?<=a*)(b)",
    "{label}",
    "{label}{label}",
    "(?i)答案(.)",
    "x(?i)(.)",
    "\ud800",
    "",
    "()",
    "(\x00)",
]


def _with(name: str, value: Any) -> bytes:
    contract = json.loads(WHOLE)
    contract["format"][name] = [value] if name == "label_patterns" else value
    if name == "answer_line":
        del contract["format"]["label_patterns"]
    return json.dumps(contract).encode()


FORMATS = st.builds(
    _with,
    st.sampled_from(["label_patterns", "answer_line", "user_template", "option_line", "style"]),
    st.sampled_from(ODD) | st.text(max_size=20),
)
FILES = damaged(st.just(WHOLE) | FORMATS) | st.binary(max_size=100)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("contract")


def check_said(said: str, path: Path) -> None:
    assert str(path) in said
    assert "publish the model again" in said


@FUZZED
@given(FILES)
def test_a_contract_is_loaded_or_refused(folder: Path, data: bytes) -> None:
    path = folder / CONTRACT_FILE
    path.write_bytes(data)
    try:
        contract = Contract.load(folder)
    except ContractError as error:
        check_said(str(error), path)
        with pytest.raises(JobDamagedError, match=r"contract\.json"):
            read_record(path, Contract)
        return
    assert Contract.model_validate_json(contract.dump()) == contract
    question = Question("q", ("x", "y"))
    messages = contract.format.messages(Problem("1", "p", (question,), {}), question)
    assert messages[-1]["content"]
    label = extract_label("答案是：A", question.options, contract.format.label_patterns)
    assert label in ("A", "B", None)


def test_a_contract_that_is_a_folder_is_refused(folder: Path, tmp_path: Path) -> None:
    (tmp_path / CONTRACT_FILE).mkdir()
    with pytest.raises(ContractError, match="cannot be read"):
        Contract.load(tmp_path)
