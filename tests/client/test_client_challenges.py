"""What a 401 brings besides a token: cookies, challenges of every kind, and a cause for the log."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession, DummyCookieJar, web
from websites import Evil, challenge, own_site, served, session_of
from yarl import URL

from authsrv.client import NegotiateClient, Timing
from authsrv.core.identity import DelegatedCredential
from authsrv.errors import ConfigError

ALICE = "alice@AUTHSRV.TEST"
NOT_OURS = "the server refuses the token, and does not offer Negotiate any more"

pytestmark = pytest.mark.usefixtures("kerberos_environment")


@pytest.fixture
async def negotiate(kerberos_environment: dict[str, str]) -> AsyncIterator[NegotiateClient]:
    async with NegotiateClient(["localhost"]) as client:
        yield client


@asynccontextmanager
async def site(
    keytab: Path, negotiate: NegotiateClient, fields: list[tuple[str, str]], **settings: Any
) -> AsyncIterator[tuple[ClientSession, str, list[str]]]:
    """This project's server; its 401 has further fields, and it notes the cookies that it gets."""
    seen: list[str] = []

    async def prepare(request: web.Request, response: web.StreamResponse) -> None:
        seen.append(request.headers.get("Cookie", ""))
        if response.status == 401:
            for name, value in fields:
                response.headers.add(name, value)

    app = own_site(keytab)
    app.on_response_prepare.append(prepare)
    async with served(app) as port, session_of(negotiate, **settings) as session:
        yield session, f"http://localhost:{port}/", seen


def set_cookies(*cookies: str) -> list[tuple[str, str]]:
    return [("Set-Cookie", cookie) for cookie in cookies]


@pytest.mark.parametrize(
    ("cookies", "sent", "kept"),
    [
        (["node=a; Path=/"], "own=1; old=0; node=a", {"old": "0", "node": "a"}),
        (["node=a", "node=b; Path=/deep"], "own=1; old=0; node=a", {"old": "0", "node": "a"}),
        (["old=1; Path=/", "own=2; Path=/"], "own=2; old=1", {"old": "1", "own": "2"}),
        (["old=; Max-Age=0; Path=/"], "own=1", {}),
        (['node="a b"; Path=/'], 'own=1; old=0; node="a b"', {"old": "0", "node": "a b"}),
        (["node=a; Domain=example.org"], "own=1; old=0", {"old": "0"}),
        (["=", ";", "no cookie"], "own=1; old=0", {"old": "0"}),
    ],
)
async def test_a_cookie_of_the_401_goes_with_the_next_request_and_into_the_jar(
    kerberos_keytab: Path,
    negotiate: NegotiateClient,
    cookies: list[str],
    sent: str,
    kept: dict[str, str],
) -> None:
    async with site(kerberos_keytab, negotiate, set_cookies(*cookies)) as (session, url, seen):
        session.cookie_jar.update_cookies({"old": "0"}, URL(url))
        async with session.get(url, cookies={"own": "1"}) as response:
            assert (await response.json())["name"] == ALICE
        jar = session.cookie_jar.filter_cookies(response.url)
    assert [sorted(cookie.split("; ")) for cookie in seen] == [
        ["old=0", "own=1"],
        sorted(sent.split("; ")),
    ]
    assert {name: cookie.value for name, cookie in jar.items()} == kept


async def test_a_cookie_that_is_given_to_a_request_stays(
    kerberos_keytab: Path, negotiate: NegotiateClient
) -> None:
    fields = set_cookies("node=a")
    async with site(kerberos_keytab, negotiate, fields) as (session, url, seen):
        session.cookie_jar.update_cookies({"own": "0"}, URL(url))
        async with session.get(url, cookies={"own": "1"}) as response:
            assert (await response.json())["name"] == ALICE
    assert seen == ["own=1", "own=1; node=a"]


async def test_a_session_that_keeps_no_cookies_keeps_none(
    kerberos_keytab: Path, negotiate: NegotiateClient
) -> None:
    fields, jar = set_cookies("node=a"), DummyCookieJar()
    async with site(kerberos_keytab, negotiate, fields, cookie_jar=jar) as (session, url, seen):
        async with session.get(url, headers={"Cookie": "own=1"}) as response:
            assert (await response.json())["name"] == ALICE
    assert seen == ["own=1", "own=1"]


