"""Measures the cost of the orchestrator: a job against clients that send the same requests.

    .venv/bin/python bench/answer.py --data problems.jsonl --out bench/results

It has two parts, each measured in one run on one machine:

speed: the time from POST /jobs to `completed` for every question of a file with k = 3. A bare
asyncio client sends exactly the same requests (from the log of a first run of the job), in the
vote's order: for 256 questions at once on a stub of fixed latency, and with the best of several
concurrencies on vLLM. The published baseline's loop sends three requests a question, one at a time,
for the first questions. The sides take turns; medians are reported.

growth: jobs of 1,000, 10,000 and 50,000 questions on a stub without latency. Measured are the
seconds to accept the file, milliseconds a question, peak memory of API and worker, and the latency
of GET /jobs/{id} during the job.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from threading import Event, Thread
from typing import Any, Literal, NamedTuple

import httpx2
from openai import AsyncOpenAI, DefaultAsyncHttpxClient
from openai.types.chat import ChatCompletion

from contract import PromptFormat, extract_label, parse_problems
from orchestrator.cli.client import Client
from orchestrator.local.guardian import session_members
from orchestrator.local.ports import answers, free_port
from orchestrator.local.processes import Processes
from orchestrator.local.stack import LocalStack
from orchestrator.worker.plan import ATTEMPT_STRIDE

ROOT = Path(__file__).parents[1]
K = 3
POLL_S = 0.5  # as quorum's bar does
STUB_CONCURRENCY = 256
VLLM_CONCURRENCY = 128  # the best of these for the bare client on 2 cores
BARE_CONCURRENCIES = (64, 128, 256)
# The seeds of a question's slots and redraws lie this close together.
MOST_SEEDS = 11 * ATTEMPT_STRIDE
Request = dict[str, Any]


@contextmanager
def service(
    server_url: str, model: str, contract: str, state: Path, **settings: str
) -> Iterator[tuple[LocalStack, Processes]]:
    """Redis, the API and one worker with the settings that ship, in front of a model server."""
    stack = LocalStack(
        ROOT,
        state,
        {
            "INFERENCE_URL": server_url,
            "MODEL_NAME": model,
            "MODEL_CONTRACT": contract,
            **settings,
        },
        api_port=free_port(),
        workers=1,
    )
    with Processes(state / "logs") as processes:
        stack.start_service(processes)
        while not answers(f"{stack.api_url}/readyz"):
            processes.check()
        yield stack, processes


def run_job(stack: LocalStack, file: Path, **chosen: Any) -> float:
    """Seconds from the post to the end as a client sees it. `chosen` are settings of the job."""
    with Client(stack.api_url) as client:
        began = time.monotonic()
        job = client.submit(file, {"samples": K, **chosen})
        while job.status not in ("completed", "failed"):
            time.sleep(POLL_S)
            job = client.show(job.id)
        seconds = time.monotonic() - began
    assert job.status == "completed", job.error
    return seconds


class Round(NamedTuple):
    """A vote's request for samples, and by slot the requests that draw invalid ones again."""

    first: Request
    redraws: dict[int, list[Request]]


def rounds_of(log: Path) -> list[list[Round]]:
    """Each question's requests, from a worker's log, as its vote made them.

    Questions with the same prompt are told apart by their seeds, which begin far from one another.
    """
    found: dict[str, dict[int, list[Round]]] = {}
    for line in log.read_text().splitlines():
        entry = json.loads(line) if line.startswith("{") else {}
        if entry.get("event") != "asked":
            continue
        request = {key: value for key, value in entry["request"].items() if key != "model"}
        asked = [m["content"] for m in request["messages"] if m["role"] != "assistant"]
        of_prompt = found.setdefault(json.dumps(asked), {})
        begins = (seed for seed in of_prompt if 0 <= request["seed"] - seed < MOST_SEEDS)
        first = next(begins, request["seed"])
        rounds = of_prompt.setdefault(first, [])
        attempt, slot = divmod(request["seed"] - first, ATTEMPT_STRIDE)
        if attempt == 0:
            rounds.append(Round(request, {}))
        else:
            rounds[-1].redraws.setdefault(slot, []).append(request)
    return [rounds for of_prompt in found.values() for rounds in of_prompt.values()]


def direct(url: str) -> AsyncOpenAI:
    """A client that no proxy of the environment stands in front of."""
    http_client = DefaultAsyncHttpxClient(trust_env=False)
    return AsyncOpenAI(base_url=url, api_key="none", timeout=600, http_client=http_client)


