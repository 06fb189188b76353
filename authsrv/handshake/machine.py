"""The handshake as a table: states, events, and every transition between them.

Two rules hold this module together. Every rule about what may follow what is in TRANSITIONS, and
nowhere else: a pair that is missing there is an error, and it fails the handshake. And nothing here
does I/O, reads a clock, or knows HTTP: tokens, results and the time are handed in, which is why
the same code serves an HTTP request, a stream and a test.

How a handshake goes: a token arrives (TOKEN) and the provider works on it (ACCEPTING). Its
answer is one of SSPI's codes. CONTINUE_NEEDED waits for the client's next token.
INCOMPLETE_MESSAGE waits for the rest of this one, whose beginning is kept. COMPLETE_NEEDED and
COMPLETE_AND_CONTINUE call CompleteAuthToken first (COMPLETING, COMPLETING_LEG), and that call may
still refuse. OK ends in ESTABLISHED, every fatal code in FAILED. ACCEPTING and the two COMPLETING
states have no TOKEN entry: that is the guard against two requests working on one context, and what
a cancelled step leaves behind, so that whatever comes next fails closed.

A test draws TRANSITIONS and compares it with the picture in the README. The codes, and what may
follow them, are those of SSPI's AcceptSecurityContext and CompleteAuthToken.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from types import MappingProxyType

from authsrv.codecs.inspect import continues_handshake
from authsrv.core.limits import DEFAULT_LIMITS, Limits
from authsrv.core.outcome import OUTCOMES, Outcome
from authsrv.core.results import Incomplete, Refused, Result
from authsrv.core.role import Role
from authsrv.core.status import SecurityStatus
from authsrv.errors import (
    AuthsrvError,
    HandshakeExpiredError,
    InvalidTokenError,
    LostHandshakeError,
    ProviderFaultError,
    TokenTooLargeError,
    TooManyRoundsError,
    UnexpectedTokenError,
)

__all__ = ["TRANSITIONS", "Event", "HandshakeMachine", "State", "event_of"]


_LOST = (
    "the token continues a handshake that did not begin here, but on another connection: "
    "is there a proxy that pools connections?"
)


class State(enum.Enum):
    """What a handshake waits for, or how it ended."""

    # Members are singletons. Enum hashes their names, in Python, a dozen times a handshake.
    __hash__ = object.__hash__

    AWAIT_TOKEN = "await-token"  # noqa: S105 - the name of a state
    """A token from the client."""
    AWAIT_MORE = "await-more"
    """The rest of a token whose beginning is kept."""
    ACCEPTING = "accepting"
    """The provider's answer to a token."""
    COMPLETING = "completing"
    """CompleteAuthToken, which ends the handshake."""
    COMPLETING_LEG = "completing-leg"
    """CompleteAuthToken, after which the client's next token is awaited."""
    ESTABLISHED = "established"
    """Nothing: the client is known."""
    FAILED = "failed"
    """Nothing: the context is to be deleted."""


class Event(enum.Enum):
    """What can happen to a handshake."""

    __hash__ = object.__hash__

    TOKEN = "token"  # noqa: S105 - the name of an event
    """The client sent a token."""
    OK = "ok"
    """SEC_E_OK."""
    CONTINUE = "continue"
    """SEC_I_CONTINUE_NEEDED."""
    COMPLETE = "complete"
    """SEC_I_COMPLETE_NEEDED."""
    COMPLETE_AND_CONTINUE = "complete-and-continue"
    """SEC_I_COMPLETE_AND_CONTINUE."""
    INCOMPLETE = "incomplete"
    """SEC_E_INCOMPLETE_MESSAGE."""
    FATAL = "fatal"
    """Any other code."""
    ABANDON = "abandon"
    """Cancelled, out of time, or over a limit."""


def _rows(*pairs: tuple[Event, State]) -> Mapping[Event, State]:
    return MappingProxyType({**dict(pairs), Event.ABANDON: State.FAILED})


