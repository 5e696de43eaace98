"""The encoding of a text file: UTF-8 is read as it is, others after the sender has named them.

UTF-16, UTF-32 and GBK are recognized, so that the refusal can say which name to send. They are not
read without it: a wrong guess gives other letters, not an error.
"""

from __future__ import annotations

import codecs
from pathlib import Path

from contract.problems import FileFault, ProblemFileError, refused_file
from contract.sentences import Sentence

# The names that are accepted, and Python's codecs. A superset takes the place of an older standard.
ENCODINGS = {
    "utf-8": "utf-8",
    "utf-16": "utf-16",
    "utf-16-le": "utf-16-le",
    "utf-16-be": "utf-16-be",
    "utf-32": "utf-32",
    "gbk": "gb18030",
    "gb18030": "gb18030",
    "gb2312": "gb18030",
    "big5": "big5hkscs",
    "shift_jis": "cp932",
    "euc-kr": "cp949",
    "latin-1": "cp1252",
    "cp1252": "cp1252",
}
_BOMS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_PIECE_BYTES = 1 << 20
# So much of the letters of a Chinese text is in the oldest standard. Western text read as GBK has
# almost none there: its second bytes are ASCII.
_SHARE_IN_GB2312 = 0.8
_SAMPLE_BYTES = 1 << 16


def named_encoding(name: str) -> str:
    """The name of an encoding as `ENCODINGS` has it.

    Raises:
        ProblemFileError: an encoding of this name is not read.
    """
    plain = name.strip().lower().replace("_", "-")
    spelled = {known.replace("_", "-"): known for known in ENCODINGS}
    spelled |= {"utf8": "utf-8", "utf-8-sig": "utf-8", "utf16": "utf-16", "latin1": "latin-1"}
    spelled |= {"cp936": "gbk", "iso-8859-1": "latin-1", "windows-1252": "cp1252"}
    if plain not in spelled:
        raise refused_file(
            Sentence(
                "no-such-encoding",
                "there is no encoding {name!r}; known are {known}",
                name=name,
                known=", ".join(ENCODINGS),
            )
        )
    return spelled[plain]


def check_utf8(path: Path) -> None:
    """Check that a text is UTF-8.

    Raises:
        ProblemFileError: it is not. The reason names the encoding that it is in, if that is
            recognized, else the line.
    """
    with path.open("rb") as file:
        head = file.read(_SAMPLE_BYTES)
    if found := _wide_encoding(head):
        raise refused_file(_send_it_with(found))
    fault = _first_fault(path, "utf-8")
    if fault is not None:
        if _is_gbk(path):
            raise refused_file(_send_it_with("gbk"))
        raise ProblemFileError([fault], 1)


def write_as_utf8(source: Path, target: Path, encoding: str) -> None:
    """Write a text in an encoding of `ENCODINGS` to `target` in UTF-8, without a byte order mark.

    Raises:
        ProblemFileError: with the line that is not in this encoding.
    """
    codec = _codec(source, encoding)
    decoder = codecs.getincrementaldecoder(codec)()
    line, is_first = 1, True
    with source.open("rb") as read, target.open("wb") as written:
        while True:
            piece = read.read(_PIECE_BYTES)
            try:
                text = decoder.decode(piece, final=not piece)
            except UnicodeDecodeError as error:
                before = error.object[: error.start].decode(codec, "replace")
                fault = _not_in(encoding, line + before.count("\n"), error)
                raise ProblemFileError([fault], 1) from None
            written.write(text.removeprefix("\ufeff" if is_first else "").encode("utf-8"))
            line, is_first = line + text.count("\n"), is_first and not text
            if not piece:
                return


def _codec(path: Path, encoding: str) -> str:
    """Python's codec, with the byte order that the file's mark gives, in every piece of it."""
    with path.open("rb") as file:
        head = file.read(4)
    if encoding not in ("utf-16", "utf-32"):
        return ENCODINGS[encoding]
    is_big_endian = head.startswith((codecs.BOM_UTF16_BE, codecs.BOM_UTF32_BE))
    return f"{encoding}-be" if is_big_endian else f"{encoding}-le"


def _wide_encoding(head: bytes) -> str | None:
    for mark, encoding in _BOMS:
        if head.startswith(mark):
            return encoding
    if b"\0" not in head:
        return None
    # the line breaks and commas of a text with the wrong byte order become other letters
    read = {codec: head.decode(codec, "ignore") for codec in ("utf-16-le", "utf-16-be")}
    found = max(read, key=lambda codec: sum(map(read[codec].count, '\n," ')))
    return found if "\n" in read[found] and "\0" not in read[found] else None


def _first_fault(path: Path, encoding: str) -> FileFault | None:
    decoder = codecs.getincrementaldecoder(ENCODINGS[encoding])()
    line = 1
    with path.open("rb") as file:
        while True:
            piece = file.read(_PIECE_BYTES)
            try:
                decoder.decode(piece, final=not piece)
            except UnicodeDecodeError as error:
                line += error.object.count(b"\n", 0, error.start)
                return _not_in(encoding, line, error)
            line += piece.count(b"\n")
            if not piece:
                return None


def _is_gbk(path: Path) -> bool:
    """Judged by the file's first letters that are not ASCII; the rest may have faults."""
    decoder = codecs.getincrementaldecoder("gb18030")()
    letters: list[str] = []
    with path.open("rb") as file:
        while len(letters) < _SAMPLE_BYTES:
            piece = file.read(_SAMPLE_BYTES)
            try:
                text = decoder.decode(piece, final=not piece)
            except UnicodeDecodeError:
                return False
            letters += [letter for letter in text if not letter.isascii()]
            if not piece:
                break
    letters = letters[:_SAMPLE_BYTES]
    common = sum(len(letter.encode("gb2312", "ignore")) == 2 for letter in letters)
    return common >= _SHARE_IN_GB2312 * len(letters)


def _send_it_with(encoding: str) -> Sentence:
    return Sentence(
        "file-is-encoded",
        "the file is {name}; send it with encoding={encoding}, or save it as UTF-8",
        name=encoding.upper(),
        encoding=encoding,
    )


def _not_in(encoding: str, line: int, error: UnicodeDecodeError) -> FileFault:
    reason = Sentence(
        "not-in-encoding",
        "not {name}: byte {byte} cannot stand there; name the file's encoding, as in encoding=gbk, "
        "or save it as UTF-8",
        name=encoding.upper(),
        byte=f"0x{error.object[error.start]:02x}",
    )
    return FileFault(line, "", reason)
