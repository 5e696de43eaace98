"""A recipe: one TOML file with the model, the data and the method of a run.

The whole recipe is checked before any weights load: for unknown keys, bad values, and methods that
exclude each other.
"""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from contract import PromptFormat, Sampling
from contract.files.shapes import Reading
from trainer.errors import TrainerError


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class DataFile(_Frozen):
    """`weight`: how often each of the file's rows is drawn an epoch. With 0.5, each epoch draws
    half of the rows anew. `shape`, `encoding`, `columns` and `index_base` say how to read a file
    whose content does not say it (`contract.files.shapes.Reading`).
    """

    file: str
    weight: float = Field(1.0, gt=0, le=100)
    shape: str | None = None
    encoding: str | None = None
    columns: dict[str, str] = {}
    index_base: Literal[0, 1] | None = None

    @property
    def reading(self) -> Reading:
        return Reading.model_validate(self.model_dump(include=set(Reading.model_fields)))

    @property
    def settings(self) -> str:
        """What shapes the rows beside the file's content, for digests."""
        given = self.reading.model_dump_json(exclude_defaults=True)
        return repr(self.weight) + (given if given != "{}" else "")

    @model_validator(mode="before")
    @classmethod
    def _bare_name(cls, value: Any) -> Any:
        return {"file": value} if isinstance(value, str) else value


class Data(_Frozen):
    """`validation_share`: the share of problems to hold out; only without validation files.

    `permuted_copies`: how many copies of each question are added with their options in another
    order, which is chosen to balance the keys. `near_duplicate`: problems whose texts have at least
    this Jaccard similarity stay on one side of the split.
    """

    validation_share: float = Field(0.0, ge=0, le=0.5)
    permuted_copies: int = Field(0, ge=0, le=8)
    near_duplicate: float = Field(0.8, gt=0, le=1)
    seed: int = 42


class Lora(_Frozen):
    """LoRA (Hu et al. 2021, section 4.1): the update of each target is `scale * B @ A`.

    `alpha`: scale = alpha / r; with `rslora` alpha / sqrt(r) (Kalajdzievski 2023).
    `dora`: weights split into magnitude and direction (Liu et al. 2024).
    `plus_ratio`: B's learning rate over A's (LoRA+, Hayou et al. 2024); 1 is plain LoRA.
    `init`: A random and B zero, or both from the largest singular values (PiSSA, Meng et al. 2024).
    `pro`: gradients adjusted towards full fine-tuning's (LoRA-Pro, Wang et al. 2024).
    `quantize`: the frozen base in 4-bit NormalFloat (QLoRA, Dettmers et al. 2023).
    """

    r: int = Field(8, ge=1)
    alpha: float = Field(32, gt=0)
    dropout: float = Field(0.0, ge=0, lt=1)
    targets: tuple[str, ...] = (
        "q_proj",
        "k_proj",
        "v_proj",
        "o_proj",
        "gate_proj",
        "up_proj",
        "down_proj",
    )
    rslora: bool = False
    dora: bool = False
    plus_ratio: float = Field(1.0, ge=1)
    init: Literal["zero", "pissa"] = "zero"
    pro: bool = False
    quantize: Literal["none", "nf4"] = "none"

    @model_validator(mode="after")
    def _go_together(self) -> Self:
        if self.pro and self.dora:
            raise ValueError("pro and dora exclude each other: LoRA-Pro's closed form has no DoRA")
        if self.pro and self.plus_ratio != 1:
            raise ValueError(
                "pro and plus_ratio exclude each other: LoRA-Pro sets the steps of A and B itself"
            )
        if self.init == "pissa" and self.quantize != "none":
            raise ValueError(
                'init = "pissa" and quantize exclude each other: PiSSA changes the base, and 4-bit '
                "weights cannot hold the change"
            )
        if self.init == "pissa" and self.dora:
            raise ValueError(
                'init = "pissa" and dora exclude each other: PEFT\'s plain form cannot hold their '
                "adapter"
            )
        return self


class Training(_Frozen):
    """The optimizer's settings.

    `batch_rows`: rows a step, over all devices. `pack_tokens`: how many of their tokens go through
    the model at once; this changes memory and speed only.
    """

    learning_rate: float = Field(gt=0)
    batch_rows: int = Field(16, ge=1)
    epochs: float = Field(1, gt=0)
    max_steps: int | None = Field(None, ge=1)
    warmup_steps: int = Field(0, ge=0)
    schedule: Literal["linear", "cosine", "constant"] = "linear"
    weight_decay: float = Field(0.0, ge=0)
    max_grad_norm: float = Field(1.0, gt=0)
    analysis_weight: float = Field(
        1.0, ge=0, le=1, description="weight of an analysis token's loss; a label token's is 1"
    )
    neftune_alpha: float = Field(
        0.0, ge=0, description="noise on the embeddings (NEFTune, Jain et al. 2023); 0: none"
    )
    max_length: int = Field(2048, ge=16, description="tokens of prompt and reply together")
    validations: int = Field(
        10, ge=1, description="validations in a run, the one at the end included"
    )
    patience: int | None = Field(
        None, ge=1, description="stop after this many validations without a better loss"
    )
    dtype: Literal["auto", "bfloat16", "float16", "float32"] = "auto"
    seed: int = 42
    # these five change memory, speed and safety, but not what is trained
    pack_tokens: int = Field(8192, ge=16)
    gradient_checkpointing: bool = True
    fsdp: bool = Field(False, description="split the weights over the GPUs (full fine-tuning)")
    compile: bool = Field(False, description="compile the layers with torch.compile (LoRA, GPU)")
    checkpoint_every_s: float = Field(300.0, ge=0)

    @model_validator(mode="after")
    def _a_row_fits_a_pack(self) -> Self:
        if self.pack_tokens < self.max_length:
            raise ValueError(
                f"pack_tokens = {self.pack_tokens} is less than max_length = {self.max_length}: a "
                "pack must hold the longest row"
            )
        return self


