"""The server's settings, read once from the environment."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from contract import Stack


def _words(text: str) -> str:
    try:
        shlex.split(text)
    except ValueError as error:
        raise ValueError(f"it cannot be split into words as a shell does: {error}") from error
    return text


class Settings(BaseSettings):
    """Environment variables have the fields' names in capitals. An empty one counts as not set.

    None leaves the choice to the launcher. `stack` names the installed version set; images set it.
    docs/configuration.md explains each setting.
    """

    model_config = SettingsConfigDict(env_ignore_empty=True)

    stack: Stack
    engine: Literal["vllm", "transformers"] = "vllm"
    models_dir: Path = Path("models")
    model_name: str = "quorum-qwen2-7b"
    inference_host: str = "127.0.0.1"
    inference_port: int = Field(8000, ge=1, le=65535)
    inference_api_key: str = ""
    adapters: str = ""
    dtype: Literal["bfloat16", "float16", "float32"] | None = None
    max_model_len: int | None = Field(None, ge=16)
    max_num_seqs: int | None = Field(None, ge=1)
    gpu_memory_utilization: float | None = Field(None, gt=0, le=1)
    tensor_parallel_size: int | None = Field(None, ge=1)
    quantization: Literal["fp8", "int4"] | None = None
    enable_prefix_caching: bool | None = None
    enable_chunked_prefill: bool | None = None
    enforce_eager: bool | None = None
    attention_backend: str | None = None
    deterministic: bool = False
    server_arguments: Annotated[str, AfterValidator(_words)] = ""
    cpu_kv_cache_gib: int = Field(1, ge=1)
    drain_s: int = Field(60, ge=0)
    wait_for_trainer: bool = True
    vllm_cache_root: Path = Path("~/.cache/vllm")