@pytest.mark.parametrize(
    "neighbour",
    ['"', "Basic realm=", 'Digest realm="x', "Digest a=1, a=2", ", =", "\xe9", "Bearer !!"],
)
async def test_a_challenge_on_a_line_of_its_own_is_understood_beside_any_other(
    kerberos_keytab: Path, negotiate: NegotiateClient, neighbour: str
) -> None:
    fields = [("WWW-Authenticate", neighbour)]
    async with site(kerberos_keytab, negotiate, fields) as (session, url, _):
        async with session.get(url) as response:
            assert (await response.json())["name"] == ALICE


@pytest.mark.parametrize(
    ("first", "second", "cause"),
    [
        ([], [], "the server does not offer Negotiate"),
        (["Basic realm=x", "Bearer"], [], "the server does not offer Negotiate"),
        (['"'], [], "the WWW-Authenticate field is malformed"),
        (["Negotiate !!!"], [], "the WWW-Authenticate field is malformed"),
        (["Negotiate", "Negotiate"], [], "occurs twice"),
        (["Negotiate " + "A" * 7], [], "not base64"),
        (["Negotiate"], ["Negotiate"], "the server refuses the token, and gives no cause"),
        (["Negotiate"], ["Basic realm=x"], NOT_OURS),
        (["Negotiate"], ["Negotiate !!!"], "the WWW-Authenticate field is malformed"),
    ],
)
async def test_why_it_gave_up_is_in_the_log(
    negotiate: NegotiateClient,
    caplog: pytest.LogCaptureFixture,
    first: list[str],
    second: list[str],
    cause: str,
) -> None:
    async def answer(request: web.Request, token: bytes | None) -> web.StreamResponse:
        response = web.Response(status=401)
        for value in first if token is None else second:
            response.headers.add("WWW-Authenticate", value)
        return response

    with caplog.at_level(logging.INFO, "authsrv"):
        async with served(Evil(answer).app) as port, session_of(negotiate) as session:
            async with session.get(f"http://localhost:{port}/") as response:
                assert response.status == 401
    (record,) = [record for record in caplog.records if record.name == "authsrv"]
    assert record.getMessage().startswith("refused by=HTTP/localhost http=401 cause=")
    assert cause in record.getMessage()


@pytest.mark.parametrize("nobody", [None, DelegatedCredential("gssapi", None), "alice"])
async def test_who_acts_as_nobody_does_not_act_as_this_process(
    negotiate: NegotiateClient, nobody: Any
) -> None:
    """A user who delegated nothing has None for a credential; MIT takes it for our own."""
    with pytest.raises(ConfigError):
        negotiate.acting_as(nobody)


@pytest.mark.parametrize("way", ["request", "session", "environment"])
@pytest.mark.parametrize("timing", Timing)
async def test_the_loopback_exemption_sends_no_token_through_a_proxy(
    monkeypatch: pytest.MonkeyPatch, way: str, timing: Timing
) -> None:
    """Behind a proxy, "localhost" is the proxy's own machine, and the proxy reads along."""

    async def ask(request: web.Request, token: bytes | None) -> web.StreamResponse:
        return web.Response(status=401, headers={"WWW-Authenticate": challenge()})

    proxy = Evil(ask)
    for name in ("no_proxy", "NO_PROXY", "HTTP_PROXY"):
        monkeypatch.delenv(name, raising=False)
    async with served(proxy.app) as port:
        where = f"http://127.0.0.1:{port}"
        if way == "environment":
            monkeypatch.setenv("http_proxy", where)
        settings: dict[str, Any] = {"trust_env": way == "environment"}
        settings |= {"proxy": where} if way == "session" else {}
        given = {"proxy": where} if way == "request" else {}
        for hosts, is_told in ((["localhost"], False), (["http://localhost:9"], True)):
            del proxy.tokens[:]
            async with NegotiateClient(hosts, timing=timing, delegates=hosts) as negotiate:
                async with session_of(negotiate, **settings) as session:
                    async with session.get("http://localhost:9/", **given) as response:
                        assert response.status == 401
            assert proxy.tokens, "the request did not go through the proxy"
            assert any(proxy.tokens) is is_told
