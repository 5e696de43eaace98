"""What a user may choose for local mode, and where it comes from: an option or a variable."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from pathlib import Path

API_PORT = 8080
DEMO = "demo.toml"


@dataclass(frozen=True)
class LocalOptions:
    """Each field is an option of `quorum local`, and a variable with its name in capitals."""

    stack: str = field(default="", metadata={"help": "cpu, cu12, volta or cu13"})
    recipe: str = field(
        default=DEMO, metadata={"help": "a file of services/trainer/recipes, or a path"}
    )
    train: tuple[str, ...] = field(
        default=(), metadata={"help": "labelled files, instead of the recipe's"}
    )
    base: str = field(
        default="", metadata={"help": "a folder or hub id, instead of the recipe's base"}
    )
    panel: int = field(
        default=0, metadata={"help": "train so many adapters that vote; 0: one model"}
    )
    adapters: str = field(
        default="", metadata={"help": "served beside the model: name=MODEL/DIGEST,..."}
    )
    api_port: int = field(default=API_PORT, metadata={"help": "the port of page and API"})
    inference_port: int = field(default=0, metadata={"help": "vLLM's port; 0: a free one"})
    workers: int = field(default=2, metadata={"help": "processes that answer jobs"})
    state: Path = field(
        default=Path("var"), metadata={"help": "the folder for jobs, runs, models, logs, caches"}
    )
    models_dir: Path | None = field(
        default=None, metadata={"help": "the folder for models, instead of STATE/models"}
    )

    def as_words(self) -> list[str]:
        """The same choice on another command line; relative folders stay relative."""
        words = []
        for found in fields(self):
            value = getattr(self, found.name)
            option = f"--{found.name.replace('_', '-')}"
            for each in value if isinstance(value, tuple) else (value,):
                words += [] if each is None else [f"{option}={each}"]
        return words

    @property
    def is_demo(self) -> bool:
        return Path(self.recipe).name == DEMO and not self.base
