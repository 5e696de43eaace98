"""What must hold after a disturbed run, compared with an undisturbed one."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from redis.exceptions import RedisError

from chaos.stack import MARK, Stack

# Left by a process that was killed, these are removed by the next one within this time.
GONE_WITHIN_S = 30.0
# Of an answer, these are times or the server's own counts, which differ where it was asked again
# or sent none.
FREE = ("latency_s", "finished_at", "prompt_tokens")
FREE_OF_SAMPLES = ("tokens", "finish_reason")
Key = tuple[str, int]


@dataclass(frozen=True)
class Undisturbed:
    """The results of a job that nothing happened to, and how often each seed was sampled."""

    submission: bytes
    answers: list[dict[str, Any]]
    seeds: Counter[int]

    @property
    def questions(self) -> int:
        return len(self.answers)


def read_undisturbed(stack: Stack, job_id: str) -> Undisturbed:
    return Undisturbed(
        _download(stack, job_id, "submission"),
        _answers(_download(stack, job_id, "answers")),
        Counter(sampled(stack)),
    )


def _download(stack: Stack, job_id: str, what: str) -> bytes:
    reply = stack.api.get(f"/jobs/{job_id}/{what}", timeout=30)
    return reply.content if reply.status_code == 200 else reply.text.encode()


def _answers(data: bytes) -> list[dict[str, Any]]:
    """The lines of answers.jsonl without what is free to differ."""
    found = []
    for line in data.splitlines():
        answer = {key: value for key, value in json.loads(line).items() if key not in FREE}
        for sample in answer.get("samples", ()):
            for key in FREE_OF_SAMPLES:
                sample.pop(key)
            sample["text"] = sample["text"].lstrip("\N{REPLACEMENT CHARACTER}")  # half a pair
        found.append(answer)
    return found


def sampled(stack: Stack) -> list[int]:
    """The seeds of all samples that the model drew since its log was emptied."""
    return [int(line) for line in stack.samples.read_text().split()]


class Journals:
    """The journals of a job, followed while they are written.

    `asked_after` holds, for each journaled seed, how many samples the model had drawn by the time
    it was seen here: the model must not draw it after that.
    """

    def __init__(self, stack: Stack, job_id: str) -> None:
        self._stack = stack
        self.job_id = job_id
        self.answered: dict[Key, bytes] = {}
        self.asked_after: dict[int, int] = {}
        self._read_to: dict[Path, int] = {}
        self._answers_of: Counter[str] = Counter()  # by shard

    def look(self) -> bool:
        """Read what is new. True if anything was."""
        lines = [(path.stem, line) for path in self._paths() for line in self._new_lines(path)]
        # after the journals: what is in them was drawn before this
        drawn = self._stack.samples.read_bytes().count(b"\n") if lines else 0
        for shard, line in lines:
            record = json.loads(line)
            for sample in record.get("samples") or record.get("drawn") or ():
                self.asked_after.setdefault(sample["seed"], drawn)
            if "answer" in record:
                self.answered.setdefault((record["id"], record["index"]), line)
                self._answers_of[shard] += 1
        return bool(lines)

    def begun(self) -> dict[str, int]:
        """The answers of the shards that are begun and not all answered."""
        job = json.loads((self._stack.directory(self.job_id) / "job.json").read_bytes())
        sizes = {f"{n:04d}": place["questions"] for n, place in enumerate(job["shards"])}
        return {s: count for s, count in self._answers_of.items() if 0 < count < sizes[s]}

    def have_moved(self, since: dict[str, int]) -> bool:
        """True if each shard of an earlier `begun` has a further answer."""
        return all(self._answers_of[shard] > count for shard, count in since.items())

    def _paths(self) -> list[Path]:
        return sorted(self._stack.directory(self.job_id).glob("shards/*.jsonl"))

    def _new_lines(self, path: Path) -> Iterator[bytes]:
        with path.open("rb") as file:
            file.seek(self._read_to.get(path, 0))
            for line in file:
                if not line.endswith(b"\n"):
                    return
                self._read_to[path] = self._read_to.get(path, 0) + len(line)
                yield line

    def all_answers(self) -> list[bytes]:
        """The answers' lines as they are in the files now."""
        lines = [line for path in self._paths() for line in path.read_bytes().split(b"\n")[:-1]]
        return [line + b"\n" for line in lines if b'"answer":' in line]


