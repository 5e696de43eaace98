"""The trainer's settings, read once from the environment."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic_settings import BaseSettings, SettingsConfigDict

from contract import Stack


class Settings(BaseSettings):
    """Environment variables have the fields' names in capitals; an empty one counts as not set.

    `stack` (STACK): the set of versions installed; images set it. `cpu` trains without a GPU.
    `models_dir` (MODELS_DIR): published models.
    `runs_dir` (RUNS_DIR): metrics, checkpoints and adapters of runs.
    `model_source` (MODEL_SOURCE): where to download a base that is no directory; `local`: nowhere.
    `tensorboard` (TENSORBOARD): write event files into the run's folder too.
    `panel` (PANEL): `run` trains a panel of so many members; 0: one model.
    `teacher_api_key` (TEACHER_API_KEY): the key of the API that `distill` asks.
    `api_key` (API_KEY): the key of Quorum's API, for `distill --only-missed URL`.
    `world_size`, `local_rank`: set by torchrun.
    """

    model_config = SettingsConfigDict(env_ignore_empty=True)

    stack: Stack | None = None
    models_dir: Path = Path("models")
    runs_dir: Path = Path("runs")
    model_source: Literal["local", "huggingface", "modelscope"] = "huggingface"
    tensorboard: bool = False
    panel: int = 0
    teacher_api_key: str = "none"
    api_key: str = ""
    world_size: int = 1
    local_rank: int = 0
