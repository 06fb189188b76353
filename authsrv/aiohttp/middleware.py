"""The middleware: who sends a request, and may it come in?

The order of a request: the rules say what it needs; `authsrv.http.exchange` reads its Authorization
field; a token is driven through the handshake; what comes out goes on to the handler or back to
the client. The token by which the server proves itself (mutual authentication) goes out with the
handler's response, whatever its status, streaming responses included; only a 401 of the
handler's own keeps its own challenge.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler

from authsrv.acceptor import Acceptor
from authsrv.aiohttp.connections import Connections, Persistence
from authsrv.aiohttp.entrance import guard_entrance, respond
from authsrv.aiohttp.requests import IDENTITY
from authsrv.aiohttp.rules import AccessRules
from authsrv.aiohttp.server import HeaderLimit, header_limit
from authsrv.drive import Leg, SecurityHandshake
from authsrv.errors import AuthsrvError, StateError, UnavailableError
from authsrv.events import (
    AbandonedEvent,
    AuditEvent,
    AuditSink,
    ChallengedEvent,
    ConnectionIdentityEndedEvent,
    ContinuedEvent,
    EstablishedEvent,
    RefusedEvent,
    Request,
    log_event,
    logs_routine,
)
from authsrv.http.exchange import Accepted, Ask, Requirement, Step, conclude, decide
from authsrv.http.reply import Reply, build_reply, challenge
from authsrv.identity import Identity
from authsrv.results import Refused
from authsrv.tokens.peek import peek

__all__ = ["NegotiateAuth"]

_LOG = logging.getLogger("authsrv")

_MAX_REQUIREMENTS = 4_096

_PROOF: web.RequestKey[dict[str, str]] = web.RequestKey("authsrv.proof", dict)


class NegotiateAuth:
    """Authenticates the requests of one application. `setup` makes and installs it.

    Args:
        acceptor: What accepts the handshakes.
        rules: Which requests need what.
        persistence: How long an identity lasts.
        audit: Where events go.

    Source: RFC 4559; authsrv design section 3.
    """

    def __init__(
        self,
        acceptor: Acceptor,
        *,
        rules: AccessRules,
        persistence: Persistence = Persistence.REQUEST,
        audit: AuditSink = log_event,
    ) -> None:
        self.acceptor = acceptor
        self.rules = rules
        self.persistence = persistence
        self._audit = audit
        self._connections = Connections()
        self._requirements: dict[tuple[web.AbstractRoute, str], Requirement] = {}
        self._proofs = web.Application()
        self._proofs.on_response_prepare.append(self.prove)
        self._proofs.on_response_prepare.freeze()
        self._proofs._middlewares_handlers = ()

    def __repr__(self) -> str:
        return f"<NegotiateAuth {self.acceptor!r}>"

    @web.middleware
    def handle(self, request: web.Request, handler: Handler) -> Awaitable[web.StreamResponse]:
        """Let a request through to its handler, or answer it.

        Args:
            request: The request, from the client, untrusted.
            handler: What comes behind.

        Returns:
            What awaits the handler's response, or a challenge or refusal.

        Source: RFC 4559 section 4.
        """
        requirement = self.requirement(request)
        if requirement is Requirement.OPEN:
            # Handed on as it is: what is open to everybody pays for no coroutine of ours.
            return handler(request)
        return self._handle_admitted(request, handler, requirement)

    async def _handle_admitted(
        self, request: web.Request, handler: Handler, requirement: Requirement
    ) -> web.StreamResponse:
        reply = await self.admit(request, requirement)
        return await handler(request) if reply is None else respond(reply)

    def requirement(self, request: web.Request) -> Requirement:
        """Say what a request needs.

        Args:
            request: The request, already matched by the router.

        Returns:
            What the rules say.

        Source: RFC 9110 section 11.
        """
        key = request.match_info.route, request.method
        requirement = self._requirements.get(key)
        return self._look_up(request, key) if requirement is None else requirement

    def _look_up(self, request: web.Request, key: tuple[web.AbstractRoute, str]) -> Requirement:
        requirement = self.rules.requirement(request)
        if request.method == hdrs.METH_OPTIONS:
            return requirement  # whether it is a preflight, each request tells anew
        if key[0].resource is None:
            # Each 404 has a route of its own, and that its exception, and that the request.
            return requirement
        if len(self._requirements) >= _MAX_REQUIREMENTS:
            # The routes of an application are few, but a client may make up methods.
            self._requirements.clear()
        self._requirements[key] = requirement
        return requirement

    async def admit(self, request: web.Request, requirement: Requirement) -> Reply | None:
        """Authenticate a request.

        Args:
            request: The request, from the client, untrusted.
            requirement: What it needs; not OPEN.

        Returns:
            None where the request may go on to its handler, with an identity if it has one; else
            the challenge or the refusal to answer it with.

        Source: RFC 4559 section 4.
        """
        limits = self.acceptor.limits
        try:
            fields = request.headers.getall(hdrs.AUTHORIZATION, ())
            decision = decide(fields, requirement, limits=limits)
        except AuthsrvError as error:
            return self._refuse(request, error)
        if isinstance(decision, Step):
            if IDENTITY in request:
                return self._refuse(request, StateError("two setups authenticate one request"))
            return await self._authenticate(request, decision.token)
        if not self._recall(request) and isinstance(decision, Ask):
            self._emit(lambda: ChallengedEvent(_described(request)))
            return challenge()
        return None

    async def prove(self, request: web.Request, response: web.StreamResponse) -> None:
        """Add the mutual-authentication token to a response; a signal of aiohttp calls it.

        Args:
            request: The request that was authenticated, or any other.
            response: Its response, not yet sent.

        Source: RFC 4559 section 5; RFC 9110 section 11.6.1.
        """
        fields = request.get(_PROOF)
        if fields is not None and response.status != 401:
            response.headers.update(fields)

    async def _authenticate(self, request: web.Request, token: bytes) -> Reply | None:
        """Drive one leg. None means that the request now carries an identity."""
        try:
            handshake = self._handshake_for(request, token)
        except AuthsrvError as error:
            return self._refuse(request, error)
        try:
            leg = await handshake.advance(token)
        except asyncio.CancelledError:
            mechanism = peek(token).mechanism.label
            self._audit(AbandonedEvent(_described(request), mechanism, len(token)))
            raise
        answer = conclude(leg, limits=self.acceptor.limits)
        if isinstance(answer, Accepted):
            self._accept(request, answer, leg)
            return None
        if isinstance(leg.result, Refused):
            self._end_kept(request, "a token was refused")
            return self._refused(request, leg.result.error, answer, leg, token)
        return self._continue(request, handshake, answer, leg, token)

    def _handshake_for(self, request: web.Request, token: bytes) -> SecurityHandshake:
        connection = self._connections.find(request)
        handshake = None if connection is None else connection.take_handshake(token, request)
        return handshake or self.acceptor.begin()

    def _accept(self, request: web.Request, accepted: Accepted, leg: Leg) -> None:
        identity = accepted.identity
        request[IDENTITY] = identity
        proof: dict[str, str] = {}
        if accepted.challenge is not None:
            proof[hdrs.WWW_AUTHENTICATE] = accepted.challenge
        if self.persistence is Persistence.CONNECTION:
            self._keep(request, identity)
        else:
            # Without it, curl takes its connection for authenticated, sends its next request
            # without a token, and is challenged again.
            proof["Persistent-Auth"] = "false"
        request[_PROOF] = proof
        # For this response alone: a signal of the application would be sent for open ones too,
        # and the handler may send a streaming response before it returns.
        request.match_info._apps.append(self._proofs)
        self._emit(lambda: EstablishedEvent(_described(request), leg, identity))

    def _continue(
        self,
        request: web.Request,
        handshake: SecurityHandshake,
        answer: Reply,
        leg: Leg,
        token: bytes,
    ) -> Reply:
        self._end_kept(request, "another handshake began on the connection")
        self._connections.open(request).await_token(handshake, request)
        self._emit(lambda: ContinuedEvent(_described(request), leg, peek(token).mechanism.label))
        return answer

    def _refuse(self, request: web.Request, error: AuthsrvError) -> Reply:
        self._end_kept(request, "a token was refused")
        return self._refused(request, error, build_reply(error, limits=self.acceptor.limits))

    def _refused(
        self,
        request: web.Request,
        error: AuthsrvError,
        reply: Reply,
        leg: Leg | None = None,
        token: bytes = b"",
    ) -> Reply:
        mechanism = peek(token).mechanism.label if token else ""
        self._audit(
            RefusedEvent(
                _described(request), leg, error, mechanism, int(reply.status), reply.reference
            )
        )
        return reply

    def _recall(self, request: web.Request) -> bool:
        """Take the identity from the connection, where persistence is on and nothing speaks
        against it."""
        connection = self._connections.find(request)
        if connection is None or connection.identity is None:
            return False
        cause = connection.distrust(request)
        if hdrs.AUTHORIZATION in request.headers:
            cause = "credentials of another scheme came on the connection"
        if cause is not None:
            self._end_kept(request, cause)
            return False
        request[IDENTITY] = connection.identity
        return True

    def _keep(self, request: web.Request, identity: Identity) -> None:
        connection = self._connections.open(request)
        cause = connection.distrust(request)
        if connection.identity is not None and connection.identity.principal != identity.principal:
            cause = "another user authenticated on the connection"
        if cause is not None:
            self._end_kept(request, cause)
        connection.keep(identity, request)

    def _end_kept(self, request: web.Request, cause: str) -> None:
        connection = self._connections.find(request)
        if connection is None or connection.identity is None:
            return
        principal = connection.identity.principal
        connection.end_identity()
        self._audit(ConnectionIdentityEndedEvent(_described(request), principal, cause))

    def _emit(self, make: Callable[[], AuditEvent]) -> None:
        """Report a routine event; it is not even made where nobody would see it."""
        if self._audit is not log_event or logs_routine():
            self._audit(make())

    async def start(self, app: web.Application) -> None:
        """Look at start whether all is in place, and say in the log what is not.

        Args:
            app: The application.

        Raises:
            ConfigError: The package can never work with its settings, or cannot do what is asked
                of its contexts.

        Source: authsrv design decision 7.
        """
        self._move_to_entrance(app)
        self.acceptor.begin().close()
        try:
            await asyncio.to_thread(self.acceptor.package.check)
        except UnavailableError as error:
            _LOG.error("authentication is not possible yet: %s", error.cause)
        if header_limit(app) is HeaderLimit.UNKNOWN:
            _LOG.warning(
                "the server's header limits are not known: aiohttp's own default of 8,190 bytes "
                "refuses the tokens of users with many groups. Start with authsrv.aiohttp.run_app, "
                "or pass authsrv.aiohttp.server_settings(app) to the runner"
            )

    def _move_to_entrance(self, app: web.Application) -> None:
        """Leave the middlewares for the router, where nothing comes in between anyway."""
        # What is mounted in another application was frozen then, and has middlewares before it.
        if not app.pre_frozen and app.middlewares and app.middlewares[0] == self.handle:
            app.middlewares.pop(0)
            guard_entrance(app, self)

    async def stop(self, app: web.Application) -> None:
        """End all that is pending, when the application is cleaned up.

        Args:
            app: The application.

        Source: SSPI FreeCredentialsHandle.
        """
        self._connections.close()
        self.acceptor.close()


def _described(request: web.Request) -> Request:
    return Request(request.method, request.path, request.remote)
