"""The panels that a job may name: a user's own TOML files, and the published model's.

No job and no server is looked at here. What a file leaves open, such as a voter's format, is fixed
when a job starts.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, NamedTuple, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from contract import Contract, ContractError, PromptFormat, Sentence
from contract.contract import WHOLE_FILE
from contract.formats import CHINESE, ENGLISH, FormatFileError, format_of_file
from contract.panels import MOST_VOTERS, Accuracy, Panel, PanelError, PanelName
from contract.settings import url_fault
from orchestrator.model import contract_dir
from orchestrator.proxies import proxy_fault
from orchestrator.settings import Settings

Weights = Literal["uniform", "given", "accuracy"]
PANEL_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_NAMED_FORMATS = {"zh": CHINESE, "en": ENGLISH}
_MOST_BYTES = 1 << 20


class VoterSpec(NamedTuple):
    """A voter as a panel names it. None means the job's own value.

    `key` is the name of a key in PANEL_API_KEYS. `contract` is set for a voter that was published
    with the model.
    """

    name: str
    model: str | None = None
    url: str | None = None
    key: str | None = None
    format: PromptFormat | None = None
    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None
    weight: float | None = None
    accuracy: Accuracy | None = None
    contract: Contract | None = None


@dataclass(frozen=True)
class PanelSpec:
    name: str
    source: Literal["file", "published"]
    weights: Weights
    voters: tuple[VoterSpec, ...]


class NamedPanel(NamedTuple):
    """A panel that there is; `panel` is None and `fault` says why if it cannot be used."""

    name: str
    source: Literal["file", "published"]
    panel: PanelSpec | None
    fault: Sentence | None


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


class _Voter(_Table):
    name: PanelName
    model: str | None = Field(None, min_length=1)
    url: str | None = None
    key: str | None = Field(None, min_length=1)
    format: str | None = None
    temperature: float | None = Field(None, ge=0, le=2)
    top_p: float | None = Field(None, gt=0, le=1)
    max_tokens: int | None = Field(None, ge=1)
    weight: float | None = Field(None, gt=0)
    accuracy: tuple[int, int] | None = Field(None, strict=False)

    @field_validator("url")
    @classmethod
    def _is_an_address_without_a_password(cls, url: str | None) -> str | None:
        if url is None:
            return None
        if fault := url_fault(url) or proxy_fault(url):
            raise ValueError(fault)
        if "@" in url.split("://", 1)[1].split("/", 1)[0]:
            raise ValueError("it may hold no user and password; name a key of PANEL_API_KEYS")
        return url.rstrip("/")

    @field_validator("accuracy")
    @classmethod
    def _is_a_share(cls, given: tuple[int, int] | None) -> tuple[int, int] | None:
        if given is not None and not (0 <= given[0] <= given[1] and given[1] > 0):
            raise ValueError("write [right, total], with 0 <= right <= total and total >= 1")
        return given

    @model_validator(mode="after")
    def _key_is_for_an_address(self) -> Self:
        if self.key is not None and self.url is None:
            raise ValueError("key is for a voter with a url; the server's own is INFERENCE_API_KEY")
        return self


class _PanelFile(_Table):
    weights: Weights = "uniform"
    voter: Annotated[list[_Voter], Field(min_length=1, max_length=MOST_VOTERS)]

    @model_validator(mode="after")
    def _names_differ(self) -> Self:
        names = [voter.name for voter in self.voter]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise ValueError(f"two voters have the name {twice!r}")
        return self

    @model_validator(mode="after")
    def _weights_are_given_or_not(self) -> Self:
        for voter in self.voter:
            if self.weights == "given" and voter.weight is None:
                raise ValueError(
                    f'the voter {voter.name} has no weight; weights = "given" needs it'
                )
            if self.weights != "given" and voter.weight is not None:
                raise ValueError(
                    f'the voter {voter.name} has a weight, which only weights = "given" uses'
                )
        return self


def panels(settings: Settings) -> list[NamedPanel]:
    """All panels that there are, the published one first."""
    found: list[NamedPanel] = []
    try:
        published = published_panel(settings, contract_dir(settings))
    except PanelError as error:
        found.append(NamedPanel(settings.model_name, "published", None, error.sentence))
    else:
        if published is not None:
            found.append(NamedPanel(published.name, "published", published, None))
    for path in sorted(settings.panels_dir.glob("*.toml")):
        if PANEL_NAME.fullmatch(path.stem):
            found.append(_of_file(settings, path))
    return found


def _of_file(settings: Settings, path: Path) -> NamedPanel:
    try:
        return NamedPanel(path.stem, "file", own_panel(settings, path), None)
    except PanelError as error:
        return NamedPanel(path.stem, "file", None, error.sentence)


def find_panel(settings: Settings, name: str, published_in: Path | None = None) -> PanelSpec:
    """The panel with this name. `published_in` is the directory of the job's published model, if
    that is not the current one.

    Raises:
        PanelError: there is none, there are two, or it cannot be used.
    """
    directory = published_in or contract_dir(settings)
    path = settings.panels_dir / f"{name}.toml"
    is_file = bool(PANEL_NAME.fullmatch(name)) and path.is_file()
    if is_file:
        panel = own_panel(settings, path, directory)
        other = published_panel(settings, directory)
        if other is not None and other.name == name:
            raise PanelError(
                Sentence(
                    "panel-twice",
                    "two panels are named {name}: {path} and the published model's; rename the "
                    "file",
                    name=name,
                    path=str(path),
                )
            )
        return panel
    published = published_panel(settings, directory)
    if published is not None and published.name == name:
        return published
    raise PanelError(_no_such_panel(settings, name))


def _no_such_panel(settings: Settings, name: str) -> Sentence:
    known = ", ".join(one.name for one in panels(settings))
    if not known:
        return Sentence(
            "no-panels",
            "panel: there is no panel {name!r}, and no other one; put a file into {folder}",
            name=name,
            folder=str(settings.panels_dir),
        )
    return Sentence(
        "no-such-panel",
        "panel: there is no panel {name!r}; there are: {known}",
        name=name,
        known=known,
    )


def no_such_key(key: str) -> Sentence:
    return Sentence("no-such-key", "PANEL_API_KEYS has no key {key!r}", key=key)


def samples_fault(panel: PanelSpec, samples: int) -> Sentence | None:
    """Why a job with so many samples cannot have this panel; None if it can."""
    without = [voter.name for voter in panel.voters[samples:]]
    if not without:
        return None
    return Sentence(
        "panel-needs-samples",
        "samples: the panel {panel} has {count} voters, so {samples} samples leave out {voters}; "
        "set samples={count} or more",
        panel=panel.name,
        count=len(panel.voters),
        samples=samples,
        voters=", ".join(without),
    )


def published_panel(settings: Settings, directory: Path) -> PanelSpec | None:
    """The panel of the published model in a directory; None if it has none.

    Raises:
        PanelError: it, or the contract of one of its voters, cannot be read.
    """
    panel = None if settings.model_contract == "default" else Panel.load(directory)
    if panel is None:
        return None
    try:
        voters = tuple(
            VoterSpec(
                voter.name,
                model=voter.served_as,
                accuracy=voter.accuracy,
                contract=Contract.load(directory / (voter.folder or ".")),
            )
            for voter in panel.voters
        )
    except ContractError as error:
        raise PanelError(error.sentence) from error
    return PanelSpec(panel.name, "published", "uniform", voters)


def own_panel(settings: Settings, path: Path, published_in: Path | None = None) -> PanelSpec:
    """The panel in a user's file.

    A voter whose model is one of the published panel's has that one's contract and accuracy.

    Raises:
        PanelError: names the file, the place and the reason.
    """
    try:
        found = _PanelFile.model_validate(_read(path))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise file_fault(path, place, first["msg"].removeprefix("Value error, ")) from error
    names_models = any(voter.model and not voter.url for voter in found.voter)
    directory = published_in or contract_dir(settings)
    published = published_panel(settings, directory) if names_models else None
    members = {voter.model: voter for voter in published.voters} if published else {}
    voters = []
    for number, voter in enumerate(found.voter):
        at = f"voter.{number}"
        if voter.key is not None and voter.key not in settings.panel_api_keys:
            raise file_fault(path, f"{at}.key", no_such_key(voter.key))
        spec = _spec(voter, path, at, None if voter.url else members.get(voter.model))
        if found.weights == "accuracy" and spec.accuracy is None:
            reason = Sentence(
                "voter-without-accuracy",
                'weights = "accuracy" needs it for {voter}: write [right, total]',
                voter=voter.name,
            )
            raise file_fault(path, f"{at}.accuracy", reason)
        voters.append(spec)
    return PanelSpec(path.stem, "file", found.weights, tuple(voters))


def _spec(voter: _Voter, path: Path, place: str, member: VoterSpec | None) -> VoterSpec:
    accuracy = member.accuracy if member else None
    if voter.accuracy is not None:
        accuracy = Accuracy(right=voter.accuracy[0], total=voter.accuracy[1])
    return VoterSpec(
        name=voter.name,
        model=voter.model,
        url=voter.url,
        key=voter.key,
        format=_format(path, f"{place}.format", voter.format),
        temperature=voter.temperature,
        top_p=voter.top_p,
        max_tokens=voter.max_tokens,
        weight=voter.weight,
        accuracy=accuracy,
        contract=member.contract if member else None,
    )


def _format(path: Path, place: str, name: str | None) -> PromptFormat | None:
    if name is None:
        return None
    if name in _NAMED_FORMATS:
        return _NAMED_FORMATS[name]
    try:
        return format_of_file(Path(name))
    except FormatFileError as error:
        raise file_fault(path, place, error.sentence) from error


def _read(path: Path) -> dict[str, object]:
    try:
        with path.open("rb") as file:
            data = file.read(_MOST_BYTES + 1)
    except OSError as error:
        words = error.strerror or type(error).__name__
        raise file_fault(
            path, "", Sentence("panel-file-unreadable", "cannot be read: {words}", words=words)
        ) from error
    if len(data) > _MOST_BYTES:
        raise file_fault(path, "", Sentence("panel-file-too-large", "is larger than 1 MiB"))
    try:
        return tomllib.loads(data.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        reason = Sentence("panel-not-toml", "is not TOML in UTF-8: {words}", words=str(error))
        raise file_fault(path, "", reason) from error


def file_fault(path: Path, place: str, reason: str) -> PanelError:
    return PanelError(
        Sentence(
            "panel-file-fault",
            "{path}: {place}: {reason} (panels/example.toml has every field)",
            path=str(path),
            place=place or WHOLE_FILE,
            reason=reason,
        )
    )
