"""The trainer's settings, read once from the environment."""

from __future__ import annotations

from pathlib import Path

from pydantic_settings import BaseSettings


class Settings(BaseSettings):
    """`models_dir` (MODELS_DIR): published models.

    `runs_dir` (RUNS_DIR): metrics and adapters of runs.
    """

    models_dir: Path = Path("models")
    runs_dir: Path = Path("runs")
