"""A published panel: the voters that a trainer made in one published directory. No network.

`panel.json` lies beside the directory's contract.json and is written before it. Its first voter is
the directory's own merged model. Each other voter lies in a folder of its own below the directory,
with a contract.json of its own (format, sampling values, probe) and its adapter in `adapter/`.
"""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from contract.contract import WHOLE_FILE
from contract.sentences import Sentence

PANEL_FILE = "panel.json"
# The folder of a voter's adapter, inside the voter's own folder.
ADAPTER_FOLDER = "adapter"
MOST_VOTERS = 16

# What stands in file names, form fields and addresses.
PanelName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=64)]


class PanelError(ValueError):
    """A panel cannot be used. The sentence names the file, the place and the reason."""

    def __init__(self, sentence: Sentence) -> None:
        super().__init__(sentence)
        self.sentence = sentence


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Accuracy(_Frozen):
    """How many of `total` validation rows a voter answered right."""

    right: int = Field(ge=0)
    total: int = Field(ge=1)

    @model_validator(mode="after")
    def _is_a_share(self) -> Self:
        if self.right > self.total:
            raise ValueError("right may not be larger than total")
        return self


class PanelVoter(_Frozen):
    """A voter of a published panel.

    `served_as` is the model's name in requests. `folder` is relative to the published directory,
    with "/" between its parts; None means the directory itself.
    """

    name: PanelName
    served_as: str = Field(min_length=1)
    folder: str | None = None
    accuracy: Accuracy | None = None

    @field_validator("folder")
    @classmethod
    def _lies_below_the_directory(cls, folder: str | None) -> str | None:
        if folder is None:
            return None
        path = PurePosixPath(folder)
        well = path.parts and not path.is_absolute() and ".." not in path.parts
        if not well or str(path) != folder or "\\" in folder or "\0" in folder:
            raise ValueError("must be a folder below the published one, such as members/v2")
        return folder


class Panel(_Frozen):
    name: PanelName
    voters: tuple[PanelVoter, ...] = Field(min_length=1, max_length=MOST_VOTERS)

    @model_validator(mode="after")
    def _first_is_the_directory_itself(self) -> Self:
        if [voter.folder is None for voter in self.voters] != [
            place == 0 for place in range(len(self.voters))
        ]:
            raise ValueError("the first voter, and no other, has no folder of its own")
        return self

    @model_validator(mode="after")
    def _voters_differ(self) -> Self:
        for field in ("name", "served_as", "folder"):
            values = [getattr(voter, field) for voter in self.voters]
            twice = next((value for value in values if values.count(value) > 1), None)
            if twice is not None:
                raise ValueError(f"two voters have the {field} {twice!r}")
        return self

    @classmethod
    def load(cls, directory: Path) -> Panel | None:
        """The panel of a published directory; None if it has none.

        Raises:
            PanelError: names the file, the fault and the remedy.
        """
        path = directory / PANEL_FILE
        try:
            return cls.model_validate_json(path.read_bytes())
        except FileNotFoundError:
            return None
        except OSError as error:
            raise PanelError(
                Sentence(
                    "panel-unreadable",
                    "{path} cannot be read ({words}); publish the model again",
                    path=str(path),
                    words=error.strerror or type(error).__name__,
                )
            ) from error
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            words = first["msg"].removeprefix("Value error, ")
            raise PanelError(
                Sentence(
                    "panel-fault",
                    "{path}: {place}: {reason}; publish the model again",
                    path=str(path),
                    place=".".join(map(str, first["loc"])) or WHOLE_FILE,
                    reason=words,
                )
            ) from error

    def dump(self) -> bytes:
        return self.model_dump_json(indent=2).encode() + b"\n"
