"""Calls about calibrations: make one from a job, list those there are."""

from __future__ import annotations

import structlog

from orchestrator.api.access import ServiceDep, guarded_router, problems
from orchestrator.jobs.calibration import CalibrationList, CalibrationSummary

log = structlog.get_logger("quorum")

router = guarded_router()


@router.post("/jobs/{job_id}/calibrate", status_code=201, responses=problems(404, 409))
def calibrate_job(job_id: str, service: ServiceDep) -> CalibrationSummary:
    """Fit a calibration to an ended job with keys, and keep it.

    Jobs that start later with the same model and settings use it: their answers get a confidence.
    """
    made = service.calibrations.make(service.store, service.store.load_whole(job_id))
    log.info("calibration made", job=job_id, calibration=made.id, questions=made.questions)
    return made.summary()


@router.get("/calibrations")
def list_calibrations(service: ServiceDep) -> CalibrationList:
    """The calibrations, newest first."""
    return CalibrationList(data=[found.summary() for found in service.calibrations.all()])
