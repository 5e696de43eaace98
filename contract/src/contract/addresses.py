"""Decides which addresses are called directly, even if the environment names a proxy.

People set `http_proxy` for the internet. A proxy cannot reach this machine's loopback and does not
know the names of a compose network, so calls to these addresses never use it.
"""

from __future__ import annotations

import ipaddress
import urllib.request
from http.client import HTTPResponse
from typing import cast
from urllib.parse import urlsplit


def is_near(url: str) -> bool:
    """True if the host is this machine or has a name without dots, as compose services do."""
    try:
        host = (urlsplit(url).hostname or "").rstrip(".")
    except ValueError:
        return False  # not an address; the call itself will report that
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host != "" and ("." not in host or host.endswith((".localhost", ".docker.internal")))
    return address.is_loopback or address.is_unspecified


def open_url(request: str | urllib.request.Request, timeout_s: float) -> HTTPResponse:
    """`urllib.request.urlopen` that calls near addresses directly.

    Raises:
        OSError: the server does not answer, or refuses (HTTPError).
    """
    url = request if isinstance(request, str) else request.full_url
    direct = [urllib.request.ProxyHandler({})] if is_near(url) else []
    opened = urllib.request.build_opener(*direct).open(request, timeout=timeout_s)
    return cast(HTTPResponse, opened)
