"""Shows where the time of a job goes: on a stub, on vLLM's stack of this host, or on any server.

    .venv/bin/python -m bench.job_profile --stub --py-spy var/py-spy/bin/py-spy

The same file is posted several times, so that nothing that is measured disturbs the rest:

load: CPU time of each process, from /proc, and how busy a GPU is.
worker: what the worker's process does, sampled by py-spy (bench/worker_frames.py).
timeline: the phases of a job. A relay in front of the server (bench/relay.py) notes requests and
replies, Redis when the shard was queued and taken, and end.json when the job ended.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple, get_args

from bench.answer import ROOT, K, machine, run_job, say, service, stub
from bench.gpu_stack import cards, problem_file
from bench.load import Load
from bench.relay import Relay
from bench.worker_frames import WorkerFrames
from rq.job import Job
from rq.serializers import JSONSerializer

from contract import Stack
from orchestrator.cli.client import Client
from orchestrator.coordination.connection import connect
from orchestrator.coordination.queueing import rq_id
from orchestrator.local.choice import Choice
from orchestrator.local.processes import Processes
from orchestrator.local.stack import LocalStack

COPIES = 3  # of the demo's problems: about 900 questions
POLL_S = 0.1
REDIS_TIMEOUT_S = 5.0
PHASES = (
    "API: copy, check, queue",
    "RQ: pick-up, fork",
    "worker: until it checks the server",
    "worker: checks, reads the shard",
    "first request to last reply",
    "worker: last votes, report",
)
# What bench/load.py calls a process, and what it is.
PROCESSES = {
    "engine": "vLLM engine",
    "inference": "launcher's front",
    "inference's children": "vLLM API server",
    "worker-1": "worker, waiting for its child",
    "worker-1's children": "worker",
    "redis": "Redis",
    "api": "API",
}


class Server(NamedTuple):
    """A model server: its address, model and contract, and the sessions of its processes here."""

    url: str
    model: str
    contract: str
    sessions: dict[str, int]


@contextmanager
def vllm(name: Stack) -> Iterator[Server]:
    """The launcher with the demo's model, which is trained first if it is not there yet."""
    stack = LocalStack.of(ROOT, choice=Choice(name, "--stack asks for it"))
    with Processes(stack.var / "logs") as processes:
        processes.finish(stack.start_trainer(processes))
        server = stack.start_server(processes)
        stack.wait_for_server(processes, server, lambda: None)
        sessions = {server.name: server.process.pid}
        yield Server(stack.inference_url, stack.model, "published", sessions)


@contextmanager
def served(args: argparse.Namespace) -> Iterator[Server]:
    if args.stub:
        with stub(args.latency) as url:
            yield Server(url, "stub", "default", {})
    elif args.url:
        yield Server(args.url, args.model, args.contract, {})
    else:
        with vllm(args.stack) as server:
            yield server


def measured_load(server: Server, file: Path, folder: Path, py_spy: Path | None) -> dict[str, Any]:
    """The parts load and worker, each in a job of its own."""
    with service(server.url, server.model, server.contract, folder / "load") as (stack, processes):
        run_job(stack, file)  # what is done once does not count
        sessions = {child.name: child.process.pid for child in processes.children}
        with Load({**server.sessions, **sessions}) as load:
            job_s = run_job(stack, file)
        cores = load.found["cores"]
        found = {
            "job_s": round(job_s, 2),
            "load": {**load.found, "cores": {PROCESSES.get(n, n): cores[n] for n in cores}},
        }
        if py_spy is None:
            return {**found, "worker": {"missing": "no --py-spy was given"}}
        with WorkerFrames(py_spy, sessions["worker-1"], folder) as frames:
            sampled_s = run_job(stack, file)
        return {**found, "worker": {"job_s": round(sampled_s, 2), **frames.found}}


def measured_timeline(server: Server, file: Path, folder: Path, repeat: int) -> dict[str, Any]:
    """The median seconds of each phase over `repeat` jobs, after one that does not count."""
    with (
        Relay(server.url) as relay,
        service(relay.url, server.model, server.contract, folder / "timeline") as (stack, children),
        Client(stack.api_url) as client,
    ):
        environment = next(c.environment for c in children.children if c.name == "api")
        redis_url = environment["REDIS_URL"]
        jobs = [phases(client, file, relay, redis_url) for _ in range(repeat + 1)][1:]
    medians = [round(statistics.median(column), 3) for column in zip(*jobs, strict=True)]
    return {"jobs": repeat, "phases_s": dict(zip(PHASES, medians, strict=True))}


