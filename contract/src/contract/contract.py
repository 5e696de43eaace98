"""The contract: the prompt format that a model was trained on, and how its replies are read.

It lies beside the merged weights and is written last, so its presence means that the published
model is complete. Training and inference render prompts with the same code from the same contract.
The probe (messages and the token ids they must become) lets a client check that a server tokenizes
a prompt as the trainer did.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from contract.labels import extract_label
from contract.options import LABELS, own_texts
from contract.plain import plain
from contract.probe import Message, Probe
from contract.problems import Problem, Question
from contract.sentences import Sentence

CONTRACT_FILE = "contract.json"
WHOLE_FILE = Sentence("whole-file", "the file")

SYSTEM_PROMPT = (
    "你负责解答单项选择题。未给出的事实一律视为假（闭世界假设）。"
    "请先逐步推理，再另起最后一行，按“答案是：X”的格式写出唯一正确选项的字母。"
)
ANSWER_SYSTEM_PROMPT = (
    "你负责解答单项选择题。未给出的事实一律视为假（闭世界假设）。"
    "不要写推理过程，只用一行按“答案是：X”的格式写出唯一正确选项的字母。"
)
USER_TEMPLATE = "题目：\n{problem}\n\n问题：\n{question}\n\n选项：\n{options}"
# The group is inside a lookahead, so that an announcement (所以答案是：, then the answer line) does
# not consume the line that follows it.
LABEL_PATTERNS = (
    r"答案\s*(?:是|为)?\s*[:：](?=\s*([^\n]+))",
    r"\\boxed\{((?:[^{}]|\{[^{}]*\})*)\}",
)

_OPENING_MARKS = " \t*_`\"'(（[【{“‘$\\"
_PLACEHOLDER = re.compile(r"\{(problem|question|options)\}")
_BLANK_LINES = re.compile(r"\n(?:[ \t]*\n)+")


class ContractError(ValueError):
    """The contract is missing, cannot be read, or has a form that this version does not know."""

    def __init__(self, sentence: Sentence) -> None:
        super().__init__(sentence)
        self.sentence = sentence


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class PromptFormat(_Frozen):
    """How a question is put and how its reply ends.

    `style` "analysis": a reply is worked steps and an answer line; "answer": the answer line alone.
    The default system prompt matches the style. If it is empty, no system message is sent. If no
    `label_patterns` are given, they find the default answer lines and `answer_line`.
    `multiple_prompt` replaces the system prompt if all right options are asked for; without one, a
    sentence is added instead (contract.multiple).
    """

    system_prompt: str = SYSTEM_PROMPT
    user_template: str = USER_TEMPLATE
    option_line: str = "{label}. {text}"
    answer_line: str = "答案是：{label}"
    style: Literal["analysis", "answer"] = "analysis"
    label_patterns: tuple[str, ...] = LABEL_PATTERNS
    # left out of JSON if it is None, so that digests of older recipes and contracts stay
    multiple_prompt: str | None = Field(None, exclude_if=lambda prompt: prompt is None)

    @model_validator(mode="before")
    @classmethod
    def _prompt_asks_for_the_style(cls, values: Any) -> Any:
        if isinstance(values, dict) and values.get("style") == "answer":
            return {"system_prompt": ANSWER_SYSTEM_PROMPT, **values}
        return values

    @model_validator(mode="before")
    @classmethod
    def _patterns_find_the_answer_line(cls, values: Any) -> Any:
        if isinstance(values, dict) and "label_patterns" not in values:
            line = values.get("answer_line")
            if isinstance(line, str) and not _is_found(line, LABEL_PATTERNS):
                return {**values, "label_patterns": (pattern_of(line), *LABEL_PATTERNS)}
        return values

    @field_validator("answer_line")
    @classmethod
    def _holds_the_label_once(cls, line: str) -> str:
        if line.count("{label}") != 1:
            raise ValueError("must hold {label} once")
        return line

    @field_validator("user_template")
    @classmethod
    def _names_each_part_once(cls, template: str) -> str:
        if sorted(_PLACEHOLDER.findall(template)) != ["options", "problem", "question"]:
            raise ValueError("must hold {problem}, {question} and {options}, each once")
        return template

    @field_validator("label_patterns")
    @classmethod
    def _have_one_group(cls, patterns: tuple[str, ...]) -> tuple[str, ...]:
        for pattern in patterns:
            try:
                groups = re.compile(pattern).groups
            except (re.error, OverflowError, RecursionError) as error:
                raise ValueError(f"{pattern!r} is not a regular expression: {error}") from error
            if groups != 1:
                raise ValueError(
                    f"{pattern!r} must have exactly one group, the text that names the option"
                )
        if not patterns:
            raise ValueError("must hold at least one pattern")
        return patterns

    def messages(self, problem: Problem, question: Question) -> list[Message]:
        """The conversation that asks `question`, without a reply.

        If the problem has no text, the paragraph of the user template that would hold only it is
        left out, with its heading. Paragraphs are separated by blank lines.
        """
        lines = zip(LABELS, own_texts(question.options), strict=False)
        parts = {
            "problem": problem.text,
            "question": question.text,
            "options": "\n".join(
                self.option_line.replace("{label}", label).replace("{text}", text)
                for label, text in lines
            ),
        }
        template = self.user_template if problem.text else without_problem(self.user_template)
        # in one pass, so that a placeholder in the problem's own text is not replaced
        user: Message = {
            "role": "user",
            "content": _PLACEHOLDER.sub(lambda m: parts[m.group(1)], template),
        }
        return (
            [{"role": "system", "content": self.system_prompt}, user]
            if self.system_prompt
            else [user]
        )

    def reply(self, label: str, analysis: str | None) -> str:
        """The reply to train on: the analysis, if the style has one, and the answer line."""
        line = self.answer_line.replace("{label}", label)
        return line if self.style == "answer" or not analysis else f"{analysis.rstrip()}\n{line}"

    @property
    def is_read(self) -> bool:
        """True if `label_patterns` find the label in `answer_line`."""
        return _is_found(self.answer_line, self.label_patterns)


def without_problem(template: str) -> str:
    """A user template without the paragraphs that hold only the problem."""
    paragraphs = _BLANK_LINES.split(template)
    return "\n\n".join(part for part in paragraphs if _PLACEHOLDER.findall(part) != ["problem"])


def pattern_of(answer_line: str) -> str:
    """A label pattern for lines made from `answer_line`. It captures the text after the line's
    first words, in any case and spacing. If the line begins with its label, it captures the last
    line of the reply.
    """
    lead = plain(answer_line.partition("{label}")[0]).rstrip(_OPENING_MARKS).split()
    if not lead:
        return r"([^\n]+?)\s*\Z"
    words = r"\s*".join(map(re.escape, lead))
    return rf"(?i:{words})\s*:?(?=\s*([^\n]+))"


def _is_found(answer_line: str, patterns: Sequence[str]) -> bool:
    said = {label: answer_line.replace("{label}", label) for label in LABELS}
    options = [f"option {label}" for label in LABELS]
    return all(extract_label(said[label], options, patterns) == label for label in LABELS)


class HeldLine(_Frozen):
    """How a reply is restricted to labels: it begins with `lead` and continues with `label`, the
    text for {label}.

    The split must fall between two tokens of the model. Example: a tokenizer with the tokens
    "Answer:" and " A" reads "Answer: " and "A" as other tokens.
    """

    lead: str
    label: str

    @classmethod
    def of(cls, fmt: PromptFormat) -> HeldLine:
        """The line for a tokenizer that never joins a label with the text before it."""
        return cls(lead=fmt.answer_line.partition("{label}")[0], label="{label}")

    def choices(self, labels: Iterable[str]) -> dict[str, str]:
        """The texts that may follow the lead, each with the label, or the set of labels ("AC"),
        that it means.
        """
        return {self.label.replace("{label}", label): label for label in labels}


class Sampling(_Frozen):
    """Sampling defaults. `max_tokens` bounds a reply."""

    temperature: float = Field(0.7, ge=0, le=2)
    top_p: float = Field(1.0, gt=0, le=1)
    max_tokens: int = Field(1024, ge=1)


class Lengths(_Frozen):
    """Token counts over the training rows."""

    longest_prompt: int
    longest_reply: int
    limit: int


class Provenance(_Frozen):
    """The origin of the weights. Digests are SHA-256 in hexadecimal.

    `adapter_sha256` is None if all weights were trained. `despite` lists the faults that
    verification found, if the model was published anyway.
    """

    base_model: str
    base_sha256: str
    data_sha256: str
    recipe: str
    recipe_sha256: str
    adapter_sha256: str | None
    versions: dict[str, str]
    created: str
    despite: tuple[str, ...] = ()


class Contract(_Frozen):
    version: Literal[1] = 1
    model: str
    digest: str
    dtype: Literal["bfloat16", "float16", "float32"]
    format: PromptFormat
    sampling: Sampling
    chat_template_sha256: str
    probe: Probe
    lengths: Lengths
    provenance: Provenance
    held: HeldLine | None = None

    @property
    def served_name(self) -> str:
        """The name under which a server serves exactly these weights."""
        return f"{self.model}@{self.digest}"

    @property
    def held_line(self) -> HeldLine:
        """`held`, or the default line for an older contract. Models whose tokenizers join labels
        were refused then.
        """
        return self.held or HeldLine.of(self.format)

    @classmethod
    def load(cls, directory: Path) -> Contract:
        """Read `contract.json` of a published model.

        Raises:
            ContractError: names the file, the fault and the remedy.
        """
        path = directory / CONTRACT_FILE
        try:
            return cls.model_validate_json(path.read_bytes())
        except FileNotFoundError:
            raise ContractError(
                Sentence(
                    "no-contract",
                    "{path} does not exist: no model is published there; run the trainer first",
                    path=str(path),
                )
            ) from None
        except OSError as error:
            raise ContractError(
                Sentence(
                    "contract-file-unreadable",
                    "{path} cannot be read ({words}); publish the model again",
                    path=str(path),
                    words=error.strerror or type(error).__name__,
                )
            ) from error
        except ValidationError as error:
            first = error.errors()[0]
            raise ContractError(
                Sentence(
                    "contract-unreadable",
                    "{path}: {place}: {reason}; publish the model again",
                    path=str(path),
                    place=".".join(map(str, first["loc"])) or WHOLE_FILE,
                    reason=first["msg"],
                )
            ) from error

    def despite(self, faults: tuple[str, ...]) -> Contract:
        """A copy of this contract that records that the model is published although `faults` were
        found.
        """
        provenance = self.provenance.model_copy(update={"despite": faults})
        return self.model_copy(update={"provenance": provenance})

    def dump(self) -> bytes:
        return self.model_dump_json(indent=2).encode() + b"\n"
