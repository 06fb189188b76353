"""Attacks on asks: what a client sends through a proxy that tells of it, and relays the rest."""

from __future__ import annotations

import concurrent.futures
import http.client
import re
import signal
import socket
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from attacked_sites import (
    ADMIN_HOST,
    PLAIN_HOST,
    SITE_OF,
    STEPS_HOST,
    run_attacked,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from service_browser import PAGE, Browser
from service_rig import WIKI_HOST, Answer, Rig, ask_headers, run_rig, run_service

from authsrv.core.identity import Identity
from authsrv.devrealm import Realm
from authsrv.service.key_files import FILE_NAMES, KeyFile
from authsrv.sessions.keyring import KeyKind
from authsrv.sessions.sealed import seal_session
from authsrv.sessions.sealing import Audience, Sealer
from authsrv.sessions.session import SessionLengths, begin_session, digest_of_groups

Headers = Sequence[tuple[str, str]]
Browsers = Callable[..., Browser]
Tickets = Callable[..., tuple[str, str]]

CAUSE = re.compile(r" cause=([a-z-]+)")
WEBSOCKET = (
    ("Upgrade", "websocket"),
    ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ("Sec-WebSocket-Version", "13"),
)


def told(path: str = "/secret", **changes: str | None) -> list[tuple[str, str]]:
    """What the proxy tells, with changes by the last word of a header's name; None for without."""
    found = []
    for name, value in ask_headers(path):
        change = changes.get(name.rpartition("-")[2].lower(), value)
        if change is not None:
            found.append((name, change))
    return found


def send(rig: Rig, headers: Headers) -> tuple[Answer, str | None]:
    """Ask with exactly these headers; the answer, and the cause that the log names."""
    before = len(rig.served.logged())
    answer = rig.send("asks", "GET", "/ask/nginx", headers)
    causes = CAUSE.findall(rig.served.logged()[before:])
    return answer, causes[-1] if causes else None


DENIED = {
    # What the proxy tells.
    "the method of the client doubled": ([*told(), ("X-Original-Method", "GET")], "metadata"),
    "the path doubled with an open one": ([*told(), ("X-Original-URI", "/public/x")], "metadata"),
    "the host doubled": ([*told(), ("X-Original-Host", WIKI_HOST)], "metadata"),
    "the scheme doubled": ([*told(), ("X-Original-Scheme", "https")], "metadata"),
    "the address doubled": ([*told(), ("X-Original-Address", "10.0.0.1")], "metadata"),
    "the site doubled": ([*told(), ("X-Authsrv-Site", "wiki")], "metadata"),
    "the path under an alias": ([*told(), ("X_Original_URI", "/public/x")], "metadata"),
    "the path under an alias of dots": ([*told(), ("X.Original.URI", "/public/x")], "metadata"),
    **{
        f"the {name} {how}": (told(**{name: value}), "metadata")
        for name in ("method", "scheme", "uri", "address", "site")
        for how, value in (("missing", None), ("empty", ""), ("blank", " "))
    },
    "the path nominated by Connection": (
        [*told(), ("Connection", "close, X-Original-URI")],
        "metadata",
    ),
    "the site nominated under an alias": ([*told(), ("Connection", "x_authsrv_site")], "metadata"),
    # Headers that an application takes for the identity.
    "the identity as the application reads it": (
        [*told(), ("Remote-User", "bob")],
        "aliased-header",
    ),
    "the identity with an underscore": ([*told(), ("Remote_User", "bob")], "aliased-header"),
    "the identity with a dot and in another case": (
        [*told(), ("rEMOTE.uSER", "bob")],
        "aliased-header",
    ),
    "the identity of another site's application": (
        [*told(), ("X.WEBAUTH_USER", "bob")],
        "aliased-header",
    ),
    "the token of another site's application": (
        [*told(), ("X-Authsrv_Token", "x")],
        "aliased-header",
    ),
    "the identity nominated by Connection": (
        [*told(), ("Connection", "Remote-User")],
        "aliased-header",
    ),
    # Hosts.
    "a host with a dot at its end": (told(host=f"{WIKI_HOST}."), "metadata"),
    "a host with an unlisted port": (told(host=f"{WIKI_HOST}:9"), "unknown-site"),
    "a host with user information": (told(host=f"u@{WIKI_HOST}"), "metadata"),
    "two hosts in one field": (told(host=f"{WIKI_HOST}, {ADMIN_HOST}"), "metadata"),
    "a look-alike in UTF-8": (told(host="w\xd1\x96ki.example.org"), "metadata"),
    "the host of another site": (told(host=ADMIN_HOST), "unknown-site"),
    "the site of another host": (told(site="admin"), "unknown-site"),
    "a host of nobody": (told(host="evil.example"), "unknown-site"),
    "the login host at an ask": (told(host="login.example.org", site="login"), "unknown-site"),
    # Paths.
    "an absolute target": (told(f"http://{WIKI_HOST}/public/x"), "metadata"),
    "the target of OPTIONS *": (told("*", method="OPTIONS"), "metadata"),
    "a target with a backslash in front": (told("\\admin"), "metadata"),
    **{
        f"the path {path!r}": (told(path), "ambiguous-path")
        for path in (
            "/%61dmin",
            "//admin",
            "/admin;x",
            "/public/..;/admin",
            "/public/../admin",
            "/public/%2e%2e/admin",
            "/public/.;/../admin",
            "/public\\..\\admin",
            "/admin%00",
            "/admin%2f",
            "/public%2f..%2fadmin",
            "/public/%5c..%5cadmin",
            "/admin#/public/x",
            "/public/%252e%252e/admin",
            "/public/%ef%bc%8f..%ef%bc%8fadmin",
            "/public/%c0%ae%c0%ae/admin",
            "/public/\xff",
            "/public/a b",
            "/public/%",
            "/public/%0d%0aRemote-User:%20bob",
        )
    },
    **{
        f"an ask about our own page {path!r}": (told(path), "blocked-request")
        for path in ("/.authsrv/sign-in", "/x/.authsrv/", "/%2eauthsrv/token", "/.AUTHSRV/x")
    },
    # Methods and schemes.
    **{
        f"the method {method!r}": (told("/public/x", method=method), "metadata")
        for method in ("get", "TRACE", "CONNECT", "GET ,POST", "PURGE", "TRACK", "GE\xc0T")
    },
    "plain http to a site of https": (told(scheme="http"), "insecure-scheme"),
    "a plain WebSocket to a site of https": (told(scheme="ws"), "insecure-scheme"),
    "a scheme in capitals": (told(scheme="HTTPS"), "metadata"),
    "a list of schemes": (told(scheme="http,https"), "metadata"),
    # Bodies.
    "a length": ([*told(), ("Content-Length", "1")], "metadata"),
    # Addresses.
    "a list of addresses": (told(address="10.0.0.1, 192.0.2.7"), "metadata"),
    "an address with a zone": (told(address="fe80::1%eth0"), "metadata"),
    "an address with a port": (told(address="10.0.0.1:80"), "metadata"),
    # Credentials.
    "two Authorization fields": (
        [*told(), ("Authorization", "Negotiate YII="), ("Authorization", "Basic eDp5")],
        "bad-header",
    ),
    "a token of a page of another site": (
        [*told(), ("Authorization", "Negotiate YII="), ("Sec-Fetch-Site", "cross-site")],
        "cross-site",
    ),
    "a token of a page of a sibling": (
        [*told(), ("Authorization", "Negotiate YII="), ("Sec-Fetch-Site", "same-site")],
        "cross-site",
    ),
    "a token of a page of another origin, without fetch metadata": (
        [*told(), ("Authorization", "Negotiate YII="), ("Origin", "https://evil.example.org")],
        "cross-site",
    ),
}


@pytest.mark.parametrize(("headers", "cause"), DENIED.values(), ids=DENIED)
def test_it_is_denied(attacked: Rig, headers: Headers, cause: str) -> None:
    answer, found = send(attacked, headers)
    assert (answer.status, found) == (403, cause)
    assert answer.fields.keys().isdisjoint({"remote-user", "x-authsrv-cookie", "set-cookie"})
    assert answer.field("Cache-Control") == "no-store"


# Nobody knows the client, so it is asked who it is: the rule of the path that was really asked for.
UNKNOWN = {
    "X-Original-URL of an open path": [*told(), ("X-Original-URL", "/public/x")],
    "X-Rewrite-URL of an open path": [*told(), ("X-Rewrite-URL", "/public/x")],
    "metadata of another proxy": [
        *told(),
        ("X-Forwarded-Uri", "/public/x"),
        ("X-Forwarded-Host", ADMIN_HOST),
        ("X-Forwarded-Method", "OPTIONS"),
        ("X-Forwarded-Proto", "http"),
    ],
    "an open path in the query": told("/secret?x=/public/x"),
    "a path that begins like an open one": told("/publicity"),
    "an open path in another case": told("/PUBLIC/x"),
    "a host in capitals": told(host=WIKI_HOST.upper()),
    "the port of the scheme": told(host=f"{WIKI_HOST}:443"),
    "a secure WebSocket": [*told(scheme="wss"), *WEBSOCKET],
    "credentials of a scheme that is not spoken": [
        *told(),
        ("Authorization", "Basic Ym9iOmJvYg=="),
    ],
    "If-None-Match": [*told(), ("If-None-Match", "*")],
    "If-Modified-Since": [*told(), ("If-Modified-Since", "Wed, 25 Nov 2099 00:00:00 GMT")],
    "a range": [*told(), ("Range", "bytes=0-0")],
}


@pytest.mark.parametrize("headers", UNKNOWN.values(), ids=UNKNOWN)
def test_it_is_asked_who_it_is(attacked: Rig, headers: Headers) -> None:
    answer, _ = send(attacked, headers)
    assert answer.status == 401
    assert answer.field("WWW-Authenticate") == "Negotiate"


NOT_CHALLENGED = {
    "an image of a sibling's page": [
        ("Sec-Fetch-Site", "same-site"),
        ("Sec-Fetch-Mode", "no-cors"),
    ],
    "a fetch of another site": [("Sec-Fetch-Site", "cross-site"), ("Sec-Fetch-Mode", "cors")],
    "a frame of a sibling": [
        ("Sec-Fetch-Site", "same-site"),
        ("Sec-Fetch-Mode", "navigate"),
        ("Sec-Fetch-Dest", "iframe"),
    ],
    "a form of another site": [
        ("Sec-Fetch-Site", "cross-site"),
        ("Sec-Fetch-Mode", "navigate"),
        ("Sec-Fetch-Dest", "document"),
        ("Origin", "https://evil.example"),
    ],
    "a WebSocket of a sibling, which tells its origin alone": [
        *WEBSOCKET,
        ("Origin", "https://evil.example.org"),
    ],
    "a fetch that tells its origin alone": [("Origin", "https://evil.example.org")],
    "a page without an origin": [("Origin", "null")],
    "a doubled site of the page": [("Sec-Fetch-Site", "none"), ("Sec-Fetch-Site", "cross-site")],
}


@pytest.mark.parametrize("headers", NOT_CHALLENGED.values(), ids=NOT_CHALLENGED)
def test_a_page_of_another_site_gets_no_challenge(attacked: Rig, headers: Headers) -> None:
    method = "POST" if ("Sec-Fetch-Dest", "document") in headers else "GET"
    answer, _ = send(attacked, [*told(method=method), *headers])
    assert answer.status == 401
    assert answer.fields.keys().isdisjoint({"www-authenticate", "x-authsrv-location", "set-cookie"})


@pytest.fixture(scope="module")
def alice(attacked: Rig, site_realm: Realm) -> Browser:
    """A browser in which alice has logged in by her password at three sites."""
    browser = Browser(attacked, None, None, dict(SITE_OF))
    for host in (WIKI_HOST, ADMIN_HOST, STEPS_HOST):
        browser.visit("/read/x", host)
        if host == WIKI_HOST:
            browser.log_in("alice", "/read/x", host)
    return browser


CROSS_SITE = {
    "a form": ("POST", [("Origin", "https://evil.example"), ("Sec-Fetch-Site", "cross-site")]),
    "a form of a sibling": ("POST", [("Sec-Fetch-Site", "same-site")]),
    "a form of a browser without fetch metadata": ("POST", [("Origin", "https://x.example.org")]),
    "a form of a page without an origin": ("POST", [("Origin", "null")]),
    "DELETE of a sibling": ("DELETE", [("Sec-Fetch-Site", "same-site")]),
    "a WebSocket with its origin only": ("GET", [*WEBSOCKET, ("Origin", "https://evil.example")]),
    "a WebSocket without Upgrade": ("GET", [*WEBSOCKET[1:], ("Origin", "https://evil.example")]),
    "a WebSocket of the same host by another port": (
        "GET",
        [*WEBSOCKET, ("Origin", f"https://{WIKI_HOST}:8443")],
    ),
    "two origins": ("POST", [("Origin", f"https://{WIKI_HOST}"), ("Origin", "https://evil.test")]),
}


@pytest.mark.parametrize(("method", "headers"), CROSS_SITE.values(), ids=CROSS_SITE)
def test_another_site_does_nothing_in_the_name_of_a_user(
    attacked: Rig, alice: Browser, method: str, headers: Headers
) -> None:
    answer, cause = send(attacked, [*told(method=method), *headers, *alice.cookie_header()])
    assert (answer.status, cause) == (403, "cross-site")


def test_the_own_site_may(attacked: Rig, alice: Browser) -> None:
    for method, headers in (
        ("POST", [("Origin", f"https://{WIKI_HOST}"), ("Sec-Fetch-Site", "same-origin")]),
        ("GET", [*WEBSOCKET, ("Origin", f"https://{WIKI_HOST}")]),
        ("POST", []),
    ):
        answer, _ = send(attacked, [*told(method=method), *headers, *alice.cookie_header()])
        assert (answer.status, answer.field("Remote-User")) == (200, "alice")


def test_a_preflight_is_never_let_in_by_an_identity(attacked: Rig, alice: Browser) -> None:
    preflight = [("Origin", f"https://{WIKI_HOST}"), ("Access-Control-Request-Method", "PUT")]
    asked = [*told(method="OPTIONS"), *preflight, *alice.cookie_header()]
    answer, cause = send(attacked, asked)
    assert (answer.status, cause) == (403, "no-rule")
    open_one = [*told("/public/x", method="OPTIONS"), *preflight, *alice.cookie_header()]
    answer, _ = send(attacked, open_one)
    assert (answer.status, answer.field("Remote-User")) == (200, "")


OVERRIDES = ("X-HTTP-Method-Override", "X_HTTP_Method", "x-method-override")


@pytest.mark.parametrize(
    ("method", "headers", "status"),
    [
        ("GET", [], 200),
        ("POST", [], 403),
        *(("GET", [(name, "DELETE")], 403) for name in OVERRIDES),
        *(("POST", [(name, "GET")], 403) for name in OVERRIDES),
    ],
)
def test_a_rule_of_methods_is_not_got_round_by_another_method_in_a_header(
    attacked: Rig, alice: Browser, method: str, headers: Headers, status: int
) -> None:
    cookies = alice.cookie_header(ADMIN_HOST)
    answer = attacked.ask(
        "/read/x", *headers, *cookies, method=method, host=ADMIN_HOST, site="admin"
    )
    assert answer.status == status


ADDRESSES = {
    "another network": ("192.0.2.7", []),
    "a header that other proxies add to": ("192.0.2.7", [("X-Forwarded-For", "10.0.0.1")]),
    "a header of one address": (
        "192.0.2.7",
        [("X-Real-IP", "10.0.0.1"), ("Forwarded", "for=10.1.1.1")],
    ),
    "loopback": ("127.0.0.1", []),
    "a Unix socket": ("unix:", []),
    "an IPv6 address that ends like one of the network": ("2001:db8::10.0.0.1", []),
}


@pytest.mark.parametrize(("address", "headers"), ADDRESSES.values(), ids=ADDRESSES)
@pytest.mark.parametrize("path", ["/lan/x", "/open-lan/x"])
def test_a_rule_of_networks_is_not_got_round(
    attacked: Rig, alice: Browser, path: str, address: str, headers: Headers
) -> None:
    asked = told(path, address=address, host=ADMIN_HOST, site="admin")
    answer, cause = send(attacked, [*asked, *headers, *alice.cookie_header(ADMIN_HOST)])
    assert (answer.status, cause) == (403, "no-rule")


def test_the_network_itself_is_let_in(attacked: Rig, alice: Browser) -> None:
    for address in ("10.9.8.7", "::ffff:10.9.8.7"):
        for path, user in (("/lan/x", "alice"), ("/open-lan/x", "")):
            asked = told(path, address=address, host=ADMIN_HOST, site="admin")
            answer, _ = send(attacked, [*asked, *alice.cookie_header(ADMIN_HOST)])
            assert (answer.status, answer.field("X-WEBAUTH-USER")) == (200, user)


def test_a_group_with_a_comma_is_not_two(attacked: Rig, alice: Browser) -> None:
    before = len(attacked.served.logged())
    answer = attacked.ask("/secret", *alice.cookie_header())
    assert answer.field("Remote-Groups") == "staff"
    assert answer.field("Remote-Groups-Truncated") == "true"
    assert "group-unfit: site=wiki" in attacked.served.logged()[before:]
    members = attacked.ask(
        "/members/x", *alice.cookie_header(ADMIN_HOST), host=ADMIN_HOST, site="admin"
    )
    assert members.status == 403


def test_a_thousand_groups_are_cut_and_said_to_be(attacked: Rig, ticket_of: Tickets) -> None:
    before = len(attacked.served.logged())
    first = attacked.ask("/secret", ticket_of("carol"), *PAGE)
    assert first.field("Remote-Groups-Truncated") == "true"
    assert len(first.field("Remote-Groups") or "") <= 2_048
    assert "groups-over-budget: site=wiki" in attacked.served.logged()[before:]
    browser = Browser(attacked)
    browser.keep(first)
    again = attacked.ask("/secret", *browser.cookie_header())
    assert (again.status, again.field("Remote-Groups-Truncated")) == (200, "true")


def test_the_ticket_decides_and_the_session_beside_it_is_dead(
    attacked: Rig, browser_of: Browsers, ticket_of: Tickets
) -> None:
    browser = browser_of("alice")
    assert browser.visit("/secret").field("Remote-User") == "alice"
    hers = browser.cookie_header()
    answer = attacked.ask("/secret", *hers, ticket_of("bob"), *PAGE)
    assert answer.field("Remote-User") == "bob"
    assert attacked.ask("/secret", *hers).status == 401
    browser.keep(answer)
    assert attacked.ask("/secret", *browser.cookie_header()).field("Remote-User") == "bob"


def test_a_ticket_counts_once(attacked: Rig, ticket_of: Tickets) -> None:
    ticket = ticket_of("alice")
    assert attacked.ask("/secret", ticket).status == 200
    answer, cause = send(attacked, [*told(), ticket])
    assert (answer.status, cause) == (401, "replay")


def test_no_cookie_of_ours_reaches_the_application(attacked: Rig, alice: Browser) -> None:
    own = alice.cookie_header()[0][1]
    theirs = 'a=1; b="x; y"; c=d'
    spoofed = " HOST-AUTHSRV=2; __Host-authsrv-nonce=3;=__Host-authsrv=4; \xa0__Host-authsrv-out=5"
    answer = attacked.ask("/secret", ("Cookie", f"{theirs}; {own}"))
    assert answer.field("X-Authsrv-Cookie") == theirs
    both = [*told("/public/x"), ("Cookie", f"{theirs}; {own}"), ("Cookie", spoofed)]
    answer = attacked.send("asks", "GET", "/ask/nginx", both)
    assert answer.field("X-Authsrv-Cookie") == theirs


def test_cookies_in_utf_8_reach_the_application_byte_for_byte(attacked: Rig) -> None:
    sent = "a=Köche; b=1".encode().decode("latin-1")
    answer = attacked.ask("/public/x", ("Cookie", sent))
    assert answer.field("X-Authsrv-Cookie") == sent


def test_plain_http_has_a_ticket_and_no_session(attacked: Rig, ticket_of: Tickets) -> None:
    asked = told(scheme="http", host=PLAIN_HOST, site="plain")
    answer, _ = send(attacked, [*asked, *PAGE])
    assert (answer.status, answer.field("WWW-Authenticate")) == (401, "Negotiate")
    assert "set-cookie" not in answer.fields
    answer, _ = send(attacked, [*asked, *PAGE, ticket_of("alice", PLAIN_HOST)])
    assert answer.status == 200
    assert "set-cookie" not in answer.fields


def test_a_thousand_asks_at_once_are_answered_each_for_its_own_client(
    attacked: Rig, alice: Browser, browser_of: Browsers
) -> None:
    bob = browser_of()
    bob.log_in("bob")
    cookies = {"alice": alice.cookie_header(), "bob": bob.cookie_header(), "": ()}

    def ask(number: int) -> bool:
        user = ("alice", "bob", "")[number % 3]
        answer = attacked.ask("/secret", *cookies[user])
        return (answer.field("Remote-User") if user else answer.status) == (user or 401)

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        assert all(pool.map(ask, range(1_000)))


# Connections: proxies keep them, and use them for everybody.


def as_bytes(headers: Headers, path: str = "/ask/nginx") -> bytes:
    """A whole ask, or a whole request for a page."""
    lines = [f"GET {path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers)]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n"


ANNOUNCED = {
    "a length, and nothing": [("Content-Length", "500")],
    "chunks, and none": [("Transfer-Encoding", "chunked")],
    "both": [("Transfer-Encoding", "chunked"), ("Content-Length", "4")],
    "two lengths": [("Content-Length", "0"), ("Content-Length", "500")],
    "a length, and waits to be told to send": [
        ("Content-Length", "500"),
        ("Expect", "100-continue"),
    ],
    "another protocol": [("Connection", "Upgrade"), ("Upgrade", "h2c")],
    "a WebSocket": [("Connection", "Upgrade"), *WEBSOCKET],
}


@pytest.mark.parametrize("headers", ANNOUNCED.values(), ids=ANNOUNCED)
def test_what_an_ask_announces_does_not_eat_the_next_one(attacked: Rig, headers: Headers) -> None:
    answered = attacked.raw("asks", as_bytes([*told(), *headers]) + as_bytes(told("/public/x")))
    head = answered.partition(b"\r\n\r\n")[0].lower()
    assert b"\r\nconnection: close" in head or head.startswith(b"http/1.0 ")
    # The one answer, and the end; so the proxy asks the next one on another connection.
    assert answered.count(b"HTTP/1.") == 1
    assert b" 200 " not in answered


@pytest.mark.parametrize("protocol", ["h2c", "websocket"])
def test_what_a_page_is_asked_to_become_does_not_eat_the_next_request(
    attacked: Rig, protocol: str
) -> None:
    upgrade = [("Connection", "Upgrade"), ("Upgrade", protocol)]
    first = as_bytes([*told(), *upgrade], "/.authsrv/whoami")
    answered = attacked.raw("pages", first + as_bytes(told(), "/.authsrv/whoami"))
    assert answered.count(b"HTTP/1.1 401 ") == 1
    assert b"\r\nconnection: close" in answered.lower()


def test_two_hosts_are_refused(attacked: Rig) -> None:
    asked = as_bytes([*told("/public/x"), ("Host", ADMIN_HOST)])
    assert attacked.first("asks", asked).status == 400


def test_an_expectation_is_ignored(attacked: Rig) -> None:
    for expected in ("100-continue", "x"):
        asked = as_bytes([*told("/public/x"), ("Expect", expected), ("Connection", "close")])
        assert attacked.raw("asks", asked).startswith(b"HTTP/1.1 200 ")


def test_the_listeners_do_not_answer_each_others_paths(attacked: Rig) -> None:
    assert attacked.send("pages", "GET", "/ask/nginx", told("/public/x")).status == 404
    for path in ("/.authsrv/sign-in", "/.authsrv/whoami", "/", "/ask", "/ask/caddy"):
        assert attacked.send("asks", "GET", path, told("/public/x")).status == 404
    absolute = attacked.send("asks", "GET", f"http://{WIKI_HOST}/ask/nginx", told("/public/x"))
    assert absolute.status == 403


@pytest.mark.parametrize(("listed", "status"), [("192.0.2.0/24", 403), ("127.0.0.0/8", 200)])
def test_only_trusted_peers_may_ask(
    attacked: Rig, tmp_path: Path, listed: str, status: int
) -> None:
    port = free_port()
    path = tmp_path / "authsrv.toml"
    text = (attacked.folder / "authsrv.toml").read_text()
    text = text.replace(f"unix:{attacked.folder}/asks.sock", f"127.0.0.1:{port}")
    text = text.replace(f"unix:{attacked.folder}/pages.sock", f"unix:{tmp_path}/pages.sock")
    path.write_text(text.replace("[proxy]", f'[proxy]\ntrusted_peers = ["{listed}"]'))
    path.chmod(0o600)
    with run_service(path, attacked.realm):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        connection.request("GET", "/ask/nginx", headers=dict(told("/public/x")))
        assert connection.getresponse().status == status
        connection.close()


def free_port() -> int:
    """A port of loopback that nobody has."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def test_without_the_store_nobody_is_let_in_and_envoy_is_told_so_by_no_5xx(
    site_realm: Realm,
) -> None:
    with run_attacked(site_realm, convention="envoy") as rig:
        browser = Browser(rig, None, None, dict(SITE_OF))

        def ask(path: str) -> Answer:
            headers = [
                ("Host", WIKI_HOST),
                ("X-Forwarded-Proto", "https"),
                ("X-Original-Address", "192.0.2.7"),
                ("X-Authsrv-Site", "wiki"),
                *browser.cookie_header(),
            ]
            return rig.send("asks", "GET", f"/ask/envoy{path}", headers)

        sealed = a_cookie_of(rig)
        browser.jar[WIKI_HOST] = {"__Host-authsrv": sealed}
        assert ask("/secret").field("Remote-User") == "alice"
        for file in (rig.folder / "store").iterdir():
            file.unlink()
        assert ask("/secret").status == 403
        assert "cause=store-fault" in rig.served.logged()
        assert ask("/public/x").status == 200


def a_cookie_of(rig: Rig) -> str:
    """A session of alice at the wiki, sealed with the keys of a rig."""
    ring = KeyFile(rig.folder / "keys" / FILE_NAMES[KeyKind.SEALING], KeyKind.SEALING).ring
    asked = digest_of_groups({"\0"})
    session = begin_session(
        Identity("alice@AUTHSRV.TEST", "kerberos"),
        SessionLengths(),
        time.time(),
        group_digest=asked,
    )
    return seal_session(Sealer(ring), session, Audience(WIKI_HOST, "wiki"), time.time())


STORM = """
[[site]]
name = "wiki"
hosts = ["wiki.example.org"]
headers = {{ preset = "{preset}" }}

[[site.rule]]
name = "{name}"
paths = ["/{name}/**"]
access = "open"
"""


def test_a_storm_of_reloads_drops_no_ask_and_mixes_no_rules(
    site_realm: Realm, tmp_path: Path
) -> None:
    one = STORM.format(preset="authelia", name="one")
    two = STORM.format(preset="oauth2-proxy", name="two")
    with run_rig(tmp_path, site_realm, more=one) as rig:
        path = tmp_path / "authsrv.toml"
        first = path.read_text()
        texts = (first, first.replace(one, "[[site"), first.replace(one, two), "", first[:-20])
        found = set()

        def ask_on() -> None:
            while not is_over.is_set():
                answer = rig.ask("/one/x")
                names = {name for name in answer.fields if name.endswith("-user")}
                found.add((answer.status, *names))

        is_over = threading.Event()
        with concurrent.futures.ThreadPoolExecutor() as pool:
            asking = [pool.submit(ask_on) for _ in range(2)]
            for number in range(40):
                fresh = tmp_path / "fresh"
                fresh.write_text(texts[number % len(texts)])
                fresh.chmod(0o600)
                fresh.rename(path)
                rig.served.process.send_signal(signal.SIGHUP)
                time.sleep(0.04)
            is_over.set()
            for each in asking:
                each.result()
        assert found == {(200, "remote-user"), (403,)}
        assert "the new configuration is refused" in rig.served.logged()


# Whatever comes.

TOKENS = st.text("abcXYZ0-_.~!#$%&'*+^`|", min_size=1, max_size=12)
NAMES = st.one_of(
    TOKENS,
    st.sampled_from(
        [
            "Authorization",
            "Cookie",
            "Connection",
            "Content-Length",
            "Expect",
            "Host",
            "Origin",
            "Range",
            "Remote_User",
            "Sec-Fetch-Dest",
            "Sec-Fetch-Mode",
            "Sec-Fetch-Site",
            "Transfer-Encoding",
            "Upgrade",
            "X-Original-URI",
            "Accept",
        ]
    ),
)
VALUES = st.one_of(
    st.text(st.characters(max_codepoint=0xFF, exclude_characters="\r\n\0"), max_size=40),
    st.sampled_from(
        [
            "Negotiate",
            "Negotiate YIIabcd=",
            "Negotiate TlRMTVNTUAABAAAA",
            "Basic Og==",
            "__Host-authsrv=AQ; __Host-authsrv=AQ",
            "__Host-authsrv=" + "A" * 200,
            "__Host-authsrv-tried=AQID",
            "close",
            "websocket",
            "100-continue",
            "navigate",
            "cross-site",
            "text/html",
        ]
    ),
)


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.tuples(NAMES, VALUES), max_size=6),
    st.one_of(st.none(), st.sampled_from(["scheme", "host", "uri", "method", "site", "address"])),
    st.text(st.characters(max_codepoint=0xFF, exclude_characters="\r\n\0 "), max_size=30),
)
def test_no_headers_let_anybody_in_or_break_an_ask(
    attacked: Rig, extra: list[tuple[str, str]], changed: str | None, value: str
) -> None:
    headers = told() if changed is None else told(**{changed: value})
    answer = attacked.first("asks", as_bytes([*headers, *extra]))
    assert answer.status < 500
    # What is told may be of an open path, which nobody is asked for.
    if answer.is_yes:
        assert answer.field("Remote-User") == ""
        assert changed == "uri"
        assert value.startswith("/public/")
