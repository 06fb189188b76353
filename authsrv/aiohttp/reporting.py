"""What the middleware reports: events for audit, made only where somebody would see them.

A challenge is marked as the first one where nothing came before it: every login begins with one.
It is a repeated one where the connection has been challenged before and no token came since: then
the client cannot, or may not, answer.
"""

from __future__ import annotations

import asyncio
import weakref
from typing import Any

from aiohttp import web

from authsrv.audit.log import log_event, logs_routine
from authsrv.audit.records import (
    AbandonedEvent,
    AuditSink,
    ChallengedEvent,
    ChallengeKind,
    ConnectionIdentityEndedEvent,
    ContinuedEvent,
    EstablishedEvent,
    RecalledEvent,
    RefusedEvent,
    Request,
)
from authsrv.audit.shown import shown_by
from authsrv.codecs.inspect import peek
from authsrv.core.identity import Identity
from authsrv.errors import AuthsrvError
from authsrv.handshake.driver import Leg
from authsrv.http.reply import ErrorResponse

__all__ = ["AuditTrail"]


class AuditTrail:
    """Tells a sink what happens to requests."""

    def __init__(self, sink: AuditSink) -> None:
        self._sink = sink
        # The connections that were challenged and have sent no token since; each is gone with the
        # task that serves it.
        self._challenged: weakref.WeakSet[asyncio.Task[Any]] = weakref.WeakSet()

    @property
    def _takes_routine(self) -> bool:
        return self._sink is not log_event or logs_routine()

    def challenged(self, request: web.Request) -> None:
        """Report that a request without a token was challenged."""
        if not self._takes_routine:
            return
        is_repeated = request.task in self._challenged
        self._challenged.add(request.task)
        challenge = ChallengeKind.REPEATED if is_repeated else ChallengeKind.FIRST
        self._sink(ChallengedEvent(_described(request), challenge))

    def continued(self, request: web.Request, leg: Leg, token: bytes) -> None:
        """Report that a token was taken and another one is needed."""
        if self._takes_routine:
            self._note_token(request)
            mechanism = peek(token).mechanism.label
            self._sink(ContinuedEvent(_described(request), leg, mechanism))

    def established(self, request: web.Request, leg: Leg, identity: Identity) -> None:
        """Report that a client was authenticated."""
        if self._takes_routine:
            self._note_token(request)
            self._sink(EstablishedEvent(_described(request), leg, identity))

    def recalled(self, request: web.Request, identity: Identity) -> None:
        """Report that a request has the identity that is kept on its connection."""
        if self._takes_routine:
            self._sink(RecalledEvent(_described(request), identity))

    def refused(
        self,
        request: web.Request,
        error: AuthsrvError,
        reply: ErrorResponse,
        *,
        leg: Leg | None = None,
        token: bytes = b"",
        identity: Identity | None = None,
    ) -> None:
        """Report that a request was refused.

        Args:
            request: The request.
            error: The cause.
            reply: What the client is answered.
            leg: What the token led to, where one was taken.
            token: The token.
            identity: The client, where it is known and not allowed.
        """
        mechanism, service = shown_by(token)
        if token:
            self._note_token(request)
        self._sink(
            RefusedEvent(
                _described(request),
                leg,
                error,
                mechanism,
                int(reply.status),
                reply.reference,
                principal=None if identity is None else identity.principal,
                service=service if identity is None else identity.service,
            )
        )

    def abandoned(self, request: web.Request, token: bytes) -> None:
        """Report that a request was cancelled while its token was worked on."""
        mechanism, _ = shown_by(token)
        self._sink(AbandonedEvent(_described(request), mechanism, len(token)))

    def ended(self, request: web.Request, principal: str, cause: str) -> None:
        """Report that a kept identity is kept no longer; the cause is in words."""
        self._sink(ConnectionIdentityEndedEvent(_described(request), principal, cause))

    def _note_token(self, request: web.Request) -> None:
        self._challenged.discard(request.task)


def _described(request: web.Request) -> Request:
    return Request(request.method, request.path, request.remote)
