"""The client's side of MS-NNS, with a server that is played by hand."""

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
from authsrv.core.flags import AscRet, IscReq
from authsrv.core.identity import Identity
from authsrv.core.limits import Limits
from authsrv.core.results import Continue, Established, Incomplete, Refused, Result
from authsrv.core.status import SecurityStatus, WindowsCode
from authsrv.errors import (
    AttributesError,
    AuthsrvError,
    BadBindingsError,
    ConfigError,
    DeniedError,
    HandshakeExpiredError,
    InvalidTokenError,
    LogonDeniedError,
    MutualAuthenticationError,
    NoCredentialError,
    PeerError,
    ProviderFaultError,
    TokenTooLargeError,
    TooManyRoundsError,
    UnavailableError,
)
from authsrv.handshake.initiator import Initiator
from authsrv.providers.base import InitiatorRequest
from authsrv.providers.scripted import Act, Delay, ScriptedContext, ScriptedProvider
from authsrv.streams import initiate

Status = SecurityStatus
TARGET = "HTTP/localhost"
PROVEN = Identity(TARGET, "scripted", attributes=AscRet.MUTUAL_AUTH)
UNPROVEN = Identity(TARGET, "scripted")
REQUEST = InitiatorRequest(TARGET, required=AscRet.MUTUAL_AUTH)
NO_PROOF = InitiatorRequest(TARGET, flags=IscReq(0))
LATER = b"what the application reads"


def expect(token: bytes, result: Result) -> Act:
    """An act that wants exactly this token."""

    def act(given: bytes) -> Result:
        return result if given == token else Refused(InvalidTokenError("another token"))

    return act


FIRST = expect(b"", Continue(b"ticket"))
ONE_LEG = [FIRST, expect(b"proof", Established(PROVEN))]
TWO_LEGS = [
    expect(b"", Continue(b"offer")),
    expect(b"challenge", Continue(b"answer")),
    expect(b"proof", Established(PROVEN)),
]
DONE_FIRST = [
    expect(b"", Continue(b"offer")),
    expect(b"challenge", Established(PROVEN, b"answer")),
]
AT_ONCE = [expect(b"", Established(PROVEN, b"ticket"))]
IN_PIECES = [FIRST, expect(b"pro", Incomplete(2)), expect(b"proof", Established(PROVEN))]

Said = list[HandshakeMessage]
PLAYS: list[tuple[list[Act], Said, Said]] = [
    (ONE_LEG, [HandshakeDone(b"proof")], [HandshakeInProgress(b"ticket")]),
    (
        TWO_LEGS,
        [HandshakeInProgress(b"challenge"), HandshakeDone(b"proof")],
        [HandshakeInProgress(b"offer"), HandshakeInProgress(b"answer")],
    ),
    (
        DONE_FIRST,
        [HandshakeInProgress(b"challenge"), HandshakeDone()],
        [HandshakeInProgress(b"offer"), HandshakeDone(b"answer")],
    ),
    (AT_ONCE, [HandshakeDone()], [HandshakeDone(b"ticket")]),
    (AT_ONCE, [HandshakeDone(b"to be ignored")], [HandshakeDone(b"ticket")]),
    (
        IN_PIECES,
        [HandshakeInProgress(b"pro"), HandshakeDone(b"of")],
        [HandshakeInProgress(b"ticket")],
    ),
]
NAMES = ["one-leg", "two-legs", "done-first", "at-once", "at-once-ignoring", "token-in-pieces"]
each_play = pytest.mark.parametrize(("script", "said", "sent"), PLAYS, ids=NAMES)


class Client:
    """An initiator with a script, and connections of it."""

    def __init__(self) -> None:
        self.initiator: Initiator
        self.provider: ScriptedProvider
        self.tasks: list[asyncio.Task[Identity]] = []

    def plays(self, *script: Act, **bounds: Any) -> None:
        self.provider = ScriptedProvider(script)
        self.initiator = Initiator(self.provider, limits=Limits(**bounds))

    def connect(self, request: InitiatorRequest = REQUEST) -> tuple[Wire, asyncio.Task[Identity]]:
        wire = Wire()
        task = asyncio.create_task(initiate(self.initiator, request, wire.reader, wire.writer))
        self.tasks.append(task)
        return wire, task

    async def fails(
        self, *chunks: bytes, request: InitiatorRequest = REQUEST
    ) -> tuple[Wire, AuthsrvError]:
        """Play a server that is not content, or with which the client is not."""
        wire, task = self.connect(request)
        await wire.feed_in_pieces(*chunks)
        with pytest.raises(AuthsrvError) as caught:
            await task
        return wire, caught.value

    async def has_ended(self) -> None:
        """Nothing is pending, and every context was deleted."""
        for task in self.tasks:
            assert task.done()
        assert self.initiator.pending == 0
        await until(lambda: self.provider.open_contexts == 0)


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    made = Client()
    yield made
    await made.has_ended()
    made.provider.release()
    made.initiator.close()


