"""A server's refusal of a request: its words without the question, and the parameters it names.
No I/O.

A parameter is named if it stands in a field (`param`, pydantic's `loc`), or beside the refusing
words: "unsupported parameter: 'seed'", "seed is not supported". Anywhere else its name is a word
like any other. What a server sends back of the question or of its own settings is not read, even if
it is shortened or escaped.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

MOST_READ_BYTES = 20_000
# Keys under which a request is sent back.
ECHOES = ("input", "prompt", "content", "sampling_params")
# A shorter run of a question's words may be the server's own.
LEAST_ECHOED_WORDS = 4
_QUOTES = "'\"`‘’“”"
_QUOTE = rf"(?:\\?[{_QUOTES}])"
_NOUN = r"(?:parameter|argument|field|property|properties|name|key|option|input|setting|keyword)s?"
_FILLING = (
    rf"(?:\s+(?:{_NOUN}|values?|requests?|body|query|json|sampling|supplied|provided|passed|found"
    r"|for|the)(?:\(s\))?)"
)
_REFUSING = (
    r"(?:unsupported|unrecogni[sz]ed|unknown|unexpected|incompatible|deprecated|invalid"
    rf"|(?:no|extra|additional|cannot\s+find)(?:\s+such)?(?=\s+(?:{_NOUN})))"
)
_LISTED = rf"\s*[:=]?\s*[\[({{]*\s*(?:{_QUOTE}?[\w.]+{_QUOTE}?\s*(?:,|and)\s*){{0,20}}"
_BEFORE = (
    rf"(?<![\w]){_REFUSING}{_FILLING}{{0,5}}{_LISTED}",
    rf"(?:^|[.;:]\s|\b{_NOUN}\s)\s*(?:(?:is|are)\s+)?not\s+supported[^:.;\n]{{0,40}}:{_LISTED}",
    rf"(?:\bnot|n't)\s+support(?:\s+(?:the|these|this|following|setting|using|custom)|{_FILLING})"
    rf"{{0,4}}{_LISTED}",
    r"(?:不支持|未知|无效)的?(?:参数|字段)?\s*[:：]?\s*",
)
_STATE = (
    r"(?:support|allow|permit|accept|available|enabled|implemented|recogni[sz]|valid|known"
    r"|compatible)"
)
_FILLER = r"(?:(?:currently|now|yet|an?|the|also)\s+){0,3}"
_AFTER = (
    rf"(?:\s+{_NOUN}|\s+value)?(?:\s*[=:]?\s*-?\d[\d.]*)?\s*[:,(]?\s*(?:"
    rf"(?:(?:is|are|was|were|has\s+been)\s+)?{_FILLER}(?:not\s+{_FILLER}{_STATE}|no\s+longer\s+{_STATE}"
    r"|unsupported|unrecogni[sz]ed|unknown|unexpected|deprecated|incompatible|disabled|forbidden"
    r"|extra_forbidden|extra\s+(?:inputs|fields))"
    rf"|(?:is|are)n't\s+{_FILLER}{_STATE}"
    r"|do(?:es)?(?:\s+not|n't)\s+support"
    r"|can(?:not|'t)\s+(?:both\s+)?be\b"
    r"|(?:currently\s+)?only\s+(?:the\s+default|\S+\s+is\s)"
    r"|(?:number\s+|value\s+)?must\b|(?:input\s+)?should\s+be|(?:is\s+)?(?:invalid|out\s+of)"
    r"|(?:参数|字段)?\s*(?:不支持|不被支持|仅支持|只支持|未知|非法|必须))"
)
# An unquoted name that another word follows is part of a sentence about something else.
_ENDS = (
    r"(?![ \t]+(?!(?:is|are|was|has|does|must|cannot|should|not|with|for|on|by|only|use|here"
    rf"|supplied|provided|values?|{_NOUN})\b)[a-z])"
)
_EVIDENCE = r"[^.;\n]{0,80}"
_SPAN = re.compile(rf"(?<!\w)\\?([{_QUOTES}])(.{{0,2000}}?)(?<!\w\\)(?:\1|[’”])(?!\w)", re.DOTALL)
_SAID_UNDER = re.compile(rf"{_QUOTE}(?:message|msg|detail|error|description){_QUOTE}\s*:\s*\\?$")
_LOC = re.compile(
    rf"{_QUOTE}(?:loc|param|field){_QUOTE}\s*:\s*[\[(]?((?:\s*{_QUOTE}[\w.]+{_QUOTE},?)+)"
)
_CALL = re.compile(r"\b[A-Z]\w*\(\s*\w+=")
_RUN = re.compile(r"([\\ \t])\1+")
_TOKEN = re.compile(r"[a-z0-9_]+|[^\W_]")
_ESCAPE = re.compile(r"\\+(?:u([0-9a-fA-F]{4})|[nrt])?")


class Refusal(NamedTuple):
    """A refusal in small letters. `fields` holds the parameters that it names in fields of their
    own.
    """

    words: str
    fields: tuple[str, ...]

    @classmethod
    def of(cls, refusal: bytes, body: Mapping[str, Any]) -> Refusal:
        parts = list(_parts(refusal[:MOST_READ_BYTES].decode("utf-8", "replace")))
        said = "\n".join(part for _, part in parts)
        fields = [part for key, part in parts if key in ("param", "loc", "field")]
        contents = [str(message["content"]) for message in body.get("messages", ())]
        for content in contents:
            said = said.replace(content, " ") if content else said
        words = _without_calls(_RUN.sub(r"\1", said))
        # in the text of another server's error, as Python writes it
        fields += [found[1] for found in _LOC.finditer(words)]
        words = _without_echoes(_without_quoted(words).lower(), contents)
        return cls(words, tuple(dict.fromkeys(_names(fields))))

    def beside(self, name: str) -> tuple[int, str] | None:
        """Where the words refuse the parameter by name, and how; None if they do not. It may be
        written "maxTokens" for "max_tokens". A single letter counts in quotes alone.
        """
        bare = rf"(?<![a-z0-9_]){name.replace('_', '_?')}(?![a-z0-9_])"
        quoted = rf"{_QUOTE}(?:\w{{1,20}}\.)?{bare}{_QUOTE}"
        named = quoted if len(name) == 1 else rf"(?:{quoted}|{bare}{_ENDS})"
        forms = [before + named + _EVIDENCE for before in _BEFORE]
        after = rf"(?:{quoted}|{bare}){_AFTER}" if len(name) > 1 else quoted + _AFTER
        forms.append(after + _EVIDENCE)
        found = [match for form in forms if (match := re.search(form, self.words, re.MULTILINE))]
        if not found:
            return None
        place = re.compile(bare)
        first = min(found, key=lambda match: match.start())
        at = place.search(self.words, first.start())
        return (at.start() if at else first.start()), first[0]


def _parts(text: str, depth: int = 0) -> Iterator[tuple[str, str]]:
    """Each text in a document, with the key that it stands under. A text may be a document itself:
    gateways pass on another server's error as a text.
    """
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = text
    yield from _texts(found, "", depth)


def _texts(found: Any, key: str, depth: int) -> Iterator[tuple[str, str]]:
    if depth > 8:
        return
    if isinstance(found, str):
        start = found.find("{")
        if start >= 0 and depth < 4 and _is_document(found[start:]):
            yield key, found[:start]
            yield from _parts(found[start : found.rfind("}") + 1], depth + 1)
        else:
            yield key, found
    elif isinstance(found, Mapping):
        for name, value in found.items():
            if name not in ECHOES:
                yield from _texts(value, str(name), depth + 1)
    elif isinstance(found, list):
        for value in found:
            yield from _texts(value, key, depth + 1)


def _is_document(text: str) -> bool:
    try:
        return isinstance(json.loads(text[: text.rfind("}") + 1]), Mapping)
    except (ValueError, RecursionError):
        return False


def _names(texts: Iterable[str]) -> Iterator[str]:
    for text in texts:
        yield from re.findall(r"[a-z_]+", text.lower())


def _without_calls(text: str) -> str:
    """Without "SamplingParams(n=1, ...)" and the like, to the closing bracket or the end."""
    while (call := _CALL.search(text)) is not None:
        opened, end = 0, len(text)
        for place in range(call.start(), len(text)):
            opened += (text[place] == "(") - (text[place] == ")")
            if text[place] == ")" and opened == 0:
                end = place + 1
                break
        text = f"{text[: call.start()]} {text[end:]}"
    return text


def _without_quoted(text: str) -> str:
    """Without what is quoted and is more than one word, unless it is an error's own message."""

    def kept(span: re.Match[str]) -> str:
        is_said = _SAID_UNDER.search(text[max(0, span.start() - 40) : span.start()])
        return span[0] if is_said or not re.search(r"\s", span[2].strip()) else " … "

    return _SPAN.sub(kept, text)


def _without_echoes(words: str, contents: Iterable[str]) -> str:
    """Without each run of words that also stands in a question."""
    words = _ESCAPE.sub(lambda e: chr(int(e[1], 16)) if e[1] else " ", words)
    tokens = list(_TOKEN.finditer(words))
    runs: set[tuple[str, ...]] = set()
    size = LEAST_ECHOED_WORDS
    for content in contents:
        asked = _TOKEN.findall(content.lower())
        runs.update(tuple(asked[i : i + size]) for i in range(len(asked) - size + 1))
    echoed = list(words)
    for i in range(len(tokens) - size + 1):
        run = tokens[i : i + size]
        if tuple(token[0] for token in run) in runs:
            echoed[run[0].start() : run[-1].end()] = " " * (run[-1].end() - run[0].start())
    return "".join(echoed)
