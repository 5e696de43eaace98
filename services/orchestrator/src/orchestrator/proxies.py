"""HTTP clients and the environment's proxies: used for distant addresses, never for near ones."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies

import httpx2

from contract.addresses import is_near

VARIABLES = "all_proxy, http_proxy or https_proxy"


def proxy_options(url: str) -> dict[str, Any]:
    """Options of an httpx2 client for `url`.

    Without `trust_env` httpx2 also ignores SSL_CERT_FILE, so the certificates are read here.
    """
    return {"trust_env": not is_near(url), "verify": httpx2.create_ssl_context()}


def proxy_fault(url: str) -> str | None:
    """Why the environment's proxies cannot be used for `url`, in one line; None if they can.

    It quotes no address, because an address may hold a password.
    """
    if is_near(url):
        return None
    try:
        for name, address in getproxies().items():
            if name in ("all", "http", "https"):
                _check(address)
        httpx2.Client(**proxy_options(url)).close()
    except ImportError:
        return (
            f"the environment names a SOCKS proxy ({VARIABLES}), and the package for it is "
            f"missing: pip install socksio, or name the host {urlsplit(url).hostname} in no_proxy"
        )
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
