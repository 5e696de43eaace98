"""What is compared. Each side's folder holds what its user writes; `run.sh` is given by hand.

A side is run in a copy of its folder, with `problems.jsonl` beside it. It leaves `answers.jsonl`,
one line a question (Quorum: its submission). Given again in the same folder, `run.sh` continues a
killed run as far as the tool can.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).parent
K = 3
# The published baseline asks only these; its time is scaled to the whole file.
LOOP_QUESTIONS = 20


@dataclass(frozen=True)
class Side:
    """`environment` is the virtual environment's folder, under the project's.

    `is_seeded`: each sample has Quorum's seed, so a vote can be compared with Quorum's. `questions`
    limits the file to its first questions. `own_engine`: it asks no server. `is_quorum`: Redis, the
    API and a worker are started for it.
    """

    name: str
    title: str
    folder: str
    environment: str
    settings: dict[str, str] = field(default_factory=dict)
    is_seeded: bool = False
    questions: int | None = None
    own_engine: bool = False
    is_quorum: bool = False

    @property
    def files(self) -> list[Path]:
        return sorted(path for path in (HERE / self.folder).iterdir() if path.is_file())

    @property
    def lines(self) -> int:
        """Lines that its user writes, without empty ones."""
        texts = [path.read_text(encoding="utf-8") for path in self.files]
        return sum(bool(line.strip()) for text in texts for line in text.splitlines())


def sides(server: str) -> list[Side]:
    """All sides. `server` is the folder of the environment that vLLM is in."""
    return [
        Side("loop", "published baseline's loop", "loop", ".venv", questions=LOOP_QUESTIONS),
        Side("lm_eval", "lm-evaluation-harness", "lm_eval", ".venv-peers-lm-eval"),
        Side("inspect_ai", "Inspect", "inspect_ai", ".venv-peers-inspect-ai"),
        Side("evalscope", "EvalScope", "evalscope", ".venv-peers-evalscope"),
        Side(
            "run_batch",
            "vLLM run-batch",
            "run_batch",
            server,
            is_seeded=True,
            own_engine=True,
        ),
        Side(
            "bare_n1",
            "bare client, 3 requests",
            "bare",
            ".venv",
            {"SAMPLES_A_REQUEST": "1"},
            is_seeded=True,
        ),
        Side(
            "bare_n3",
            "bare client, n = 3",
            "bare",
            ".venv",
            {"SAMPLES_A_REQUEST": "3"},
            is_seeded=True,
        ),
        Side(
            "quorum_all",
            "Quorum, all samples",
            "quorum",
            ".venv",
            {"EARLY_STOP": "--no-early-stop"},
            is_seeded=True,
            is_quorum=True,
        ),
        Side(
            "quorum",
            "Quorum",
            "quorum",
            ".venv",
            {"EARLY_STOP": "--early-stop"},
            is_seeded=True,
            is_quorum=True,
        ),
    ]


Votes = dict[tuple[str, int], str]


def votes_in(path: Path) -> Votes:
    """The label by problem and place, empty if the question has no answer; from lines of answers,
    or a submission.
    """
    votes = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        if "questions" in row:
            for index, question in enumerate(row["questions"]):
                votes[row["id"], index] = question.get("answer") or ""
        else:
            votes[row["id"], row["index"]] = row["answer"]
    return votes


def first_questions(problems: str, count: int | None) -> str:
    """A problem file's text, cut after `count` questions."""
    if count is None:
        return problems
    lines = []
    for line in problems.splitlines():
        row = json.loads(line)
        row["questions"] = row["questions"][:count]
        count -= len(row["questions"])
        if row["questions"]:
            lines.append(json.dumps(row, ensure_ascii=False) + "\n")
    return "".join(lines)
