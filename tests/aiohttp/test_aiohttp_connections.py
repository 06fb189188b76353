"""What stays on a connection, and what must not: handshakes of several legs, and identities."""

from __future__ import annotations

import asyncio
import datetime
import ssl
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession, web
from aiohttp.test_utils import make_mocked_request
from aiohttp.typedefs import Handler
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import NameOID
from sites import PROOF, Site, Wire, connected, field, log_in, served
from waiting import until

from authsrv.aiohttp import AccessRules, Persistence, Requirement
from authsrv.aiohttp.connections import Connection
from authsrv.audit.records import (
    ConnectionIdentityEndedEvent,
    ContinuedEvent,
    EstablishedEvent,
    RecalledEvent,
    RefusedEvent,
)
from authsrv.core.identity import Identity
from authsrv.core.limits import Limits
from authsrv.core.results import Continue, Established, Incomplete, Result
from authsrv.errors import TooManyRoundsError
from authsrv.handshake.acceptor import Acceptor
from authsrv.handshake.machine import State
from authsrv.providers.scripted import ALICE, Act, Delay, ScriptedProvider

if sys.platform != "win32":
    import uvloop

# By its first byte a token of SPNEGO that begins a handshake, and one that goes on with it.
INITIAL = b"\x60 initial"
FOLLOWING = b"\xa1 following"
TWO_LEGS: tuple[Act, ...] = (Continue(b"next"), Established(ALICE, b"proof"))


# A handshake of several legs.


async def test_two_legs_on_one_connection_establish_the_client() -> None:
    site = Site(*TWO_LEGS)
    async with served(site.app) as port, connected(port) as wire:
        first = await wire.ask(token=INITIAL)
        assert (first.status, first.challenges) == (401, [field(b"next")])
        second = await wire.ask(token=FOLLOWING)
        assert (second.status, second.text) == (200, ALICE.principal)
        assert second.challenges == [PROOF]
        assert site.auth.acceptor.pending == 0
    assert len(site.events_of(ContinuedEvent)) == len(site.events_of(EstablishedEvent)) == 1


async def test_two_legs_work_with_an_ordinary_client_too() -> None:
    site = Site(*TWO_LEGS)
    async with served(site.app) as port, ClientSession(f"http://127.0.0.1:{port}") as session:
        for token, status in ((INITIAL, 401), (FOLLOWING, 200)):
            async with session.get("/", headers={"Authorization": field(token)}) as response:
                assert response.status == status
                await response.read()


async def test_a_token_in_pieces_is_put_together_over_two_requests() -> None:
    seen: list[bytes] = []

    def look(token: bytes) -> Result:
        seen.append(token)
        return Incomplete(missing=4) if len(seen) == 1 else Established(ALICE)

    site = Site(look, look)
    async with served(site.app) as port, connected(port) as wire:
        first = await wire.ask(token=INITIAL)
        assert (first.status, first.challenges) == (401, ["Negotiate"])
        # The rest of a token may begin with any byte, that of an initial token included.
        assert (await wire.ask(token=b"\x60rest")).status == 200
    assert seen == [INITIAL, INITIAL + b"\x60rest"]
    assert site.events_of(ContinuedEvent)[0].leg.states[-1] is State.AWAIT_MORE


async def test_a_handshake_is_not_continued_on_another_connection() -> None:
    site = Site(*TWO_LEGS)
    async with served(site.app) as port, connected(port) as one, connected(port) as other:
        assert (await one.ask(token=INITIAL)).status == 401
        answer = await other.ask(token=FOLLOWING)
        assert (answer.status, answer.challenges) == (401, [field(b"next")])
        assert site.auth.acceptor.pending == 2


async def test_a_request_without_token_does_not_disturb_a_pending_handshake() -> None:
    site = Site(*TWO_LEGS)
    async with served(site.app) as port, connected(port) as wire:
        await wire.ask(token=INITIAL)
        assert (await wire.ask()).status == 401
        assert (await wire.ask(token=FOLLOWING)).status == 200


