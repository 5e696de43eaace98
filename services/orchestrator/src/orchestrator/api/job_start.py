"""What the API shows of a job's start.json: how its model is asked."""

from __future__ import annotations

from typing import Self

from pydantic import BaseModel, JsonValue

from contract import CodedMessage
from orchestrator.jobs.records import WITH_INFINITY, Adapted, AnyTemperature, StartFile
from orchestrator.jobs.voter_records import VoterRecord


class JobPrompt(BaseModel):
    """The name of the format in which an endpoint is asked, and why it was chosen."""

    name: str
    note: str
    note_message: CodedMessage | None


class JobStart(BaseModel):
    """How the job's model is asked: the values of start.json that a reader of jobs needs."""

    model_config = WITH_INFINITY

    model: str
    temperature: float
    top_p: float
    max_tokens: int
    voters: tuple[VoterRecord, ...]
    extra_body: dict[str, JsonValue]
    prompt_note: str | None
    prompt_note_message: CodedMessage | None
    adapted: tuple[Adapted, ...]
    prompt_format: JobPrompt | None
    vote_temperature: AnyTemperature | None = None

    @classmethod
    def of(cls, start: StartFile) -> Self:
        found = start.model_dump(include={*cls.model_fields} - {"prompt_format"})
        chosen = start.prompt_format
        prompt = chosen and JobPrompt.model_validate(
            chosen.model_dump(include={*JobPrompt.model_fields})
        )
        return cls(**found, prompt_format=prompt)
