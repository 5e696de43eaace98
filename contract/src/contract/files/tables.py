"""Tables in text: CSV, TSV, and CSV with semicolons. A record is numbered by its first line."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from contract.files.columns import QUESTION, is_named, is_option_name
from contract.files.forms import Form
from contract.files.shapes import Record, listed
from contract.options import LABELS
from contract.problems import FileFault, refused_file
from contract.sentences import Sentence

# The default, 131,072, is less than a text may have. Python keeps one limit for the process.
csv.field_size_limit(16 << 20)
_DELIMITERS = (",", "\t", ";", "|")
_RULE = re.compile(r"\|?\s*:?-+:?\s*(?:[|+]\s*:?-+:?\s*)+\|?")
_LONGEST_RULE = 1 << 16
_DELIMITER_LINE = re.compile(r"sep=([,\t;|])\r?\n?", re.IGNORECASE)  # Excel's
_LONGEST_DELIMITER_LINE = 10
_SAMPLE = 50
_FEWEST_OPTIONS = 2
_NUMBERED_ID = re.compile(r"[A-Za-z_.#-]{0,20}[0-9]{1,9}")


class Row(NamedTuple):
    """A line of a table, or several if cells hold line breaks."""

    line: int
    cells: list[str]


def table_form(path: Path) -> Form | None:
    """How a text holds a table; None if it holds none: its lines do not divide into the same
    number of cells.

    Raises:
        ProblemFileError: it is drawn with lines, as in Markdown.
    """
    if _is_drawn(path):
        raise refused_file(
            Sentence(
                "table-drawn",
                "is a table drawn with lines, as in Markdown; send it as CSV or JSON lines",
            )
        )
    named = _named_delimiter(path)
    tried = [named] if named else _DELIMITERS
    sized = [(*_regularity(path, delimiter), delimiter) for delimiter in tried]
    regular = [found for found in sized if found[1] > 1 and found[0] > 0.5]
    if not regular:
        return None
    delimiter = max(regular, key=lambda found: found[:2])[2]
    spaced = _is_spaced(path, delimiter)
    with path.open("rb") as file:
        newline = "\r\n" if file.readline(1 << 20).endswith(b"\r\n") else "\n"
    return Form(
        container="table",
        delimiter=delimiter,
        newline=newline,
        header=_header_of_headless([row.cells for row in _sample(path, delimiter, spaced=spaced)]),
        names_delimiter=named is not None,
        spaced=spaced,
    )


def table_rows(path: Path, form: Form) -> Iterator[Row | FileFault]:
    """A table's rows behind its header. A row of another length than the header is a fault."""
    rows = _rows(path, form.delimiter, spaced=form.spaced)
    names = list(form.header) or column_names(path, form)
    if not form.header:
        next(rows)
    for row in rows:
        if isinstance(row, Row) and len(row.cells) != len(names):
            yield FileFault(row.line, "", _ragged(len(row.cells), len(names), form.delimiter))
        else:
            yield row


def table_records(path: Path, form: Form) -> Iterator[Record | FileFault]:
    """A table's records. Columns without a name are left out, such as the row numbers of pandas.

    Raises:
        ProblemFileError: two columns have one name.
    """
    names = list(form.header) or column_names(path, form)
    twice = [name for name, count in Counter(filter(None, names)).items() if count > 1]
    if twice:
        raise refused_file(
            Sentence(
                "column-twice",
                "two columns are named {name}; names of columns must differ",
                name=listed(twice[:1]),
            )
        )
    for row in table_rows(path, form):
        if isinstance(row, FileFault):
            yield row
        else:
            cells = zip(names, row.cells, strict=True)
            yield Record(row.line, {name: cell for name, cell in cells if name})


def first_cells(path: Path, form: Form) -> list[str]:
    return next(_sample(path, form.delimiter, spaced=form.spaced)).cells


def table_line(cells: Sequence[Any], form: Form) -> str:
    file = io.StringIO()
    csv.writer(file, delimiter=form.delimiter, lineterminator=form.newline).writerow(cells)
    return file.getvalue()


def column_names(path: Path, form: Form) -> list[str]:
    """The names in a table's first line, "" for a column without one."""
    names = [cell.strip() for cell in first_cells(path, form)]
    return ["" if re.fullmatch(r"Unnamed: \d+", name) else name for name in names]


def _rows(path: Path, delimiter: str, *, spaced: bool) -> Iterator[Row | FileFault]:
    quote_after_space = re.compile(rf'{re.escape(delimiter)} +"')
    for row, text in _rows_and_texts(path, delimiter, spaced=spaced):
        is_suspect = isinstance(row, Row) and not spaced and ' "' in text
        if is_suspect and quote_after_space.search(_without_quoted(text, delimiter)):
            yield FileFault(row.line, "", _spaced_quote(delimiter))
        else:
            yield row


