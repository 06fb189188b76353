"""The server's side of MS-NNS, with a client that is played by hand."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from waiting import until
from wires import Wire, joined, pieces, settle

from authsrv.codecs.nns import (
    HandshakeDone,
    HandshakeError,
    HandshakeInProgress,
    HandshakeMessage,
    build_message,
)
from authsrv.core.bindings import ChannelBindings
from authsrv.core.flags import AscRet
from authsrv.core.identity import Identity
from authsrv.core.limits import Limits
from authsrv.core.results import (
    CompleteAndContinue,
    CompleteNeeded,
    Continue,
    Established,
    Incomplete,
    Refused,
    Result,
)
from authsrv.core.status import SecurityStatus
from authsrv.errors import (
    AttributesError,
    AuthsrvError,
    ClockSkewError,
    DeniedError,
    HandshakeExpiredError,
    InvalidTokenError,
    KeytabError,
    LogonDeniedError,
    OverloadedError,
    ProviderFaultError,
    TokenTooLargeError,
    TooManyRoundsError,
)
from authsrv.handshake.acceptor import Acceptor
from authsrv.providers.base import ContextRequest
from authsrv.providers.scripted import ALICE, Act, Delay, ScriptedContext, ScriptedProvider
from authsrv.streams import accept

Status = SecurityStatus
LATER = b"what the application reads"


def expect(token: bytes, result: Result) -> Act:
    """An act that wants exactly this token."""

    def act(given: bytes) -> Result:
        return result if given == token else Refused(InvalidTokenError("another token"))

    return act


ONE_LEG = [expect(b"ticket", Established(ALICE, b"proof"))]
TWO_LEGS = [
    expect(b"offer", Continue(b"challenge")),
    expect(b"answer", Established(ALICE, b"proof")),
]
THREE_LEGS = [
    expect(b"one", Continue(b"ONE")),
    expect(b"two", Continue(b"TWO")),
    expect(b"three", Established(ALICE)),
]
IN_PIECES = [
    expect(b"head", Incomplete(4)),
    expect(b"head+tail", Established(ALICE, b"proof")),
]

Said = list[HandshakeMessage]
PLAYS: list[tuple[list[Act], Said, Said]] = [
    (ONE_LEG, [HandshakeInProgress(b"ticket")], [HandshakeDone(b"proof")]),
    (ONE_LEG, [HandshakeDone(b"ticket")], [HandshakeDone()]),
    (
        TWO_LEGS,
        [HandshakeInProgress(b"offer"), HandshakeInProgress(b"answer")],
        [HandshakeInProgress(b"challenge"), HandshakeDone(b"proof")],
    ),
    (
        TWO_LEGS,
        [HandshakeInProgress(b"offer"), HandshakeDone(b"answer")],
        [HandshakeInProgress(b"challenge"), HandshakeDone()],
    ),
    (
        THREE_LEGS,
        [HandshakeInProgress(token) for token in (b"one", b"two", b"three")],
        [HandshakeInProgress(b"ONE"), HandshakeInProgress(b"TWO"), HandshakeDone()],
    ),
    (
        IN_PIECES,
        [HandshakeInProgress(b"head"), HandshakeDone(b"+tail")],
        [HandshakeDone()],
    ),
    (
        IN_PIECES,
        [HandshakeInProgress(b"head"), HandshakeInProgress(b"+tail")],
        [HandshakeDone(b"proof")],
    ),
]
NAMES = [
    "one-leg",
    "one-leg-and-done",
    "two-legs",
    "two-legs-and-done",
    "three-legs",
    "token-in-pieces-and-done",
    "token-in-pieces",
]
each_play = pytest.mark.parametrize(("script", "said", "answered"), PLAYS, ids=NAMES)


class Server:
    """An acceptor with a script, and connections to it."""

    def __init__(self) -> None:
        self.acceptor: Acceptor
        self.provider: ScriptedProvider
        self.tasks: list[asyncio.Task[Identity]] = []

    def plays(self, *script: Act, request: ContextRequest | None = None, **bounds: Any) -> None:
        self.provider = ScriptedProvider(script)
        asked = request or ContextRequest()
        self.acceptor = Acceptor(self.provider, request=asked, limits=Limits(**bounds))

    def connect(self) -> tuple[Wire, asyncio.Task[Identity]]:
        wire = Wire()
        task = asyncio.create_task(accept(self.acceptor, wire.reader, wire.writer))
        self.tasks.append(task)
        return wire, task

    async def refuses(self, *chunks: bytes) -> tuple[Wire, AuthsrvError]:
        """Play a client that is refused."""
        wire, task = self.connect()
        await wire.feed_in_pieces(*chunks)
        with pytest.raises(AuthsrvError) as caught:
            await task
        return wire, caught.value

    async def has_ended(self) -> None:
        """Nothing is pending, and every context was deleted."""
        for task in self.tasks:
            assert task.done()
        assert self.acceptor.pending == 0
        await until(lambda: self.provider.open_contexts == 0)


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    made = Server()
    yield made
    await made.has_ended()
    made.provider.release()
    made.acceptor.close()


@each_play
async def test_every_split_point_of_a_handshake_is_the_same_to_the_server(
    server: Server, script: list[Act], said: Said, answered: Said
) -> None:
    server.plays(*script)
    data = joined(*said)
    for point in range(len(data) + 1):
        wire, task = server.connect()
        await wire.feed_in_pieces(data[:point], data[point:])
        assert await task is ALICE
        assert wire.sent == answered
        assert server.provider.open_contexts == 0


@each_play
@pytest.mark.parametrize("size", [1, 2, 3, 7])
async def test_a_handshake_may_come_in_any_small_pieces(
    server: Server, script: list[Act], said: Said, answered: Said, size: int
) -> None:
    server.plays(*script)
    wire, task = server.connect()
    await wire.feed_in_pieces(*pieces(joined(*said), size))
    assert await task is ALICE
    assert wire.sent == answered


@each_play
async def test_each_message_may_wait_for_the_answer_to_the_one_before(
    server: Server, script: list[Act], said: Said, answered: Said
) -> None:
    server.plays(*script)
    wire, task = server.connect()
    for number, message in enumerate(said):
        for byte in pieces(build_message(message), 1):
            await wire.feed_in_pieces(byte)
        if len(said) == len(answered):
            await wire.has_sent(number + 1)
            assert wire.sent[number] == answered[number]
    assert await task is ALICE


@each_play
async def test_what_follows_the_handshake_in_one_segment_is_the_application_s(
    server: Server, script: list[Act], said: Said, answered: Said
) -> None:
    server.plays(*script)
    wire, task = server.connect()
    wire.feed(joined(*said) + LATER)
    wire.hang_up()
    assert await task is ALICE
    assert wire.sent == answered
    assert await wire.reader.read() == LATER


async def test_a_second_handshake_may_follow_on_the_same_connection(server: Server) -> None:
    server.plays(*ONE_LEG)
    wire, task = server.connect()
    wire.feed(build_message(HandshakeInProgress(b"ticket")) * 2)
    assert await task is ALICE
    assert await accept(server.acceptor, wire.reader, wire.writer) is ALICE
    assert wire.sent == [HandshakeDone(b"proof")] * 2


async def test_complete_auth_token_is_called_where_the_package_asks_for_it(server: Server) -> None:
    server.plays(
        CompleteAndContinue(b"unused"),
        Continue(b"challenge"),
        CompleteNeeded(),
        Established(ALICE, b"proof"),
    )
    wire, task = server.connect()
    wire.feed(joined(HandshakeInProgress(b"offer"), HandshakeDone(b"answer")))
    assert await task is ALICE
    assert wire.sent == [HandshakeInProgress(b"challenge"), HandshakeDone()]


async def test_nothing_is_sent_while_a_token_is_not_whole(server: Server) -> None:
    server.plays(*IN_PIECES)
    wire, task = server.connect()
    wire.feed(build_message(HandshakeInProgress(b"head")))
    await until(lambda: server.acceptor.pending == 1 and server.provider.created == 1)
    await settle()
    assert wire.sent == []
    wire.feed(build_message(HandshakeInProgress(b"+tail")))
    assert await task is ALICE


async def test_nothing_is_sent_where_the_package_has_nothing_to_say(server: Server) -> None:
    server.plays(Continue(), Established(ALICE))
    wire, task = server.connect()
    wire.feed(joined(HandshakeInProgress(b"a"), HandshakeInProgress(b"b")))
    assert await task is ALICE
    assert wire.sent == [HandshakeDone()]


async def test_the_context_is_asked_for_what_this_connection_asks_for(server: Server) -> None:
    asked: list[ContextRequest] = []

    class Noting(ScriptedProvider):
        def create_context(self, request: ContextRequest) -> ScriptedContext:
            asked.append(request)
            return super().create_context(request)

    server.provider = Noting(ONE_LEG)
    server.acceptor = Acceptor(server.provider)
    request = ContextRequest(bindings=ChannelBindings(b"tls-server-end-point:x"))
    for own in (request, None):
        wire = Wire()
        wire.feed(build_message(HandshakeInProgress(b"ticket")))
        await accept(server.acceptor, wire.reader, wire.writer, own)
    assert asked == [request, server.acceptor.request]


@pytest.mark.parametrize(
    "error",
    [
        LogonDeniedError("why"),
        ClockSkewError("why"),
        InvalidTokenError("why"),
        KeytabError("why"),
        DeniedError("why", status=Status.SEC_E_WRONG_PRINCIPAL),
    ],
    ids=lambda error: error.code,
)
@pytest.mark.parametrize("kind", [HandshakeInProgress, HandshakeDone])
async def test_a_refused_client_learns_the_status_of_the_error(
    server: Server, error: AuthsrvError, kind: type[HandshakeInProgress | HandshakeDone]
) -> None:
    server.plays(Refused(error, b"an error token"))
    wire, raised = await server.refuses(build_message(kind(b"ticket")))
    assert raised is error
    assert wire.sent == [HandshakeError(error.status)]


async def test_a_refusal_is_on_the_wire_as_dotnet_reads_it(server: Server) -> None:
    server.plays(Refused(LogonDeniedError("why")))
    wire, _ = await server.refuses(build_message(HandshakeInProgress(b"ticket")))
    assert wire.fake.written == bytes.fromhex("15 01 00 00 08 00 00 00 00 80 09 03 0c")


async def test_a_refusal_in_the_second_leg_follows_the_answer_to_the_first(server: Server) -> None:
    server.plays(Continue(b"challenge"), Refused(LogonDeniedError("why")))
    offer, answer = HandshakeInProgress(b"offer"), HandshakeDone(b"answer")
    wire, _ = await server.refuses(joined(offer, answer))
    assert wire.sent == [
        HandshakeInProgress(b"challenge"),
        HandshakeError(Status.SEC_E_LOGON_DENIED),
    ]


async def test_a_context_that_lacks_what_is_required_is_told_by_the_code_for_that(
    server: Server,
) -> None:
    server.plays(
        Established(ALICE, b"proof"), request=ContextRequest(required=AscRet.CONFIDENTIALITY)
    )
    wire, error = await server.refuses(build_message(HandshakeInProgress(b"ticket")))
    assert type(error) is AttributesError
    assert wire.sent == [HandshakeError(0x6FE)]


async def test_a_package_that_breaks_is_our_fault_and_the_client_learns_no_more(
    server: Server,
) -> None:
    server.plays(RuntimeError("SECRET"))
    wire, error = await server.refuses(build_message(HandshakeInProgress(b"ticket")))
    assert type(error) is ProviderFaultError
    assert wire.sent == [HandshakeError(Status.SEC_E_INTERNAL_ERROR)]


async def test_a_package_that_makes_no_context_is_our_fault(server: Server) -> None:
    class Unable(ScriptedProvider):
        def create_context(self, request: ContextRequest) -> ScriptedContext:
            raise RuntimeError("SECRET")

    server.provider = Unable()
    server.acceptor = Acceptor(server.provider)
    wire, error = await server.refuses()
    assert type(error) is ProviderFaultError
    assert wire.sent == [HandshakeError(Status.SEC_E_INTERNAL_ERROR)]


async def test_a_token_that_no_message_can_hold_is_our_fault(server: Server) -> None:
    server.plays(Established(ALICE, bytes(0x10000)))
    wire, error = await server.refuses(build_message(HandshakeInProgress(b"ticket")))
    assert type(error) is ProviderFaultError
    assert wire.sent == [HandshakeError(Status.SEC_E_INTERNAL_ERROR)]


@pytest.mark.parametrize("act", [Established(ALICE, unused=3), Continue(b"more", unused=3)])
async def test_bytes_behind_the_token_in_its_message_are_refused(
    server: Server, act: Established | Continue
) -> None:
    server.plays(act)
    wire, error = await server.refuses(build_message(HandshakeInProgress(b"ticket and more")))
    assert type(error) is InvalidTokenError
    assert wire.sent == [HandshakeError(Status.SEC_E_INVALID_TOKEN)]


@pytest.mark.parametrize("act", [Continue(b"more"), Continue(), Incomplete(3)])
async def test_a_client_that_says_it_is_done_and_is_not_is_refused(
    server: Server, act: Continue | Incomplete
) -> None:
    server.plays(act, Established(ALICE))
    wire, error = await server.refuses(build_message(HandshakeDone(b"ticket")))
    assert type(error) is InvalidTokenError
    assert wire.sent == [HandshakeError(Status.SEC_E_INVALID_TOKEN)]


async def test_a_client_that_is_done_and_sends_no_token_is_refused(server: Server) -> None:
    server.plays(Established(ALICE))
    wire, error = await server.refuses(build_message(HandshakeDone()))
    assert type(error) is InvalidTokenError
    assert wire.sent == [HandshakeError(Status.SEC_E_INVALID_TOKEN)]


async def test_a_client_that_does_not_want_to_go_on_is_told_nothing(server: Server) -> None:
    server.plays(Continue(b"challenge"), Established(ALICE))
    gone = HandshakeError(Status.SEC_E_MUTUAL_AUTH_FAILED)
    wire, error = await server.refuses(joined(HandshakeInProgress(b"offer"), gone))
    assert type(error) is DeniedError
    assert error.status is Status.SEC_E_MUTUAL_AUTH_FAILED
    assert str(error.native) == "0x80090363"
    assert wire.sent == [HandshakeInProgress(b"challenge")]


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"\x17\x01\x00\x00\x01x",
        b"\x16\x01\x00\x00\x00",
        b"\x15\x01\x00\x00\x04\x80\x09\x03\x0c",
        bytes(100),
    ],
    ids=["http", "unknown", "no-token", "short-error", "zeros"],
)
async def test_what_is_no_handshake_message_is_refused_without_an_answer(
    server: Server, data: bytes
) -> None:
    server.plays(Established(ALICE))
    wire, error = await server.refuses(data)
    assert type(error) is InvalidTokenError
    assert wire.fake.written == b""


async def test_another_version_is_accepted(server: Server) -> None:
    server.plays(*ONE_LEG)
    wire, task = server.connect()
    wire.feed(b"\x16\x07\x07\x00\x06ticket")
    assert await task is ALICE


async def test_a_token_over_the_limit_is_refused_before_it_is_read(server: Server) -> None:
    server.plays(Established(ALICE), max_token_bytes=100)
    header = build_message(HandshakeInProgress(bytes(101)))[:5]
    wire, error = await server.refuses(header + b"unread")
    assert type(error) is TokenTooLargeError
    assert wire.sent == [HandshakeError(Status.SEC_E_INVALID_TOKEN)]
    wire.hang_up()
    assert await wire.reader.read() == b"unread"


async def test_the_largest_token_is_accepted(server: Server) -> None:
    server.plays(lambda token: Established(ALICE, token))
    largest = HandshakeInProgress(bytes(range(256))[:255] * 257)
    assert len(largest.token) == 65_535
    wire, task = server.connect()
    await wire.feed_in_pieces(*pieces(build_message(largest), 4_000))
    assert await task is ALICE
    assert wire.sent == [HandshakeDone(largest.token)]


async def test_the_pieces_of_a_token_are_bounded(server: Server) -> None:
    server.plays(*[Incomplete()] * 9, max_incomplete_bytes=100)
    wire, error = await server.refuses(build_message(HandshakeInProgress(bytes(40))) * 9)
    assert type(error) is TokenTooLargeError
    assert wire.sent == [HandshakeError(Status.SEC_E_INVALID_TOKEN)]


async def test_the_rounds_are_bounded(server: Server) -> None:
    server.plays(*[Continue(b"more")] * 9, max_rounds=3)
    wire, error = await server.refuses(build_message(HandshakeInProgress(b"token")) * 9)
    assert type(error) is TooManyRoundsError
    assert wire.sent == [HandshakeInProgress(b"more")] * 3 + [
        HandshakeError(Status.SEC_E_OUT_OF_SEQUENCE)
    ]


@each_play
async def test_a_client_that_hangs_up_anywhere_breaks_the_connection(
    server: Server, script: list[Act], said: Said, answered: Said
) -> None:
    server.plays(*script)
    data = joined(*said)
    for end in range(len(data)):
        wire, task = server.connect()
        await wire.feed_in_pieces(data[:end])
        wire.hang_up()
        with pytest.raises(ConnectionAbortedError, match="client closed the connection"):
            await task
        assert not any(isinstance(message, HandshakeError) for message in wire.sent)
        await until(lambda: server.provider.open_contexts == 0)


async def test_a_connection_that_breaks_while_it_is_read_raises_its_error(server: Server) -> None:
    server.plays(*ONE_LEG)
    wire, task = server.connect()
    await wire.feed_in_pieces(b"\x16\x01\x00")
    wire.reader.set_exception(ConnectionResetError("reset"))
    with pytest.raises(ConnectionResetError):
        await task


async def test_nobody_is_known_where_the_last_answer_cannot_be_sent(server: Server) -> None:
    server.plays(*ONE_LEG)
    wire, task = server.connect()
    wire.fake.is_lost = True
    wire.feed(build_message(HandshakeInProgress(b"ticket")))
    with pytest.raises(ConnectionResetError):
        await task


async def test_a_refusal_does_not_need_a_connection_that_is_still_there(server: Server) -> None:
    server.plays(Refused(LogonDeniedError("why")))
    wire, task = server.connect()
    wire.fake.is_lost = True
    wire.feed(build_message(HandshakeInProgress(b"ticket")))
    with pytest.raises(LogonDeniedError):
        await task
    assert wire.fake.written == b""


SILENT_AFTER = [
    b"",
    b"\x16",
    b"\x16\x01\x00\x00",
    b"\x16\x01\x00\x00\x05",
    b"\x16\x01\x00\x00\x05offe",
]


@pytest.mark.parametrize("data", SILENT_AFTER, ids=map(len, SILENT_AFTER))
async def test_a_client_that_falls_silent_is_refused_after_the_deadline(
    server: Server, data: bytes
) -> None:
    server.plays(*TWO_LEGS, handshake_seconds=0.05)
    wire, error = await server.refuses(data)
    assert type(error) is HandshakeExpiredError
    assert wire.sent == [HandshakeError(Status.SEC_E_CONTEXT_EXPIRED)]


async def test_the_deadline_holds_for_the_whole_handshake_and_not_for_each_message(
    server: Server,
) -> None:
    server.plays(*[Continue(b"more")] * 8, handshake_seconds=0.2)
    loop = asyncio.get_running_loop()
    began = loop.time()
    wire, task = server.connect()
    for byte in pieces(build_message(HandshakeInProgress(bytes(500))), 1):
        wire.feed(byte)
        await asyncio.sleep(0.01)
        if task.done():
            break
    with pytest.raises(HandshakeExpiredError):
        await task
    assert loop.time() - began < 2


async def test_a_client_that_does_not_read_is_refused_after_the_deadline(server: Server) -> None:
    server.plays(*TWO_LEGS, handshake_seconds=0.05)
    wire, task = server.connect()
    wire.fake.is_clogged = True
    wire.feed(build_message(HandshakeInProgress(b"offer")))
    with pytest.raises(HandshakeExpiredError):
        await task


async def test_a_time_out_of_somebody_else_is_not_ours(server: Server) -> None:
    server.plays(*ONE_LEG)
    wire, task = server.connect()
    await settle()
    wire.reader.set_exception(TimeoutError("the network's own"))
    with pytest.raises(TimeoutError, match="the network's own"):
        await task


async def test_silent_clients_are_counted_and_one_too_many_is_refused(server: Server) -> None:
    server.plays(*TWO_LEGS, max_pending=2)
    silent, halfway = server.connect(), server.connect()
    halfway[0].feed(build_message(HandshakeInProgress(b"offer")))
    await halfway[0].has_sent(1)
    await settle()
    wire, error = await server.refuses()
    assert type(error) is OverloadedError
    assert wire.sent == [HandshakeError(Status.SEC_E_INSUFFICIENT_MEMORY)]
    for waiting, _ in (silent, halfway):
        waiting.hang_up()
    for _, task in (silent, halfway):
        with pytest.raises(ConnectionAbortedError):
            await task
    later, task = server.connect()
    later.feed(joined(HandshakeInProgress(b"offer"), HandshakeDone(b"answer")))
    assert await task is ALICE


async def in_the_first_header(server: Server) -> Wire:
    server.plays(*TWO_LEGS)
    wire, _ = server.connect()
    await wire.feed_in_pieces(b"\x16\x01")
    return wire


async def in_the_first_payload(server: Server) -> Wire:
    server.plays(*TWO_LEGS)
    wire, _ = server.connect()
    await wire.feed_in_pieces(b"\x16\x01\x00\x00\x05off")
    return wire


async def before_anything(server: Server) -> Wire:
    server.plays(*TWO_LEGS)
    wire, _ = server.connect()
    await settle()
    return wire


async def before_the_task_began(server: Server) -> Wire:
    server.plays(*TWO_LEGS)
    return server.connect()[0]


async def in_the_package(server: Server) -> Wire:
    reached = asyncio.Event()
    loop = asyncio.get_running_loop()

    def act(token: bytes) -> Act:
        loop.call_soon_threadsafe(reached.set)
        return Delay(30, Established(ALICE))

    server.plays(act)
    wire, _ = server.connect()
    wire.feed(build_message(HandshakeInProgress(b"offer")))
    await reached.wait()
    return wire


async def while_the_answer_is_sent(server: Server) -> Wire:
    server.plays(*TWO_LEGS)
    wire, _ = server.connect()
    wire.fake.is_clogged = True
    wire.feed(build_message(HandshakeInProgress(b"offer")))
    await wire.has_sent(1)
    return wire


async def in_the_second_message(server: Server) -> Wire:
    server.plays(*TWO_LEGS)
    wire, _ = server.connect()
    wire.feed(build_message(HandshakeInProgress(b"offer")) + b"\x14\x01")
    await wire.has_sent(1)
    await settle()
    return wire


async def after_a_piece_of_a_token(server: Server) -> Wire:
    server.plays(*IN_PIECES)
    wire, _ = server.connect()
    wire.feed(build_message(HandshakeInProgress(b"head")))
    await until(lambda: server.provider.created == 1)
    await asyncio.sleep(0.02)
    return wire


async def while_the_last_answer_is_sent(server: Server) -> Wire:
    server.plays(*ONE_LEG)
    wire, _ = server.connect()
    wire.fake.is_clogged = True
    wire.feed(build_message(HandshakeInProgress(b"ticket")))
    await wire.has_sent(1)
    return wire


@pytest.mark.parametrize(
    "reach",
    [
        before_the_task_began,
        before_anything,
        in_the_first_header,
        in_the_first_payload,
        in_the_package,
        while_the_answer_is_sent,
        in_the_second_message,
        after_a_piece_of_a_token,
        while_the_last_answer_is_sent,
    ],
    ids=lambda reach: reach.__name__,
)
async def test_a_handshake_that_is_cancelled_anywhere_leaves_no_context(
    server: Server, reach: Any
) -> None:
    wire = await reach(server)
    (task,) = server.tasks
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert server.acceptor.pending == 0
    assert not any(isinstance(message, HandshakeError) for message in wire.sent)
    server.provider.release()
    await until(lambda: server.provider.open_contexts == 0)


@settings(deadline=None, max_examples=200)
@given(st.binary(max_size=80), st.booleans())
def test_any_bytes_of_a_client_end_in_a_documented_error(data: bytes, framed: bool) -> None:
    async def play() -> None:
        provider = ScriptedProvider([Continue(b"a"), Incomplete(), Refused(DeniedError("no"))])
        acceptor = Acceptor(provider)
        wire = Wire()
        wire.feed(bytes((20 + len(data) % 3, 1, 0, 0, 8)) + data if framed else data)
        wire.hang_up()
        with pytest.raises((AuthsrvError, ConnectionAbortedError)):
            await accept(acceptor, wire.reader, wire.writer)
        assert acceptor.pending == 0
        acceptor.close()
        await until(lambda: provider.open_contexts == 0)

    asyncio.run(play())