async def send(client: AsyncOpenAI, model: str, request: Request) -> ChatCompletion:
    """Send a request of a job as it is, also what OpenAI's API does not know."""
    body = {"model": model, **request}
    return await client.post("/chat/completions", cast_to=ChatCompletion, body=body)


async def bare(url: str, model: str, questions: list[list[Round]], concurrency: int) -> float:
    """Seconds to send every request, `concurrency` questions at once, and read the labels."""
    waiting, patterns = iter(questions), PromptFormat().label_patterns

    async with direct(url) as client:

        async def ask(requests: list[Request]) -> None:
            for request in requests:
                reply = await send(client, model, request)
                for choice in reply.choices:
                    extract_label(choice.message.content or "", ["x"] * 4, patterns)

        async def consume() -> None:
            for rounds in waiting:
                for first, redraws in rounds:
                    await ask([first])
                    await asyncio.gather(*map(ask, redraws.values()))

        began = time.monotonic()
        await asyncio.gather(*(consume() for _ in range(concurrency)))
        return time.monotonic() - began


async def loop(url: str, model: str, questions: list[list[Round]]) -> float:
    """Seconds a question for the published baseline's loop: three requests, one at a time."""
    async with direct(url) as client:
        began = time.monotonic()
        for rounds in questions:
            for i in range(K):
                request = {**rounds[0].first, "n": 1, "seed": rounds[0].first["seed"] + i}
                await send(client, model, request)
        return (time.monotonic() - began) / len(questions)


def compare(
    url: str,
    model: str,
    contract: str,
    file: Path,
    repeat: int,
    loop_questions: int,
    concurrency: int | Literal["auto"],
    bare_concurrencies: tuple[int, ...],
    **settings: str,
) -> dict[str, Any]:
    in_flight = {"CONCURRENCY": str(concurrency), **settings}
    with tempfile.TemporaryDirectory() as folder:
        state = Path(folder)
        options = {"LOG_PROMPTS": "true", "LOG_FORMAT": "json", **in_flight}
        with service(url, model, contract, state / "first", **options) as (stack, _):
            run_job(stack, file)
        questions = rounds_of(state / "first" / "logs" / "worker-1.log")
        jobs: list[float] = []
        bares: dict[int, list[float]] = {n: [] for n in bare_concurrencies}
        with service(url, model, contract, state / "timed", **in_flight) as (stack, _):
            for i in range(repeat):
                jobs.append(run_job(stack, file))
                say(f"  job {jobs[-1]:.2f} s")
                for count, times in bares.items():
                    times.append(asyncio.run(bare(url, model, questions, count)))
                    say(f"  bare client, {count} at once, {times[-1]:.2f} s ({i + 1})")
        each = asyncio.run(loop(url, model, questions[:loop_questions]))
    medians = {n: statistics.median(times) for n, times in bares.items()}
    best = min(medians, key=lambda n: medians[n])
    job = statistics.median(jobs)
    found = {
        "questions": len(questions),
        "concurrency": concurrency,
        "requests": sum(
            1 + sum(map(len, redraws.values())) for rounds in questions for _, redraws in rounds
        ),
        "job_s": job,
        "jobs_s": jobs,
        "bare_s": medians[best],
        "bare_concurrency": best,
        "bares_s": bares,
        "loop_s": each * len(questions),
        "loop_questions_measured": min(loop_questions, len(questions)),
        "share_of_bare": medians[best] / job,
        "times_the_loop": each * len(questions) / job,
    }
    say(f"  {found['share_of_bare']:.3f} of the bare client, {found['times_the_loop']:.1f} x loop")
    return found