@each_play
async def test_every_split_point_of_a_handshake_is_the_same_to_the_client(
    client: Client, script: list[Act], said: Said, sent: Said
) -> None:
    client.plays(*script)
    data = joined(*said)
    for point in range(len(data) + 1):
        wire, task = client.connect()
        await wire.feed_in_pieces(data[:point], data[point:])
        assert await task is PROVEN
        assert wire.sent == sent
        assert client.provider.open_contexts == 0


@each_play
@pytest.mark.parametrize("size", [1, 2, 3, 7])
async def test_a_handshake_may_come_in_any_small_pieces(
    client: Client, script: list[Act], said: Said, sent: Said, size: int
) -> None:
    client.plays(*script)
    wire, task = client.connect()
    await wire.feed_in_pieces(*pieces(joined(*said), size))
    assert await task is PROVEN
    assert wire.sent == sent


@each_play
async def test_what_follows_the_handshake_in_one_segment_is_the_application_s(
    client: Client, script: list[Act], said: Said, sent: Said
) -> None:
    client.plays(*script)
    wire, task = client.connect()
    wire.feed(joined(*said) + LATER)
    wire.hang_up()
    assert await task is PROVEN
    assert wire.sent == sent
    assert await wire.reader.read() == LATER


async def test_nothing_is_sent_behind_the_server_s_last_message(client: Client) -> None:
    client.plays(FIRST, Established(PROVEN, b"nobody waits for it"))
    wire, task = client.connect()
    wire.feed(build_message(HandshakeDone(b"proof")))
    assert await task is PROVEN
    assert wire.sent == [HandshakeInProgress(b"ticket")]


async def test_nothing_is_sent_where_the_package_has_nothing_to_say(client: Client) -> None:
    client.plays(FIRST, Continue(), Established(PROVEN))
    wire, task = client.connect()
    wire.feed(joined(HandshakeInProgress(b"a"), HandshakeDone(b"b")))
    assert await task is PROVEN
    assert wire.sent == [HandshakeInProgress(b"ticket")]


async def test_the_request_goes_to_the_package(client: Client) -> None:
    asked: list[InitiatorRequest] = []

    class Noting(ScriptedProvider):
        def create_initiator(self, request: InitiatorRequest) -> ScriptedContext:
            asked.append(request)
            return super().create_initiator(request)

    client.provider = Noting(AT_ONCE)
    client.initiator = Initiator(client.provider)
    wire, task = client.connect()
    wire.feed(build_message(HandshakeDone()))
    await task
    assert asked == [REQUEST]


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (Status.SEC_E_LOGON_DENIED, LogonDeniedError),
        (Status.SEC_E_BAD_BINDINGS, BadBindingsError),
        (Status.SEC_E_CONTEXT_EXPIRED, DeniedError),
        (Status.SEC_E_OUT_OF_SEQUENCE, PeerError),
        (Status.SEC_E_INTERNAL_ERROR, UnavailableError),
        (0x6FE, AttributesError),
        (0x80004005, UnavailableError),
        (0, UnavailableError),
    ],
)
@pytest.mark.parametrize("script", [ONE_LEG, AT_ONCE], ids=["waiting", "done"])
async def test_a_server_that_refuses_us_is_an_error_with_its_code(
    client: Client, script: list[Act], code: int, kind: type[AuthsrvError]
) -> None:
    client.plays(*script)
    wire, error = await client.fails(build_message(HandshakeError(code)))
    assert type(error) is kind
    assert error.native == WindowsCode(code)
    assert error.status.value in (code, kind.status, Status.SEC_E_INTERNAL_ERROR)
    # Who has ended the handshake is told nothing.
    assert len(wire.sent) == 1
    assert not isinstance(wire.sent[0], HandshakeError)


async def test_a_refusal_as_dotnet_sends_it_is_understood(client: Client) -> None:
    client.plays(*ONE_LEG)
    _, error = await client.fails(bytes.fromhex("15 01 00 00 08 00 00 00 00 80 09 03 0c"))
    assert error.status is Status.SEC_E_LOGON_DENIED
    assert error.detail == "the server ended the handshake with SEC_E_LOGON_DENIED (0x8009030C)"


async def test_a_refusal_in_the_second_leg_is_an_error(client: Client) -> None:
    client.plays(*TWO_LEGS)
    no = HandshakeError(Status.SEC_E_LOGON_DENIED)
    wire, error = await client.fails(joined(HandshakeInProgress(b"challenge"), no))
    assert type(error) is LogonDeniedError
    assert wire.sent == [HandshakeInProgress(b"offer"), HandshakeInProgress(b"answer")]


