"""The client against Apache's mod_auth_gssapi: a server that is not ours."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from aiohttp import TCPConnector
from apache import run_apache
from initiators import newcomer
from websites import Certificate, Everywhere, make_certificate, session_of

from authsrv.client import ClientKeytab, NegotiateClient, ServerProof, TicketCache, Timing
from authsrv.core.flags import IscReq
from authsrv.core.identity import DelegatedCredential
from authsrv.core.results import Continue, Established
from authsrv.devrealm import Realm
from authsrv.providers.base import ContextRequest, InitiatorRequest
from authsrv.providers.gssapi.acceptor import GssapiProvider
from authsrv.providers.gssapi.initiator import GssapiInitiatorProvider

ALICE = "alice@AUTHSRV.TEST"

pytestmark = [pytest.mark.usefixtures("kerberos_environment")]


@pytest.fixture(scope="module")
def apache(kerberos_realm: Realm) -> Iterator[str]:
    """Apache; its URL."""
    with run_apache(kerberos_realm.keytab, kerberos_realm.environment()) as port:
        yield f"http://localhost:{port}"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return make_certificate(tmp_path_factory.mktemp("apache"), "localhost")


@pytest.fixture(scope="module")
def apache_over_tls(kerberos_realm: Realm, certificate: Certificate) -> Iterator[str]:
    """Apache over TLS; its URL."""
    environment = kerberos_realm.environment()
    with run_apache(kerberos_realm.keytab, environment, certificate.path) as port:
        yield f"https://localhost:{port}"


@pytest.fixture
async def negotiate() -> AsyncIterator[NegotiateClient]:
    async with NegotiateClient(["localhost"]) as client:
        yield client


@dataclass(frozen=True)
class Delegated:
    """Somebody who delegated, and what a server of ours holds of it."""

    principal: str
    credential: DelegatedCredential


@pytest.fixture
def delegated(kerberos_realm: Realm, kerberos_environment: dict[str, str]) -> Delegated:
    user = newcomer(kerberos_realm)
    provider = GssapiInitiatorProvider(TicketCache(kerberos_realm.login(user, forwardable=True)))
    flags = IscReq.MUTUAL_AUTH | IscReq.DELEGATE
    began = provider.create_initiator(InitiatorRequest("HTTP/localhost", flags=flags)).step(b"")
    assert isinstance(began, Continue), began
    accepted = GssapiProvider(kerberos_realm.keytab).create_context(ContextRequest())
    result = accepted.step(began.token)
    assert isinstance(result, Established), result
    assert result.identity.delegated is not None
    return Delegated(f"{user}@AUTHSRV.TEST", result.identity.delegated)


@pytest.mark.parametrize("timing", Timing)
async def test_the_user_gets_in(apache: str, timing: Timing) -> None:
    async with NegotiateClient(["localhost"], timing=timing) as negotiate:
        async with session_of(negotiate) as session:
            async with session.get(f"{apache}/private/page") as response:
                assert response.status == 200
                assert response.headers["X-User"] == ALICE
                assert await response.text() == "private/page\n"


async def test_many_requests_at_a_time_get_in(apache: str, negotiate: NegotiateClient) -> None:
    async def fetch() -> str:
        async with session.get(f"{apache}/private/page") as response:
            return response.headers["X-User"]

    async with session_of(negotiate) as session:
        assert await asyncio.gather(*(fetch() for _ in range(30))) == [ALICE] * 30


async def test_an_open_page_needs_no_token(apache: str, negotiate: NegotiateClient) -> None:
    async with session_of(negotiate) as session:
        async with session.get(f"{apache}/public") as response:
            assert await response.text() == "public\n"


@pytest.mark.parametrize(
    ("path", "status"), [("missing", 404), ("page/", 404), ("page", 405), ("moved", 302)]
)
async def test_its_proof_comes_with_failures_too(
    apache: str, negotiate: NegotiateClient, path: str, status: int
) -> None:
    method = "DELETE" if status == 405 else "GET"
    async with session_of(negotiate) as session:
        url = f"{apache}/private/{path}"
        async with session.request(method, url, allow_redirects=False) as response:
            assert response.status == status


async def test_somebody_who_is_known_and_not_allowed_gets_its_401(
    apache: str, negotiate: NegotiateClient, caplog: pytest.LogCaptureFixture
) -> None:
    async with session_of(negotiate) as session:
        async with session.get(f"{apache}/private/forbidden/page") as response:
            assert response.status == 401
    assert "cause=the server has authenticated this client and denies it access" in caplog.text


async def test_a_body_is_sent_again_with_the_token(apache: str, negotiate: NegotiateClient) -> None:
    async with session_of(negotiate) as session:
        async with session.post(f"{apache}/private/page", data=b"body") as response:
            assert (response.status, response.headers["X-User"]) == (200, ALICE)


async def test_a_service_logs_in_with_its_keytab(apache: str, kerberos_keytab: Path) -> None:
    credential = ClientKeytab(kerberos_keytab, "HTTP/localhost")
    async with NegotiateClient(["localhost"], credential=credential) as negotiate:
        async with session_of(negotiate) as session:
            async with session.get(f"{apache}/private/page") as response:
                assert response.headers["X-User"] == "HTTP/localhost@AUTHSRV.TEST"


async def test_a_user_who_delegated_is_the_one_who_gets_in(
    apache: str, negotiate: NegotiateClient, delegated: Delegated
) -> None:
    async with session_of() as session:
        user = negotiate.acting_as(delegated.credential)
        for middleware, name in ((user, delegated.principal), (negotiate, ALICE)):
            async with session.get(f"{apache}/private/", middlewares=(middleware,)) as response:
                assert response.headers["X-User"] == name


async def test_nobody_is_taken_for_the_one_whom_a_connection_was_authenticated_for(
    apache: str, negotiate: NegotiateClient, delegated: Delegated
) -> None:
    """Apache, told to, remembers who authenticated a connection."""
    user = negotiate.acting_as(delegated.credential)
    url = f"{apache}/bound/page"
    async with session_of(connector=TCPConnector(resolver=Everywhere(), limit=1)) as session:
        for middleware, name in (
            (negotiate, ALICE),
            (user, delegated.principal),
            (negotiate, ALICE),
            (user, delegated.principal),
        ):
            async with session.get(url, middlewares=(middleware,)) as response:
                assert response.headers["X-User"] == name
        async with session.get(url, middlewares=(user,)) as response:
            assert response.status == 200
        async with session.get(url) as response:
            assert response.status == 401


async def test_bindings_do_no_harm_where_they_are_not_looked_at(
    apache_over_tls: str, certificate: Certificate
) -> None:
    connector = TCPConnector(resolver=Everywhere(), ssl=certificate.client)
    async with NegotiateClient(["localhost"], proof=ServerProof.ALWAYS) as negotiate:
        async with session_of(negotiate, connector=connector) as session:
            async with session.get(f"{apache_over_tls}/private/page") as response:
                assert (response.status, response.headers["X-User"]) == (200, ALICE)
