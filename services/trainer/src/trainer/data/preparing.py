"""From files to training examples and held-out examples, with a report of all that happened to them
on the way.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from contract import Sentence, coded, write_json
from trainer.data.examples import Example, load_examples
from trainer.data.permuting import balanced_copies
from trainer.data.splitting import groups, held_out, near_duplicates, normalized
from trainer.digests import digest_of
from trainer.errors import TrainerError
from trainer.recipe import Recipe

NO_ANALYSIS = Sentence("no-analysis", 'no analysis, which format.style = "analysis" trains')
# Analyses are trained if this share of the questions has one, or this number of questions: a model
# of 7 billion weights learns from some hundred to work out steps.
ENOUGH_SHARE, ENOUGH = 0.5, 500
CONFLICT = Sentence("other-key", "the same question stands elsewhere with another key")


@dataclass
class DataReport:
    """Counts of questions, unless the name says otherwise; `keys_...` count keys by label.

    `replies`: the style in which replies are trained, and why. `repeated`: rows whose question
    another row asks too. `leaking`: held-out questions that were left out, because their problem
    stands in the training data, exactly or nearly.
    """

    recognized: dict[str, int]
    dropped: dict[str, int]
    replies: str = ""
    read: int = 0
    problems: int = 0
    repeated: int = 0
    near_duplicate_problems: int = 0
    trained: int = 0
    copies: int = 0
    held_out: int = 0
    held_out_problems: int = 0
    leaking: int = 0
    keys_read: dict[str, int] = field(default_factory=dict)
    keys_trained: dict[str, int] = field(default_factory=dict)
    prompt_tokens: list[int] = field(default_factory=list)
    reply_tokens: list[int] = field(default_factory=list)
    too_long: list[str] = field(default_factory=list)
    max_length: int = 0

    def to_dict(self) -> dict[str, object]:
        """The report for JSON. `dropped_messages` has each reason in `dropped` with its code."""
        messages = {reason: coded(reason) for reason in self.dropped}
        return {
            **asdict(self),
            "dropped_messages": {
                reason: message.model_dump() for reason, message in messages.items() if message
            },
        }


@dataclass(frozen=True)
class Prepared:
    """`recipe` is the recipe asked for, with its style settled."""

    recipe: Recipe
    train: list[Example]
    held_out: list[Example]
    report: DataReport
    sha256: str


def prepare(recipe: Recipe) -> Prepared:
    """Read, check, split by problem and permute the files that `recipe` names.

    Raises:
        TrainerError: a file cannot be used, or nothing is left to train on.
    """
    loaded = load_examples(recipe.train, recipe.format)
    dropped = Counter(loaded.dropped)
    recipe, replies = settled(recipe, loaded.rows)
    usable = _with_style(loaded.rows, recipe.format.style, dropped)
    usable = _without_conflicts(usable, dropped)
    if not usable:
        raise TrainerError(_nothing_left(recipe, dropped))
    report = DataReport(dict(loaded.recognized), {}, replies, read=len(loaded.rows))
    texts = _distinct_texts(usable)
    report.problems = len(texts)
    report.keys_read = keys(usable)
    often = Counter(asked(example) for example in usable)
    report.repeated = sum(count - 1 for count in often.values())
    group_of = groups(list(texts), recipe.data.near_duplicate)
    report.near_duplicate_problems = len(group_of) - len(set(group_of))

    digest = loaded.sha256
    if recipe.validation:
        held = load_examples(recipe.validation, recipe.format)
        digest = digest_of(loaded.sha256, held.sha256)
        validation = _with_style(held.rows, recipe.format.style, Counter())
        train = usable
    else:
        places = held_out(group_of, recipe.data.validation_share, recipe.data.seed)
        train = [e for e in usable if texts[normalized(e.subject)] not in places]
        validation = [e for e in usable if texts[normalized(e.subject)] in places]
    kept = _without_leaks(validation, train, recipe.data.near_duplicate)
    report.leaking = len(validation) - len(kept)

    copies = balanced_copies(train, recipe.data.permuted_copies, recipe.data.seed)
    report.copies = len(copies)
    report.trained = len(train) + len(copies)
    report.held_out = len(kept)
    report.held_out_problems = len(_distinct_texts(kept))
    report.keys_trained = keys([*train, *copies])
    report.dropped = dict(dropped)
    return Prepared(recipe, [*train, *copies], kept, report, digest)


def settled(recipe: Recipe, examples: Sequence[Example]) -> tuple[Recipe, str]:
    """`recipe` with a settled style, and a sentence about the style for the report. If the recipe
    leaves its style to the data, `examples` decide.
    """
    questions = {asked(example) for example in examples}
    worked = {asked(example) for example in examples if example.question.analysis}
    have = f"{len(worked)} of {len(questions)} questions have an analysis"
    if recipe.format.style != "auto":
        return recipe, f"{_REPLIES[recipe.format.style]}, as the recipe says; {have}"
    if len(worked) >= min(ENOUGH, ENOUGH_SHARE * len(questions)):
        return recipe.with_style("analysis"), f"{_REPLIES['analysis']}; {have}"
    files = " ".join(f"--file {Path(data_file.file).name}" for data_file in recipe.train)
    return recipe.with_style("answer"), (
        f"{_REPLIES['answer']}; {have}, and half of them or {ENOUGH} are needed. A teacher can "
        f"write them: python -m trainer distill --recipe RECIPE {files} --url TEACHER "
        "--model NAME --out FILE"
    )


_REPLIES = {"analysis": "analysis and answer line", "answer": "the answer line alone"}


def write_examples(examples: Sequence[Example], path: Path) -> None:
    """Write `examples` as JSONL, one question a line; `load_examples` reads it back."""
    with path.open("w", encoding="utf-8") as file:
        for number, example in enumerate(examples, start=1):
            question: dict[str, object] = {
                "question": example.question.text,
                "options": list(example.question.options),
                "answer": example.label,
            }
            if example.question.analysis:
                question["analysis"] = example.question.analysis
            row: dict[str, object] = {"id": str(number), "source": example.source}
            if example.problem.text:
                row["problem"] = example.problem.text
            row["questions"] = [question]
            file.write(write_json(row) + "\n")


def _with_style(examples: Sequence[Example], style: str, dropped: Counter[str]) -> list[Example]:
    """The examples that can be trained in `style`. A bare key would teach a model not to reason,
    though its prompt tells it to.
    """
    if style == "answer":
        return list(examples)
    worked = [example for example in examples if example.question.analysis]
    if len(worked) < len(examples):
        dropped[NO_ANALYSIS] += len(examples) - len(worked)
    return worked


def _without_conflicts(examples: Sequence[Example], dropped: Counter[str]) -> list[Example]:
    """Leave out every question that occurs with different right options."""
    right: dict[tuple[str, ...], set[str]] = {}
    for example in examples:
        option = example.question.options[example.question.labels.index(example.label)]
        right.setdefault(asked(example), set()).add(normalized(option))
    kept = [example for example in examples if len(right[asked(example)]) == 1]
    if len(kept) < len(examples):
        dropped[CONFLICT] += len(examples) - len(kept)
    return kept


def _without_leaks(
    validation: Sequence[Example], train: Sequence[Example], threshold: float
) -> list[Example]:
    texts, trained = _distinct_texts(validation), _distinct_texts(train)
    leaking = {i for i, _ in near_duplicates(list(texts), threshold, list(trained))}
    return [e for e in validation if texts[normalized(e.subject)] not in leaking]


def asked(example: Example) -> tuple[str, ...]:
    """Equal for two questions if they are the same but for the order of their options."""
    question = example.question
    options = sorted(normalized(option) for option in question.options)
    return normalized(example.problem.text), normalized(question.text), *options


def _distinct_texts(examples: Sequence[Example]) -> dict[str, int]:
    """Each problem's normalized subject, and its place among the distinct ones."""
    places: dict[str, int] = {}
    for example in examples:
        places.setdefault(normalized(example.subject), len(places))
    return places


def keys(examples: Sequence[Example]) -> dict[str, int]:
    """How often each label is the key."""
    return dict(sorted(Counter(example.label for example in examples).items()))


def _nothing_left(recipe: Recipe, dropped: Counter[str]) -> str:
    reasons = "; ".join(f"{count} x {reason}" for reason, count in dropped.items())
    advice = (
        'write analyses with `trainer distill`, or set format.style = "auto" to train bare labels'
        if dropped[NO_ANALYSIS]
        else "fix the files"
    )
    names = ", ".join(data_file.file for data_file in recipe.train)
    return f"{names}: no row is left to train on ({reasons}): {advice}"