@pytest.mark.parametrize(
    "request_",
    [
        REQUEST,
        InitiatorRequest(TARGET),
        InitiatorRequest(TARGET, flags=IscReq(0), required=AscRet.MUTUAL_AUTH),
    ],
    ids=["both", "asked-for", "required"],
)
async def test_a_server_that_is_done_without_a_proof_is_not_believed(
    client: Client, request_: InitiatorRequest
) -> None:
    client.plays(FIRST, Established(PROVEN))
    wire, error = await client.fails(build_message(HandshakeDone()), request=request_)
    assert type(error) is MutualAuthenticationError
    assert wire.sent[1:] == [HandshakeError(Status.SEC_E_MUTUAL_AUTH_FAILED)]


async def test_a_server_that_is_done_too_early_is_not_believed_either(client: Client) -> None:
    client.plays(FIRST, Established(UNPROVEN))
    wire, error = await client.fails(build_message(HandshakeDone()), request=NO_PROOF)
    assert type(error) is InvalidTokenError
    assert wire.sent[1:] == [HandshakeError(Status.SEC_E_INVALID_TOKEN)]


@pytest.mark.parametrize(
    "script",
    [[FIRST, Established(UNPROVEN)], [Established(UNPROVEN, b"ticket")]],
    ids=["last-token", "at-once"],
)
async def test_a_context_without_the_required_proof_is_refused(
    client: Client, script: list[Act]
) -> None:
    client.plays(*script)
    wire, error = await client.fails(build_message(HandshakeDone(b"proof")))
    assert type(error) is AttributesError
    # MS-NNS section 3.1.5.1.
    assert wire.sent[-1] == HandshakeError(0x6FE)


async def test_a_wrong_proof_is_refused_and_the_server_is_told(client: Client) -> None:
    client.plays(FIRST, Refused(MutualAuthenticationError("why")))
    wire, error = await client.fails(build_message(HandshakeDone(b"wrong")))
    assert type(error) is MutualAuthenticationError
    assert wire.sent[1:] == [HandshakeError(Status.SEC_E_MUTUAL_AUTH_FAILED)]


@pytest.mark.parametrize("act", [Continue(b"more"), Continue(), Incomplete(3)])
async def test_a_server_whose_last_token_is_not_the_last_is_refused(
    client: Client, act: Continue | Incomplete
) -> None:
    client.plays(FIRST, act, Established(PROVEN))
    wire, error = await client.fails(build_message(HandshakeDone(b"proof")))
    assert type(error) is InvalidTokenError
    assert wire.sent[1:] == [HandshakeError(Status.SEC_E_INVALID_TOKEN)]


async def test_a_server_that_goes_on_behind_our_end_is_refused(client: Client) -> None:
    client.plays(*AT_ONCE)
    wire, error = await client.fails(build_message(HandshakeInProgress(b"more")))
    assert type(error) is InvalidTokenError
    assert wire.sent[0] == HandshakeDone(b"ticket")


async def test_bytes_behind_the_token_in_its_message_are_refused(client: Client) -> None:
    client.plays(FIRST, Established(PROVEN, unused=2))
    _, error = await client.fails(build_message(HandshakeDone(b"proof++")))
    assert type(error) is InvalidTokenError


async def test_without_a_credential_the_server_is_told_that_it_ends_here(client: Client) -> None:
    client.plays(Refused(NoCredentialError("there is no ticket")))
    wire, error = await client.fails()
    assert type(error) is NoCredentialError
    assert wire.sent == [HandshakeError(Status.SEC_E_NO_CREDENTIALS)]


@pytest.mark.parametrize("act", [Continue(), Established(PROVEN), Incomplete(1)])
async def test_a_package_that_begins_without_a_token_is_at_fault(
    client: Client, act: Continue | Established | Incomplete
) -> None:
    client.plays(act)
    wire, error = await client.fails()
    assert type(error) is ProviderFaultError
    assert wire.sent == [HandshakeError(Status.SEC_E_INTERNAL_ERROR)]


async def test_a_token_that_no_message_can_hold_is_not_sent(client: Client) -> None:
    client.plays(Continue(bytes(0x10000)))
    wire, error = await client.fails()
    assert type(error) is ProviderFaultError
    assert wire.sent == [HandshakeError(Status.SEC_E_INTERNAL_ERROR)]


async def test_where_nothing_can_be_begun_nothing_is_sent(client: Client) -> None:
    class Unable(ScriptedProvider):
        def create_initiator(self, request: InitiatorRequest) -> ScriptedContext:
            raise ConfigError("the target has another form")

    client.provider = Unable()
    client.initiator = Initiator(client.provider)
    wire, error = await client.fails()
    assert type(error) is ConfigError
    assert wire.fake.written == b""


