"""The orchestrator's settings, read once per process from the environment."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field
from pydantic_settings import BaseSettings


class Settings(BaseSettings):
    """Environment variables have the fields' names in capitals; .env.example explains each."""

    data_dir: Path = Path("data")
    models_dir: Path = Path("models")
    model_name: str = "quorum-qwen2-7b"
    model_contract: Literal["published", "default"] = "published"
    inference_url: str = "http://127.0.0.1:8000/v1"
    inference_api_key: str = ""
    redis_url: str = "redis://127.0.0.1:6379/0"
    api_host: str = "127.0.0.1"
    api_port: int = 8080
    max_upload_mib: int = Field(256, ge=1)
    shard_questions: int = Field(64, ge=1)
    concurrency: int = Field(32, ge=1)
    request_timeout_s: float = Field(600, gt=0)
