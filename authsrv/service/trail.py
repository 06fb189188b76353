"""What the service reports of asks and pages: one line a decision, made only where it is seen."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from aiohttp import web

from authsrv.audit.log import log_event, logs_routine
from authsrv.audit.records import AdmissionBasis as Basis
from authsrv.audit.records import (
    AdmittedEvent,
    AuditEvent,
    AuditSink,
    ChallengedEvent,
    LedEvent,
    RefusedEvent,
    Request,
    SignedInEvent,
    SignedOutEvent,
    SignInWay,
)
from authsrv.audit.shown import shown_by
from authsrv.errors import AuthsrvError
from authsrv.handshake.driver import Leg
from authsrv.http.forwarded import AskedRequest
from authsrv.service.asks.answers import Denied
from authsrv.service.asks.claimants import Claimant
from authsrv.service.asks.served import Ask
from authsrv.service.sites.headers import HeaderEvent
from authsrv.service.sites.rules import Ruling
from authsrv.sessions.session import Session

__all__ = ["Trail"]

_LOG = logging.getLogger("authsrv")
_LOGIN = "login"


class Trail:
    """Tells a sink what is decided.

    Args:
        sink: Where events go; it must not block.
    """

    def __init__(self, sink: AuditSink = log_event) -> None:
        self._sink = sink
        self.foreign = 0
        """How many metadata headers of other conventions clients have sent."""

    def count_foreign(self, count: int) -> None:
        """Count headers that say what only another kind of proxy would."""
        self.foreign += count

    def admitted(self, ask: Ask, ruling: Ruling, claimant: Claimant | None) -> None:
        """A request goes on to its application."""
        if not self._takes_routine:
            return
        rule = "-" if ruling.rule is None else ruling.rule.name
        if claimant is None:
            event = AdmittedEvent(_described(ask), Basis.OPEN, rule)
        else:
            subject = claimant.subject
            event = AdmittedEvent(
                _described(ask), claimant.basis, rule, subject.principal, subject.mechanism
            )
        self._sink(event)

    def left_out(self, ask: Ask, events: Sequence[tuple[HeaderEvent, str, int]]) -> None:
        """Something of what is known of a client is not told to the application."""
        for event, name, count in events:
            _LOG.warning(
                "%s: site=%s header=%s count=%d", event.value, ask.served.site.name, name, count
            )

    def challenged(self, ask: Ask) -> None:
        """A client is asked for a ticket."""
        self._tell_routine(ask, ChallengedEvent)

    def led(self, ask: Ask, step: str) -> None:
        """A client is sent to a page of ours, or is told that it must say who it is."""
        if self._takes_routine:
            self._sink(LedEvent(_described(ask), step))

    def signed_in(self, ask: Ask, way: SignInWay, session: Session) -> None:
        """A session began."""
        self._sink(
            SignedInEvent(_described(ask), way, session.principal, session.mechanism, session.sid)
        )

    def signed_out(self, ask: Ask, session: Session) -> None:
        """A user signed out."""
        self._sink(SignedOutEvent(_described(ask), session.principal, session.sid))

    def session_ignored(self, ask: Ask, error: AuthsrvError) -> None:
        """A cookie was no session; the request is treated as one without it."""
        _LOG.info("a session is not counted: site=%s %s", ask.served.site.name, error.detail)

    def refused(
        self,
        ask: Ask,
        error: AuthsrvError,
        denied: Denied,
        *,
        leg: Leg | None = None,
        sent: bytes = b"",
    ) -> None:
        """A request, or the token that it sent, is refused."""
        mechanism, service = shown_by(sent)
        self._sink(
            RefusedEvent(
                _described(ask),
                leg,
                error,
                mechanism,
                denied.status,
                denied.reference,
                service=service,
            )
        )

    def denied(
        self, request: web.BaseRequest, ask: Ask | None, error: AuthsrvError, denied: Denied
    ) -> None:
        """An ask is denied; perhaps before anybody knew what it is about."""
        if ask is not None:
            self.refused(ask, error, denied)
            return
        where = Request(request.method, request.path, request.remote)
        self._sink(RefusedEvent(where, None, error, "", denied.status, denied.reference))

    def signed_in_at_login(self, asked: AskedRequest, way: SignInWay, session: Session) -> None:
        """A session began at the login host."""
        where = _told(asked, _LOGIN)
        self._sink(SignedInEvent(where, way, session.principal, session.mechanism, session.sid))

    def page_refused(self, asked: AskedRequest, error: AuthsrvError, denied: Denied) -> None:
        """A request to the login host is refused."""
        where = _told(asked, _LOGIN)
        self._sink(RefusedEvent(where, None, error, "", denied.status, denied.reference))

    @property
    def _takes_routine(self) -> bool:
        return self._sink is not log_event or logs_routine()

    def _tell_routine(self, ask: Ask, kind: type[ChallengedEvent]) -> None:
        if self._takes_routine:
            event: AuditEvent = kind(_described(ask))
            self._sink(event)


def _described(ask: Ask) -> Request:
    return _told(ask.asked, ask.served.site.name)


def _told(asked: AskedRequest, site: str) -> Request:
    peer = None if asked.address is None else str(asked.address)
    return Request(asked.method, asked.target.path, peer, site)
