"""HTTP clients and the environment's proxies: used for distant addresses, never for near ones."""

from __future__ import annotations

import ssl
from functools import cache
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import httpx2

from contract.addresses import is_near

VARIABLES = "all_proxy, http_proxy or https_proxy"


def proxy_options(url: str) -> dict[str, Any]:
    """Options of an httpx2 client for `url`.

    Without `trust_env` httpx2 also ignores SSL_CERT_FILE, so the certificates are read here.
    """
    return {"trust_env": not is_near(url), "verify": certificates()}


@cache
def certificates() -> ssl.SSLContext:
    """The certificates to trust: SSL_CERT_FILE's, if it is set. All clients of a process share
    them, because reading them takes longer than all else that a client does before its first
    request.
    """
    return httpx2.create_ssl_context()


def proxy_for(url: str) -> str | None:
    """The address of the proxy that the environment names for `url`; None if it is asked
    directly.
    """
    parts = urlsplit(url)
    if is_near(url) or proxy_bypass(parts.netloc.rpartition("@")[2]):
        return None
    found = getproxies()
    address = found.get(parts.scheme) or found.get("all")
    return address if not address or "://" in address else f"http://{address}"


def proxy_fault(url: str) -> str | None:
    """Why the environment's proxies cannot be used for `url`, in one line; None if they can.

    It quotes no address, because an address may hold a password.
    """
    if is_near(url):
        return None
    try:
        for name, address in getproxies().items():
            if name not in ("all", "http", "https"):
                continue
            if address.startswith("socks"):
                return (
                    f"the environment names a SOCKS proxy ({VARIABLES}), which is not used here: "
                    f"set an HTTP proxy, or name the host {urlsplit(url).hostname} in no_proxy"
                )
            _check(address)
        httpx2.Client(**proxy_options(url)).close()
    except (ValueError, httpx2.InvalidURL):
        return (
            f"a proxy of the environment ({VARIABLES}) has no usable address; write "
            "http://host:port"
        )
    return None


def _check(address: str) -> None:
    """Raises ValueError or InvalidURL now, instead of at the first connection."""
    url = httpx2.URL(address if "://" in address else f"http://{address}")
    if not url.host:
        raise ValueError(f"{address!r} names no host")
    url.host.encode("idna")
