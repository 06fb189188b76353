"""Real clients whose token is refused: they hear why, and give up; nobody tries for ever."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import gssapi.raw as gss
import pytest
import requests
from aiohttp import ClientSession, web
from initiators import GssapiInitiator
from people import Person
from programs import find_program
from requests_gssapi import DISABLED, HTTPSPNEGOAuth
from test_chromium import MAY_AUTHENTICATE, Browser, browser

from authsrv.aiohttp import AppRunner, setup
from authsrv.audit.records import AuditEvent, ChallengedEvent, RefusedEvent
from authsrv.client import NegotiateClient
from authsrv.codecs.spnego import NegState, build_neg_token_resp
from authsrv.core.results import Refused
from authsrv.devrealm import Realm
from authsrv.errors import AuthsrvError, InvalidTokenError, LogonDeniedError, LostHandshakeError
from authsrv.http.headers import build_challenge, negotiate_token
from authsrv.providers.base import SecurityProvider
from authsrv.providers.gssapi.acceptor import GssapiProvider
from authsrv.providers.scripted import ScriptedProvider

__all__ = ["browser"]

pytestmark = pytest.mark.xdist_group("interop")

LIMIT_S = 60
MOST = 3  # requests-gssapi tries two tokens, and Chromium asks once more without one
MOST_OF_A_BROWSER = 2 * MOST  # it may ask for the site's icon, too


class Door:
    """A server that lets nobody in, and counts who knocks."""

    def __init__(self, provider: SecurityProvider) -> None:
        self.provider = provider
        self.events: list[AuditEvent] = []
        self.url = ""

    @property
    def refused(self) -> list[RefusedEvent]:
        return [event for event in self.events if isinstance(event, RefusedEvent)]

    @property
    def asked(self) -> int:
        return sum(isinstance(event, ChallengedEvent) for event in self.events)


@asynccontextmanager
async def closed(provider: SecurityProvider) -> AsyncIterator[Door]:
    door = Door(provider)
    app = web.Application()
    setup(app, provider=provider, audit=door.events.append)
    runner = AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        door.url = f"http://localhost:{runner.addresses[0][1]}/"
        yield door
    finally:
        await runner.cleanup()


def by_curl(url: str, person: Person) -> str:
    command = [find_program("curl", package="curl"), "--disable", "--silent", "--noproxy", "*"]
    done = subprocess.run(
        [*command, "--max-time", str(LIMIT_S), "--negotiate", "--user", ":", url],
        env=person.environment,
        capture_output=True,
        text=True,
        timeout=LIMIT_S + 10,
        check=True,
    )
    return done.stdout


def by_requests(url: str, person: Person) -> str:
    with requests.Session() as session:
        session.trust_env = False
        session.auth = HTTPSPNEGOAuth(mutual_authentication=DISABLED)
        return session.get(url, timeout=LIMIT_S).text


def by_ourselves(url: str, person: Person) -> str:
    async def ask() -> str:
        async with NegotiateClient(["localhost"]) as negotiate:
            async with ClientSession(middlewares=(negotiate,)) as session:
                async with session.get(url) as response:
                    return await response.text()

    return asyncio.run(ask())


CLIENTS: dict[str, Callable[[str, Person], str]] = {
    "curl": by_curl,
    "requests-gssapi": by_requests,
    "authsrv.client": by_ourselves,
}

BROKEN = "The authentication data in the request could not be understood."
DENIED = "Authentication failed."
REQUIRED = "Authentication is required."


def other_keys(realm: Realm, folder: Path) -> SecurityProvider:
    """MIT's acceptor, which makes an error token: the keytab has no key for the ticket."""
    return GssapiProvider(realm.write_keytab(folder / "elsewhere", ["HTTP/door.test"]))


def playing(error: AuthsrvError, token: bytes = b"") -> Callable[[Realm, Path], SecurityProvider]:
    return lambda realm, folder: ScriptedProvider([Refused(error, token)])


REJECT = build_neg_token_resp(NegState.REJECT)


@dataclass(frozen=True, slots=True)
class Refusal:
    """How somebody is refused.

    Args:
        make: The provider that refuses.
        text: What a client reads.
        in_a_browser: What Chromium shows. It hands an error token to libgssapi, which fails; then
            it asks once more, without a token, and shows that page.
    """

    make: Callable[[Realm, Path], SecurityProvider]
    text: str
    in_a_browser: str


REFUSALS = {
    "by the mechanism": Refusal(other_keys, DENIED, REQUIRED),
    "by us": Refusal(playing(LogonDeniedError("no")), DENIED, DENIED),
    "by the negotiation": Refusal(playing(LogonDeniedError("no"), REJECT), DENIED, REQUIRED),
    "as broken": Refusal(playing(InvalidTokenError("no")), BROKEN, BROKEN),
    "as lost": Refusal(playing(LostHandshakeError("no")), BROKEN, BROKEN),
    "in a strange tongue": Refusal(playing(LogonDeniedError("no"), b"what?"), DENIED, ""),
}


@pytest.fixture(scope="session", autouse=True)
def service_elsewhere(kerberos_realm: Realm) -> None:
    """A service of the realm that no client of these tests asks for."""
    kerberos_realm.add_service("HTTP/door.test")


each_refusal = pytest.mark.parametrize("refusal", REFUSALS.values(), ids=REFUSALS)


@asynccontextmanager
async def door_of(refusal: Refusal, realm: Realm, folder: Path) -> AsyncIterator[Door]:
    provider = await asyncio.to_thread(refusal.make, realm, folder)
    async with closed(provider) as served:
        yield served


@each_refusal
@pytest.mark.parametrize("client", CLIENTS.values(), ids=CLIENTS)
async def test_a_refused_client_gives_up(
    client: Callable[[str, Person], str],
    refusal: Refusal,
    kerberos_realm: Realm,
    this_process: Person,
    tmp_path: Path,
) -> None:
    async with door_of(refusal, kerberos_realm, tmp_path) as door:
        page = await asyncio.to_thread(client, door.url, this_process)
        assert page.startswith(refusal.text), page
        assert 1 <= len(door.refused) <= MOST
        assert door.asked <= MOST


@each_refusal
async def test_a_refused_browser_gives_up(
    browser: Browser, refusal: Refusal, kerberos_realm: Realm, person: Person, tmp_path: Path
) -> None:
    async with door_of(refusal, kerberos_realm, tmp_path) as door:
        # The first start that sees a Negotiate challenge only takes note that such things exist.
        for _ in range(2):
            door.events.clear()
            page = await asyncio.to_thread(browser.show, door.url, person, MAY_AUTHENTICATE)
        assert refusal.in_a_browser in page
        assert 1 <= len(door.refused) <= MOST_OF_A_BROWSER
        assert door.asked <= MOST_OF_A_BROWSER


async def test_a_client_hears_from_the_mechanism_why(
    kerberos_realm: Realm, this_process: Person, tmp_path: Path
) -> None:
    """The token of the 401 is libkrb5's, and libkrb5 on the other side understands it."""
    provider = await asyncio.to_thread(other_keys, kerberos_realm, tmp_path)
    client = GssapiInitiator("HTTP@localhost")
    async with closed(provider) as served, ClientSession() as session:
        token = await asyncio.to_thread(client.step, None)
        sent = {"Authorization": build_challenge(token)}
        async with session.get(served.url, headers=sent) as response:
            assert response.status == 401
            told = negotiate_token(response.headers.getall("WWW-Authenticate"))
    assert told
    with pytest.raises(gss.GSSError) as caught:
        await asyncio.to_thread(client.step, told)
    assert "isn't for us" in str(caught.value)
