"""The stage that a starting server has reached, read from its output.

The texts are those of vLLM 0.8 to 0.29. A server with other texts is only said to be starting.
"""

from __future__ import annotations

import re

_STAGES: tuple[tuple[str, re.Pattern[bytes]], ...] = (
    ("loading the weights", re.compile(rb"Starting to load model|Loading \w+ checkpoint shards:")),
    (
        "compiling",
        re.compile(rb"Loading weights took|Dynamo bytecode transform|torch\.compile took"),
    ),
    ("capturing CUDA graphs", re.compile(rb"Capturing (?:CUDA |cuda)graph")),
    ("opening its API", re.compile(rb"init engine \(profile|Graph capturing finished")),
)
FIRST = "importing its libraries"
_PERCENT = re.compile(rb"(?:shards|\)|graphs?|shapes):\s+(\d{1,3})%")


def stage(output: bytes) -> str:
    """The last stage that the output names, with its per cent if its last line shows a bar."""
    found = [(match.start(), name) for name, text in _STAGES for match in text.finditer(output)]
    at, name = max(found, default=(0, FIRST))
    bars = _PERCENT.findall(output[at:])
    return f"{name} ({int(bars[-1])} %)" if bars else name
