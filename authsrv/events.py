"""What happened, for audit: one frozen record an event, and where they go.

A record holds names, numbers and causes; never a byte of a token. The default sink writes each as
one line of the log `authsrv.audit`, with the record itself as `record.authsrv` for whoever formats
logs as JSON.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

from authsrv.drive import Leg
from authsrv.errors import AuthsrvError, LocalError, UnavailableError
from authsrv.identity import Identity

__all__ = [
    "AbandonedEvent",
    "AuditEvent",
    "AuditSink",
    "ChallengedEvent",
    "ConnectionIdentityEndedEvent",
    "ContinuedEvent",
    "EstablishedEvent",
    "RecalledEvent",
    "RefusedEvent",
    "Request",
    "describe",
    "log_event",
    "logs_routine",
]

_LOG = logging.getLogger("authsrv.audit")


@dataclass(frozen=True, slots=True)
class Request:
    """The request that an event belongs to.

    Args:
        method: The HTTP method.
        path: The path, without the query, which may hold secrets.
        peer: The address of the other end of the connection; a proxy's, where there is one.

    Source: RFC 9110 section 9.
    """

    method: str
    path: str
    peer: str | None


@dataclass(frozen=True, slots=True)
class ChallengedEvent:
    """A request without a token was answered with a challenge.

    Args:
        request: The request.

    Source: RFC 4559 section 4.1.
    """

    request: Request


@dataclass(frozen=True, slots=True)
class ContinuedEvent:
    """A token was taken and another one is needed.

    Args:
        request: The request.
        leg: What the token led to.
        mechanism: The mechanism that the token shows.

    Source: SSPI SEC_I_CONTINUE_NEEDED, SEC_E_INCOMPLETE_MESSAGE.
    """

    request: Request
    leg: Leg
    mechanism: str


@dataclass(frozen=True, slots=True)
class EstablishedEvent:
    """A client was authenticated.

    Args:
        request: The request.
        leg: What the token led to.
        identity: The client.

    Source: SSPI SEC_E_OK.
    """

    request: Request
    leg: Leg
    identity: Identity


@dataclass(frozen=True, slots=True)
class RecalledEvent:
    """A request was served in the name of the identity that is kept on its connection.

    Args:
        request: The request.
        identity: The client.

    Source: IIS authPersistSingleRequest.
    """

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

    Source: SSPI fatal error codes.
    """

    request: Request
    leg: Leg | None
    error: AuthsrvError
    mechanism: str
    status: int
    reference: str


@dataclass(frozen=True, slots=True)
class AbandonedEvent:
    """A request was cancelled while its token was worked on; nobody waits for an answer.

    Args:
        request: The request.
        mechanism: The mechanism that the token shows.
        token_bytes: The length of the token.

    Source: SSPI DeleteSecurityContext, remarks on partial contexts.
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

    Source: authsrv design section 3, persistence.
    """

    request: Request
    principal: str
    cause: str


AuditEvent = (
    ChallengedEvent
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


def describe(event: AuditEvent) -> str:
    """Write an event as one line of `key=value` pairs, for people and for grep.

    Args:
        event: The event.

    Returns:
        The line. Values that a client chose are quoted.

    Source: authsrv design decision 7.
    """
    request = event.request
    line = f"{_WORDS[type(event)]} {request.method} {request.path!a} peer={request.peer}"
    match event:
        case ChallengedEvent():
            return f"{line} http=401 cause=no-token ('the request carries no token')"
        case ContinuedEvent(leg=leg, mechanism=mechanism):
            return f"{line}{_leg(leg, mechanism)}"
        case EstablishedEvent(leg=leg, identity=identity):
            return f"{line} principal={identity.principal!a}{_leg(leg, identity.mechanism)}"
        case RecalledEvent(identity=identity):
            return f"{line} principal={identity.principal!a} mechanism={identity.mechanism}"
        case AbandonedEvent(mechanism=mechanism, token_bytes=length):
            return f"{line} cause=cancelled ({_CANCELLED!a}) token={mechanism},{length}B"
        case ConnectionIdentityEndedEvent(principal=principal, cause=cause):
            return f"{line} principal={principal!a} cause={cause!a}"
        case refused:
            error = refused.error
            line += f" http={refused.status} cause={error.slug} ({error.cause!a})"
            line += _leg(refused.leg, refused.mechanism) if refused.leg else _status(error)
            native = f" native=({error.native})" if error.native else ""
            return f"{line}{native} reference={refused.reference}"


_CANCELLED = "the request was cancelled: its client has gone, or the server stops"

_WORDS = {
    ChallengedEvent: "challenged",
    ContinuedEvent: "continued",
    EstablishedEvent: "established",
    RecalledEvent: "recalled",
    RefusedEvent: "refused",
    AbandonedEvent: "abandoned",
    ConnectionIdentityEndedEvent: "connection-identity-ended",
}


def _leg(leg: Leg, mechanism: str) -> str:
    states = ">".join(state.value for state in leg.states)
    return (
        f" states={states} sspi={leg.status.name}({leg.status.hex})"
        f" token={mechanism or 'unknown'},{leg.token_bytes}B ms={leg.seconds * 1000:.2f}"
    )


def _status(error: AuthsrvError) -> str:
    return f" sspi={error.status.name}({error.status.hex})"


def log_event(event: AuditEvent) -> None:
    """Write an event to the log `authsrv.audit`; the default sink.

    Success and challenges are INFO, refusals and what was abandoned WARNING, faults on our side
    ERROR.

    Args:
        event: The event.

    Source: authsrv design decision 7.
    """
    level = logging.INFO
    if isinstance(event, RefusedEvent):
        ours = isinstance(event.error, LocalError | UnavailableError)
        level = logging.ERROR if ours else logging.WARNING
    elif isinstance(event, AbandonedEvent | ConnectionIdentityEndedEvent):
        level = logging.WARNING
    if _LOG.isEnabledFor(level):
        _LOG.log(level, "%s", describe(event), extra={"authsrv": event})


def logs_routine() -> bool:
    """Tell whether `log_event` would write events of success; they need not be made if not.

    Returns:
        Whether the log "authsrv.audit" takes INFO.

    Source: authsrv design decision 7.
    """
    return _LOG.isEnabledFor(logging.INFO)
