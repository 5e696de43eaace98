"""The calibrations under a data folder, one file each, and the one that holds for a job.

They are kept on the data volume: the models volume, where the weights are, is read-only for the API
and the workers.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from orchestrator.errors import JobDamagedError
from orchestrator.jobs.calibration import Calibration, Conditions, calibrate
from orchestrator.jobs.files import read_record, write_atomically
from orchestrator.jobs.reading import JobReader
from orchestrator.jobs.records import JobFile

log = logging.getLogger("quorum")


class Calibrations:
    """The calibrations under a data folder. Safe to use from several processes."""

    def __init__(self, data_dir: Path) -> None:
        self._folder = data_dir / "calibrations"

    def make(self, reader: JobReader, job: JobFile) -> Calibration:
        """Fit and keep a calibration. Later jobs with the same conditions use it from their start.

        Raises:
            StateError: the job cannot be used for one.
        """
        made_at = datetime.now(UTC)
        name = f"cal_{made_at.strftime('%Y%m%d%H%M%S%f')[:17]}_{secrets.token_hex(4)}"
        made = calibrate(reader, job, name, made_at.isoformat(timespec="milliseconds"))
        self._folder.mkdir(parents=True, exist_ok=True)
        write_atomically(self._folder / f"{name}.json", made.model_dump_json().encode())
        return made

    def all(self) -> Iterator[Calibration]:
        """Newest first. One that cannot be read is logged and left out."""
        for path in sorted(self._folder.glob("cal_*.json"), reverse=True):
            try:
                found = read_record(path, Calibration)
            except JobDamagedError as error:
                log.warning("a calibration is left out: %s", error)
                continue
            if found is not None:
                yield found

    def holding_for(self, conditions: Conditions) -> Calibration | None:
        """The newest calibration for jobs with these conditions."""
        return next((found for found in self.all() if found.conditions == conditions), None)
