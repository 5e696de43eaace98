"""Which addresses are called directly, whatever proxy the environment names.

People set `http_proxy` for the internet. A proxy cannot reach this machine's loopback, and knows no
name of a compose network, so calls to these never go through it.
"""

from __future__ import annotations

import ipaddress
import urllib.request
from http.client import HTTPResponse
from typing import cast
from urllib.parse import urlsplit


def is_near(url: str) -> bool:
    """True if the host is this machine, or has a name without dots, as compose's services have."""
    try:
        host = (urlsplit(url).hostname or "").rstrip(".")
    except ValueError:
        return False  # no address at all; who calls it says so
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host != "" and ("." not in host or host.endswith((".localhost", ".docker.internal")))
    return address.is_loopback or address.is_unspecified


def open_url(request: str | urllib.request.Request, timeout_s: float) -> HTTPResponse:
    """`urllib.request.urlopen` that calls near addresses directly.

    Raises:
        OSError: no answer, or (HTTPError) a refusal.
    """
    url = request if isinstance(request, str) else request.full_url
    direct = [urllib.request.ProxyHandler({})] if is_near(url) else []
    opened = urllib.request.build_opener(*direct).open(request, timeout=timeout_s)
    return cast(HTTPResponse, opened)
