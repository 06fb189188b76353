"""Which servers may have a token."""

from __future__ import annotations

import pytest
from yarl import URL

from authsrv.client import HostList
from authsrv.client.hosts import service_of
from authsrv.errors import ConfigError


@pytest.mark.parametrize(
    ("entry", "url"),
    [
        ("web.example.org", "https://web.example.org/"),
        ("web.example.org", "https://web.example.org:8443/path?query"),
        ("web.example.org", "https://WEB.Example.ORG./"),
        ("WEB.example.org.", "https://web.example.org/"),
        ("web.example.org", "wss://web.example.org/"),
        ("web.example.org:8443", "https://web.example.org:8443/"),
        ("web.example.org:443", "https://web.example.org/"),
        ("https://web.example.org", "https://web.example.org/"),
        ("http://web.example.org", "http://web.example.org:8080/"),
        ("http://web.example.org", "ws://web.example.org/"),
        ("*.example.org", "https://web.example.org/"),
        ("*.example.org", "https://a.b.example.org/"),
        ("http://*.example.org:8080", "http://web.example.org:8080/"),
        ("localhost", "http://localhost:8080/"),
        ("localhost", "https://localhost/"),
        ("127.0.0.1", "http://127.0.0.1/"),
        ("[::1]", "http://[::1]:80/"),
        ("bücher.example", "https://xn--bcher-kva.example/"),
    ],
)
def test_a_server_that_an_entry_covers_may_have_a_token(entry: str, url: str) -> None:
    assert HostList(["other.test", entry]).covers(URL(url))


@pytest.mark.parametrize(
    ("entry", "url"),
    [
        ("web.example.org", "http://web.example.org/"),
        ("web.example.org", "https://web.example.org.evil.test/"),
        ("web.example.org", "https://evilweb.example.org/"),
        ("web.example.org", "https://a.web.example.org/"),
        ("web.example.org", "https://web.example.org@evil.test/"),
        ("web.example.org", "ws://web.example.org/"),
        ("web.example.org:8443", "https://web.example.org/"),
        ("https://web.example.org", "http://web.example.org/"),
        ("http://web.example.org", "https://web.example.org/"),
        ("*.example.org", "https://example.org/"),
        ("*.example.org", "https://evilexample.org/"),
        ("*.example.org", "http://web.example.org/"),
        ("*.localhost", "http://a.localhost/"),
        ("10.0.0.1", "http://10.0.0.1/"),
        ("web.example.org", "ftp://web.example.org/"),
        ("web.example.org", "/relative"),
    ],
)
def test_any_other_server_may_not(entry: str, url: str) -> None:
    assert not HostList([entry]).covers(URL(url))


@pytest.mark.parametrize(
    "entry",
    [
        "",
        "*",
        "*.",
        "a*.example.org",
        "*.*.example.org",
        "web.example.org/path",
        "user@web.example.org",
        "web.example.org:port",
        "ftp://web.example.org",
        "web example.org",
        "web.example.org?x",
        "a\\b",
    ],
)
def test_an_entry_of_another_form_is_a_mistake_of_the_settings(entry: str) -> None:
    with pytest.raises(ConfigError):
        HostList([entry])


def test_one_name_is_no_list_of_names() -> None:
    with pytest.raises(ConfigError, match="a list of names"):
        HostList("web.example.org")


def test_an_empty_list_covers_nobody() -> None:
    assert not HostList([])
    assert not HostList([]).covers(URL("https://web.example.org/"))


def test_its_repr_tells_the_entries() -> None:
    assert repr(HostList(["a.test", "*.b.test"])) == "<HostList a.test, *.b.test>"
    assert repr(HostList([])) == "<HostList nobody>"


@pytest.mark.parametrize(
    ("url", "service"),
    [
        ("https://WEB.example.org.:8443/", "HTTP/web.example.org"),
        ("https://alias.example.org/", "HTTP/real.example.org@EXAMPLE.ORG"),
    ],
)
def test_a_service_is_named_by_its_host_or_by_the_settings(url: str, service: str) -> None:
    services = {"alias.example.org": "HTTP/real.example.org@EXAMPLE.ORG"}
    assert service_of(URL(url), services) == service