TRANSITIONS: Mapping[State, Mapping[Event, State]] = MappingProxyType(
    {
        State.AWAIT_TOKEN: _rows((Event.TOKEN, State.ACCEPTING)),
        State.AWAIT_MORE: _rows((Event.TOKEN, State.ACCEPTING)),
        State.ACCEPTING: _rows(
            (Event.OK, State.ESTABLISHED),
            (Event.CONTINUE, State.AWAIT_TOKEN),
            (Event.COMPLETE, State.COMPLETING),
            (Event.COMPLETE_AND_CONTINUE, State.COMPLETING_LEG),
            (Event.INCOMPLETE, State.AWAIT_MORE),
            (Event.FATAL, State.FAILED),
        ),
        State.COMPLETING: _rows(
            (Event.OK, State.ESTABLISHED),
            (Event.FATAL, State.FAILED),
        ),
        State.COMPLETING_LEG: _rows(
            (Event.CONTINUE, State.AWAIT_TOKEN),
            (Event.FATAL, State.FAILED),
        ),
        State.ESTABLISHED: MappingProxyType({}),
        State.FAILED: MappingProxyType({}),
    }
)
"""Every legal step: from a state, by an event, to a state. What is missing is an error."""

_EVENTS: Mapping[Outcome, Event] = MappingProxyType(
    {
        Outcome.ESTABLISHED: Event.OK,
        Outcome.CONTINUE: Event.CONTINUE,
        Outcome.COMPLETE: Event.COMPLETE,
        Outcome.COMPLETE_AND_CONTINUE: Event.COMPLETE_AND_CONTINUE,
        Outcome.INCOMPLETE: Event.INCOMPLETE,
    }
)

_EVENT_OF_STATUS: Mapping[SecurityStatus, Event] = MappingProxyType(
    {status: _EVENTS.get(row, Event.FATAL) for status, row in OUTCOMES.items()}
)


def event_of(result: Result) -> Event:
    """Tell which event a provider's answer is, by its status code.

    A Refused is fatal whatever code it carries, and an Established is OK only because it holds an
    identity.
    """
    if isinstance(result, Refused):
        return Event.FATAL
    return _EVENT_OF_STATUS[result.status]


