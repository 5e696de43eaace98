"""The submission in the formats that a job may ask for, and the names of its file.

full: our rows with their answers; minimal: ids and answers; csv: one row a question; posted: the
posted file again, with answers in place of its keys. For a file of our own rows that is full.
"""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO, NamedTuple

from contract import Problem, Sentence, write_json
from contract.files.converting import Recognized
from contract.files.filling import write_filled
from orchestrator.jobs.asked import all_asked
from orchestrator.jobs.judging import Judge
from orchestrator.jobs.reading import JobReader
from orchestrator.jobs.records import Answer, JobFile, SubmissionFormat

# The last column is the calibrated confidence, or agreement under its own name.
CSV_COLUMNS = ("id", "index", "answer")


class ResultFile(NamedTuple):
    """A file's name in the job's folder and its media type."""

    name: str
    media_type: str


_JSONL = ResultFile("submission.jsonl", "application/jsonl")
_CSV = ResultFile("submission.csv", "text/csv; charset=utf-8")
_PARQUET = ResultFile("submission.parquet", "application/vnd.apache.parquet")
_JSON = ResultFile("submission.json", "application/json")
# IANA's names of encodings where they differ from those in `recognized`.
_CHARSETS = {"latin-1": "windows-1252", "cp1252": "windows-1252"}


def submission_file(job: JobFile) -> ResultFile:
    """Where the job's submission is written."""
    if job.settings.submission_format == "csv":
        return _CSV
    recognized = _filled_in(job)
    if recognized is None:
        return _JSONL
    match recognized.form.container:
        case "json-lines":
            return _JSONL
        case "parquet":
            return _PARQUET
        case "table":
            is_tsv = recognized.form.delimiter == "\t"
            kind = ("tsv", "text/tab-separated-values") if is_tsv else ("csv", "text/csv")
        case "text":
            kind = ("txt", "text/plain")
        case _:
            return _JSON
    suffix, media_type = kind
    charset = _CHARSETS.get(recognized.encoding, recognized.encoding)
    return ResultFile(f"submission.{suffix}", f"{media_type}; charset={charset}")


def _filled_in(job: JobFile) -> Recognized | None:
    """What the posted file was recognized as, if the submission is that file with answers."""
    return job.recognized if job.settings.submission_format == "posted" else None


class SubmissionWriter:
    """Writes a submission to `file`: problem by problem in the posted order, then `finish`."""

    def __init__(
        self, reader: JobReader, job: JobFile, file: BinaryIO, judge: Judge | None = None
    ) -> None:
        """`judge` has judged the answers, if the job has a calibration."""
        self._reader, self._job, self._file, self._judge = reader, job, file, judge
        self._format = job.settings.submission_format
        if self._format == "csv":
            file.write(_csv_line((*CSV_COLUMNS, "confidence" if judge else "agreement")))

    def add(self, problem: Problem, answers: Sequence[Answer]) -> None:
        """Write a problem with the answers to all of its questions."""
        if self._format == "csv":
            self._file.writelines(_csv_row(a, calibrated=self._judge is not None) for a in answers)
        elif _filled_in(self._job) is None:
            row = submission_row(problem, answers, self._format)
            self._file.write(json_line(row))

    def finish(self) -> None:
        """Write what needs all answers at once: a posted file of another shape."""
        if recognized := _filled_in(self._job):
            posted = self._reader.posted(self._job)
            answers = _labels(self._reader, self._job, self._judge)
            # unpacked beside it, because /tmp may be in memory
            write_filled(posted, recognized, answers, self._file, scratch=posted.parent)


def submission_fault(reader: JobReader, job: JobFile) -> Sentence | None:
    """Why no submission can be written; None if it can."""
    if _filled_in(job) is None:
        return None
    with reader.posted(job).open("rb") as file:
        if hashlib.file_digest(file, "sha256").hexdigest() == job.sha256:
            return None
    return Sentence(
        "posted-file-changed",
        "{path} is not the file that was posted; put that back and resume the job",
        path=str(reader.posted(job)),
    )


def _labels(reader: JobReader, job: JobFile, judge: Judge | None) -> Iterator[list[str | None]]:
    """The submitted answers of each problem, in the posted order."""
    for shard in range(len(job.shards)):
        answers = reader.answers(job, shard)
        for problem in reader.problems(job, shard):
            found = [(answers[a.key], len(a.question.options)) for a in all_asked([problem])]
            yield [_submitted_label(judge.judged(*pair) if judge else pair[0]) for pair in found]


def submission_row(
    problem: Problem, answers: Sequence[Answer], submission_format: SubmissionFormat
) -> dict[str, Any]:
    """The row with its answers. A question without an answer gets null, never a guess."""
    if submission_format == "minimal":
        questions = [{"answer": _submitted(answer)} for answer in answers]
        return {"id": problem.row["id"], "questions": questions}
    pairs = zip(problem.row["questions"], answers, strict=True)
    questions = [{**question, "answer": _submitted(answer)} for question, answer in pairs]
    return {**problem.row, "questions": questions}


def _submitted(answer: Answer) -> str | list[str] | None:
    """A list of labels if the job asked for all right options."""
    label = _submitted_label(answer)
    return label if label is None or not answer.multiple else [*label]


def _submitted_label(answer: Answer) -> str | None:
    """None without an answer, or if the job abstained."""
    return None if "abstained" in answer.flags else answer.answer


def _csv_row(answer: Answer, *, calibrated: bool) -> bytes:
    """The last cell is the confidence, or the vote's agreement without a calibration; empty if
    there is none.
    """
    value = answer.confidence if calibrated else answer.agreement
    cell = "" if value is None else round(value, 6)
    return _csv_line((answer.id, answer.index, _submitted_label(answer) or "", cell))


def _csv_line(cells: Sequence[object]) -> bytes:
    """A line as RFC 4180 has it: commas, CRLF, quotes where they are needed."""
    text = io.StringIO()
    csv.writer(text).writerow(cells)
    return text.getvalue().encode()


def json_line(row: dict[str, Any]) -> bytes:
    return write_json(row).encode() + b"\n"
