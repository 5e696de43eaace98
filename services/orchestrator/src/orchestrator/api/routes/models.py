"""Calls about models: the serving model, the published models, their training."""

from __future__ import annotations

import errno
import json
from pathlib import Path
from typing import Any

import structlog

from contract import Sentence
from contract.published import (
    DATA_FILE,
    METRICS_FILE,
    VERIFICATION_FILE,
    Published,
    list_published,
    make_current,
)
from orchestrator.api.access import ServiceDep, guarded_router, problems
from orchestrator.api.schemas import Model, ModelList, PublishedModel, TrainedModel
from orchestrator.api.service import Service
from orchestrator.errors import ModelNotFoundError, StateError

log = structlog.get_logger("quorum")

router = guarded_router()


@router.get("/model", responses=problems(503))
def show_model(service: ServiceDep) -> Model:
    """The model that answers, its contract and provenance."""
    return service.model.model()


@router.get("/models")
def list_models(service: ServiceDep) -> ModelList:
    """The models published under MODEL_NAME, newest first."""
    return ModelList(data=[_short(model) for model in _published(service)])


@router.get("/models/{digest}", responses=problems(404))
def show_published_model(digest: str, service: ServiceDep) -> TrainedModel:
    """A published model: its contract, the metrics of each training step, its data, its
    verification.
    """
    model = _find(service, digest)
    return TrainedModel(
        **_short(model).model_dump(),
        contract=model.contract,
        metrics=_lines(model.directory / METRICS_FILE),
        data=_json(model.directory / DATA_FILE),
        verification=_json(model.directory / VERIFICATION_FILE),
    )


@router.post("/models/{digest}/current", responses=problems(404, 409))
def make_model_current(digest: str, service: ServiceDep) -> ModelList:
    """Make this model the current one, for example to return to an earlier model.

    The server switches to it once no job asks for the weights that it serves now.
    """
    model = _find(service, digest)
    try:
        make_current(model.directory)
    except OSError as error:
        if error.errno not in (errno.EROFS, errno.EACCES, errno.EPERM):
            raise
        raise StateError(
            Sentence(
                "models-not-writable",
                "{folder} cannot be written ({error}): mount the models volume writable for the "
                "API, or run `python -m trainer publish {digest}` where it is",
                folder=str(model.directory.parent),
                error=str(error.strerror),
                digest=digest,
            )
        ) from error
    log.info("model made current", model=model.contract.model, digest=digest)
    return list_models(service)


def _published(service: Service) -> list[Published]:
    found = []
    for model in list_published(service.settings.models_dir):
        if model.contract.model == service.settings.model_name:
            found.append(model)
    return found


def _find(service: Service, digest: str) -> Published:
    for model in _published(service):
        if model.contract.digest == digest:
            return model
    raise ModelNotFoundError(digest)


def _short(model: Published) -> PublishedModel:
    provenance = model.contract.provenance
    return PublishedModel(
        name=model.contract.model,
        digest=model.contract.digest,
        current=model.current,
        created=provenance.created,
        base_model=provenance.base_model,
        recipe=provenance.recipe,
        size_bytes=model.size_bytes,
    )


def _json(path: Path) -> dict[str, Any] | None:
    try:
        found: dict[str, Any] = json.loads(path.read_bytes())
    except FileNotFoundError:  # published by a version that did not write this file
        return None
    return found


def _lines(path: Path) -> list[dict[str, Any]]:
    try:
        return [json.loads(line) for line in path.read_bytes().splitlines()]
    except FileNotFoundError:
        return []
