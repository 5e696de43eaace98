"""Hypothesis strategies for hostile input: valid bytes, damaged as files and replies are.

The environment variable FUZZ chooses how many examples are tried: `quick` is for every run of the
tests and always tries the same ones; `thorough` tries many more, and others each time.
"""

from __future__ import annotations

import os
from collections.abc import Callable

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

_SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.function_scoped_fixture]
settings.register_profile(
    "quick", max_examples=200, deadline=None, derandomize=True, suppress_health_check=_SLOW
)
settings.register_profile(
    "thorough", max_examples=10_000, deadline=None, print_blob=True, suppress_health_check=_SLOW
)
FUZZED = settings.get_profile(os.environ.get("FUZZ", "quick"))

# What is put in or takes the place of something: odd bytes, odd JSON, and the ends of both.
PIECES = [
    b"\0",
    b"\xff",
    b"\xef\xbb\xbf",
    b"\r\n",
    b"\n",
    b"\r",
    b"\xe2\x80\xa8",
    b"\xed\xa0\x80",
    b"\\ud800",
    b"\\ud83d\\ude00",
    b"\\u0000",
    b'"',
    b"\\",
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b"null",
    b"true",
    b"NaN",
    b"-Infinity",
    b"-0",
    b"0.1",
    b"1e999",
    b"1e-400",
    b"123456789012345678901234567890",
    b"0.30000000000000004000000000000001",
    b"9" * 1001,
    b"9" * 5000,
    b'"x"',
    b'"A"',
    b"[]",
    b"{}",
    b'{"a": 1, "a": 2}',
    b"[" * 101 + b"]" * 101,
    b"[" * 5000,
    b'{"a":' * 2000,
    b"x" * 5000,
    "１２Ａ答案是：\u200b\u202e".encode(),
]


def _cut(data: bytes, start: int, end: int, _: bytes) -> bytes:
    return data[:start]


def _without(data: bytes, start: int, end: int, _: bytes) -> bytes:
    return data[:start] + data[end:]


def _twice(data: bytes, start: int, end: int, _: bytes) -> bytes:
    return data[:end] + data[start:]


def _flipped(data: bytes, start: int, end: int, piece: bytes) -> bytes:
    return (
        data[:start]
        + bytes(byte ^ piece[0] for byte in data[start : start + 1])
        + data[start + 1 :]
    )


def _with(data: bytes, start: int, end: int, piece: bytes) -> bytes:
    return data[:start] + piece + data[start:]


def _instead(data: bytes, start: int, end: int, piece: bytes) -> bytes:
    """`piece` in place of one JSON value, digit by digit or from quote to quote."""
    ends = b",:]}\n"
    first = max(data.rfind(bytes([end]), 0, start) for end in ends) + 1
    last = min(
        (at for end in ends if (at := data.find(bytes([end]), start)) >= 0), default=len(data)
    )
    return data[:first] + piece + data[last:]


def _crlf(data: bytes, start: int, end: int, _: bytes) -> bytes:
    return data.replace(b"\n", b"\r\n")


WAYS: list[Callable[[bytes, int, int, bytes], bytes]] = [
    _cut,
    _without,
    _twice,
    _flipped,
    _with,
    _instead,
    _crlf,
]


@st.composite
def damaged(draw: st.DrawFn, valid: st.SearchStrategy[bytes], most: int = 3) -> bytes:
    """Bytes of `valid`, damaged up to `most` times. Undamaged ones are among them."""
    data = draw(valid)
    for _ in range(draw(st.integers(0, most))):
        start, end = sorted(draw(st.tuples(*[st.integers(0, len(data))] * 2)))
        piece = draw(st.sampled_from(PIECES) | st.binary(min_size=1, max_size=4))
        data = draw(st.sampled_from(WAYS))(data, start, end, piece)
    return data