async def test_a_fresh_initial_token_begins_anew_and_drops_the_pending_handshake() -> None:
    site = Site(*TWO_LEGS)
    async with served(site.app) as port, connected(port) as wire:
        site.forget_start()
        for begun in (1, 2, 3):
            answer = await wire.ask(token=INITIAL)
            assert (answer.status, answer.challenges) == (401, [field(b"next")])
            assert site.auth.acceptor.pending == 1
            assert site.provider.created == begun
        await until(lambda: site.provider.deleted == 2)
        assert (await wire.ask(token=FOLLOWING)).status == 200


async def test_a_token_that_came_another_way_does_not_continue_a_handshake() -> None:
    site = Site(*TWO_LEGS)
    async with served(site.app) as port, connected(port) as wire:
        await wire.ask(token=INITIAL, headers={"X-Forwarded-For": "192.0.2.1"})
        answer = await wire.ask(token=FOLLOWING, headers={"X-Forwarded-For": "192.0.2.2"})
        assert answer.challenges == [field(b"next")]
        assert site.auth.acceptor.pending == 1


async def test_a_handshake_that_goes_on_for_ever_is_refused() -> None:
    site = Site(*[Continue(b"next")] * 9, limits=Limits(max_rounds=2))
    async with served(site.app) as port, connected(port) as wire:
        statuses = [(await wire.ask(token=FOLLOWING)).status for _ in range(3)]
    assert statuses == [401, 401, 401]
    assert isinstance(site.events_of(RefusedEvent)[0].error, TooManyRoundsError)


async def test_a_handshake_whose_time_is_over_is_begun_anew() -> None:
    site = Site(*TWO_LEGS, limits=Limits(handshake_seconds=0.3))
    async with served(site.app) as port, connected(port) as wire:
        await wire.ask(token=INITIAL)
        await until(lambda: site.auth.acceptor.pending == 0)
        answer = await wire.ask(token=FOLLOWING)
        assert (answer.status, answer.challenges) == (401, [field(b"next")])


async def test_more_pending_handshakes_than_allowed_get_503() -> None:
    site = Site(*TWO_LEGS, limits=Limits(max_pending=1))
    async with served(site.app) as port, connected(port) as one, connected(port) as other:
        await one.ask(token=INITIAL)
        answer = await other.ask(token=INITIAL)
        assert (answer.status, answer.headers["Retry-After"]) == (503, "2")
        assert (await one.ask(token=FOLLOWING)).status == 200
        assert (await other.ask(token=INITIAL)).status == 401


# The end of a connection.


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with a key and a certificate of localhost."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    own = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "localhost.pem"
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path.write_bytes(secret + own.public_bytes(Encoding.PEM))
    return path


