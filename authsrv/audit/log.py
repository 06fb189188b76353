"""Events as lines of the log `authsrv.audit`, each with its record as `record.authsrv`.

A line is a word and `key=value` pairs. Whatever comes from outside stands in one kind of quotes, as
JSON writes a string in ASCII (RFC 8259 section 7), and is cut where it is long; so nothing in it
ends its quotes, or the line, or pushes the rest out of sight. Whoever formats logs as JSON takes
the record.
"""

from __future__ import annotations

import json
import logging
import re

from authsrv.audit.records import (
    AbandonedEvent,
    AdmittedEvent,
    AuditEvent,
    ChallengedEvent,
    ChallengeKind,
    ConnectionIdentityEndedEvent,
    ContinuedEvent,
    EstablishedEvent,
    LedEvent,
    RecalledEvent,
    RefusedEvent,
    SignedInEvent,
    SignedOutEvent,
)
from authsrv.errors import AuthsrvError, LocalError, UnavailableError
from authsrv.handshake.driver import Leg

__all__ = ["describe", "log_event", "logs_routine"]

_LOG = logging.getLogger("authsrv.audit")

_MAX_VALUE = 256
_MAX_REASON = 1_024
_MAX_PLAIN = 64
_PLAIN = re.compile(r"[A-Za-z0-9_.:/%+-]+")

_CANCELLED = "the request was cancelled: its client has gone, or the server stops"
_REASONS = {
    ChallengeKind.FIRST: "the request carries no token",
    ChallengeKind.REPEATED: "the request carries no token, and none came since the last challenge",
}

_WORDS = {
    AdmittedEvent: "admitted",
    LedEvent: "led",
    SignedInEvent: "signed-in",
    SignedOutEvent: "signed-out",
    ChallengedEvent: "challenged",
    ContinuedEvent: "continued",
    EstablishedEvent: "established",
    RecalledEvent: "recalled",
    RefusedEvent: "refused",
    AbandonedEvent: "abandoned",
    ConnectionIdentityEndedEvent: "connection-identity-ended",
}


def describe(event: AuditEvent) -> str:
    """Write an event as one line: a word, and `key=value` pairs, for people and for programs.

    The line is ASCII, of some thousand characters at most. A value is quoted as JSON quotes a
    string, or is plain: then it has neither spaces nor quotes.
    """
    request = event.request
    line = f"{_WORDS[type(event)]} method={_plain(request.method)} path={_quoted(request.path)}"
    site = "" if request.site is None else f" site={_plain(request.site)}"
    return f"{line} peer={_plain(str(request.peer))}{site}{_details(event)}"


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
        case AdmittedEvent() | LedEvent() | SignedInEvent() | SignedOutEvent():
            return _of_service(event)
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


def _of_service(event: AdmittedEvent | LedEvent | SignedInEvent | SignedOutEvent) -> str:
    match event:
        case AdmittedEvent(basis=basis, rule=rule, principal=principal, mechanism=mechanism):
            how = f" mechanism={_plain(mechanism)}" if mechanism else ""
            return f"{_who(principal, None)} basis={basis.value} rule={_plain(rule)}{how}"
        case LedEvent(step=step):
            return f" step={_plain(step)} cause=no-identity"
        case SignedInEvent(way=way, principal=principal, mechanism=mechanism, sid=sid):
            how = f" way={way.value} mechanism={_plain(mechanism)} sid={_plain(sid)}"
            return f"{_who(principal, None)}{how}"
        case SignedOutEvent(principal=principal, sid=sid):
            return f"{_who(principal, None)} sid={_plain(sid)}"


def _refusal(event: RefusedEvent) -> str:
    error = event.error
    reason = _quoted(error.detail, _MAX_REASON)
    line = f"{_who(event.principal, event.service)} http={event.status} cause={error.code}"
    leg = _leg(event.leg, event.mechanism) if event.leg else _status(error)
    native = f" native={_quoted(str(error.native))}" if error.native else ""
    return f"{line} reason={reason}{leg}{native} reference={event.reference}"


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
    """A value as JSON writes a string in ASCII; three dots tell that it was cut off."""
    kept = text if len(text) <= most else f"{text[:most]}..."
    while len(written := json.dumps(kept)) > most + len('"..."'):
        # An escape takes up to twelve characters for one.
        kept = f"{kept[: len(kept) * 3 // 4]}..."
    return written


def log_event(event: AuditEvent) -> None:
    """Write an event to the log `authsrv.audit`; the default sink.

    Success and challenges are INFO, refusals and what was abandoned WARNING, faults on our side
    ERROR.
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
    """Whether `log_event` would write events of success; they need not be made if not."""
    return _LOG.isEnabledFor(logging.INFO)
