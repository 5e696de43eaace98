"""The server's settings, read once from the environment."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings


class Settings(BaseSettings):
    """Environment variables have the fields' names in capitals.

    None leaves the choice to the launcher.
    """

    models_dir: Path = Path("models")
    model_name: str = "quorum-qwen2-7b"
    inference_host: str = "127.0.0.1"
    inference_port: int = 8000
    inference_api_key: str = ""
    max_model_len: int | None = Field(None, ge=16)
    max_num_seqs: int | None = Field(None, ge=1)
    gpu_memory_utilization: float = Field(0.9, gt=0, le=1)
    cpu_kv_cache_gib: int = Field(1, ge=1)
