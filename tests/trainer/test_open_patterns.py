"""Real worked replies, whole and cut: what the open patterns read of them."""

import json
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from contract import PromptFormat, extract_label
from contract.patterns import OPEN_PATTERNS
from trainer.data.prompt_parts import own_form, take_apart

pytestmark = pytest.mark.skipif(
    "QUORUM_REAL_DATA" not in os.environ, reason="QUORUM_REAL_DATA is not set"
)
TRAINED = PromptFormat().label_patterns


def replies() -> Iterator[tuple[str, tuple[str, ...]]]:
    """Each reply with its question's options."""
    data = (Path(os.environ["QUORUM_REAL_DATA"]) / "ana.json").read_text(encoding="utf-8")
    own = own_form(PromptFormat())
    for row in json.loads(data):
        parts = take_apart(f"{row['instruction'].rstrip()}\n{row['input'] or ''}".rstrip(), own)
        assert parts is not None
        yield row["output"], parts.options


def test_whole_replies_are_read_as_by_the_trained_patterns() -> None:
    read = [
        (extract_label(reply, options, TRAINED), extract_label(reply, options, OPEN_PATTERNS))
        for reply, options in replies()
    ]
    assert sum(trained is not None for trained, _ in read) > 820
    assert [pair for pair in read if pair[0] != pair[1]] == []


def test_cut_replies_are_not_read_wrongly_more_often() -> None:
    """A cut reply is read wrongly if its whole says something else."""
    found: Counter[tuple[str, bool]] = Counter()
    for reply, options in replies():
        meant = extract_label(reply, options, TRAINED)
        for sixth in range(1, 6):
            begin = reply[: len(reply) * sixth // 6]
            for name, patterns in (("trained", TRAINED), ("open", OPEN_PATTERNS)):
                label = extract_label(begin, options, patterns)
                if label is not None:
                    found[name, label == meant] += 1
    assert found["open", False] <= found["trained", False]
    assert found["open", True] > found["trained", True]
