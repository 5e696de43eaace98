"""Text in plain spelling (NFKC, without Markdown's bold), and the origin of each character."""

from __future__ import annotations

import re
import unicodedata

# A character with its combining characters, so that normalization never joins across two pieces.
_PIECE = re.compile(r"(?s).[\u0300-\u036f\u1160-\u11ff\u20d0-\u20ff\u3099\u309a\ufe20-\ufe2f]*")
_BOLD = "**"


def plain(text: str) -> str:
    return unicodedata.normalize("NFKC", text).replace(_BOLD, "")


def origins(text: str) -> list[tuple[int, int]]:
    """For each character of `plain(text)`, the start and end of its origin in `text`."""
    if _BOLD not in text and unicodedata.is_normalized("NFKC", text):
        return [(index, index + 1) for index in range(len(text))]
    spelled, places, start = "", [], 0
    for piece in _PIECE.findall(text):
        normal = unicodedata.normalize("NFKC", piece)
        spelled += normal
        places += [(start, start + len(piece))] * len(normal)
        start += len(piece)
    while (bold := spelled.find(_BOLD)) >= 0:
        spelled = spelled[:bold] + spelled[bold + len(_BOLD) :]
        del places[bold : bold + len(_BOLD)]
    return places


class PlainLines:
    """A text's plain spelling, line by line. Normalization never joins across a line break, so a
    place is searched for in its own line only.
    """

    def __init__(self, text: str) -> None:
        self._lines = text.split("\n")
        self._plain = [plain(line) for line in self._lines]
        self.plain = "\n".join(self._plain)

    def place(self, index: int, *, before: bool) -> int:
        """The position in the text of character `index` of the plain text. If marks were left out
        in front of that character, the position is before them with `before`, else after them.
        """
        start = 0
        for line, spelled in zip(self._lines, self._plain, strict=True):
            if index <= len(spelled):
                if spelled == line:
                    return start + index
                inside = [(0, 0), *origins(line), (len(line), len(line))]
                return start + (inside[index][1] if before else inside[index + 1][0])
            index -= len(spelled) + 1
            start += len(line) + 1
        raise IndexError("the plain text is shorter")
