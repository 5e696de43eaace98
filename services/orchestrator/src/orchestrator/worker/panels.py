"""Fixes a job's panel when the job starts: each voter's model, format, sampling values and weight.
No I/O.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from difflib import get_close_matches

from contract import Problem, PromptFormat, Sampling, Sentence, coded
from orchestrator.errors import OtherModelServedError, WaitingForModelError
from orchestrator.jobs.panels import PinnedPanel, PinnedVoter, by_accuracy, log_odds, scaled
from orchestrator.jobs.prompting import choose_format
from orchestrator.jobs.records import JobSettings
from orchestrator.jobs.voter_records import SamplingValues, ValidationRows, VoterRecord
from orchestrator.listing import SHOWN_NAMES
from orchestrator.model import ServedModel
from orchestrator.panels import PanelSpec, VoterSpec


def resolved(
    spec: PanelSpec,
    settings: JobSettings,
    own: ServedModel,
    prompt_format: str,
    problems: Sequence[Problem],
) -> PinnedPanel:
    """The panel with all that its voters leave open. `own` is the job's model; `prompt_format` is
    the setting, for voters at other addresses; `problems` are some of the job's.

    Raises:
        FormatFileError: the file that PROMPT_FORMAT names cannot be used.
    """
    options = [len(question.options) for problem in problems for question in problem.questions]
    chance = sum(1 / count for count in options) / len(options) if options else 0.5
    weights = _weights(spec, chance)
    voters = []
    for voter, weight in zip(spec.voters, weights, strict=True):
        model = _model(voter, own, prompt_format, problems)
        note = _note(voter, chance) if spec.weights == "accuracy" else None
        voters.append(
            PinnedVoter(
                name=voter.name,
                model=model.name,
                digest=model.digest,
                url=voter.url,
                key=voter.key,
                format=model.format,
                sampling=_sampling(voter, settings, model.sampling),
                probe=model.probe,
                held=model.held,
                weight=weight,
                accuracy=ValidationRows.of(voter.accuracy),
                note=note,
                note_message=coded(note),
            )
        )
    return PinnedPanel(
        name=spec.name, source=spec.source, weights=spec.weights, voters=tuple(voters)
    )


def _weights(spec: PanelSpec, chance: float) -> list[float]:
    if spec.weights == "given":
        return scaled([voter.weight or 1 for voter in spec.voters])
    found = [ValidationRows.of(voter.accuracy) for voter in spec.voters]
    accuracies = [rows for rows in found if rows is not None]
    if spec.weights == "accuracy" and len(accuracies) == len(spec.voters):
        return by_accuracy(accuracies, chance)
    return [1] * len(spec.voters)


def _note(voter: VoterSpec, chance: float) -> Sentence | None:
    rows = ValidationRows.of(voter.accuracy)
    if rows is None or log_odds(rows, chance) > 0:
        return None
    return Sentence(
        "voter-at-chance",
        "it was right in {right} of {total} validation rows, no more than by chance ({percent} %), "
        "and has the smallest weight",
        right=rows.right,
        total=rows.total,
        percent=round(100 * chance),
    )


def _model(
    voter: VoterSpec, own: ServedModel, prompt_format: str, problems: Sequence[Problem]
) -> ServedModel:
    """The voter's model. A model without a contract is asked in the job's own format, and at
    another address in that of PROMPT_FORMAT.
    """
    if voter.contract is not None:
        model = replace(ServedModel.from_contract(voter.contract), name=voter.model or own.name)
    elif voter.model is None or voter.model == own.name:
        model = own
    else:
        model = replace(own, name=voter.model, digest=None, probe=None)
        if voter.url is not None and voter.format is None:
            model = model.asked_in(choose_format(prompt_format, problems).format)
    return model if voter.format is None else model.asked_in(voter.format)


def _sampling(voter: VoterSpec, settings: JobSettings, defaults: Sampling) -> SamplingValues:
    """The voter's own values, else the client's, else the model's."""

    def first(*values: float | None) -> float:
        return next(value for value in values if value is not None)

    return SamplingValues(
        temperature=first(voter.temperature, settings.temperature, defaults.temperature),
        top_p=first(voter.top_p, settings.top_p, defaults.top_p),
        max_tokens=voter.max_tokens or settings.max_tokens or defaults.max_tokens,
    )


def served(voter: PinnedVoter) -> ServedModel:
    return ServedModel(
        name=voter.model,
        digest=voter.digest,
        format=voter.format,
        sampling=Sampling(**voter.sampling),
        probe=voter.probe,
        held=voter.held,
    )


def record(voter: PinnedVoter) -> VoterRecord:
    """The voter as start.json has it."""
    return VoterRecord(
        name=voter.name,
        model=voter.model,
        sampling=voter.sampling,
        url=voter.url,
        format_sha256=format_digest(voter.format),
        weight=voter.weight,
        accuracy=voter.accuracy,
        note=voter.note,
        note_message=voter.note_message,
    )


def format_digest(fmt: PromptFormat) -> str:
    return hashlib.sha256(fmt.model_dump_json().encode()).hexdigest()


def not_served(voter: PinnedVoter, url: str, error: OtherModelServedError) -> Sentence:
    """Why a voter cannot be asked whose server lists other models."""
    if voter.digest is not None or not error.served:
        return error.sentence
    names = get_close_matches(voter.model, sorted(error.served), SHOWN_NAMES, cutoff=0)
    return Sentence(
        "voter-not-listed",
        "{url} lists {names}, not {model}; serve it there, or name another model in the panel",
        url=url,
        names=", ".join(names),
        model=voter.model,
    )


def unfit(voter: PinnedVoter, error: WaitingForModelError) -> Sentence:
    """Why a voter's server may not be asked."""
    if voter.url is None or error.sentence.code != "server-refuses-key":
        return error.sentence
    if voter.key is None:
        return Sentence(
            "voter-needs-key",
            "{url} wants a key: add it to PANEL_API_KEYS, and its name to the panel as key",
            url=voter.url,
        )
    return Sentence(
        "voter-key-refused",
        "{url} refuses the key {key} of PANEL_API_KEYS",
        url=voter.url,
        key=voter.key,
    )
