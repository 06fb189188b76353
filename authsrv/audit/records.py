"""What happened, for audit: one frozen record an event, and where they go.

A record holds names, numbers and causes; never a byte of a token. The default sink writes each as
one line of the log `authsrv.audit`, with the record itself as `record.authsrv` for whoever formats
logs as JSON.

A line is a word and `key=value` pairs. Whatever comes from outside stands in one kind of quotes, as
JSON writes a string in ASCII, and is cut where it is long; so nothing in it ends its quotes, or the
line, or pushes the rest out of sight.
"""

from __future__ import annotations

import enum
import json
import logging
import re
from collections.abc import Callable
from dataclasses import dataclass

from authsrv.core.identity import Identity
from authsrv.errors import AuthsrvError, LocalError, UnavailableError
from authsrv.handshake.driver import Leg

__all__ = [
    "AbandonedEvent",
    "AuditEvent",
    "AuditSink",
    "Challenge",
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

_MAX_VALUE = 256
_MAX_REASON = 1_024
_MAX_PLAIN = 64
_PLAIN = re.compile(r"[A-Za-z0-9_.:/%+-]+")


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


class Challenge(enum.Enum):
    """What came before a challenge to a request without a token.

    Source: RFC 4559 section 4.1.
    """

    FIRST = "first"
    """No other one that was left without an answer: every login begins with such a challenge."""
    REPEATED = "repeated"
    """One on the same connection, and no token since: the client does not answer."""


@dataclass(frozen=True, slots=True)
class ChallengedEvent:
    """A request without a token was answered with a challenge.

    Args:
        request: The request.
        challenge: Whether it is the first one.

    Source: RFC 4559 section 4.1.
    """

    request: Request
    challenge: Challenge = Challenge.FIRST


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
        principal: The client, where it is known and not allowed.
        service: The service that the token says, in the clear, that it is for.

    Source: SSPI fatal error codes.
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
    """Write an event as one line: a word, and `key=value` pairs, for people and for programs.

    Args:
        event: The event.

    Returns:
        The line, in ASCII, of some thousand characters at most. A value is quoted as JSON quotes a
        string, or is plain: then it has neither spaces nor quotes.

    Source: RFC 8259 section 7.
    """
    request = event.request
    line = f"{_WORDS[type(event)]} method={_plain(request.method)} path={_quoted(request.path)}"
    return f"{line} peer={_plain(str(request.peer))}{_details(event)}"


def _details(event: AuditEvent) -> str:
    match event:
        case ChallengedEvent(challenge=challenge):
            reason = _quoted(_REASONS[challenge])
            return f" http=401 challenge={challenge.value} cause=no-token reason={reason}"
        case ContinuedEvent(leg=leg, mechanism=mechanism):
            return f" http=401{_leg(leg, mechanism)}"
        case EstablishedEvent(leg=leg, identity=identity):
            who = _who(identity.principal, identity.service)
            return f"{who}{_leg(leg, identity.mechanism)}"
        case RecalledEvent(identity=identity):
            who = _who(identity.principal, identity.service)
            return f"{who} mechanism={_plain(identity.mechanism)}"
        case AbandonedEvent(mechanism=mechanism, token_bytes=length):
            token = _token(mechanism, length)
            return f" cause=cancelled reason={_quoted(_CANCELLED)}{token}"
        case ConnectionIdentityEndedEvent(principal=principal, cause=cause):
            return f"{_who(principal, None)} cause={_quoted(cause, _MAX_REASON)}"
        case refused:
            return _refusal(refused)


def _refusal(event: RefusedEvent) -> str:
    error = event.error
    reason = _quoted(error.detail, _MAX_REASON)
    line = f"{_who(event.principal, event.service)} http={event.status} cause={error.code}"
    leg = _leg(event.leg, event.mechanism) if event.leg else _status(error)
    native = f" native={_quoted(str(error.native))}" if error.native else ""
    return f"{line} reason={reason}{leg}{native} reference={event.reference}"


_CANCELLED = "the request was cancelled: its client has gone, or the server stops"
_REASONS = {
    Challenge.FIRST: "the request carries no token",
    Challenge.REPEATED: "the request carries no token, and none came since the last challenge",
}

_WORDS = {
    ChallengedEvent: "challenged",
    ContinuedEvent: "continued",
    EstablishedEvent: "established",
    RecalledEvent: "recalled",
    RefusedEvent: "refused",
    AbandonedEvent: "abandoned",
    ConnectionIdentityEndedEvent: "connection-identity-ended",
}


def _who(principal: str | None, service: str | None) -> str:
    who = "" if principal is None else f" principal={_quoted(principal)}"
    return who if service is None else f"{who} service={_quoted(service)}"


def _leg(leg: Leg, mechanism: str) -> str:
    states = ">".join(state.value for state in leg.states)
    return (
        f" states={states} sspi={leg.status.name}({leg.status.hex})"
        f"{_token(mechanism, leg.token_bytes)} ms={leg.seconds * 1000:.2f}"
    )


def _token(mechanism: str, length: int) -> str:
    return f" token={_plain(mechanism or 'unknown')},{length}B"


def _status(error: AuthsrvError) -> str:
    return f" sspi={error.status.name}({error.status.hex})"


def _plain(text: str) -> str:
    """A value that is one plain word almost always, and is quoted where it is not."""
    return text if len(text) <= _MAX_PLAIN and _PLAIN.fullmatch(text) else _quoted(text)


def _quoted(text: str, most: int = _MAX_VALUE) -> str:
    """A value as JSON writes a string in ASCII; what is cut off is told by three dots."""
    kept = text if len(text) <= most else f"{text[:most]}..."
    while len(written := json.dumps(kept)) > most + len('"..."'):
        # An escape takes up to twelve characters for one.
        kept = f"{kept[: len(kept) * 3 // 4]}..."
    return written


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
