"""Refuses a job whose settings need a calibration that does not exist."""

from __future__ import annotations

from contextlib import suppress

from contract import Sentence
from orchestrator.api.service import Service
from orchestrator.errors import InvalidSettingError, WaitingForModelError
from orchestrator.jobs.calibration import WITHOUT_EFFECT
from orchestrator.jobs.calibrations import in_need, no_calibration
from orchestrator.jobs.records import JobSettings
from orchestrator.model import find_model


def check_calibration(service: Service, settings: JobSettings) -> None:
    """Raises InvalidSettingError: no calibration holds for these settings and the current model."""
    setting = in_need(settings)
    if setting is None:
        return
    if settings.answer_sets is not None and settings.multiple:
        raise InvalidSettingError(
            Sentence(
                "sets-of-sets",
                "answer_sets is for questions with one right option; leave it out with multiple",
            )
        )
    chosen = settings.model_dump(mode="json", exclude={*WITHOUT_EFFECT})
    with suppress(WaitingForModelError):  # without a model there is no calibration for it either
        model = find_model(service.settings)
        url = service.settings.inference_url
        if service.calibrations.may_hold_for(model.name, model.digest, url, chosen):
            return
    raise InvalidSettingError(no_calibration(setting))