def grow(questions: int, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """A job of so many questions on a stub without latency."""
    with tempfile.TemporaryDirectory() as folder, stub(0) as url:
        state = Path(folder)
        file = state / "problems.jsonl"
        with file.open("w") as out:
            for count in range(questions):
                row = rows[count % len(rows)]
                row = {**row, "id": f"row-{count}", "questions": row["questions"][:1]}
                out.write(json.dumps(row, ensure_ascii=False) + "\n")
        file_mib = file.stat().st_size / 2**20
        with service(url, "stub", "default", state / "state") as (stack, processes):
            api, worker = (
                child.process.pid
                for name in ("api", "worker-1")
                for child in processes.children
                if child.name == name
            )
            with Client(stack.api_url) as client:
                began = time.monotonic()
                job = client.submit(file, {"samples": K})
                accepted_s = time.monotonic() - began
            with watching(lambda: (api, *session_members(worker))) as peaks:
                latencies: list[float] = []
                status = ""
                with httpx2.Client(base_url=stack.api_url, timeout=60, trust_env=False) as poll:
                    while status not in ("completed", "failed"):
                        asked = time.monotonic()
                        status = poll.get(f"/jobs/{job.id}").json()["status"]
                        latencies.append(time.monotonic() - asked)
                        time.sleep(0.1)
                seconds = time.monotonic() - began
    assert status == "completed"
    found = {
        "questions": questions,
        "file_mib": file_mib,
        "accepted_s": accepted_s,
        "job_s": seconds,
        "ms_per_question": 1000 * (seconds - accepted_s) / questions,
        "api_peak_mib": peaks[api],
        "worker_peak_mib": max(peak for pid, peak in peaks.items() if pid != api),
        "polls": len(latencies),
        "get_p95_ms": 1000 * statistics.quantiles(latencies, n=20)[-1],
    }
    say(f"  {json.dumps(found)}")
    return found


@contextmanager
def watching(pids: Callable[[], tuple[int, ...]]) -> Iterator[dict[int, float]]:
    """Peak resident memory in MiB of each process seen, sampled; a fork counts by itself."""
    peaks: dict[int, float] = {}
    done = Event()

    def sample() -> None:
        while not done.wait(0.5):
            for pid in pids():
                try:
                    status = Path(f"/proc/{pid}/status").read_text()
                except (FileNotFoundError, ProcessLookupError):
                    continue
                sizes = [line.split() for line in status.splitlines() if line.startswith("VmHWM")]
                if sizes:
                    peaks[pid] = max(peaks.get(pid, 0.0), int(sizes[0][1]) / 1024)

    thread = Thread(target=sample)
    thread.start()
    try:
        yield peaks
    finally:
        done.set()
        thread.join()


@contextmanager
def stub(latency_s: float) -> Iterator[str]:
    port = free_port()
    with tempfile.TemporaryDirectory() as logs, Processes(Path(logs)) as processes:
        argv = [sys.executable, str(ROOT / "tests/stub_server.py"), str(port), str(latency_s)]
        child = processes.start("stub", argv, {})
        url = f"http://127.0.0.1:{port}/v1"
        processes.until(child, lambda: answers(f"{url}/models"), 30, lambda: None)
        yield url


@contextmanager
def vllm() -> Iterator[str]:
    """vLLM's CPU build with the demo's model, trained first where it is not there yet."""
    stack = LocalStack.of(ROOT)
    with Processes(stack.var / "logs") as processes:
        processes.finish(stack.start_trainer(processes))
        server = stack.start_server(processes)
        stack.wait_for_server(processes, server, lambda: None)
        yield stack.environment()["INFERENCE_URL"]


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def machine() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return f"{len(names)} cores of {names[0]}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=ROOT / "examples/demo/problems.jsonl")
    parser.add_argument("--out", type=Path, default=ROOT / "bench/results")
    parser.add_argument(
        "--latency", type=float, default=2.0, help="latency of the stub, in seconds"
    )
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--loop-questions", type=int, default=20)
    parser.add_argument("--parts", default="stub,growth,vllm")
    args = parser.parse_args()
    data = args.data.read_bytes()
    asked = sum(len(problem.questions) for problem in parse_problems(data))
    path = args.out / "answer.json"
    found: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    repeat, count = args.repeat, args.loop_questions
    about = {
        "machine": machine(),
        "python": platform.python_version(),
        "openai": version("openai"),
        "date": datetime.now(UTC).date().isoformat(),
        "command": f"bench/answer.py --data {args.data.name} --latency {args.latency} "
        f"--repeat {repeat} --loop-questions {count} --parts {args.parts}",
        "file": f"{args.data.name}, {asked} questions",
    }
    for part in args.parts.split(","):
        say(part)
        if part == "stub":
            with stub(args.latency) as url:
                result: Any = compare(
                    url,
                    "stub",
                    "default",
                    args.data,
                    repeat,
                    count,
                    STUB_CONCURRENCY,
                    (STUB_CONCURRENCY,),
                )
            result["latency_s"] = args.latency
        elif part == "vllm":
            with vllm() as url:
                result = compare(
                    url,
                    "quorum-demo",
                    "published",
                    args.data,
                    repeat,
                    count,
                    VLLM_CONCURRENCY,
                    BARE_CONCURRENCIES,
                )
        else:
            rows = [json.loads(line) for line in data.splitlines() if line.strip()]
            result = {"sizes": [grow(size, rows) for size in (1_000, 10_000, 50_000)]}
        found[part] = {**about, **result}
        args.out.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
