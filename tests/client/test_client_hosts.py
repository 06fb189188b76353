"""Which servers may have a token."""

from __future__ import annotations

from typing import Any

import pytest
from yarl import URL

from authsrv.client import HostList
from authsrv.client.hosts import read_services, service_of
from authsrv.errors import ConfigError


@pytest.mark.parametrize(
    ("entry", "url"),
    [
        ("web.example.org", "https://web.example.org/"),
        ("web.example.org", "https://web.example.org:443/path?query"),
        ("web.example.org", "https://WEB.Example.ORG./"),
        ("WEB.example.org.", "https://web.example.org/"),
        ("web.example.org", "wss://web.example.org/"),
        ("web.example.org:8443", "https://web.example.org:8443/"),
        ("web.example.org:443", "https://web.example.org/"),
        ("https://web.example.org", "https://web.example.org/"),
        ("http://web.example.org", "http://web.example.org:80/"),
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
        ("web.example.org", "https://web.example.org:8443/"),
        ("*.example.org", "https://web.example.org:8443/"),
        ("http://web.example.org", "http://web.example.org:8080/"),
        ("https://web.example.org", "https://web.example.org:444/"),
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
    with pytest.raises(ConfigError, match="hosts must be a list of texts"):
        HostList("web.example.org")


@pytest.mark.parametrize("entry", ["localhost", "127.0.0.1", "[::1]:8080"])
def test_this_machine_is_another_one_behind_a_proxy(entry: str) -> None:
    """Over TLS its certificate has to show that it is not."""
    url, proxy = URL(f"http://{entry}/"), URL("http://proxy.test:3128")
    assert HostList([entry]).covers(url)
    assert not HostList([entry]).covers(url, proxy)
    assert HostList([entry]).covers(url.with_scheme("https"), proxy)
    assert HostList([f"http://{entry}"]).covers(url.with_port(url.explicit_port or 80), proxy)


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("", "HTTP/x"),
        ("https://a.test", "HTTP/x"),
        ("a.test:8443", "HTTP/x"),
        ("*.a.test", "HTTP/x"),
        (7, "HTTP/x"),
        ("a.test", ""),
        ("a.test", "x"),
        ("a.test", "HTTP/"),
        ("a.test", "HTTP/x@A@B"),
        ("a.test", 7),
    ],
)
def test_a_service_is_checked_when_it_is_given(host: Any, name: Any) -> None:
    with pytest.raises(ConfigError):
        read_services({host: name})


def test_the_host_of_a_service_is_read_as_on_the_list() -> None:
    services = read_services({"ALIAS.Example.ORG.": "HTTP/web.example.org"})
    assert service_of(URL("https://alias.example.org/"), services) == "HTTP/web.example.org"


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
