"""Settings are taken, or refused with their names and without what they hold."""

from __future__ import annotations

import os
from typing import NoReturn

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from contract.settings import read_settings
from damage import FUZZED
from inference.settings import Settings as InferenceSettings
from orchestrator.settings import ApiSettings, Settings
from trainer.settings import Settings as TrainerSettings

SECRET = "Xq9ZsK7w"
KINDS: list[type[BaseModel]] = [Settings, ApiSettings, InferenceSettings, TrainerSettings]
NAMES = sorted({name.upper() for kind in KINDS for name in kind.model_fields})
# places where people put secrets, right and wrong
VALUES = [
    SECRET,
    f"{SECRET}\n",
    f"é{SECRET}",
    f"http://user:{SECRET}@host:8000/v1",
    f"http://user:{SECRET}@host:99999/v1",
    f"http://user:{SECRET}@host:port/v1",
    f"user:{SECRET}@host:8000",
    f"http://user:{SECRET}@[::1/v1",
    f"ftp://{SECRET}@host",
    f"redis://:{SECRET}@host:6379/0",
    f"redis://:{SECRET}@host:6379/x",
    f"redis://:{SECRET}/{SECRET}@host:6379/0",
    f"redis://:{SECRET}#1@host:6379/0",
    f"redis://:{SECRET}?x@host:6379/0",
    f"redis://:{SECRET}@host:6379/0?db={SECRET}",
    f"rediss://:[{SECRET}@host",
    f"unix://:{SECRET}@/socket?db=x",
    f"/run/{SECRET}",
]
SECRET_PLACES = [name for name in NAMES if name.endswith(("_KEY", "_URL", "_FILE"))]
PLAIN = [
    "http://host:8000/v1",
    "http://a, b",
    "redis://127.0.0.1:6379/0",
    "0.0.0.0",
    "a, b",
    "cpu",
    "true",
    "0",
    "-1",
    "nan",
    "inf",
    "9" * 30,
    "9" * 5000,
    "null",
    "{}",
    "",
    " ",
]
PROXIES = ["http_proxy", "https_proxy", "all_proxy"]
TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)


class _RefusedError(Exception):
    pass


def _refuse(reason: str) -> NoReturn:
    raise _RefusedError(reason)


@FUZZED
@given(
    kind=st.sampled_from(KINDS),
    chosen=st.dictionaries(
        st.sampled_from(NAMES), st.sampled_from(PLAIN) | TEXTS, min_size=1, max_size=5
    ),
    secrets=st.dictionaries(
        st.sampled_from(SECRET_PLACES), st.sampled_from(VALUES), min_size=1, max_size=2
    ),
    proxies=st.dictionaries(st.sampled_from(PROXIES), st.sampled_from(VALUES), max_size=1),
)
def test_settings_are_taken_or_refused_by_name(
    kind: type[BaseModel],
    chosen: dict[str, str],
    secrets: dict[str, str],
    proxies: dict[str, str],
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        for name in (*NAMES, *PROXIES):
            patch.delenv(name, raising=False)
        for name, value in {**chosen, **secrets, **proxies}.items():
            patch.setenv(name, os.fsdecode(value.encode()))
        try:
            read_settings(kind, _refuse)
        except _RefusedError as error:
            said = str(error)
            for line in said.splitlines():
                assert any(name in line for name in (*NAMES, *PROXIES)), line
                assert len(line) < 500
            assert SECRET not in said, said