def phases(client: Client, file: Path, relay: Relay, redis_url: str) -> list[float]:
    """The seconds of each of a job's PHASES."""
    relay.passed.clear()
    posted_s = time.time()
    job = client.submit(file, {"samples": K})
    while job.status not in ("completed", "failed"):
        time.sleep(POLL_S)
        job = client.show(job.id)
    assert job.status == "completed", job.error
    with connect(redis_url, REDIS_TIMEOUT_S) as connection:
        first = Job.fetch(rq_id(job.id, 0), connection=connection, serializer=JSONSerializer)
    assert first.enqueued_at
    assert first.started_at
    asked = [one for one in relay.passed if one.path.endswith("/chat/completions")]
    moments = [
        posted_s,
        first.enqueued_at.timestamp(),
        first.started_at.timestamp(),
        relay.passed[0].asked_at_s,
        asked[0].asked_at_s,
        max(one.replied_at_s for one in asked),
        datetime.fromisoformat(str(job.finished_at)).timestamp(),
    ]
    return [later - earlier for earlier, later in pairwise(moments)]


def table(found: dict[str, Any]) -> str:
    """The result in a few lines."""
    lines = [f"job: {found['questions']} questions in {found['job_s']} s", "cores in use"]
    lines += [f"  {name:34} {n:6.2f}" for name, n in found["load"]["cores"].items()]
    if "gpu_percent" in found["load"]:
        lines.append(f"  {'GPU':34} {found['load']['gpu_percent']:5.0f} %")
    lines.append("the worker's time")
    worker = found["worker"]
    if "missing" in worker:
        lines.append(f"  not sampled: {worker['missing']}")
    lines += [f"  {name:34} {share:6.1%}" for name, share in worker.get("main", {}).items()]
    lines.append("timeline, seconds")
    lines += [f"  {name:34} {s:6.3f}" for name, s in found["timeline"]["phases_s"].items()]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stub", action="store_true", help="a stub instead of vLLM")
    parser.add_argument("--latency", type=float, default=0.05, help="the stub's, in seconds")
    parser.add_argument("--stack", default="cpu", choices=get_args(Stack), help="whose vLLM runs")
    parser.add_argument("--url", help="a server that runs already; http alone")
    parser.add_argument("--model", default="quorum-demo", help="what the server of --url serves")
    parser.add_argument("--contract", choices=("published", "default"), default="default")
    parser.add_argument("--copies", type=int, default=COPIES, help="of the demo's problems")
    parser.add_argument("--repeat", type=int, default=3, help="jobs for the timeline")
    parser.add_argument("--py-spy", type=Path, help="the program py-spy")
    parser.add_argument("--name", help="of the result; default: stub, url or the stack")
    parser.add_argument("--out", type=Path, default=ROOT / "bench/results")
    args = parser.parse_args()
    name = args.name or ("stub" if args.stub else "url" if args.url else args.stack)
    with tempfile.TemporaryDirectory() as new_folder, served(args) as server:
        folder = Path(new_folder)
        file = problem_file(folder / "problems.jsonl", args.copies)
        began = os.getloadavg()
        found: dict[str, Any] = {
            "machine": machine(),
            "cards": cards(),
            "python": platform.python_version(),
            "date": datetime.now(UTC).isoformat(timespec="minutes"),
            "command": f"python -m bench.job_profile {' '.join(sys.argv[1:])}",
            "questions": sum(len(json.loads(row)["questions"]) for row in file.open()),
            **measured_load(server, file, folder, args.py_spy),
            "timeline": measured_timeline(server, file, folder, args.repeat),
            "load_average_1min": [round(began[0], 1), round(os.getloadavg()[0], 1)],
        }
    args.out.mkdir(parents=True, exist_ok=True)
    path = args.out / f"profile-{name}.json"
    path.write_text(json.dumps(found, indent=2) + "\n")
    say(f"{table(found)}\n{path}")


if __name__ == "__main__":
    main()
