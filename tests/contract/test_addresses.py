"""Near addresses are called directly, even if a proxy is set."""

import urllib.error

import pytest

from contract.addresses import is_near, open_url
from stub_proxy import set_proxies, stub_proxy


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:8080",
        "http://127.9.9.9/v1",
        "http://localhost:8000/v1",
        "http://LOCALHOST.:8000/v1",
        "http://api.localhost/",
        "http://[::1]:8000/v1",
        "http://0.0.0.0:8000/v1",
        "http://inference:8000/v1",
        "https://user:key@api:8080/",
        "http://host.docker.internal:8000/v1",
    ],
)
def test_this_machine_and_compose_services_are_near(url: str) -> None:
    assert is_near(url)


@pytest.mark.parametrize(
    "url",
    [
        "https://api.openai.com/v1",
        "http://10.0.0.7:8000/v1",
        "http://127.0.0.1.example.com/",
        "http://localhost.example.com/",
        "http://[2001:db8::1]:8000/",
        "http://[bad",
        "nonsense",
        "",
    ],
)
def test_every_other_address_is_far(url: str) -> None:
    assert not is_near(url)


def test_only_far_addresses_use_the_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    with stub_proxy() as proxy, stub_proxy() as near:
        set_proxies(monkeypatch, http_proxy=proxy.url)
        for url in (near.url, "http://far.example"):
            with pytest.raises(urllib.error.HTTPError):
                open_url(f"{url}/health", timeout_s=5)
    assert near.asked == ["/health"]
    assert proxy.asked == ["http://far.example/health"]
