"""Finds jobs by name, file name, metadata and status without reading every job's files each time.

What filters need of a job is read once and kept. Only its end changes that, or its reopening, and
both change end.json. So each job costs one look at that file's time, and is read again only if that
changed. Damaged jobs are not kept: they may be put right.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import NamedTuple

from orchestrator.errors import JobDamagedError, JobNotFoundError
from orchestrator.jobs.reading import JobReader


@dataclass(frozen=True)
class Filters:
    """Which jobs to list; all of them must hold.

    `name` and `filename` are parts of the job's, in any case. `metadata` holds whole pairs as
    "key=value". An empty `statuses` admits every status.
    """

    name: str = ""
    filename: str = ""
    metadata: frozenset[str] = frozenset()
    statuses: frozenset[str] = frozenset()

    @property
    def are_none(self) -> bool:
        return self == Filters()


# of an end.json: its time of change and its inode
_Stamp = tuple[int, int]


class _Facts(NamedTuple):
    """What filters need of a job. `status` is None while the job runs. About 1 kB."""

    name: str
    filename: str
    pairs: frozenset[str]
    status: str | None
    ended: _Stamp | None


class JobFinder:
    """Safe to call from several threads: at worst, two of them read the same job."""

    def __init__(self, reader: JobReader) -> None:
        self._reader = reader
        self._kept: dict[str, _Facts] = {}

    def find(self, filters: Filters, after: str | None) -> Iterator[str]:
        """Yield the ids of the jobs that match, newest first, from the one after `after` on.

        A job that runs or is damaged is yielded whatever `statuses` says, because its status may
        change at any time: the caller checks what it shows.
        """
        ids = self._reader.ids()
        self._forget_all_but(ids)
        for job_id in ids:
            is_later = after is None or job_id < after
            if is_later and (filters.are_none or self._matches(job_id, filters)):
                yield job_id

    def _matches(self, job_id: str, filters: Filters) -> bool:
        try:
            facts = self._facts(job_id)
        except JobNotFoundError:  # deleted since
            return False
        except JobDamagedError:
            return not (filters.name or filters.filename or filters.metadata)
        is_of_status = (
            not filters.statuses or facts.status is None or facts.status in filters.statuses
        )
        return (
            is_of_status
            and filters.name.casefold() in facts.name
            and filters.filename.casefold() in facts.filename
            and filters.metadata <= facts.pairs
        )

    def _facts(self, job_id: str) -> _Facts:
        ended = self._stamp(job_id)
        kept = self._kept.get(job_id)
        if kept is None or kept.ended != ended:
            job, end = self._reader.load_whole(job_id), self._reader.end(job_id)
            kept = self._kept[job_id] = _Facts(
                name=(job.name or "").casefold(),
                filename=job.filename.casefold(),
                pairs=frozenset(f"{key}={value}" for key, value in job.metadata.items()),
                status=end.status if end and ended else None,
                ended=ended,
            )
        return kept

    def _stamp(self, job_id: str) -> _Stamp | None:
        with suppress(FileNotFoundError):
            # a Path would take half of the time of a search among thousands of jobs
            found = os.stat(f"{self._reader.folder}/{job_id}/end.json")  # noqa: PTH116
            return found.st_mtime_ns, found.st_ino
        return None

    def _forget_all_but(self, ids: list[str]) -> None:
        if len(self._kept) > len(ids):
            there = set(ids)
            for gone in [job_id for job_id in list(self._kept) if job_id not in there]:
                self._kept.pop(gone, None)