class HandshakeMachine:
    """One handshake with one client: its state, its rounds, and the bytes it has to keep.

    Args:
        limits: The bounds that hold for it.
        started_at: The time of its beginning, in seconds of the clock that the caller will go on
            to hand in.
        role: Which side of it this is.
    """

    __slots__ = (
        "_deadline",
        "_kept",
        "_limits",
        "_path",
        "_role",
        "_rounds",
        "_state",
    )

    def __init__(
        self,
        limits: Limits = DEFAULT_LIMITS,
        *,
        started_at: float = 0.0,
        role: Role = Role.ACCEPTOR,
    ) -> None:
        self._limits = limits
        self._role = role
        self._deadline = started_at + limits.handshake_seconds
        self._state = State.AWAIT_TOKEN
        self._path = [State.AWAIT_TOKEN]
        self._kept = b""
        self._rounds = 0

    def __repr__(self) -> str:
        return f"<HandshakeMachine {self._state.value}, round {self._rounds}>"

    @property
    def state(self) -> State:
        """What the handshake waits for, or how it ended."""
        return self._state

    @property
    def steps(self) -> int:
        """How many times the state has changed."""
        return len(self._path) - 1

    def path_from(self, step: int) -> tuple[State, ...]:
        """The states that it went through after so many changes, the present one last."""
        return tuple(self._path[step:])

    @property
    def kept(self) -> bytes:
        """What is kept of a token that is not whole; nothing where none is awaited."""
        return self._kept

    @property
    def deadline(self) -> float:
        """When the handshake ends at the latest, in seconds of the caller's clock."""
        return self._deadline

    def receive_token(self, token: bytes, *, now: float = 0.0) -> bytes:
        """Take a token from the peer and say what to hand to the provider.

        Args:
            token: The token, from the peer, untrusted; 1 to max_token_bytes bytes, and none in the
                first step of an initiator.
            now: The time, in seconds of the clock of `started_at`.

        Returns:
            The token, with what was kept of it before where it came in pieces.

        Raises:
            UnexpectedTokenError: No token is awaited in this state.
            HandshakeExpiredError: The handshake has taken longer than handshake_seconds.
            LostHandshakeError: The first token of an acceptor goes on with another handshake.
            TooManyRoundsError: The client has sent more than max_rounds tokens.
            InvalidTokenError: The token is empty.
            TokenTooLargeError: The token, or what was kept with it, is over its limit.
        """
        if Event.TOKEN not in TRANSITIONS[self._state]:
            raise self._fail(UnexpectedTokenError(f"a token arrived in state {self._state.value}"))
        error = self._over_limit(token, now)
        if error is not None:
            raise self._fail(error)
        self._rounds += 1
        whole = self._kept + token
        # Kept until the provider has said that it needs no more of it.
        self._kept = whole
        self._move(Event.TOKEN)
        return whole

    def await_completion(self, *, now: float = 0.0) -> None:
        """Check that CompleteAuthToken is what comes next; `now` is as of `receive_token`.

        Raises:
            UnexpectedTokenError: The provider did not ask for it.
            HandshakeExpiredError: The handshake has taken longer than handshake_seconds.
        """
        if self._state not in (State.COMPLETING, State.COMPLETING_LEG):
            raise self._fail(
                UnexpectedTokenError(f"CompleteAuthToken was called in state {self._state.value}")
            )
        if now > self._deadline:
            raise self._fail(self._expired())

    def receive_result(self, result: Result) -> None:
        """Take the provider's answer to the last token, or to CompleteAuthToken.

        Raises:
            ProviderFaultError: The provider gave an answer that this state does not allow; the
                handshake has failed.
            TokenTooLargeError: More of the token is needed than may be kept; it has failed.
        """
        event = event_of(result)
        if event not in TRANSITIONS[self._state]:
            raise self._fail(
                ProviderFaultError(f"the provider answered {event.value} in {self._state.value}")
            )
        if event is not Event.INCOMPLETE:
            self._kept = b""
        elif len(self._kept) + (_missing(result) or 1) > self._limits.max_incomplete_bytes:
            raise self._fail(TokenTooLargeError("the token that comes in pieces is over its limit"))
        self._move(event)

    def abandon(self) -> None:
        """End the handshake from our side; a handshake that has ended stays as it is."""
        if Event.ABANDON in TRANSITIONS[self._state]:
            self._move(Event.ABANDON)
        self._kept = b""

    def _over_limit(self, token: bytes, now: float) -> AuthsrvError | None:
        if now > self._deadline:
            return self._expired()
        if self._rounds >= self._limits.max_rounds:
            return TooManyRoundsError(f"more than {self._limits.max_rounds} rounds")
        if not self._rounds and self._role is Role.ACCEPTOR and continues_handshake(token):
            return LostHandshakeError(_LOST)
        if not token and (self._rounds or self._role is Role.ACCEPTOR):
            return InvalidTokenError("the token is empty")
        if len(token) > self._limits.max_token_bytes:
            return TokenTooLargeError(
                f"the token has {len(token)} bytes; the limit is {self._limits.max_token_bytes}"
            )
        if self._kept and len(self._kept) + len(token) > self._limits.max_incomplete_bytes:
            return TokenTooLargeError("the token that comes in pieces is over its limit")
        return None

    def _expired(self) -> HandshakeExpiredError:
        return HandshakeExpiredError(
            f"the handshake took longer than {self._limits.handshake_seconds:g} s"
        )

    def _move(self, event: Event) -> None:
        self._state = TRANSITIONS[self._state][event]
        self._path.append(self._state)

    def _fail(self, error: AuthsrvError) -> AuthsrvError:
        self._state = State.FAILED
        self._path.append(State.FAILED)
        self._kept = b""
        return error


def _missing(result: Result) -> int | None:
    return result.missing if isinstance(result, Incomplete) else None
