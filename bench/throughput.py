"""Parts of bench/gpu.py with a model of Qwen2-7B's shape: replies of 30 and of 300 tokens, the
server's settings, and what DETERMINISTIC=true costs.

The model is the demo's, made wide (bench/wide.py). Its prompts are made long by puzzles before the
problem. EXTRA_BODY makes every reply as long as it may be.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench.answer import bare, compare, rounds_of, run_job, service
from bench.counters import read
from bench.gpu_stack import PROBLEMS, ROOT, FailedError, GpuStack, Launcher, problem_file
from bench.load import Load

from contract.addresses import open_url
from orchestrator.jobs.reading import JobReader
from orchestrator.jobs.records import Answer

Result = dict[str, Any]

COPIES = 6  # of the demo's problems: about 1,800 questions
LONG_PROBLEMS, LONG_QUESTIONS = 500, 1328  # as in the competition's test file
REPLY_TOKENS = 300
FILLER_CHARACTERS = 440  # one token each; the rest of a prompt has about 60
LONG_JOB = {"max_tokens": REPLY_TOKENS, "max_resamples": 0, "early_stop": False}
LONG_SERVICE = {"EXTRA_BODY": json.dumps({"ignore_eos": True})}
SHORT_BARE = (256, 512, 1024)  # questions at once; the best one counts
LONG_BARE = 384
SWEEP_CONCURRENCY = 512  # so that the server's limit counts, and not the worker's
WIDE, NOISY = "quorum-7b", "quorum-7b-noise"
NOISE = 1e-3

# In the order of their likely gain; the first three are measured if none are named. vLLM's
# --performance-mode throughput only doubles the two limits below (vllm/engine/arg_utils.py).
SIDES: dict[str, dict[str, str]] = {
    "launcher's choice": {},
    "graphs of 1024": {"SERVER_ARGUMENTS": "--max-cudagraph-capture-size 1024"},
    "16384 tokens": {"SERVER_ARGUMENTS": "--max-num-batched-tokens 16384"},
    "fp8": {"QUANTIZATION": "fp8"},
    "512 sequences": {"MAX_NUM_SEQS": "512"},
    "256 sequences": {"MAX_NUM_SEQS": "256"},
    "2048 tokens": {"SERVER_ARGUMENTS": "--max-num-batched-tokens 2048"},
    "synchronous": {"SERVER_ARGUMENTS": "--no-async-scheduling"},
}
DEFAULT_SIDES = 3
FEWER = 24  # questions at once in a job's repetition
DETERMINISTIC_SIDES = {
    "off": {},
    "on": {"DETERMINISTIC": "true"},
    "on, not compiled": {"DETERMINISTIC": "true", "ENFORCE_EAGER": "true"},
}


class Throughput:
    """`source` returns the demo's published model; it is trained if it is not there yet."""

    def __init__(self, stack: GpuStack, folder: Path, source: Callable[[], Path]) -> None:
        self._stack, self._folder, self._source = stack, folder, source
        self._services = 0

    def short(self) -> Result:
        """Replies of about 30 tokens: a job against a bare client."""
        file = problem_file(self._folder / "problems.jsonl", COPIES)
        with self._served("short") as launcher:
            found = compare(
                launcher.url,
                WIDE,
                "published",
                file,
                2,
                20,
                "auto",
                SHORT_BARE,
                **self._models,
            )
            found["load"] = self._job(launcher, file)[0]
        return found

    def long(self) -> Result:
        """Prompts of 500 and replies of 300 tokens: a job, and a bare client with its requests."""
        file = long_file(self._folder / "long.jsonl", LONG_PROBLEMS, LONG_QUESTIONS)
        with self._served("long") as launcher:
            self._warm_up(launcher)
            settings = {"LOG_PROMPTS": "true", "LOG_FORMAT": "json", **LONG_SERVICE}
            found, log = self._job(launcher, file, LONG_JOB, **settings)
            questions = rounds_of(log)
            forget(launcher)
            found["bare_s"] = asyncio.run(bare(launcher.url, WIDE, questions, LONG_BARE))
        found["share_of_bare"] = found["bare_s"] / found["job_s"]
        return found

    def sweep(self, keep: Callable[[Result], None], names: list[str]) -> Result:
        """The same jobs with different settings of the server, each kept once it is measured."""
        short = problem_file(self._folder / "problems.jsonl", COPIES)
        long = long_file(self._folder / "half.jsonl", LONG_PROBLEMS // 2, LONG_QUESTIONS // 2)
        more = {"CONCURRENCY": str(SWEEP_CONCURRENCY)}
        found: Result = {}
        for name in names or list(SIDES)[:DEFAULT_SIDES]:
            began = time.monotonic()
            try:
                with self._served(f"sweep-{name}", **SIDES[name]) as launcher:
                    start_s = time.monotonic() - began
                    self._warm_up(launcher)
                    found[name] = {
                        "start_s": start_s,
                        "short": self._job(launcher, short, {}, **more)[0],
                        "long": self._job(launcher, long, LONG_JOB, **more, **LONG_SERVICE)[0],
                    }
            except FailedError as error:  # the other sides count all the same
                found[name] = {"failed": str(error)[-2000:]}
            say(f"  {name}: {json.dumps(found[name])}")
            keep(found)
        return found

    def deterministic(self, keep: Callable[[Result], None]) -> Result:
        """The same jobs with and without it. The model's numbers all take part in its sums, so that
        another order changes them.
        """
        found: Result = {}
        for name, settings in DETERMINISTIC_SIDES.items():
            try:
                found[name] = self._repeated(f"deterministic-{name}", **settings)
            except FailedError as error:
                found[name] = {"failed": str(error)[-2000:]}
            say(f"  {name}: {json.dumps(found[name])}")
            keep(found)
        return found

    def _repeated(self, log: str, **settings: str) -> Result:
        """A job's figures, and the share of its questions with the same samples in a second job,
        which has another concurrency.
        """
        file = problem_file(self._folder / "problems.jsonl", COPIES)
        with self._served(log, NOISY, **settings) as launcher:
            self._warm_up(launcher)
            found, one_log = self._job(launcher, file)
            forget(launcher)
            fewer, other_log = self._job(launcher, file, CONCURRENCY=str(FEWER))
        pairs = zip(answers_of(one_log), answers_of(other_log), strict=True)
        equal = [drawn(one) == drawn(other) for one, other in pairs]
        found[f"job_s_at_{FEWER}"] = fewer["job_s"]
        found[f"equal_at_{FEWER}"] = sum(equal) / len(equal)
        return found

    @property
    def _models(self) -> dict[str, str]:
        return {"MODELS_DIR": str(self._stack.models)}

    @contextmanager
    def _served(self, log: str, model: str = WIDE, **settings: str) -> Iterator[Launcher]:
        """A launcher that serves a wide model, which is made if it is not there."""
        target = self._stack.models / model / "wide"
        if not target.exists():
            argv = [self._stack.python("trainer"), "-m", "bench.wide"]
            argv += [str(self._source()), str(target), "--noise"]
            argv.append(str(NOISE if model == NOISY else 0.0))
            done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True)
            if done.returncode:
                raise FailedError(f"bench.wide: {done.stderr[-2000:]}")
        # for /reset_prefix_cache
        settings = {"MODEL_NAME": model, "VLLM_SERVER_DEV_MODE": "1", **settings}
        with self._stack.launcher(log.replace(" ", "-"), **settings) as launcher:
            launcher.until_served()
            yield launcher

    def _warm_up(self, launcher: Launcher) -> None:
        """A small job first, whose replies are too short for an answer: what is loaded or compiled
        at the first sample, or at the first reply restricted to labels, does not count.
        """
        self._job(launcher, PROBLEMS, {"max_tokens": 8, "max_resamples": 0})
        forget(launcher)

    def _job(
        self, launcher: Launcher, file: Path, chosen: Result | None = None, **settings: str
    ) -> tuple[Result, Path]:
        """A job with a service of its own: its figures, and the worker's log."""
        self._services += 1
        state = self._folder / f"service-{self._services}-{launcher.port}"
        models = {**self._models, **settings}
        with service(launcher.url, launcher.model, "published", state, **models) as (
            stack,
            processes,
        ):
            sessions = {child.name: child.process.pid for child in processes.children}
            metrics = launcher.url.replace("/v1", "/metrics")
            before = read(metrics)
            with Load({"launcher": launcher.process.pid, **sessions}) as load:
                job_s = run_job(stack, file, **chosen or {})
            used = read(metrics).since(before)
        log = state / "logs" / "worker-1.log"
        # a prompt counts once for each of its samples; the cache holds it for all but the first
        computed = used.tokens + used.prompt_tokens - used.cache_hits
        found: Result = {
            "job_s": job_s,
            "questions": len(answers_of(log)),
            "reply_tokens": used.tokens,
            "prompt_tokens": used.prompt_tokens,
            "cached_prompt_tokens": used.cache_hits,
            "reply_tokens_per_s": used.tokens / job_s,
            "tokens_per_s": (used.tokens + used.prompt_tokens) / job_s,
            "computed_tokens_per_s": computed / job_s,
        }
        return {**found, **load.found}, log


