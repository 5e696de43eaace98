"""/metrics, in Prometheus's exposition format: the workers' counters, and the current state.

All values are read at each request; this module keeps none.
"""

from __future__ import annotations

import shutil
import time
from collections import Counter
from collections.abc import Iterator
from typing import get_args

from prometheus_client import CollectorRegistry, Histogram
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from orchestrator.api.schemas import ENDED, Status
from orchestrator.api.service import Service
from orchestrator.coordination.connection import Connection, CoordinationError
from orchestrator.coordination.heartbeat import TTL_S, count_workers
from orchestrator.coordination.metering import FAMILIES, read_counts, requests_in_flight
from orchestrator.coordination.queueing import QUEUES, oldest_waiting_s, queue_length
from orchestrator.errors import JobNotFoundError

HTTP_BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


class QuorumCollector(Collector):
    def __init__(self, service: Service) -> None:
        self._service = service

    def collect(self) -> Iterator[Metric]:
        yield from self._jobs()
        yield from self._state()
        try:
            yield from self._redis(self._service.work.scheduler.connection)
        except CoordinationError:
            yield _gauge("quorum_redis_up", "Whether Redis answers.", 0)

    def _jobs(self) -> Iterator[Metric]:
        statuses: Counter[Status] = Counter()
        idle_s = 0.0
        store = self._service.store
        for job_id in store.ids():
            try:
                status = self._service.views.status(job_id)
                waits = status not in ENDED
                written_at_s = store.last_written_at_s(job_id) if waits else 0.0
            except JobNotFoundError:  # it was deleted
                continue
            statuses[status] += 1
            if waits:
                idle_s = max(idle_s, time.time() - written_at_s)
        jobs = GaugeMetricFamily("quorum_jobs", "Jobs; a damaged one is failed.", labels=["status"])
        for status in get_args(Status):
            jobs.add_metric([status], statuses[status])
        yield jobs
        yield _gauge(
            "quorum_job_idle_seconds",
            "Since an answer was last written for the open job that waits longest; 0 without one.",
            idle_s,
        )

    def _state(self) -> Iterator[Metric]:
        service = self._service
        yield _gauge(
            "quorum_model_ready",
            "Whether the model server serves the published model and renders its probe.",
            service.model.state == "ok",
        )
        usage = shutil.disk_usage(service.settings.data_dir)
        yield _gauge("quorum_volume_free_bytes", "Room left on the data volume.", usage.free)
        yield _gauge("quorum_volume_size_bytes", "Size of the data volume.", usage.total)
        yield CounterMetricFamily(
            "quorum_recoveries",
            "Shards that were enqueued again because nobody was at them any more.",
            value=service.work.scheduler.recoveries,
        )

    def _redis(self, connection: Connection) -> Iterator[Metric]:
        yield _gauge(
            "quorum_workers",
            f"Workers that were heard of within the last {TTL_S} s.",
            count_workers(connection),
        )
        yield _gauge(
            "quorum_requests_in_flight",
            "Requests that the model server is asked at this moment.",
            requests_in_flight(connection),
        )
        depth = GaugeMetricFamily("quorum_queue_depth", "Shards that wait.", labels=["queue"])
        age = GaugeMetricFamily(
            "quorum_queue_oldest_seconds", "How long the first shard has waited.", labels=["queue"]
        )
        for queue in QUEUES:
            depth.add_metric([queue], queue_length(connection, queue))
            age.add_metric([queue], oldest_waiting_s(connection, queue))
        yield depth
        yield age
        yield from _counted(connection)
        yield _gauge("quorum_redis_up", "Whether Redis answers.", 1)


def _gauge(name: str, help_text: str, value: float) -> Metric:
    return GaugeMetricFamily(name, help_text, value=value)


def _counted(connection: Connection) -> Iterator[Metric]:
    """The workers' counters. A series without labels exists before its first count."""
    found = read_counts(connection)
    for name, family in FAMILIES.items():
        series = found[name]
        if family.buckets:
            histogram = HistogramMetricFamily(name, family.help)
            buckets, total = [], 0.0
            for number, edge in enumerate((*map(str, map(float, family.buckets)), "+Inf")):
                total += series.get((str(number),), 0.0)
                buckets.append((edge, total))
            histogram.add_metric([], buckets, series.get(("sum",), 0.0))
            yield histogram
        else:
            counter = CounterMetricFamily(name, family.help, labels=family.labels)
            for value in family.known:
                series.setdefault((value,), 0.0)
            if not family.labels:
                series.setdefault((), 0.0)
            for values, count in sorted(series.items()):
                counter.add_metric(values, count)
            yield counter


def make_registry(service: Service) -> tuple[CollectorRegistry, Histogram]:
    """The registry that /metrics shows, and the histogram of the API's own requests."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(QuorumCollector(service))
    http = Histogram(
        "quorum_http_request_duration_seconds",
        "Calls of the HTTP API, until their reply began.",
        ["method", "path", "status"],
        buckets=HTTP_BUCKETS_S,
        registry=registry,
    )
    return registry, http