@pytest.mark.parametrize("data", [b"HTTP/1.1 400 \r\n", bytes(20), b"\x16\x01\x00\x00\x00"])
async def test_what_is_no_handshake_message_is_refused_without_an_answer(
    client: Client, data: bytes
) -> None:
    client.plays(*ONE_LEG)
    wire, error = await client.fails(data)
    assert type(error) is InvalidTokenError
    assert wire.sent == [HandshakeInProgress(b"ticket")]


async def test_another_version_is_accepted(client: Client) -> None:
    client.plays(*ONE_LEG)
    wire, task = client.connect()
    wire.feed(b"\x14\x07\x07\x00\x05proof")
    assert await task is PROVEN


async def test_a_token_over_the_limit_is_refused_before_it_is_read(client: Client) -> None:
    client.plays(*ONE_LEG, max_token_bytes=100)
    wire, error = await client.fails(b"\x14\x01\x00\x00\x65unread")
    assert type(error) is TokenTooLargeError
    wire.hang_up()
    assert await wire.reader.read() == b"unread"


async def test_the_rounds_are_bounded(client: Client) -> None:
    client.plays(*[Continue(b"more")] * 9, max_rounds=3)
    wire, error = await client.fails(build_message(HandshakeInProgress(b"token")) * 9)
    assert type(error) is TooManyRoundsError
    assert wire.sent[:3] == [HandshakeInProgress(b"more")] * 3


@each_play
async def test_a_server_that_hangs_up_anywhere_breaks_the_connection(
    client: Client, script: list[Act], said: Said, sent: Said
) -> None:
    client.plays(*script)
    data = joined(*said)
    for end in range(len(data)):
        wire, task = client.connect()
        await wire.feed_in_pieces(data[:end])
        wire.hang_up()
        with pytest.raises(ConnectionAbortedError, match="server closed the connection"):
            await task
        await until(lambda: client.provider.open_contexts == 0)


@pytest.mark.parametrize("data", [b"", b"\x14\x01", b"\x14\x01\x00\x00\x05pro"], ids=len)
async def test_a_server_that_falls_silent_is_left_after_the_deadline(
    client: Client, data: bytes
) -> None:
    client.plays(*ONE_LEG, handshake_seconds=0.05)
    wire, error = await client.fails(data)
    assert type(error) is HandshakeExpiredError
    assert wire.sent[1:] == [HandshakeError(Status.SEC_E_CONTEXT_EXPIRED)]


async def test_a_server_that_does_not_read_is_left_after_the_deadline(client: Client) -> None:
    client.plays(*ONE_LEG, handshake_seconds=0.05)
    wire, task = client.connect()
    wire.fake.is_clogged = True
    with pytest.raises(HandshakeExpiredError):
        await task


async def in_the_package(client: Client) -> None:
    reached = asyncio.Event()
    loop = asyncio.get_running_loop()

    def act(token: bytes) -> Act:
        loop.call_soon_threadsafe(reached.set)
        return Delay(30, Continue(b"ticket"))

    client.plays(act)
    client.connect()
    await reached.wait()


async def while_the_token_is_sent(client: Client) -> None:
    client.plays(*ONE_LEG)
    wire, _ = client.connect()
    wire.fake.is_clogged = True
    await wire.has_sent(1)


async def in_the_answer(client: Client) -> None:
    client.plays(*ONE_LEG)
    wire, _ = client.connect()
    await wire.has_sent(1)
    await wire.feed_in_pieces(b"\x14\x01\x00\x00\x05pro")


async def before_the_confirmation(client: Client) -> None:
    client.plays(*AT_ONCE)
    wire, _ = client.connect()
    await wire.has_sent(1)
    await settle()


@pytest.mark.parametrize(
    "reach",
    [in_the_package, while_the_token_is_sent, in_the_answer, before_the_confirmation],
    ids=lambda reach: reach.__name__,
)
async def test_a_handshake_that_is_cancelled_anywhere_leaves_no_context(
    client: Client, reach: Any
) -> None:
    await reach(client)
    (task,) = client.tasks
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert client.initiator.pending == 0
    client.provider.release()
    await until(lambda: client.provider.open_contexts == 0)


@settings(deadline=None, max_examples=200)
@given(st.binary(max_size=80), st.booleans())
def test_any_bytes_of_a_server_end_in_a_documented_error(data: bytes, framed: bool) -> None:
    async def play() -> None:
        provider = ScriptedProvider([Continue(b"a"), Incomplete(), Refused(DeniedError("no"))])
        initiator = Initiator(provider)
        wire = Wire()
        wire.feed(bytes((20 + len(data) % 3, 1, 0, 0, 8)) + data if framed else data)
        wire.hang_up()
        with pytest.raises((AuthsrvError, ConnectionAbortedError)):
            await initiate(initiator, REQUEST, wire.reader, wire.writer)
        assert initiator.pending == 0
        initiator.close()
        await until(lambda: provider.open_contexts == 0)

    asyncio.run(play())