class RecipeFormat(PromptFormat):
    """A contract's format. With the style "auto" the data decide (`data.preparing.settled`):
    analyses if enough questions have one, else the label alone. A contract has one of those two.
    """

    style: Literal["auto", "analysis", "answer"] = "auto"  # type: ignore[assignment]


class PanelMember(_Frozen):
    """One voter of a panel: what differs from the recipe. `format`: keys of the recipe's [format].
    The scale of the update stays the recipe's at every `rank`.
    """

    seed: int | None = None
    share: float | None = Field(None, gt=0, le=1)
    rank: int | None = Field(None, ge=1)
    format: dict[str, Any] = {}


class PanelTable(_Frozen):
    """Adapters that vote together (`trainer panel`); `member` describes the first ones, in order.

    `share`: the share of the training questions that each member after the first draws anew
    (bagging, Breiman 1996, without replacement).
    """

    members: int | None = None
    share: float = Field(0.8, gt=0, le=1)
    member: tuple[PanelMember, ...] = ()


_NOT_IN_THE_DIGEST: Any = {
    "base": True,
    "panel": True,
    "train": True,
    "validation": True,
    "training": {"pack_tokens", "gradient_checkpointing", "fsdp", "compile", "checkpoint_every_s"},
}


class Recipe(_Frozen):
    """`base`: a directory, or a model's id on the hub. Relative paths start at the recipe's own
    folder.
    """

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]*$")
    base: str
    train: tuple[DataFile, ...] = Field(min_length=1)
    validation: tuple[DataFile, ...] = ()
    method: Literal["lora", "full"] = "lora"
    data: Data = Data()
    format: RecipeFormat = RecipeFormat()
    sampling: Sampling = Sampling()
    lora: Lora = Lora()
    training: Training
    # left out of JSON if it is None, so that recipes without a panel are recorded as before
    panel: PanelTable | None = Field(None, exclude_if=lambda panel: panel is None)

    @model_validator(mode="after")
    def _go_together(self) -> Self:
        if self.method == "full" and "lora" in self.model_fields_set:
            raise ValueError('method = "full" trains all weights: leave [lora] out')
        if self.training.fsdp and self.method != "full":
            raise ValueError(
                'fsdp is for method = "full": leave it out; LoRA on several GPUs needs no setting'
            )
        if self.training.fsdp and self.training.dtype == "float16":
            raise ValueError("fsdp and float16 exclude each other: use bfloat16")
        if self.training.compile and (key := self._not_compiled()):
            raise ValueError(
                f"training.compile and {key} exclude each other: only LoRA in merged weights is "
                "compiled"
            )
        if self.validation and self.data.validation_share:
            raise ValueError("validation files and data.validation_share exclude each other")
        if self.training.patience and not (self.validation or self.data.validation_share):
            raise ValueError("patience needs validation files, or data.validation_share above 0")
        return self

    def _not_compiled(self) -> str | None:
        """The key of the method that `training.compile` is not for, if there is one."""
        if self.method == "full":
            return 'method = "full"'
        keys = {
            "dropout": self.lora.dropout > 0,
            "dora": self.lora.dora,
            "quantize": self.lora.quantize != "none",
        }
        return next((f"lora.{key}" for key, given in keys.items() if given), None)

    @classmethod
    def load(cls, path: Path) -> Recipe:
        """Read and check a recipe, and make its paths absolute.

        Raises:
            TrainerError: its message names the file, the key and the fault.
        """
        try:
            raw = tomllib.loads(path.read_text(encoding="utf-8"))
            recipe = cls.model_validate(raw)
        except OSError as error:
            raise TrainerError(f"cannot read the recipe {path}: {error.strerror}") from error
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise TrainerError(f"{path} is not TOML: {error}") from error
        except ValidationError as error:
            lines = [f"  {'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()]
            raise TrainerError(f"{path} is not a recipe:\n" + "\n".join(lines)) from error
        folder = path.resolve().parent
        local = (folder / recipe.base).resolve()
        is_path = local.is_dir() or recipe.base.startswith(".")
        return recipe.model_copy(
            update={
                "base": str(local) if is_path else recipe.base,
                "train": tuple(_absolute(data, folder) for data in recipe.train),
                "validation": tuple(_absolute(data, folder) for data in recipe.validation),
            }
        )

    def with_style(self, style: Literal["analysis", "answer"]) -> Recipe:
        """This recipe in `style`. If it sets no system prompt, it gets the one for that style."""
        given = self.format.model_dump(exclude_unset=True) | {"style": style}
        return self.model_copy(update={"format": RecipeFormat.model_validate(given)})

    def sha256(self) -> str:
        """Digest of the settings that shape weights and contract; base and data have their own."""
        text = self.model_dump_json(exclude=_NOT_IN_THE_DIGEST)
        return hashlib.sha256(text.encode()).hexdigest()


def load_recipe(path: Path, train: Sequence[Path] | None, base: str | None) -> Recipe:
    """`Recipe.load`; files and base of the command line replace the recipe's."""
    recipe = Recipe.load(path)
    if train:
        files = tuple(DataFile(file=str(name.resolve())) for name in train)
        recipe = recipe.model_copy(update={"train": files})
    if base:
        local = Path(base).resolve()
        recipe = recipe.model_copy(update={"base": str(local) if local.is_dir() else base})
    return recipe


def _absolute(data: DataFile, folder: Path) -> DataFile:
    return data.model_copy(update={"file": str((folder / data.file).resolve())})
