"""What clients write who want more than they may, through each real proxy.

Nothing of it may get them in, or in under another name; whether it is put right or refused is the
proxy's own way.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest
from service_rig import LOGIN_HOST, WIKI_HOST
from standing import LOGIN, PAGE, WIKI, Standing
from visitors import Field, connect, fetch, read, send, web_socket

pytestmark = pytest.mark.timeout(300)

IDENTITY = ("Remote-User", "Remote-Groups", "Remote-Name", "Remote-Email", "remote-user")
ALIASES = ("Remote_User", "Remote.User", "Remote~User", "REMOTE_USER", "Remote-User_", "RemoteUser")


@pytest.mark.parametrize("name", IDENTITY)
def test_a_client_that_names_itself_is_not_believed(standing: Standing, name: str) -> None:
    forged = (name, "mallory")
    assert "mallory" not in str(standing.fetch("/public/x", forged).seen)
    answer = standing.fetch("/secret", standing.session("alice"), forged, forged)
    assert answer.user == "alice"
    assert "mallory" not in str(answer.seen)
    assert standing.fetch("/secret", forged).status == 401


@pytest.mark.parametrize("name", ALIASES)
def test_a_name_that_looks_like_one_of_ours_is_dropped_or_refused(
    standing: Standing, name: str
) -> None:
    for target, fields in (("/public/x", []), ("/secret", [standing.session("alice")])):
        answer = standing.fetch(target, (name, "mallory"), *fields)
        if answer.is_from_app:
            assert answer.user == ("alice" if fields else "")
            assert "mallory" not in str(answer.seen)
        else:
            assert answer.status in (400, 403)


METADATA = [
    *[("X-Forwarded-Uri", "/public/x"), ("X-Forwarded-Host", LOGIN_HOST)],
    *[("X-Forwarded-Method", "OPTIONS"), ("X-Forwarded-Proto", "http")],
    *[("X-Original-URI", "/public/x"), ("X-Original-URL", "/public/x")],
    *[("X-Original-Host", LOGIN_HOST), ("X-Original-Method", "OPTIONS")],
    *[("X-Original-Scheme", "http"), ("X-Original-Address", "::1"), ("X-Authsrv-Site", "login")],
    *[("X_Forwarded_Uri", "/public/x"), ("X_Original_URI", "/public/x")],
    *[("X.Original.URI", "/public/x"), ("X-Rewrite-URL", "/public/x")],
    *[("X-Authsrv-Verdict", "admitted"), ("X-Authsrv-Cookie", "a=b")],
    ("X-Forwarded-For", "203.0.113.9"),
]


@pytest.mark.parametrize(("name", "value"), METADATA)
def test_metadata_of_a_client_changes_nothing(standing: Standing, name: str, value: str) -> None:
    forged = [(name, value), (name, value)]
    assert standing.fetch("/secret", *forged).status in (400, 401, 403)
    session = standing.session("alice")
    assert not standing.fetch("/admin", session, *forged).is_from_app
    answer = standing.fetch("/secret", session, *forged)
    if answer.is_from_app:
        assert answer.user == "alice"
        assert name == "X-Rewrite-URL" or value not in answer.told(*{name.lower().replace("-", "")})
    else:
        assert answer.status in (400, 403)


NOMINATED = ("Remote-User", "X-Forwarded-Uri", "X-Original-URI", "X-Authsrv-Site",
             "X-Authsrv-Verdict", "Remote-User, X-Forwarded-Uri", "close, Remote-User",
             "upgrade, remote-user, x-forwarded-host, x-forwarded-for, host")  # fmt: skip


@pytest.mark.parametrize("names", NOMINATED)
def test_by_connection_a_client_removes_nothing(standing: Standing, names: str) -> None:
    fields = [("Connection", names), ("Remote-User", "mallory")]
    for more in ([], [("Upgrade", "websocket"), ("Connection", "Upgrade")]):
        assert not standing.fetch("/secret", *fields, *more).is_from_app
    session = standing.session("alice")
    answer = standing.fetch("/secret", session, *fields)
    if answer.is_from_app:
        assert answer.user == "alice"
        assert set(answer.told("connection")) <= {"close", "keep-alive"}
        assert standing.fetch("/public/x", *fields).user == ""
    else:
        assert answer.status in (400, 403)


TARGETS = [
    *["/admin", "/admin/", "/%61dmin", "//admin", "/admin;x", "/admin;/x", "/x/..;/admin"],
    *["/x/../admin", "/./admin", "/x/%2e%2e/admin", "/admin%2fx", "/admin%00", "/%2561dmin"],
    *["/public/../admin", "/public/%2e%2e/admin", "/public/..%2fadmin", "/public/..;/admin"],
    *["/public//../admin", "/\\admin", "/admin\\", "\\admin", "/admin#/public/x"],
    *["/admin?x=/public/x", f"{WIKI}/admin", f"http://{WIKI_HOST}/admin", f"{LOGIN}/admin"],
    *[f"{WIKI}/public/../admin", f"{WIKI}//admin", "*", f"//{WIKI_HOST}/admin", "admin"],
    *["/.authsrv/../admin", "/.authsrv//../admin", "/.authsrv/%2e%2e/admin", "/x/../.authsrv/"],
    *["/.AuthSrv/x", "/%2eauthsrv/x", "/.authsrv/ask", "/.authsrv/ask/nginx"],
]


@pytest.mark.parametrize("target", TARGETS)
def test_no_spelling_of_a_path_leads_past_its_rule(standing: Standing, target: str) -> None:
    session = standing.session("alice")
    for fields in ([session], [session, PAGE], []):
        answer = standing.fetch(target, *fields)
        assert not answer.is_from_app
        assert answer.status != 200


@pytest.mark.parametrize(
    "host",
    ["admin.example.org", f"{WIKI_HOST}.", f"u@{WIKI_HOST}", f"{WIKI_HOST}:99999", "",
     f"{WIKI_HOST}, x", "127.0.0.1", "w\u00edki.example.org"],
)  # fmt: skip
def test_no_spelling_of_a_host_leads_to_another_site(standing: Standing, host: str) -> None:
    session = standing.session("alice")
    for target in ("/secret", f"{WIKI}/secret", f"https://{host}/secret"):
        with suppress(OSError):
            answer = standing.fetch(target, session, host=host)
            # Some proxies put a name right, or take one of two; then it is right for everybody.
            if answer.is_from_app:
                assert (answer.user, answer.told("host")) == ("alice", [WIKI_HOST])
                assert answer.seen["target"] == "/secret"


def test_an_absolute_target_arrives_as_a_path_or_not_at_all(standing: Standing) -> None:
    # An application may believe the host that such a target names.
    session = standing.session("alice")
    for target in (f"{WIKI}/secret", f"http://{WIKI_HOST}/secret", f"{LOGIN}/secret"):
        answer = standing.fetch(target, session)
        if answer.is_from_app:
            assert (answer.user, answer.seen["target"]) == ("alice", "/secret")
            assert answer.told("host") == [WIKI_HOST]


def test_a_path_of_the_asks_is_one_of_the_application_for_a_client(standing: Standing) -> None:
    name = standing.front.name
    told = [("X-Original-URI", "/public/x"), ("X-Forwarded-Uri", "/public/x")]
    for target in (f"/ask/{name}", f"/ask/{name}/public/x"):
        assert standing.fetch(target, *told).status == 401
        assert fetch(standing.port, target, told, host=LOGIN_HOST, server=LOGIN_HOST).status == 404


@pytest.mark.parametrize("method", ["TRACE", "CONNECT", "get", "BREW", "PRI"])
def test_an_odd_method_is_refused(standing: Standing, method: str) -> None:
    target = f"{WIKI_HOST}:443" if method == "CONNECT" else "/secret"
    with suppress(OSError):
        answer = standing.fetch(target, standing.session("alice"), method=method)
        assert not answer.is_from_app


# Bodies, and connections that several requests share.

SMUGGLED = (
    b"GET /ask/nginx HTTP/1.1\r\nHost: wiki.example.org\r\nX-Original-Method: GET\r\n"
    b"X-Original-Scheme: https\r\nX-Original-Host: wiki.example.org\r\n"
    b"X-Original-URI: /public/x\r\nX-Original-Address: 192.0.2.1\r\nX-Authsrv-Site: wiki\r\n\r\n"
)


@pytest.mark.parametrize("is_chunked", [False, True])
@pytest.mark.parametrize("body", [b"", b"x", SMUGGLED, b"y" * 300_000])
def test_a_body_arrives_and_is_never_an_ask(
    standing: Standing, body: bytes, is_chunked: bool
) -> None:
    alice, bob = standing.session("alice"), standing.session("bob")
    how = {"method": "POST", "body": body, "is_chunked": is_chunked}
    for _ in range(3):
        with connect(standing.port) as connection:
            posted = send(connection, "/secret", [alice], **how)
            assert (posted.user, posted.seen["body"]) == ("alice", body.decode())
            assert send(connection, "/secret").status == 401
            assert send(connection, "/secret", [bob]).user == "bob"
            assert send(connection, "/public/x").user == ""
        with suppress(OSError):
            assert not standing.fetch("/secret", **how).is_from_app
        assert standing.fetch("/secret").status == 401


def test_two_lengths_cross_nothing(standing: Standing) -> None:
    alice = standing.session("alice")
    head = f"POST /secret HTTP/1.1\r\nHost: {WIKI_HOST}\r\n{alice[0]}: {alice[1]}\r\n"
    both = (
        f"{head}Content-Length: {len(SMUGGLED) + 5}\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    )
    with connect(standing.port) as connection:
        connection.sendall(both.encode() + SMUGGLED)
        with suppress(OSError):
            first = read(connection)
            assert first.status == 400 or (first.user, first.seen["body"]) == ("alice", "")
        with suppress(OSError, ValueError):
            assert not read(connection).is_from_app
    for _ in range(5):
        assert standing.fetch("/secret").status == 401


def test_a_thousand_asks_of_two_users_never_cross(standing: Standing) -> None:
    cookies = {user: standing.session(user) for user in ("alice", "bob")}

    def ask(first: int) -> list[str]:
        wrong = []
        with connect(standing.port) as connection:
            for number in range(first, first + 125):
                user = ("alice", "bob", "")[number % 3]
                fields = [cookies[user]] if user else []
                how = {"method": "POST", "body": user.encode()} if number % 2 else {}
                answer = send(connection, "/secret", fields, **how)
                got = answer.user if answer.is_from_app else {401: ""}.get(answer.status, "?")
                if got != user:
                    wrong.append(f"{number}: {user!r} got {got!r}")
        return wrong

    with ThreadPoolExecutor(8) as pool:
        assert [line for lines in pool.map(ask, range(8)) for line in lines] == []


@pytest.mark.parametrize(
    "more",
    [[("Origin", "https://evil.example")], [("Origin", LOGIN)], [("Origin", "null")],
     [("Origin", f"http://{WIKI_HOST}")], [("Sec-Fetch-Site", "cross-site")],
     [("Sec-Fetch-Site", "same-site")], [("Origin", WIKI), ("Origin", "https://evil.example")]],
)  # fmt: skip
def test_a_websocket_of_another_site_is_refused(standing: Standing, more: list[Field]) -> None:
    assert web_socket(standing.port, [standing.session("alice"), *more]) in (400, 403)


@pytest.mark.parametrize("protocol", ["h2c", "HTTP/2.0", "TLS/1.0", "websocket, h2c", "foo"])
def test_no_other_protocol_begins(standing: Standing, protocol: str) -> None:
    # In a connection that is not HTTP any more, nobody would be asked.
    wish = [("Upgrade", protocol), ("Connection", "Upgrade, HTTP2-Settings")]
    answer = standing.fetch("/secret", standing.session("alice"), *wish, ("HTTP2-Settings", "AAM"))
    assert answer.status in (200, 400, 403)
    if answer.is_from_app:
        assert answer.told("upgrade") == []


def test_a_websocket_of_nobody_is_refused(standing: Standing) -> None:
    assert web_socket(standing.port, [("Origin", WIKI)]) == 401
    # The connection on which it was asked about is there for others.
    for _ in range(3):
        assert standing.fetch("/secret").status == 401
        assert standing.fetch("/public/x").user == ""


def test_a_script_of_another_site_changes_nothing(standing: Standing) -> None:
    session = standing.session("alice")
    for foreign in (("Origin", "https://evil.example"), ("Sec-Fetch-Site", "cross-site")):
        answer = standing.fetch("/secret", session, foreign, method="POST", body=b"x")
        assert (answer.status, answer.is_from_app) == (403, False)
    own = [("Origin", WIKI), ("Sec-Fetch-Site", "same-origin")]
    assert standing.fetch("/secret", session, *own, method="POST", body=b"x").user == "alice"