def _rows_and_texts(
    path: Path, delimiter: str, *, spaced: bool
) -> Iterator[tuple[Row | FileFault, str]]:
    """The rows that are not empty, each with its text in the file."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        passed = int(_DELIMITER_LINE.fullmatch(file.readline(_LONGEST_DELIMITER_LINE)) is not None)
        if not passed:
            file.seek(0)
        lines: list[str] = []
        reader = csv.reader(
            _kept(file, lines), delimiter=delimiter, strict=True, skipinitialspace=spaced
        )
        while True:
            line = passed + reader.line_num + 1
            lines.clear()
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                fault = FileFault(line, "", _unreadable(error, passed + reader.line_num))
                yield fault, "".join(lines)
            else:
                if any(cell.strip() for cell in cells):
                    yield Row(line, cells), "".join(lines)


def _kept(read: Iterable[str], lines: list[str]) -> Iterator[str]:
    """The lines that are read; `lines` gets them too."""
    for line in read:
        lines.append(line)
        yield line


def _without_quoted(text: str, delimiter: str) -> str:
    """A row's text without its cells in quotes. Spaces before the quotes of a cell that follows
    another one stay, and so do the quotes.
    """
    return re.sub(
        rf'(\A|{re.escape(delimiter)})( *)"(?:[^"]|"")*"', r'\1\2""', text, flags=re.DOTALL
    )


def _is_spaced(path: Path, delimiter: str) -> bool:
    """True if a space follows each delimiter between the cells of a table."""
    bare = re.compile(rf"{re.escape(delimiter)}(?! )")
    rows = _rows_and_texts(path, delimiter, spaced=True)
    return not any(
        bare.search(_without_quoted(text, delimiter)) for row, text in rows if isinstance(row, Row)
    )


def _is_drawn(path: Path) -> bool:
    """True if the first line is divided by bars and the second is a rule: |---|:--:|, ---+---."""
    with path.open(encoding="utf-8-sig") as file:
        lines = (line.strip() for line in iter(lambda: file.readline(_LONGEST_RULE), ""))
        first, second = [*islice(filter(None, lines), 2), "", ""][:2]
    return "|" in first and not first.startswith('"') and _RULE.fullmatch(second) is not None


def _named_delimiter(path: Path) -> str | None:
    with path.open(encoding="utf-8-sig", newline="") as file:
        found = _DELIMITER_LINE.fullmatch(file.readline(_LONGEST_DELIMITER_LINE))
    return found[1] if found else None


def delimiter_line(form: Form) -> str:
    """The line that names the delimiter, "" for a table without one."""
    return f"sep={form.delimiter}{form.newline}" if form.names_delimiter else ""


def _sample(path: Path, delimiter: str, *, spaced: bool) -> Iterator[Row]:
    rows = islice(_rows(path, delimiter, spaced=spaced), _SAMPLE)
    return (row for row in rows if isinstance(row, Row))


def _regularity(path: Path, delimiter: str) -> tuple[float, int]:
    """The share of the first rows that are as long as the first, and its cells with a text."""
    if not isinstance(next(_rows(path, delimiter, spaced=True), None), Row):
        return 0.0, 0
    rows = [row.cells for row in _sample(path, delimiter, spaced=True)]
    lengths = [len(cells) for cells in rows]
    return lengths.count(lengths[0]) / len(lengths), sum(map(bool, map(str.strip, rows[0])))


def _header_of_headless(rows: Sequence[Sequence[str]]) -> tuple[str, ...]:
    """The names of the columns if the first of these rows is a question already, as in the files
    of MMLU: question, options, letter; perhaps with a number or a numbered name in front. Else ().
    """
    first = [cell.strip() for cell in rows[0]]
    names = ["id", "question"] if _holds_ids([row[0] for row in rows]) else ["question"]
    options = len(first) - len(names) - 1  # the key stands behind them
    if not _FEWEST_OPTIONS <= options <= len(LABELS) or any(is_named(QUESTION, c) for c in first):
        return ()
    letters = LABELS[:options]
    keys = [row[-1].strip() for row in rows if len(row) == len(first)]
    if not _is_one_of(first[-1], letters) or _are_names(first, letters):
        return ()
    if 2 * sum(not key or _is_one_of(key, letters) for key in keys) <= len(keys):
        return ()
    return (*names, *letters, "answer")


def _is_one_of(cell: str, letters: str) -> bool:
    return len(cell) == 1 and cell in letters


def _are_names(first: Sequence[str], letters: str) -> bool:
    """True if two or more cells are names of columns of options, and no name stands twice. Options
    may be letters too ("Which angle is right?", "A", "B", "B"): then the key is one of them.
    """
    found = [cell for cell in first if _is_one_of(cell, letters) or is_option_name(cell)]
    return len(set(found)) == len(found) > 1


def _holds_ids(column: Sequence[str]) -> bool:
    """True for 1, 2, 3 and for q1, q2, q3: no question is only a number, or a word with one."""
    return all(_NUMBERED_ID.fullmatch(cell.strip()) for cell in column)


def _ragged(cells: int, names: int, delimiter: str) -> Sentence:
    return Sentence(
        "ragged-row",
        "has {cells} cells, the first row has {names}; put a text with {delimiter} in quotes",
        cells=cells,
        names=names,
        delimiter={"\t": "TAB"}.get(delimiter, delimiter),
    )


def _spaced_quote(delimiter: str) -> Sentence:
    return Sentence(
        "space-before-quote",
        "has a space between {delimiter} and a quote, and not all cells have one; remove it",
        delimiter={"\t": "TAB"}.get(delimiter, delimiter),
    )


def _unreadable(error: csv.Error, last_line: int) -> Sentence:
    return Sentence(
        "table-unreadable",
        "not readable up to line {last}: {error}; put texts with quotes in quotes, and double "
        "those in them",
        last=last_line,
        error=str(error),
    )
