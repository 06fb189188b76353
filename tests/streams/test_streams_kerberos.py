"""Both sides of MS-NNS with Kerberos, over sockets and in pieces, and the example."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from initiators import LateInitiator, fresh_token, kerberos_token
from people import Person, appear
from serving import Served, serve, server_environment
from wires import FakeWriter, Wire, pieces

from authsrv.codecs.nns import (
    HandshakeDone,
    HandshakeError,
    HandshakeInProgress,
    HandshakeMessage,
    MissingBytes,
    build_message,
    parse_message,
)
from authsrv.core.bindings import ChannelBindings
from authsrv.core.flags import AscRet, IscReq
from authsrv.core.identity import Identity
from authsrv.core.results import Established
from authsrv.core.status import SecurityStatus
from authsrv.devrealm import Realm
from authsrv.errors import (
    AttributesError,
    AuthsrvError,
    BadBindingsError,
    InvalidTokenError,
    MutualAuthenticationError,
    ReplayError,
    WrongServiceError,
)
from authsrv.handshake.acceptor import Acceptor
from authsrv.handshake.initiator import Initiator
from authsrv.providers.base import ContextRequest, InitiatorRequest
from authsrv.providers.gssapi.acceptor import GssapiProvider
from authsrv.providers.gssapi.initiator import GssapiInitiatorProvider, InitiatorMechanism
from authsrv.providers.scripted import ALICE, ScriptedProvider
from authsrv.streams import accept, initiate

pytestmark = pytest.mark.xdist_group("interop")

EXAMPLES = Path(__file__).parent.parent.parent / "examples"
TARGET = "HTTP/localhost"
REQUEST = InitiatorRequest(TARGET, required=AscRet.MUTUAL_AUTH)
NO_PROOF = InitiatorRequest(TARGET, flags=IscReq(0))

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Outcome = Identity | AuthsrvError | ConnectionError


class Server:
    """A server on loopback that says back what it reads, and how its handshakes ended."""

    def __init__(self, acceptor: Acceptor, port: int, outcomes: asyncio.Queue[Outcome]) -> None:
        self.acceptor = acceptor
        self.port = port
        self.outcomes = outcomes

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Streams]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            yield reader, writer
        finally:
            writer.close()
            await writer.wait_closed()


@asynccontextmanager
async def serving(
    provider: GssapiProvider | ScriptedProvider, request: ContextRequest | None = None
) -> AsyncIterator[Server]:
    """Serve until the end of the block."""
    outcomes: asyncio.Queue[Outcome] = asyncio.Queue()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            identity = await accept(acceptor, reader, writer, request)
            outcomes.put_nowait(identity)
            writer.write(await reader.read())
            await writer.drain()
        except (AuthsrvError, ConnectionError) as error:
            outcomes.put_nowait(error)
        finally:
            writer.close()

    async with Acceptor(provider) as acceptor:
        listener = await asyncio.start_server(handle, "127.0.0.1", 0)
        async with listener:
            yield Server(acceptor, listener.sockets[0].getsockname()[1], outcomes)
        assert acceptor.pending == 0


@pytest.fixture
async def server(
    kerberos_environment: dict[str, str], kerberos_keytab: Path
) -> AsyncIterator[Server]:
    async with serving(GssapiProvider(kerberos_keytab)) as made:
        yield made


async def next_message(reader: asyncio.StreamReader) -> HandshakeMessage:
    data = b""
    while isinstance(part := parse_message(data), MissingBytes):
        data += await reader.readexactly(part.count)
    return part.message


async def say(writer: asyncio.StreamWriter, message: HandshakeMessage) -> None:
    writer.write(build_message(message))
    await writer.drain()


@pytest.mark.parametrize("mechanism", InitiatorMechanism)
@pytest.mark.parametrize(
    ("request_", "attributes"),
    [(REQUEST, AscRet.MUTUAL_AUTH), (NO_PROOF, AscRet(0))],
    ids=["mutual", "without-proof"],
)
async def test_both_sides_know_each_other_and_the_stream_goes_on(
    server: Server,
    mechanism: InitiatorMechanism,
    request_: InitiatorRequest,
    attributes: AscRet,
) -> None:
    async with server.connection() as (reader, writer):
        async with Initiator(GssapiInitiatorProvider(mechanism=mechanism)) as initiator:
            known = await initiate(initiator, request_, reader, writer)
        assert known.principal == TARGET
        assert known.attributes & AscRet.MUTUAL_AUTH == attributes
        who = await server.outcomes.get()
        assert isinstance(who, Identity)
        assert (who.username, who.mechanism) == ("alice", "kerberos")
        writer.write(b"and now the application")
        writer.write_eof()
        assert await reader.read() == b"and now the application"


async def test_bytes_may_come_one_at_a_time_over_a_socket(server: Server) -> None:
    async with server.connection() as (reader, writer):
        for byte in pieces(build_message(HandshakeInProgress(fresh_token())), 1):
            writer.write(byte)
            await writer.drain()
            await asyncio.sleep(0)
        done = await next_message(reader)
        assert isinstance(done, HandshakeDone)
        assert done.token
        assert isinstance(await server.outcomes.get(), Identity)


async def test_what_comes_in_one_segment_with_the_token_is_the_application_s(
    server: Server,
) -> None:
    async with server.connection() as (reader, writer):
        writer.write(build_message(HandshakeInProgress(fresh_token())) + b"at once")
        writer.write_eof()
        assert isinstance(await next_message(reader), HandshakeDone)
        assert await reader.read() == b"at once"


async def test_a_client_that_is_done_with_its_ticket_gets_an_empty_done(server: Server) -> None:
    async with server.connection() as (reader, writer):
        await say(writer, HandshakeDone(kerberos_token(flags=())))
        assert await next_message(reader) == HandshakeDone()
        assert isinstance(await server.outcomes.get(), Identity)


async def test_a_handshake_of_three_legs_ends_well(server: Server) -> None:
    client, answer = LateInitiator(), None
    answers: list[HandshakeMessage] = []
    async with server.connection() as (reader, writer):
        while token := client.step(answer):
            await say(writer, HandshakeInProgress(token))
            message = await next_message(reader)
            answers.append(message)
            assert not isinstance(message, HandshakeError)
            answer = message.token
            if isinstance(message, HandshakeDone):
                break
        assert [type(message) for message in answers] == [
            HandshakeInProgress,
            HandshakeInProgress,
            HandshakeDone,
        ]
        assert isinstance(await server.outcomes.get(), Identity)


@pytest.mark.parametrize("kind", [HandshakeInProgress, HandshakeDone])
async def test_a_replayed_token_is_refused(
    server: Server, kind: type[HandshakeInProgress | HandshakeDone]
) -> None:
    message = kind(kerberos_token())
    for expected in (HandshakeDone, HandshakeError):
        async with server.connection() as (reader, writer):
            await say(writer, message)
            answer = await next_message(reader)
            assert isinstance(answer, expected)
            outcome = await server.outcomes.get()
    assert isinstance(outcome, ReplayError)
    assert answer == HandshakeError(SecurityStatus.SEC_E_LOGON_DENIED)


@pytest.fixture
def other_service(kerberos_realm: Realm) -> str:
    """Another service of the realm."""
    name = "nns/localhost"
    kerberos_realm.add_service(name)
    return name


async def test_a_client_learns_over_the_socket_why_it_is_refused(
    kerberos_environment: dict[str, str], kerberos_keytab: Path, other_service: str
) -> None:
    ours = GssapiProvider(kerberos_keytab, service=TARGET)
    async with serving(ours) as server, server.connection() as (reader, writer):
        async with Initiator(GssapiInitiatorProvider()) as initiator:
            with pytest.raises(WrongServiceError) as caught:
                await initiate(initiator, InitiatorRequest(other_service), reader, writer)
        assert caught.value.status is SecurityStatus.SEC_E_WRONG_PRINCIPAL
        assert isinstance(await server.outcomes.get(), WrongServiceError)


@pytest.mark.parametrize(
    ("server_has", "client_has", "expected"),
    [(b"one", b"one", Identity), (b"one", b"two", BadBindingsError)],
    ids=["the-same", "another"],
)
async def test_the_channel_ties_both_sides_together(
    kerberos_environment: dict[str, str],
    kerberos_keytab: Path,
    server_has: bytes,
    client_has: bytes,
    expected: type[Outcome],
) -> None:
    asked = ContextRequest(bindings=ChannelBindings(b"tls-server-end-point:" + server_has))
    bound = InitiatorRequest(TARGET, ChannelBindings(b"tls-server-end-point:" + client_has))
    async with serving(GssapiProvider(kerberos_keytab), asked) as server:
        async with server.connection() as (reader, writer):
            async with Initiator(GssapiInitiatorProvider()) as initiator:
                outcome: Outcome
                try:
                    outcome = await initiate(initiator, bound, reader, writer)
                except AuthsrvError as error:
                    outcome = error
            assert isinstance(outcome, expected)
            assert isinstance(await server.outcomes.get(), expected)


@pytest.mark.parametrize(
    ("token", "expected"),
    [
        (b"", MutualAuthenticationError),
        (b"no proof", (MutualAuthenticationError, InvalidTokenError)),
    ],
)
async def test_a_server_that_only_says_that_it_knows_us_is_not_believed(
    kerberos_environment: dict[str, str],
    token: bytes,
    expected: type[AuthsrvError] | tuple[type[AuthsrvError], ...],
) -> None:
    async with serving(ScriptedProvider([Established(ALICE, token)])) as server:
        async with server.connection() as (reader, writer):
            async with Initiator(GssapiInitiatorProvider()) as initiator:
                with pytest.raises(expected):
                    await initiate(initiator, REQUEST, reader, writer)


async def test_a_proof_that_was_not_asked_for_and_is_required_is_asked_for(
    server: Server,
) -> None:
    request = InitiatorRequest(TARGET, flags=IscReq(0), required=AscRet.MUTUAL_AUTH)
    async with server.connection() as (reader, writer):
        async with Initiator(GssapiInitiatorProvider()) as initiator:
            known = await initiate(initiator, request, reader, writer)
    assert AscRet.MUTUAL_AUTH in known.attributes


async def test_a_client_that_requires_what_it_does_not_get_says_so(server: Server) -> None:
    request = InitiatorRequest(TARGET, required=AscRet.DELEGATE)
    async with server.connection() as (reader, writer):
        async with Initiator(GssapiInitiatorProvider()) as initiator:
            with pytest.raises(AttributesError):
                await initiate(initiator, request, reader, writer)
        # MS-NNS section 3.1.5.3: the server, which is done, gets the error as the application.
        writer.write_eof()
        assert await reader.read() == build_message(HandshakeError(0x6FE))


class Pair:
    """Both ends of a connection in memory, which hands every write on in pieces."""

    def __init__(self, cut: Callable[[bytes], Sequence[bytes]]) -> None:
        loop = asyncio.get_running_loop()

        def to(end: Callable[[], Wire]) -> FakeWriter:
            def hand_on(data: bytes) -> None:
                for delay, piece in enumerate(cut(data)):
                    loop.call_later(0.0001 * delay, end().feed, piece)

            return FakeWriter(hand_on)

        self.client = Wire(to(lambda: self.server))
        self.server = Wire(to(lambda: self.client))


def halves_at(point: int) -> Callable[[bytes], Sequence[bytes]]:
    return lambda data: [piece for piece in (data[:point], data[point:]) if piece]


@pytest.mark.parametrize("point", [1, 2, 3, 4, 5, 6, 100, -2, -1])
async def test_both_sides_take_messages_in_halves(
    kerberos_environment: dict[str, str], kerberos_keytab: Path, point: int
) -> None:
    pair = Pair(halves_at(point))
    async with Acceptor(GssapiProvider(kerberos_keytab)) as acceptor:
        async with Initiator(GssapiInitiatorProvider()) as initiator:
            who, known = await asyncio.gather(
                accept(acceptor, pair.server.reader, pair.server.writer),
                initiate(initiator, REQUEST, pair.client.reader, pair.client.writer),
            )
    assert (who.username, known.principal) == ("alice", TARGET)


@pytest.fixture(scope="module")
def person(kerberos_realm: Realm) -> Person:
    """Somebody who has logged in."""
    somebody = appear(kerberos_realm, "linda")
    kerberos_realm.login("linda")
    return somebody


def start_line_client(
    served: Served, environment: dict[str, str], *more: str, typed: str = ""
) -> subprocess.CompletedProcess[str]:
    where = ["--host", "127.0.0.1", "--port", str(served.port)]
    return subprocess.run(
        [sys.executable, str(EXAMPLES / "line_client.py"), *where, *more],
        env=environment,
        input=typed,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_the_example_serves_lines_to_somebody_with_a_ticket(
    kerberos_realm: Realm, person: Person
) -> None:
    where = ["--host", "127.0.0.1", "--port", "0", "--keytab", str(kerberos_realm.keytab)]
    command = [sys.executable, str(EXAMPLES / "line_server.py"), *where]
    with serve(command, server_environment(kerberos_realm)) as served:
        greeting = f"connected to HTTP/localhost\nwelcome {person.principal}\n"
        done = start_line_client(served, person.environment, "--line", "good", "--line", "day")
        assert (done.stdout, done.stderr) == (greeting + "GOOD\nDAY\n", ""), served.logged()
        assert done.returncode == 0
        done = start_line_client(served, person.environment, typed="from\nstdin")
        assert done.stdout == greeting + "FROM\nSTDIN\n", done.stderr
        nobody = {**person.environment, "KRB5CCNAME": "FILE:/nonexistent"}
        done = start_line_client(served, nobody, "--line", "x")
        assert done.returncode == 1
        assert done.stderr.startswith("no-credential: ")
        assert done.stdout == ""


def test_the_example_s_client_says_why_the_server_refuses_it(
    kerberos_realm: Realm, person: Person, tmp_path: Path
) -> None:
    missing = tmp_path / "missing.keytab"
    where = ["--host", "127.0.0.1", "--port", "0", "--keytab", str(missing)]
    command = [sys.executable, str(EXAMPLES / "line_server.py"), *where]
    with serve(command, server_environment(kerberos_realm)) as served:
        done = start_line_client(served, person.environment, "--line", "x")
    assert done.returncode == 1
    assert "SEC_E_NO_CREDENTIALS" in done.stderr


@pytest.mark.parametrize("options", [(), ("--quiet",)])
def test_the_example_tells_who_came_unless_it_is_told_to_be_quiet(
    kerberos_realm: Realm, person: Person, options: tuple[str, ...]
) -> None:
    where = ["--host", "127.0.0.1", "--port", "0", "--keytab", str(kerberos_realm.keytab)]
    command = [sys.executable, str(EXAMPLES / "line_server.py"), *where, *options]
    with serve(command, server_environment(kerberos_realm)) as served:
        assert start_line_client(served, person.environment, "--line", "x").returncode == 0
        served.stop()
        assert served.process.stdout is not None
        told = served.process.stdout.read()
    assert told == ("" if options else f"{person.principal} has come\n")
