"""The orchestrator's settings, read once per process from the environment."""

from __future__ import annotations

import ipaddress
import re
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import quote, urlsplit

from pydantic import Field, JsonValue, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode

from contract import read_json
from contract.settings import url_fault
from orchestrator.proxies import proxy_fault
from orchestrator.thinking import Thinking

# What a request says by the job's settings and the question; start.json and the report name them.
_OWN_KEYS = {
    "model",
    "messages",
    "n",
    "seed",
    "stream",
    "temperature",
    "top_p",
    "max_tokens",
    "logprobs",
    "top_logprobs",
    "structured_outputs",
    "guided_choice",
    "add_generation_prompt",
    "continue_final_message",
}


class Settings(BaseSettings):
    """Environment variables have the fields' names in capitals.

    docs/configuration.md explains each one.
    """

    data_dir: Path = Path("data")
    models_dir: Path = Path("models")
    model_name: str = Field("quorum-qwen2-7b", min_length=1)
    model_contract: Literal["published", "default"] = "published"
    prompt_format: str = "auto"
    inference_url: str = "http://127.0.0.1:8000/v1"
    inference_api_key: str = ""
    panels_dir: Path = Path("panels")
    panel_api_keys: Annotated[dict[str, str], NoDecode] = {}
    redis_url: str = "redis://127.0.0.1:6379/0"
    redis_password_file: Path | None = None
    api_host: str = "127.0.0.1"
    api_port: int = Field(8080, ge=0, le=65535)
    # the address that people use, if it is not api_host (a container's published port)
    api_published_on: str = ""
    allowed_hosts: str = ""
    api_key: str = ""
    max_upload_mib: int = Field(200, ge=1)
    shard_questions: int = Field(2048, ge=1)
    concurrency: int | Literal["auto"] = "auto"
    request_timeout_s: float = Field(600, gt=0)
    thinking: Thinking = "auto"
    extra_body: Annotated[dict[str, JsonValue], NoDecode] = {}
    give_up_tries: int = Field(10, ge=1)
    give_up_after_s: float = Field(300, ge=0)
    log_format: Literal["json", "text"] = "json"
    log_prompts: bool = False

    @field_validator("inference_url")
    @classmethod
    def _is_an_address(cls, url: str) -> str:
        if fault := url_fault(url):
            raise ValueError(fault)
        return url

    @field_validator("prompt_format")
    @classmethod
    def _names_a_format(cls, name: str) -> str:
        return name.strip() or "auto"

    @field_validator("concurrency", mode="before")
    @classmethod
    def _is_a_count(cls, value: object) -> object:
        text = str(value)
        if text != "auto" and not (text.isdecimal() and int(text)):
            raise ValueError("write a whole number from 1 on, or auto")
        return value if text == "auto" else int(text)

    @field_validator("thinking", mode="before")
    @classmethod
    def _is_a_way_to_think(cls, value: object) -> object:
        text = str(value)
        if text not in ("auto", "on", "off") and not (text.isdecimal() and int(text)):
            raise ValueError("write auto, on, off, or the most tokens to think, from 1 on")
        return int(text) if text.isdecimal() else value

    @field_validator("extra_body", mode="before")
    @classmethod
    def _is_an_object(cls, text: object) -> object:
        if not isinstance(text, str):
            return text
        try:
            found = read_json(text.encode() or b"{}")
        except ValueError:
            found = None
        if not isinstance(found, dict):
            reason = 'it is no JSON object; write {"name": value}'
            raise ValueError(reason)  # noqa: TRY004 # pydantic wants this one
        if own := sorted(_OWN_KEYS & found.keys()):
            raise ValueError(f"it may not hold {', '.join(own)}, which each request sets itself")
        return found

    @field_validator("panel_api_keys", mode="before")
    @classmethod
    def _are_keys_by_name(cls, text: object) -> object:
        if not isinstance(text, str):
            return text
        try:
            found = read_json(text.encode() or b"{}")
        except ValueError:
            found = None
        keys = found.values() if isinstance(found, dict) else [None]
        if not all(isinstance(key, str) and key.isascii() and key.isprintable() for key in keys):
            raise ValueError('write a JSON object of keys by name: {"name": "key"}')
        return found

    @field_validator("redis_url")
    @classmethod
    def _is_a_redis_url(cls, url: str) -> str:
        # imported here, because it takes a second, and the command `quorum` does not need it
        from redis.connection import parse_url

        try:
            parse_url(url)  # type: ignore[no-untyped-call]
            database = urlsplit(url).path.strip("/")
        except ValueError:  # not quoted, because it quotes parts of the password
            reason = "it is no address of Redis; write redis://host:6379/0, and %2F for a slash "
            raise ValueError(f"{reason}in the password") from None
        if not url.startswith("unix:") and database and not database.isdecimal():
            raise ValueError("its database must be a number, as in redis://host:6379/0")
        return url

    @field_validator("api_key", "inference_api_key")
    @classmethod
    def _fits_a_header(cls, key: str) -> str:
        if not (key.isascii() and key.isprintable()):
            raise ValueError("it may hold printable ASCII characters alone, as headers do")
        return key

    @model_validator(mode="after")
    def _password_from_its_file(self) -> Self:
        if self.redis_password_file is not None:
            try:
                password = quote(self.redis_password_file.read_text().strip(), safe="")
            except (OSError, ValueError) as error:
                reason = getattr(error, "strerror", None) or "it is not UTF-8"
                raise ValueError(f"REDIS_PASSWORD_FILE cannot be read: {reason}") from error
            scheme, rest = self.redis_url.split("://", 1)
            self.redis_url = f"{scheme}://:{password}@{rest}"
            self.redis_password_file = None  # it is part of the address now
        return self

    @model_validator(mode="after")
    def _proxies_are_usable(self) -> Self:
        if fault := proxy_fault(self.inference_url):
            raise ValueError(f"INFERENCE_URL: {fault}")
        return self

    @model_validator(mode="after")
    def _a_trained_model_thinks_as_trained(self) -> Self:
        if self.model_contract == "published" and self.thinking != "auto":
            raise ValueError(
                "THINKING is for MODEL_CONTRACT=default: a published model is asked as it was "
                "trained; leave it at auto"
            )
        return self

    @model_validator(mode="after")
    def _format_is_not_the_contracts(self) -> Self:
        if self.prompt_format != "auto" and self.model_contract == "published":
            raise ValueError(
                "PROMPT_FORMAT is for MODEL_CONTRACT=default: a published model is asked in the "
                "format that it was trained on. Leave PROMPT_FORMAT out"
            )
        return self

    @property
    def host_names(self) -> frozenset[str]:
        """The host names of the API, in lower case. IP addresses need not be among them.

        Raises:
            ValueError: ALLOWED_HOSTS holds a name that cannot be in a Host header.
        """
        listed = [name.strip().lower().removesuffix(".") for name in self.allowed_hosts.split(",")]
        for name in filter(None, listed):
            if not re.fullmatch(r"[a-z0-9._-]+", name) and not is_address(name):
                raise ValueError(
                    f"ALLOWED_HOSTS holds {name!r}: write names alone, without scheme and port and "
                    "as browsers send them, separated by commas"
                )
        published = {self.api_host.lower(), self.api_published_on.lower()}
        return frozenset({"localhost", *published, *listed} - {""})


class ApiSettings(Settings):
    """The API's settings. It may be reached from other machines only with a key."""

    @model_validator(mode="after")
    def _key_unless_on_loopback(self) -> Self:
        address = self.api_published_on or self.api_host
        if not self.api_key and not is_loopback(address):
            raise ValueError(
                f"the API would be open to whoever reaches {address}: set API_KEY to a secret, "
                "or bind it to 127.0.0.1"
            )
        return self

    @model_validator(mode="after")
    def _hosts_are_names(self) -> Self:
        _ = self.host_names
        return self


def is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def is_loopback(address: str) -> bool:
    if not is_address(address):
        return address == "localhost"
    return ipaddress.ip_address(address).is_loopback
