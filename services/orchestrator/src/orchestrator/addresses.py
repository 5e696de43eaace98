"""What to write as INFERENCE_URL, if the endpoint cannot be reached at the one that is set.

All of it is pure but `in_container`, and `better_address`, which asks by the function given.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Awaitable, Callable
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from contract import Sentence

HOST = "host.docker.internal"
# Makers whose API does not begin with /v1.
PATHS = {
    "api.deepinfra.com": "/v1/openai",
    "api.fireworks.ai": "/inference/v1",
    "api.groq.com": "/openai/v1",
    "dashscope.aliyuncs.com": "/compatible-mode/v1",
    "dashscope-intl.aliyuncs.com": "/compatible-mode/v1",
    "generativelanguage.googleapis.com": "/v1beta/openai",
    "open.bigmodel.cn": "/api/paas/v4",
    "openrouter.ai": "/api/v1",
}
# Ends of addresses of single calls.
_CALLS = ("/chat/completions", "/completions", "/chat", "/models")
_MARKS = (Path("/.dockerenv"), Path("/run/.containerenv"))
_CGROUP = Path("/proc/1/cgroup")
_ENGINES = ("docker", "kubepods", "containerd", "libpod")

ListsModels = Callable[[str], Awaitable[bool]]


def other_addresses(url: str) -> list[str]:
    """Addresses at which the server of `url` may have its API, the likeliest first. They hold no
    password.
    """
    parts = urlsplit(url)
    path = parts.path.rstrip("/")
    base = path
    for call in _CALLS:
        base = base.removesuffix(call)
    known = PATHS.get(parts.hostname or "")
    tried = [base, known, f"{base}/v1", "/v1"]
    found = dict.fromkeys(way for way in tried if way is not None and way != path)
    return [_with_path(parts, way) for way in found]


async def better_address(url: str, lists_models: ListsModels) -> str | None:
    """The first other address that lists models; None if none does."""
    for other in other_addresses(url):
        if await lists_models(other):
            return other
    return None


def moved(reason: Sentence, url: str) -> Sentence:
    return Sentence(
        "api-is-at",
        "{reason}; its API is at another path: set INFERENCE_URL={url}",
        reason=reason,
        url=url,
    )


def beyond_the_container(url: str, reason: Sentence, *, contained: bool) -> Sentence:
    """`reason`, and what to write if it is that a container and its host differ."""
    parts = urlsplit(url)
    name = parts.hostname or ""
    if contained and _is_this_machine(name):
        return Sentence(
            "localhost-in-container",
            "{reason}; here {name} is the container itself: for a server on the machine around it, "
            "set INFERENCE_URL={url} and let the server listen on 0.0.0.0",
            reason=reason,
            name=name,
            url=_with_path(parts, parts.path.rstrip("/"), HOST),
        )
    if contained and name == HOST:
        return Sentence(
            "host-gives-no-reply",
            "{reason}; a server on the machine around this container must listen on 0.0.0.0, not "
            "on 127.0.0.1 alone (for Ollama: OLLAMA_HOST=0.0.0.0)",
            reason=reason,
        )
    if not contained and name == HOST:
        return Sentence(
            "host-outside-container",
            "{reason}; {name} is known in containers alone: set INFERENCE_URL={url}",
            reason=reason,
            name=name,
            url=_with_path(parts, parts.path.rstrip("/"), "127.0.0.1"),
        )
    return reason


def in_container() -> bool:
    """True if this process runs in a container of Docker, Podman or Kubernetes."""
    if any(mark.exists() for mark in _MARKS):
        return True
    try:
        groups = _CGROUP.read_text()
    except OSError:
        return False
    return any(engine in groups for engine in _ENGINES)


def _is_this_machine(name: str) -> bool:
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return name == "localhost" or name.endswith(".localhost")


def _with_path(parts: SplitResult, path: str, host: str | None = None) -> str:
    name = host or parts.hostname or ""
    name = f"[{name}]" if ":" in name else name
    port = "" if parts.port is None else f":{parts.port}"
    return f"{parts.scheme}://{name}{port}{path}"