def forget(launcher: Launcher) -> None:
    """Empty the server's prefix cache."""
    address = launcher.url.replace("/v1", "/reset_prefix_cache")
    with open_url(urllib.request.Request(address, method="POST"), timeout_s=60):
        pass


def answers_of(log: Path) -> list[Answer]:
    """The answers of the one job of the service with this log, in the order of its file."""
    reader = JobReader(log.parent.parent / "data")
    file = reader.result(reader.ids()[0], "answers.jsonl")
    assert file is not None
    return [Answer.model_validate_json(line) for line in file.read_bytes().splitlines()]


def drawn(answer: Answer) -> list[tuple[int, str]]:
    return sorted((sample.seed, sample.text) for sample in answer.samples)


def long_file(path: Path, problems: int, questions: int) -> Path:
    """The demo's problems with other puzzles before them, each time other ones."""
    rows = [json.loads(line) for line in PROBLEMS.read_text().splitlines()]
    puzzles = [row["problem"] for row in rows]
    with path.open("w") as out:
        for i in range(problems):
            row = rows[i % len(rows)]
            count = questions * (i + 1) // problems - questions * i // problems
            asked = (row["questions"] * count)[:count]
            order = [puzzles[(i * 37 + n * (i // len(rows) + 1)) % len(puzzles)] for n in range(60)]
            before = "".join(order)[:FILLER_CHARACTERS]
            again = {"id": f"{row['id']}-{i}", "problem": f"{i}。{before}{row['problem']}"}
            out.write(json.dumps({**again, "questions": asked}, ensure_ascii=False) + "\n")
    return path


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
