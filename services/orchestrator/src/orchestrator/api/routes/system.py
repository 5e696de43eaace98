"""Calls for container orchestrators and Prometheus. They need no key."""

from __future__ import annotations

import asyncio

from fastapi import APIRouter, Request, Response
from fastapi.responses import PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from contract import coded
from orchestrator.api.access import ServiceDep
from orchestrator.api.schemas import Health, Readiness
from orchestrator.api.volume import volume_state
from orchestrator.coordination.connection import connection_state

PROBE_TIMEOUT_S = 5.0

router = APIRouter()


@router.get("/healthz")
async def healthz() -> Health:
    """The process is alive."""  # async, so that it waits for no thread that files keep busy
    return Health()


@router.get("/metrics", response_class=PlainTextResponse)
def metrics(request: Request) -> Response:
    """Metrics for Prometheus. No key is needed, because they are only numbers, without job
    contents.
    """
    return Response(generate_latest(request.app.state.registry), media_type=CONTENT_TYPE_LATEST)


@router.get("/readyz", responses={503: {"model": Readiness}})
async def readyz(service: ServiceDep, response: Response) -> Readiness:
    """Whether Redis, the data volume and the model are ready.

    Jobs are accepted without the model; they wait for it.
    """
    redis = await connection_state(service.settings.redis_url, PROBE_TIMEOUT_S)
    volume = await asyncio.to_thread(volume_state, service.settings.data_dir)
    ready = redis == volume == service.model.state == "ok"
    response.status_code = 200 if ready else 503
    return Readiness(
        ready=ready,
        redis=redis,
        volume=volume,
        volume_message=coded(volume),
        model=service.model.state,
        model_message=coded(service.model.state),
    )
