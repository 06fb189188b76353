"""What a proxy tells of the client's request, value by value."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from authsrv.errors import MetadataError
from authsrv.http.folding import HeaderNames
from authsrv.http.forwarded import (
    METHODS,
    Host,
    Network,
    Scheme,
    bucket_of,
    find_client,
    lies_within,
    method_overrides,
    read_address,
    read_method,
)


def networks(*texts: str) -> list[Network]:
    return [ipaddress.ip_network(text) for text in texts]


@pytest.mark.parametrize(
    ("text", "scheme"),
    [("http", "http"), ("https", "https"), ("ws", "http"), ("wss", "https")],
)
def test_schemes(text: str, scheme: str) -> None:
    assert Scheme.parse(text) is Scheme(scheme)


@pytest.mark.parametrize("text", ["", "HTTPS", "https,http", "https ", "ftp", "https:", "\u017f"])
def test_another_scheme_is_refused(text: str) -> None:
    with pytest.raises(MetadataError):
        Scheme.parse(text)


@pytest.mark.parametrize("text", ["GET", "HEAD", "POST", "DELETE", "PROPFIND", "VERSION-CONTROL"])
def test_methods(text: str) -> None:
    assert read_method(text) == text


@pytest.mark.parametrize(
    "text", ["", "get", "Get", "TRACE", "CONNECT", "BREW", "GET ", "GET,POST", "G\u0395T", "*"]
)
def test_another_method_is_refused(text: str) -> None:
    with pytest.raises(MetadataError):
        read_method(text)


@pytest.mark.parametrize(
    ("text", "name", "port"),
    [
        ("wiki.test", "wiki.test", None),
        ("WIKI.test", "wiki.test", None),
        ("wiki.test:8443", "wiki.test", 8443),
        ("wiki", "wiki", None),
        ("my_host.a-b.test", "my_host.a-b.test", None),
        ("xn--wki-qla.test", "xn--wki-qla.test", None),
        ("127.0.0.1:80", "127.0.0.1", 80),
        ("[::1]:8080", "[::1]", 8080),
        ("[2001:DB8::1]", "[2001:db8::1]", None),
        ("a" * 63 + ".test:65535", "a" * 63 + ".test", 65_535),
    ],
)
def test_hosts(text: str, name: str, port: int | None) -> None:
    assert Host.parse(text) == Host(name, port)


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "wiki.test.",
        ".wiki.test",
        "wiki..test",
        "-wiki.test",
        "wiki-.test",
        "a" * 64 + ".test",
        ".".join(["a" * 49] * 6),
        "user@wiki.test",
        "user:pw@wiki.test",
        "wiki.test,admin.test",
        "wiki.test, admin.test",
        "wiki.test admin.test",
        " wiki.test",
        "wiki.test\t",
        "wiki.test:",
        "wiki.test:0",
        "wiki.test:080",
        "wiki.test:65536",
        "wiki.test:99999",
        "wiki.test:123456",
        "wiki.test:-1",
        "wiki.test:8\u0660",
        ":9",
        "w\u0456ki.test",
        "w\xefki.test",
        "\u212aiki.test",
        "wiki\uff0etest",
        "wiki.test/",
        "wiki.test#",
        "http://wiki.test",
        "wiki%2etest",
        "wiki.test\x00",
        "[::1",
        "::1",
        "[::1%25eth0]",
        "[0:0:0:0:0:0:0:1]",
        "[::ffff:127.0.0.1]",
        "[127.0.0.1]",
        "[v1.x]",
    ],
)
def test_another_host_is_refused(text: str) -> None:
    with pytest.raises(MetadataError) as raised:
        Host.parse(text)
    assert raised.value.detail.isascii()


@given(st.one_of(st.text(max_size=20), st.from_regex(r"[A-Za-z0-9.:\[\]-]{1,20}", fullmatch=True)))
@example("a:1")
@example("[::]")
def test_a_host_is_refused_or_read_as_others_read_it(text: str) -> None:
    try:
        host = Host.parse(text)
    except MetadataError:
        return
    assert Host.parse(str(host)) == host
    other = urlsplit(f"//{text}")
    assert (other.hostname, other.port) == (host.name.strip("[]"), host.port)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("2001:DB8::0001", "2001:db8::1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("::ffff:c000:0201", "192.0.2.1"),
    ],
)
def test_addresses(text: str, address: str) -> None:
    assert str(read_address(text)) == address


@pytest.mark.parametrize(
    "text",
    [
        "",
        "unknown",
        "192.0.2.1:80",
        "[2001:db8::1]",
        "fe80::1%eth0",
        "fe80::1%1",
        "192.0.2.01",
        "192.0.2",
        "3221225985",
        "0x7f000001",
        "192.0.2.1, 192.0.2.2",
        " 192.0.2.1",
        "192.0.2.1/32",
        "\u0661.2.3.4",
    ],
)
def test_another_address_is_refused(text: str) -> None:
    with pytest.raises(MetadataError):
        read_address(text)


@given(st.one_of(st.text(max_size=20), st.ip_addresses().map(str)))
@example("::ffff:1.2.3.4")
def test_an_address_is_refused_or_has_one_form(text: str) -> None:
    try:
        address = read_address(text)
    except MetadataError:
        return
    assert read_address(str(address)) == address
    given_ = ipaddress.ip_address(text)
    assert address in (given_, getattr(given_, "ipv4_mapped", None))


PROXIES = networks("10.0.0.0/24", "2001:db8::/64", "127.0.0.0/8")


@pytest.mark.parametrize(
    ("chain", "client"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("192.0.2.9, 192.0.2.1", "192.0.2.1"),
        ("192.0.2.1,10.0.0.1", "192.0.2.1"),
        ("192.0.2.9, 192.0.2.1 ,\t10.0.0.1, 2001:db8::5", "192.0.2.1"),
        ("10.0.0.7, 192.0.2.1, 10.0.0.1", "192.0.2.1"),
        ("192.0.2.1, ::ffff:10.0.0.1", "192.0.2.1"),
        ("rubbish, 192.0.2.1", "192.0.2.1"),
        ("192.0.2.1, 127.0.0.1", "192.0.2.1"),
        ("rubbish", None),
        ("192.0.2.1, rubbish, 10.0.0.1", None),
        ("192.0.2.1,", None),
        ("192.0.2.1, 192.0.2.2:80", None),
        ("10.0.0.9", None),
        ("10.0.0.9, 10.0.0.1", None),
        ("", None),
    ],
)
def test_the_client_stands_left_of_the_trusted_proxies(chain: str, client: str | None) -> None:
    found = find_client(chain, PROXIES)
    assert (None if found is None else str(found)) == client


@given(
    st.lists(st.sampled_from(["10.0.0.1", "2001:db8::1", "192.0.2.1", "::1", "x", ""]), max_size=6),
    st.sampled_from(["192.0.2.7", "198.51.100.1", "2001:db8:1::1"]),
    st.lists(st.sampled_from(["10.0.0.1", "10.0.0.2", "2001:db8::1"]), max_size=3),
)
def test_nothing_that_the_client_writes_changes_its_address(
    forged: list[str], client: str, proxies: list[str]
) -> None:
    assert str(find_client(", ".join([*forged, client, *proxies]), PROXIES)) == client


@given(st.text(max_size=30))
def test_any_chain_has_a_client_or_none(chain: str) -> None:
    find_client(chain, PROXIES)


@pytest.mark.parametrize(
    ("address", "inside", "is_inside"),
    [
        ("10.1.2.3", ["192.0.2.0/24", "10.0.0.0/8"], True),
        ("11.1.2.3", ["10.0.0.0/8"], False),
        ("10.1.2.3", ["::/0"], False),
        ("2001:db8::1", ["2001:db8::/32"], True),
        ("127.0.0.1", ["0.0.0.0/0"], False),
        ("127.0.0.1", ["127.0.0.0/8"], True),
        ("127.0.0.1", ["127.0.0.1/32"], True),
        ("::1", ["::/0"], False),
        ("::1", ["::1/128"], True),
        ("10.1.2.3", [], False),
    ],
)
def test_networks(address: str, inside: list[str], is_inside: bool) -> None:
    assert lies_within(ipaddress.ip_address(address), networks(*inside)) is is_inside


def test_an_unknown_address_lies_in_no_network_and_all_share_a_bucket() -> None:
    assert not lies_within(None, networks("0.0.0.0/0", "::/0"))
    assert bucket_of(None) == "unknown"


def test_the_addresses_that_one_client_may_have_are_one_bucket() -> None:
    base = ipaddress.IPv6Address("2001:db8:1:2::")
    assert {bucket_of(base + number) for number in range(256)} == {"2001:db8:1:2::/64"}
    assert bucket_of(base + (1 << 64)) == "2001:db8:1:3::/64"
    assert bucket_of(ipaddress.IPv4Address("192.0.2.1")) == "192.0.2.1/32"


@given(st.ip_addresses(), st.ip_addresses())
def test_two_addresses_share_a_bucket_as_their_first_bits_say(
    one: ipaddress.IPv4Address | ipaddress.IPv6Address,
    other: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> None:
    shift = {4: 0, 6: 64}
    same = one.version == other.version and (
        int(one) >> shift[one.version] == int(other) >> shift[other.version]
    )
    assert (bucket_of(one) == bucket_of(other)) is same


@pytest.mark.parametrize(
    ("names", "found"),
    [
        ([], ()),
        ([b"X-Method", b"Method-Override"], ()),
        ([b"X-HTTP-Method-Override"], ("X-HTTP-Method-Override",)),
        ([b"x-http-method", b"X-Method-Override"], ("X-HTTP-Method", "X-Method-Override")),
        ([b"X_HTTP_Method", b"x.http.method"], ("X-HTTP-Method",)),
    ],
)
def test_headers_that_override_the_method_are_found(
    names: list[bytes], found: tuple[str, ...]
) -> None:
    assert method_overrides(HeaderNames(tuple(names))) == found


def test_methods_that_echo_or_tunnel_are_not_known() -> None:
    assert not METHODS & {"TRACE", "CONNECT", "TRACK"}