def server_tls(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


def client_tls() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


async def leave_by_closing(wire: Wire) -> None:
    await wire.close()


async def leave_by_abort(wire: Wire) -> None:
    wire.writer.transport.abort()


async def wait_for_the_server_to_close(wire: Wire) -> None:
    assert await wire.is_closed()


LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {"asyncio": asyncio.new_event_loop}
if sys.platform != "win32":
    LOOPS["uvloop"] = uvloop.new_event_loop


@pytest.mark.parametrize("leave", [leave_by_closing, leave_by_abort, wait_for_the_server_to_close])
@pytest.mark.parametrize("transport", ["tcp", "tls"])
@pytest.mark.parametrize("loop", LOOPS)
def test_a_connection_that_ends_deletes_its_pending_handshake_at_once(
    loop: str, transport: str, leave: Callable[[Wire], Awaitable[None]], certificate: Path
) -> None:
    tls = transport == "tls"

    async def scenario() -> None:
        site = Site(*TWO_LEGS, limits=Limits(handshake_seconds=600))
        server, client = (server_tls(certificate), client_tls()) if tls else (None, None)
        patience = 0.3 if leave is wait_for_the_server_to_close else 60
        async with served(site.app, ssl_context=server, keepalive_timeout=patience) as port:
            async with connected(port, ssl_context=client) as wire:
                await wire.ask(token=INITIAL)
                assert site.auth.acceptor.pending == 1
                await leave(wire)
                # Long before the deadline of the handshake, and without the garbage collector.
                await until(lambda: site.auth.acceptor.pending == 0)
                await until(lambda: site.provider.open_contexts == 0)

    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        runner.run(scenario())


@pytest.mark.parametrize("loop", LOOPS)
def test_legs_and_persistence_work_under_tls(loop: str, certificate: Path) -> None:
    async def scenario() -> None:
        site = Site(*TWO_LEGS, persistence=Persistence.CONNECTION)
        async with served(site.app, ssl_context=server_tls(certificate)) as port:
            async with connected(port, ssl_context=client_tls()) as wire:
                assert (await wire.ask(token=INITIAL)).status == 401
                assert (await wire.ask(token=FOLLOWING)).status == 200
                assert (await wire.ask()).text == ALICE.principal
            async with connected(port, ssl_context=client_tls()) as wire:
                assert (await wire.ask()).status == 401

    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        runner.run(scenario())


async def test_the_state_of_a_connection_goes_with_it() -> None:
    site = Site(log_in, persistence=Persistence.CONNECTION)
    async with served(site.app) as port:
        async with connected(port) as wire:
            await wire.ask(token=b"alice")
            assert len(site.auth._connections) == 1
        await until(lambda: len(site.auth._connections) == 0)


async def test_cleanup_deletes_what_is_pending() -> None:
    site = Site(*TWO_LEGS)
    async with served(site.app) as port, connected(port) as one, connected(port) as other:
        await one.ask(token=INITIAL)
        await other.ask(token=INITIAL)
        assert site.provider.open_contexts == 2
    assert site.auth.acceptor.pending == 0
    await until(lambda: site.provider.open_contexts == 0)


async def test_stopping_ends_handshakes_of_connections_that_are_still_open() -> None:
    site = Site(*TWO_LEGS)
    async with served(site.app) as port, connected(port) as wire:
        await wire.ask(token=INITIAL)
        await site.auth.stop(site.app)
        assert site.auth.acceptor.pending == 0
        await until(lambda: site.provider.open_contexts == 0)


@pytest.mark.parametrize("result", [Continue(b"next"), Incomplete(), Established(ALICE)])
async def test_a_client_that_leaves_during_a_leg_leaves_nothing_behind(result: Result) -> None:
    site = Site(Delay(60, result), persistence=Persistence.CONNECTION)
    requests: list[web.Request] = []

    @web.middleware
    async def note(request: web.Request, handler: Handler) -> web.StreamResponse:
        requests.append(request)
        return await handler(request)

    outer = web.Application(middlewares=[note])
    outer.add_domain("localhost", site.app)
    async with served(outer) as port, connected(port) as wire:
        await wire.send(token=INITIAL)
        await until(lambda: site.auth.acceptor.pool.occupied == 1)
        wire.writer.transport.abort()
        await until(lambda: requests[0].transport is None)
        site.provider.release()
        await until(lambda: site.provider.open_contexts == 0)
        await until(lambda: site.auth.acceptor.pending == len(site.auth._connections) == 0)


async def test_a_connection_has_one_pending_handshake_and_closes_the_one_before() -> None:
    request = make_mocked_request("GET", "/")
    async with Acceptor(ScriptedProvider()) as acceptor:
        connection = Connection()
        first, second = acceptor.create_handshake(), acceptor.create_handshake()
        connection.await_token(first, request)
        connection.await_token(second, request)
        assert (first.is_open, second.is_open) == (False, True)
        assert connection.take_handshake(FOLLOWING, request) is second
        assert connection.take_handshake(FOLLOWING, request) is None


def test_a_connection_that_keeps_nobody_distrusts_nothing() -> None:
    assert Connection().invalid_reason(make_mocked_request("GET", "/")) is None


# Identities that belong to their request.


async def test_a_pooled_connection_lends_no_identity_to_a_request_without_token() -> None:
    site = Site()
    async with served(site.app) as port, connected(port) as wire:
        assert (await wire.ask(token=b"alice")).text == "alice"
        answer = await wire.ask()
        assert (answer.status, answer.challenges) == (401, ["Negotiate"])
        assert (await wire.ask(token=b"bob")).text == "bob"
        assert len(site.auth._connections) == 0


async def test_a_pooled_connection_lends_no_identity_where_authentication_is_optional() -> None:
    site = Site(rules=AccessRules(default=Requirement.OPTIONAL))
    async with served(site.app) as port, connected(port) as wire:
        assert (await wire.ask(token=b"alice")).text == "alice"
        assert (await wire.ask()).text == "nobody"


# Identities that are kept, where persistence is on.


FORWARDED: tuple[dict[str, str], ...] = (
    {"Forwarded": "for=192.0.2.1"},
    {"X-Forwarded-For": "192.0.2.1"},
    {"X-Forwarded-Host": "web.example.org"},
    {"X-Real-IP": "192.0.2.1"},
    {"Via": "1.1 proxy"},
)


def keeping(*script: Act, **options: Any) -> Site:
    return Site(*script, persistence=Persistence.CONNECTION, **options)


def ended(site: Site) -> tuple[str, str]:
    """Whose identity ended, and why; it ended once."""
    (event,) = site.events_of(ConnectionIdentityEndedEvent)
    return event.principal, event.cause


async def is_over_for_good(wire: Wire, **request: Any) -> bool:
    """Nobody is known without a token any more, not even after a good one."""
    if (await wire.ask(**request)).status != 401:
        return False
    return (await wire.ask(token=b"alice")).status == 200 and (await wire.ask()).status == 401


async def test_a_kept_identity_is_known_without_a_token() -> None:
    site = keeping()
    async with served(site.app) as port, connected(port) as wire, connected(port) as other:
        answer = await wire.ask(token=b"alice")
        assert (answer.text, answer.challenges) == ("alice", [PROOF])
        for _ in range(2):
            answer = await wire.ask()
            # The proof belongs to the request that carried the token.
            assert (answer.text, answer.challenges) == ("alice", [])
        assert (await other.ask()).status == 401
    assert site.events_of(ConnectionIdentityEndedEvent) == []


async def test_each_request_that_a_kept_identity_is_served_for_is_reported() -> None:
    site = keeping(log_in)
    async with served(site.app) as port, connected(port) as wire:
        await wire.ask(token=b"alice")
        assert site.events_of(RecalledEvent) == []
        for path in ("/", "/none"):
            await wire.ask(path)
    told = [(event.request.path, event.identity.principal) for event in site.events[1:]]
    assert told == [("/", "alice"), ("/none", "alice")]


async def test_a_kept_identity_is_known_where_authentication_is_optional() -> None:
    site = keeping(rules=AccessRules(default=Requirement.OPTIONAL))
    async with served(site.app) as port, connected(port) as wire:
        assert (await wire.ask()).text == "nobody"
        await wire.ask(token=b"alice")
        assert (await wire.ask()).text == "alice"


async def test_the_same_user_may_send_a_token_again() -> None:
    site = keeping()
    async with served(site.app) as port, connected(port) as wire:
        for _ in range(3):
            assert (await wire.ask(token=b"alice")).text == "alice"
        assert (await wire.ask()).text == "alice"
    assert site.events_of(ConnectionIdentityEndedEvent) == []


async def test_another_user_ends_a_kept_identity_for_good() -> None:
    site = keeping()
    async with served(site.app) as port, connected(port) as wire:
        await wire.ask(token=b"alice")
        assert (await wire.ask(token=b"bob")).text == "bob"
        assert ended(site) == ("alice", "another user authenticated on the connection")
        assert await is_over_for_good(wire)


@pytest.mark.parametrize("headers", FORWARDED, ids=lambda headers: next(iter(headers)))
@pytest.mark.parametrize("token", [None, b"alice"], ids=["without-token", "with-token"])
async def test_forwarding_headers_that_change_end_a_kept_identity_for_good(
    headers: dict[str, str], token: bytes | None
) -> None:
    site = keeping()
    async with served(site.app) as port, connected(port) as wire:
        await wire.ask(token=b"alice")
        answer = await wire.ask(token=token, headers=headers)
        assert answer.status == (200 if token else 401)
        principal, cause = ended(site)
        assert (principal, cause[:30]) == ("alice", "the forwarding headers changed")
        assert await is_over_for_good(wire)


async def test_forwarding_headers_that_vanish_end_a_kept_identity() -> None:
    site = keeping()
    headers = {"X-Forwarded-For": "192.0.2.1"}
    async with served(site.app) as port, connected(port) as wire:
        await wire.ask(token=b"alice", headers=headers)
        assert (await wire.ask(headers=headers)).text == "alice"
        assert (await wire.ask()).status == 401
        assert await is_over_for_good(wire, headers=headers)


async def test_a_token_that_fails_ends_a_kept_identity_for_good() -> None:
    site = keeping()
    async with served(site.app) as port, connected(port) as wire:
        await wire.ask(token=b"alice")
        assert (await wire.ask(token=b"bad")).status == 401
        assert ended(site) == ("alice", "a token was refused")
        assert await is_over_for_good(wire)


@pytest.mark.parametrize("value", ["Negotiate ???", "Negotiate", "", "Negotiate " + "A" * 99_999])
async def test_a_malformed_field_ends_a_kept_identity_for_good(value: str) -> None:
    site = keeping(limits=Limits(max_token_bytes=60_000))
    async with served(site.app, max_field_size=200_000) as port, connected(port) as wire:
        await wire.ask(token=b"alice")
        assert (await wire.ask(headers={"Authorization": value})).status in (400, 401, 431)
        assert ended(site) == ("alice", "a token was refused")
        assert await is_over_for_good(wire)


async def test_credentials_of_another_scheme_end_a_kept_identity_for_good() -> None:
    site = keeping()
    async with served(site.app) as port, connected(port) as wire:
        await wire.ask(token=b"alice")
        assert (await wire.ask(headers={"Authorization": "Basic Ym9iOmI="})).status == 401
        assert ended(site) == ("alice", "credentials of another scheme came on the connection")
        assert await is_over_for_good(wire)


async def test_a_handshake_that_begins_ends_a_kept_identity_for_good() -> None:
    def act(token: bytes) -> Act:
        return Continue(b"next") if token == INITIAL else log_in(token)

    site = keeping(act)
    forwarding = {"X-Forwarded-For": "192.0.2.2"}
    async with served(site.app) as port, connected(port) as wire:
        await wire.ask(token=b"alice")
        # A second client behind a proxy begins, gives up, and asks without a token.
        assert (await wire.ask(token=INITIAL, headers=forwarding)).status == 401
        assert ended(site) == ("alice", "another handshake began on the connection")
        assert (await wire.ask(headers=forwarding)).status == 401
        assert await is_over_for_good(wire)


async def test_an_identity_is_kept_no_longer_than_its_ticket_lives() -> None:
    now = datetime.datetime.now(datetime.UTC)

    def act(token: bytes) -> Act:
        lives = datetime.timedelta(seconds=-1 if token == b"late" else 600)
        return Established(Identity(token.decode(), "scripted", expires_at=now + lives))

    site = keeping(act)
    async with served(site.app) as port, connected(port) as wire, connected(port) as other:
        await wire.ask(token=b"early")
        assert (await wire.ask()).text == "early"
        assert (await other.ask(token=b"late")).status == 200
        assert (await other.ask()).status == 401
        assert ended(site) == ("late", "the ticket has expired")
        assert await is_over_for_good(other)


async def test_an_open_path_needs_no_kept_identity_and_does_not_end_it() -> None:
    site = keeping(rules=AccessRules(open_paths=("/open",)))
    site.app.router.add_get("/open", site.tell_name)
    async with served(site.app) as port, connected(port) as wire:
        await wire.ask(token=b"alice")
        assert (await wire.ask("/open", headers=FORWARDED[0])).text == "nobody"
        assert (await wire.ask()).text == "alice"


async def test_an_identity_of_two_legs_is_kept_too() -> None:
    site = keeping(*TWO_LEGS)
    async with served(site.app) as port, connected(port) as wire:
        await wire.ask(token=INITIAL)
        await wire.ask(token=FOLLOWING)
        assert (await wire.ask()).text == ALICE.principal
