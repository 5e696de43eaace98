"""A recipe: one TOML file that says what is trained, on what, and how.

Checked whole before any weights load.
"""

from __future__ import annotations

import hashlib
import tomllib
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from contract import PromptFormat, Sampling
from trainer.errors import TrainerError


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Lora(_Frozen):
    """LoRA (Hu et al. 2021, section 4.1): the update of each target is `alpha / r * B @ A`."""

    r: int = Field(8, ge=1)
    alpha: float = Field(32, gt=0)
    dropout: float = Field(0.1, ge=0, lt=1)
    targets: tuple[str, ...] = (
        "q_proj",
        "k_proj",
        "v_proj",
        "o_proj",
        "gate_proj",
        "up_proj",
        "down_proj",
    )


class Training(_Frozen):
    """`batch_size` is rows a device and step.

    `max_length` is tokens of prompt and reply together.
    """

    learning_rate: float = Field(gt=0)
    batch_size: int = Field(1, ge=1)
    gradient_accumulation: int = Field(1, ge=1)
    epochs: float = Field(1, gt=0)
    max_steps: int | None = Field(None, ge=1)
    warmup_steps: int = Field(0, ge=0)
    schedule: Literal["linear", "cosine", "constant"] = "linear"
    weight_decay: float = Field(0.0, ge=0)
    max_grad_norm: float = Field(1.0, gt=0)
    max_length: int = Field(2048, ge=16)
    gradient_checkpointing: bool = True
    dtype: Literal["auto", "bfloat16", "float16", "float32"] = "auto"
    seed: int = 42


class Recipe(_Frozen):
    """`base` is a directory or a model id of the hub.

    Relative paths start at the recipe's own folder.
    """

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]*$")
    base: str
    train: tuple[str, ...] = Field(min_length=1)
    validation: tuple[str, ...] = ()
    format: PromptFormat = PromptFormat()
    sampling: Sampling = Sampling()
    lora: Lora = Lora()
    training: Training

    @classmethod
    def load(cls, path: Path) -> Recipe:
        """Read and check a recipe; its paths come back absolute.

        Raises:
            TrainerError: naming the file, the key and what is wrong with it.
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
        return recipe.model_copy(
            update={
                "base": str(local)
                if local.is_dir() or recipe.base.startswith(".")
                else recipe.base,
                "train": tuple(str((folder / name).resolve()) for name in recipe.train),
                "validation": tuple(str((folder / name).resolve()) for name in recipe.validation),
            }
        )

    def sha256(self) -> str:
        """Digest of all that shapes weights and contract, wherever base and data lie."""
        text = self.model_dump_json(exclude={"base", "train", "validation"})
        return hashlib.sha256(text.encode()).hexdigest()
