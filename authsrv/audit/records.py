"""What happened, for audit: one frozen record an event, and where they go.

A record holds names, numbers and causes; never a byte of a token. The default sink stands in
`authsrv.audit.log`.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass

from authsrv.core.identity import Identity
from authsrv.errors import AuthsrvError
from authsrv.handshake.driver import Leg

__all__ = [
    "AbandonedEvent",
    "AdmissionBasis",
    "AdmittedEvent",
    "AuditEvent",
    "AuditSink",
    "ChallengeKind",
    "ChallengedEvent",
    "ConnectionIdentityEndedEvent",
    "ContinuedEvent",
    "EstablishedEvent",
    "LedEvent",
    "RecalledEvent",
    "RefusedEvent",
    "Request",
    "SignInWay",
    "SignedInEvent",
    "SignedOutEvent",
]


@dataclass(frozen=True, slots=True)
class Request:
    """The request that an event belongs to.

    Args:
        method: The HTTP method.
        path: The path, without the query, which may hold secrets.
        peer: The address of the other end of the connection; a proxy's, where there is one. Of the
            auth service, the client's address as far as the proxy tells it.
        site: The site of the auth service; None in an application.
    """

    method: str
    path: str
    peer: str | None
    site: str | None = None


class ChallengeKind(enum.Enum):
    """What came before a challenge to a request without a token."""

    FIRST = "first"
    """No other one that was left without an answer: every login begins with such a challenge."""
    REPEATED = "repeated"
    """One on the same connection, and no token since: the client does not answer."""


@dataclass(frozen=True, slots=True)
class ChallengedEvent:
    """A request without a token was answered with a challenge."""

    request: Request
    challenge: ChallengeKind = ChallengeKind.FIRST


@dataclass(frozen=True, slots=True)
class ContinuedEvent:
    """A token was taken and another one is needed; `mechanism` is what the token shows."""

    request: Request
    leg: Leg
    mechanism: str


@dataclass(frozen=True, slots=True)
class EstablishedEvent:
    """A client was authenticated."""

    request: Request
    leg: Leg
    identity: Identity


@dataclass(frozen=True, slots=True)
class RecalledEvent:
    """A request was served in the name of the identity that is kept on its connection."""

    request: Request
    identity: Identity


@dataclass(frozen=True, slots=True)
class RefusedEvent:
    """A request was refused.

    Args:
        request: The request.
        leg: What the token led to, or None where no token was taken.
        error: The cause.
        mechanism: The mechanism that the token shows; empty where there was none.
        status: The HTTP status of the answer.
        reference: The id that the client was told.
        principal: The client, where it is known and not allowed.
        service: The service that the token says, in the clear, that it is for.
    """

    request: Request
    leg: Leg | None
    error: AuthsrvError
    mechanism: str
    status: int
    reference: str
    principal: str | None = None
    service: str | None = None


@dataclass(frozen=True, slots=True)
class AbandonedEvent:
    """A request was cancelled while its token was worked on; nobody waits for an answer.

    `mechanism` is what the token shows, and `token_bytes` the length of the token.
    """

    request: Request
    mechanism: str
    token_bytes: int


@dataclass(frozen=True, slots=True)
class ConnectionIdentityEndedEvent:
    """An identity that was kept on a connection is kept no longer.

    Args:
        request: The request that ended it.
        principal: Whose identity it was.
        cause: Why, in words.
    """

    request: Request
    principal: str
    cause: str


class AdmissionBasis(enum.Enum):
    """By what the auth service knows who sends a request that it lets through."""

    OPEN = "open"
    """Nobody has to be known."""
    TICKET = "ticket"
    """By a handshake with this request."""
    SESSION = "session"
    """By the cookie of a session."""


@dataclass(frozen=True, slots=True)
class AdmittedEvent:
    """The auth service told a proxy to let a request through.

    Args:
        request: The client's request.
        basis: By what its client is known.
        rule: The name of the rule that lets it in.
        principal: The client; None where nobody has to be known.
        mechanism: How the client was authenticated; empty where it was not.
    """

    request: Request
    basis: AdmissionBasis
    rule: str
    principal: str | None = None
    mechanism: str = ""


@dataclass(frozen=True, slots=True)
class LedEvent:
    """The auth service sent a client without an identity to sign in; `step` is where."""

    request: Request
    step: str


class SignInWay(enum.Enum):
    """How a session began."""

    TICKET = "ticket"
    PASSWORD = "password"  # noqa: S105 - the name of a way
    HAND_OVER = "hand-over"
    """By the login host, where the client has a session."""


@dataclass(frozen=True, slots=True)
class SignedInEvent:
    """A session began; `sid` names it in later events and is no secret."""

    request: Request
    way: SignInWay
    principal: str
    mechanism: str
    sid: str


@dataclass(frozen=True, slots=True)
class SignedOutEvent:
    """A user ended a session, and with it all that came of the same log-in."""

    request: Request
    principal: str
    sid: str


AuditEvent = (
    AdmittedEvent
    | LedEvent
    | SignedInEvent
    | SignedOutEvent
    | ChallengedEvent
    | ContinuedEvent
    | EstablishedEvent
    | RecalledEvent
    | RefusedEvent
    | AbandonedEvent
    | ConnectionIdentityEndedEvent
)
"""Anything that a sink is given."""

AuditSink = Callable[[AuditEvent], None]
"""Where events go. It is called on the event loop and must not block."""
