"""What is read out of each proxy's ask, and what a client that writes to it achieves."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from authsrv.errors import BlockedRequestError, MetadataError
from authsrv.http.forwarded import AskedRequest, Host, Scheme
from authsrv.http.paths import Target
from authsrv.service.asks.conventions import (
    CADDY,
    CONVENTIONS,
    ENVOY,
    HAPROXY,
    NGINX,
    TRAEFIK,
    Convention,
    Reading,
    read,
)

Headers = list[tuple[bytes, bytes]]

EXPECTED = AskedRequest(
    method="POST",
    scheme=Scheme.HTTPS,
    host=Host("wiki.test"),
    target=Target("/a/b", "c=d"),
    address=ipaddress.IPv4Address("192.0.2.1"),
    site="wiki",
    is_websocket=False,
)
# An ask as each proxy makes it of one request, written from the documents of the proxies.
ORIGINALS: Headers = [
    (b"Host", b"authsrv"),
    (b"X-Original-Method", b"POST"),
    (b"X-Original-Scheme", b"https"),
    (b"X-Original-Host", b"wiki.test"),
    (b"X-Original-URI", b"/a/b?c=d"),
    (b"X-Original-Address", b"192.0.2.1"),
    (b"X-Authsrv-Site", b"wiki"),
]
FORWARDED: Headers = [
    (b"Host", b"authsrv:8080"),
    (b"X-Authsrv-Site", b"wiki"),
    (b"X-Forwarded-For", b"192.0.2.1"),
    (b"X-Forwarded-Host", b"wiki.test"),
    (b"X-Forwarded-Method", b"POST"),
    (b"X-Forwarded-Proto", b"https"),
    (b"X-Forwarded-Uri", b"/a/b?c=d"),
]
TRAEFIKS: Headers = [*FORWARDED, (b"X-Forwarded-Port", b"443"), (b"User-Agent", b"")]
ENVOYS: Headers = [
    (b"host", b"wiki.test"),
    (b"content-length", b"0"),
    (b"x-forwarded-proto", b"https"),
    (b"x-original-address", b"192.0.2.1"),
    (b"x-authsrv-site", b"wiki"),
    (b"x-forwarded-for", b"192.0.2.1,10.0.0.1"),
]
ASKS: dict[str, tuple[Convention, str, str, Headers]] = {
    "nginx": (NGINX, "GET", "/ask/nginx", ORIGINALS),
    "caddy": (CADDY, "GET", "/ask/caddy?c=d", FORWARDED),
    "traefik": (TRAEFIK, "GET", "/ask/traefik", TRAEFIKS),
    "envoy": (ENVOY, "POST", "/ask/envoy/a/b?c=d", ENVOYS),
    "haproxy": (HAPROXY, "GET", "/ask/haproxy", ORIGINALS),
}
each_proxy = pytest.mark.parametrize("proxy", ASKS)


def ask(
    proxy: str,
    *,
    without: str = "",
    first: Sequence[tuple[bytes, bytes]] = (),
    target: str | None = None,
) -> Reading:
    """Let a proxy ask, one of its headers left out, or others of the client added."""
    convention, method, own, headers = ASKS[proxy]
    sent = [each for each in headers if each[0].lower() != without.lower().encode()]
    return read(convention, method, target or own, [*first, *sent])


def with_told(proxy: str, **told: str) -> Reading:
    """Let a proxy tell another method, scheme, host, target, address or site."""
    convention, method, own, headers = ASKS[proxy]
    sent = list(headers)
    for part, text in told.items():
        name = getattr(convention, part)
        if name is not None:
            sent = [each for each in sent if each[0].lower() != name.lower().encode()]
            sent.append((name.encode(), text.encode("utf-8")))
        elif part == "method":
            method = text
        else:
            own = f"/ask/envoy{text}"
    return read(convention, method, own, sent)


def test_each_convention_has_its_ask_here() -> None:
    assert [convention for convention, *_ in ASKS.values()] == list(CONVENTIONS)
    assert [convention.name for convention in CONVENTIONS] == list(ASKS)
    assert len({convention.path for convention in CONVENTIONS}) == len(CONVENTIONS)


@each_proxy
def test_an_ask_is_read(proxy: str) -> None:
    reading = ask(proxy)
    assert reading.asked == EXPECTED
    # Envoy adds to the chain of addresses whatever else is told to it.
    assert reading.foreign == (1 if proxy == "envoy" else 0)


@each_proxy
def test_headers_of_other_conventions_change_nothing_and_are_counted(proxy: str) -> None:
    own = {name.lower() for name in ASKS[proxy][0].metadata}
    foreign = [
        "X-Original-URL",
        *{name for other in CONVENTIONS for name in other.metadata if name != "Host"},
    ]
    forged = [(name.encode(), b"/public") for name in foreign if name.lower() not in own]
    before = ask(proxy)
    after = ask(proxy, first=forged)
    assert after.asked == before.asked
    assert after.foreign == before.foreign + len(forged) > before.foreign


def metadata(proxy: str) -> tuple[str, ...]:
    return ASKS[proxy][0].metadata


EACH_HEADER = [(proxy, name) for proxy in ASKS for name in metadata(proxy)]
each_header = pytest.mark.parametrize(("proxy", "name"), EACH_HEADER)


@each_header
def test_metadata_that_is_missing_or_empty_is_a_denial(proxy: str, name: str) -> None:
    with pytest.raises(MetadataError, match="missing or empty"):
        ask(proxy, without=name)
    with pytest.raises(MetadataError, match="missing or empty"):
        ask(proxy, without=name, first=[(name.encode(), b" \t")])


@each_header
def test_metadata_that_is_doubled_or_aliased_is_a_denial(proxy: str, name: str) -> None:
    same = next(v for n, v in ASKS[proxy][3] if n.lower() == name.lower().encode())
    with pytest.raises(MetadataError, match="doubled"):
        ask(proxy, first=[(name.upper().encode(), same)])
    for alias in (name.replace("-", "_"), name.replace("-", "."), f"{name}!"):
        if alias != name:
            with pytest.raises(MetadataError, match="may be taken for"):
                ask(proxy, first=[(alias.encode(), same)])
            with pytest.raises(MetadataError):
                ask(proxy, without=name, first=[(alias.encode(), same)])


@each_header
def test_metadata_that_connection_nominates_is_a_denial(proxy: str, name: str) -> None:
    with pytest.raises(MetadataError, match="nominates"):
        ask(proxy, first=[(b"connection", b"close ,\t" + name.lower().encode())])
    assert ask(proxy, first=[(b"Connection", b"close, keep-alive")]).asked == EXPECTED


@each_proxy
@pytest.mark.parametrize(
    "header",
    [
        (b"Content-Length", b"5"),
        (b"content-length", b"00"),
        (b"Content-Length", b"+0"),
        (b"Content-Length", b""),
        (b"Content-Length", b"0, 0"),
        (b"Transfer-Encoding", b"chunked"),
        (b"transfer-encoding", b"identity"),
    ],
)
def test_an_ask_with_a_body_is_a_denial(proxy: str, header: tuple[bytes, bytes]) -> None:
    with pytest.raises(MetadataError, match=r"Content-Length|Transfer-Encoding"):
        ask(proxy, first=[header])


def test_two_lengths_are_a_denial() -> None:
    with pytest.raises(MetadataError, match="Content-Length"):
        ask("nginx", first=[(b"Content-Length", b"0"), (b"Content-Length", b"0")])
    assert ask("nginx", first=[(b"Content-Length", b"0")]).asked == EXPECTED


@each_proxy
@pytest.mark.parametrize(
    "target", ["http://authsrv/ask/nginx", "*", "authsrv:443", "http://wiki.test/ask/envoy/a"]
)
def test_an_ask_in_absolute_form_is_a_denial(proxy: str, target: str) -> None:
    with pytest.raises(MetadataError):
        ask(proxy, target=target)


@each_proxy
@pytest.mark.parametrize(
    "path", ["/.authsrv/login", "/.authsrv", "/x/.authsrv/", "/.AuthSrv/", "/%2eauth%73rv/"]
)
def test_nobody_asks_about_pages_of_the_service(proxy: str, path: str) -> None:
    with pytest.raises(BlockedRequestError, match="page of the service"):
        with_told(proxy, target=path)
    with pytest.raises(BlockedRequestError, match="page of the service"):
        ask(proxy, target=f"{path}/ask/{proxy}" if proxy != "envoy" else f"/ask/envoy{path}")


@each_proxy
def test_the_prefix_in_a_query_means_nothing(proxy: str) -> None:
    told = with_told(proxy, target="/a?rd=/.authsrv/login").asked.target
    assert told == Target("/a", "rd=/.authsrv/login")


@pytest.mark.parametrize("target", ["/ask/envoy", "/ask/envoyx/a", "/a", "/ask/envoy?/a"])
def test_envoy_asks_behind_its_prefix_only(target: str) -> None:
    with pytest.raises(MetadataError, match="not behind"):
        ask("envoy", target=target)


@each_proxy
@pytest.mark.parametrize(
    ("part", "text"),
    [
        ("method", "post"),
        ("method", "TRACE"),
        ("method", "CONNECT"),
        ("scheme", "HTTPS"),
        ("scheme", "https, http"),
        ("host", "wiki.test."),
        ("host", "u@wiki.test"),
        ("host", "wiki.test,admin.test"),
        ("host", "w\u0456ki.test"),
        ("site", "wiki admin"),
        ("site", "w\u0456ki"),
        ("site", "a" * 65),
    ],
)
def test_metadata_that_has_another_form_is_a_denial(proxy: str, part: str, text: str) -> None:
    with pytest.raises(MetadataError):
        with_told(proxy, **{part: text})


@pytest.mark.parametrize("proxy", [proxy for proxy in ASKS if proxy != "envoy"])
@pytest.mark.parametrize("target", ["http://wiki.test/public", "*", "wiki.test:443"])
def test_a_client_that_asked_in_absolute_form_is_refused(proxy: str, target: str) -> None:
    with pytest.raises(MetadataError, match="slash"):
        with_told(proxy, target=target)


@each_proxy
def test_an_ambiguous_path_is_handed_on_as_it_came(proxy: str) -> None:
    told = with_told(proxy, target="/public;/../%61dmin#x?y").asked.target
    assert told == Target("/public;/../%61dmin#x", "y")


@each_proxy
def test_letters_of_the_host_become_lower_case(proxy: str) -> None:
    assert with_told(proxy, host="WIKI.test:8443").asked.host == Host("wiki.test", 8443)


@each_proxy
@pytest.mark.parametrize(
    ("scheme", "first", "is_websocket"),
    [
        ("https", [], False),
        ("wss", [], True),
        ("ws", [], True),
        ("https", [(b"Upgrade", b"websocket")], True),
        ("https", [(b"sec-websocket-key", b"x")], True),
        ("https", [(b"Sec-WebSocket-Version", b"13")], True),
    ],
)
def test_a_websocket_is_told_by_whatever_the_proxy_leaves(
    proxy: str, scheme: str, first: Headers, is_websocket: bool
) -> None:
    convention, method, own, headers = ASKS[proxy]
    name = convention.scheme.lower().encode()
    sent = [(n, scheme.encode() if n.lower() == name else v) for n, v in headers]
    asked = read(convention, method, own, [*sent, *first]).asked
    assert asked.is_websocket is is_websocket
    assert asked.scheme is (Scheme.HTTP if scheme == "ws" else Scheme.HTTPS)


def client_of(proxy: str, address: str, *trusted: str) -> str | None:
    convention, method, own, headers = ASKS[proxy]
    name = convention.address.lower().encode()
    sent = [(n, address.encode() if n.lower() == name else v) for n, v in headers]
    proxies = [ipaddress.ip_network(each) for each in trusted]
    found = read(convention, method, own, sent, trusted_proxies=proxies).asked.address
    return None if found is None else str(found)


@pytest.mark.parametrize("proxy", ["caddy", "traefik"])
def test_of_a_chain_the_client_is_the_last_that_is_no_trusted_proxy(proxy: str) -> None:
    assert client_of(proxy, "10.9.9.9, 192.0.2.1") == "192.0.2.1"
    assert client_of(proxy, "10.9.9.9, 192.0.2.1, 10.0.0.1", "10.0.0.0/8") == "192.0.2.1"
    assert client_of(proxy, "192.0.2.1, 10.0.0.1") == "10.0.0.1"
    assert client_of(proxy, "rubbish") is None
    assert client_of(proxy, "10.0.0.1", "10.0.0.0/8") is None


@pytest.mark.parametrize("proxy", ["nginx", "haproxy", "envoy"])
def test_one_address_is_taken_as_it_is(proxy: str) -> None:
    assert client_of(proxy, "::ffff:192.0.2.1") == "192.0.2.1"
    assert client_of(proxy, "unix:") is None
    assert client_of(proxy, "10.0.0.1", "10.0.0.0/8") is None
    for wrong in ("192.0.2.1, 192.0.2.2", "fe80::1%eth0", "192.0.2.1:80", "x"):
        with pytest.raises(MetadataError):
            client_of(proxy, wrong)


# Which statuses each proxy hands to the client as they are.
@pytest.mark.parametrize(
    ("proxy", "kept", "made_403"),
    [
        ("nginx", [401, 403], [200, 302, 303, 400, 404, 407, 429, 500, 503]),
        ("caddy", [303, 401, 403, 429, 503], [200, 204]),
        ("traefik", [303, 401, 403, 429, 503], [200, 204]),
        ("envoy", [303, 401, 403, 429], [200, 204, 500, 503]),
        ("haproxy", [303, 401, 403, 429, 503], [200, 204]),
    ],
)
def test_a_denial_has_a_status_that_the_proxy_understands(
    proxy: str, kept: list[int], made_403: list[int]
) -> None:
    convention = ASKS[proxy][0]
    assert [convention.status_of(status) for status in kept] == kept
    assert {convention.status_of(status) for status in made_403} == {403}
    assert convention.status_of(convention.redirect_status) == convention.redirect_status


NAMES = st.sampled_from(
    [name.encode() for other in CONVENTIONS for name in other.metadata]
    + [b"X_Forwarded_Uri", b"Connection", b"Upgrade", b"Content-Length", b"", b"\xff"]
)
VALUES = st.one_of(
    st.sampled_from([b"GET", b"https", b"wiki.test", b"/a", b"192.0.2.1", b"wiki", b"0", b"x"]),
    st.binary(max_size=12),
)
PROXIES = st.sampled_from(list(ASKS))


@given(
    PROXIES,
    st.lists(st.tuples(NAMES, VALUES), max_size=4),
    st.sets(st.integers(0, 7)),
    st.one_of(st.just("/ask/envoy/a"), st.text(max_size=12)),
    st.text(max_size=6),
)
def test_whatever_is_asked_is_read_or_denied(
    proxy: str, added: Headers, left_out: set[int], target: str, method: str
) -> None:
    convention, _, _, headers = ASKS[proxy]
    sent = [each for number, each in enumerate(headers) if number not in left_out]
    try:
        reading = read(convention, method, target, [*sent, *added])
    except BlockedRequestError:
        return
    assert reading.asked.target.path.startswith("/")
    assert reading.asked.site is not None
    assert reading.foreign >= 0


@given(PROXIES, st.lists(st.tuples(NAMES, VALUES), max_size=3))
def test_no_header_of_a_client_changes_what_the_proxy_tells(proxy: str, added: Headers) -> None:
    try:
        asked = ask(proxy, first=added).asked
    except BlockedRequestError:
        return
    assert (asked.method, asked.host, asked.target) == (
        EXPECTED.method,
        EXPECTED.host,
        EXPECTED.target,
    )
    assert (asked.scheme, asked.address, asked.site) == (
        EXPECTED.scheme,
        EXPECTED.address,
        EXPECTED.site,
    )