@dataclass
class Verdict:
    """`complaints` is empty if all holds. `doubled` counts samples that were drawn twice, `lost`
    answers that were journaled and are gone.
    """

    complaints: list[str] = field(default_factory=list)
    doubled: int = 0
    lost: int = 0


def judge(stack: Stack, undisturbed: Undisturbed, all_journals: list[Journals]) -> Verdict:
    """Compare ended jobs with the undisturbed one, and look for what is left over."""
    verdict = Verdict()
    log = sampled(stack)
    for journals in all_journals:
        journals.look()
        _compare(stack, undisturbed, journals, verdict)
    often = Counter(log)
    for seed, times in undisturbed.seeds.items():
        verdict.doubled += max(0, often[seed] - len(all_journals) * times)
    if len(all_journals) == 1:  # two jobs of one file have the same seeds
        after = all_journals[0].asked_after
        again = [seed for place, seed in enumerate(log) if place >= after.get(seed, len(log))]
        if again:
            verdict.complaints.append(f"{len(again)} journaled samples were asked again")
    verdict.complaints += left_over(stack, [journals.job_id for journals in all_journals])
    return verdict


def _compare(stack: Stack, undisturbed: Undisturbed, journals: Journals, verdict: Verdict) -> None:
    say = verdict.complaints.append
    job_id = journals.job_id
    job = stack.job(job_id)
    if job is None or job["status"] != "completed":
        say(f"{job_id} is {job and job['status']}: {job and (job['error'] or job['note'])}")
        return
    if _download(stack, job_id, "submission") != undisturbed.submission:
        say("the submission differs")
    if _answers(_download(stack, job_id, "answers")) != undisturbed.answers:
        say("answers.jsonl differs in more than times")
    if _download(stack, job_id, "errors"):
        say("errors.jsonl is not empty")
    lines = journals.all_answers()
    if len(lines) != undisturbed.questions:
        say(f"the journals hold {len(lines)} answers to {undisturbed.questions} questions")
    gone = set(journals.answered.values()) - set(lines)
    verdict.lost += len(gone)
    if gone:
        say(f"{len(gone)} journaled answers are gone")


def left_over(stack: Stack, job_ids: list[str], within_s: float = GONE_WITHIN_S) -> list[str]:
    """Files, processes and leases that are still there a while after the end of `job_ids`."""
    found: list[str] = []

    def nothing_is_left_over() -> bool:
        found[:] = [*_files(stack, job_ids), *_processes(stack), *_leases(stack)]
        return not found

    try:
        stack.until(nothing_is_left_over, within_s)
    except TimeoutError:
        return [f"left over: {thing}" for thing in found]
    return []


def _files(stack: Stack, job_ids: list[str]) -> list[str]:
    """Temporary files, uploads, and jobs that nobody posted."""
    hidden = [
        path
        for path in stack.data.rglob(".*")
        if path.name != ".keys" and not path.name.startswith(".writable-")  # of a ready check now
    ]
    uploads = list((stack.data / "uploads").iterdir())
    jobs = [path for path in (stack.data / "jobs").glob("job_*") if path.name not in job_ids]
    return [str(path.relative_to(stack.data)) for path in (*hidden, *uploads, *jobs)]


def _processes(stack: Stack) -> list[str]:
    """Work horses without a job, and processes of this stack that nobody started."""
    known = {child.process.pid for child in stack.processes.children}
    mark = f"{MARK}={stack.folder}".encode()
    strangers = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) in known | {os.getpid()}:
            continue
        try:
            ours = mark in (entry / "environ").read_bytes().split(b"\0")
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode().strip()
        except OSError:
            continue  # it ended meanwhile
        if ours and "orchestrator.local.guardian" not in command:
            strangers.append(f"process {entry.name} ({command})")
    return strangers


def _leases(stack: Stack) -> list[str]:
    """Leases, but for those on the finishing of a job whose holder died: they run out in two
    minutes, and meanwhile nobody waits for them, because their lock is free.
    """
    try:
        keys = [key.decode() for key in stack.redis.scan_iter("quorum:lease:*")]
        return [key for key in keys if not (key.endswith(":finish") and stack.redis.ttl(key) > 0)]
    except RedisError as error:
        return [f"Redis does not answer: {error}"]
