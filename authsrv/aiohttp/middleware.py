"""The middleware: who sends a request, and may it come in?

The order of a request: the rules say what it needs; `authsrv.http.exchange` reads its Authorization
field; a token is driven through the handshake; what comes out goes on to the handler or back to
the client. The token by which the server proves itself (mutual authentication, RFC 4559 section 5)
goes out with the handler's response, whatever its status, streaming responses included; only a 401
of the handler's own keeps its own challenge.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Collection
from dataclasses import replace

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler

from authsrv.aiohttp.connections import Connections, Persistence
from authsrv.aiohttp.decisions import ADMISSION, Admission, Decision, Refusal, respond
from authsrv.aiohttp.header_limits import is_fitting
from authsrv.aiohttp.placing import SelfCheck, check_place
from authsrv.aiohttp.reporting import AuditTrail
from authsrv.aiohttp.routes import mounted
from authsrv.aiohttp.rules import AccessRules
from authsrv.aiohttp.tls import OWN_CHANNEL, OwnChannel
from authsrv.audit.log import log_event
from authsrv.audit.records import AuditSink
from authsrv.core.bindings import ChannelBindings
from authsrv.core.identity import Identity
from authsrv.core.results import Refused
from authsrv.core.settings import as_instance, as_member
from authsrv.errors import AuthsrvError, ConfigError, StateError, UnavailableError
from authsrv.handshake.acceptor import Acceptor
from authsrv.handshake.driver import Handshake, Leg
from authsrv.http.exchange import (
    Accepted,
    Anonymous,
    Challenge,
    Negotiate,
    Requirement,
    conclude,
    decide,
)
from authsrv.http.origins import OriginPolicy, Provenance, is_harmless
from authsrv.http.reply import ErrorResponse, build_error_response, challenge

__all__ = ["AUTH", "NegotiateAuth"]

_LOG = logging.getLogger("authsrv")

_MAX_DECISIONS = 4_096


class NegotiateAuth:
    """Authenticates the requests of one application. `setup` makes and installs it.

    Args:
        acceptor: What accepts the handshakes. The other arguments are those of `setup`.

    Raises:
        ConfigError: A setting is of a wrong type.
    """

    def __init__(
        self,
        acceptor: Acceptor,
        *,
        rules: AccessRules,
        persistence: Persistence = Persistence.REQUEST,
        audit: AuditSink = log_event,
        own_channel: OwnChannel = OwnChannel.LOOKED_AT,
        trusted_origins: Collection[str] = (),
    ) -> None:
        self.acceptor = as_instance(Acceptor, acceptor, "acceptor")
        self.rules = as_instance(AccessRules, rules, "rules")
        self.persistence = as_member(Persistence, persistence, "persistence")
        self.own_channel = as_member(OwnChannel, own_channel, "own_channel")
        self.origins = OriginPolicy.of_setting(trusted_origins)
        if not callable(audit):
            raise ConfigError("audit must be a function that is given each event")
        self._trail = AuditTrail(audit)
        self._connections = Connections()
        self._decisions: dict[tuple[web.AbstractRoute, str], Decision] = {}
        self._app: web.Application | None = None
        self.self_check: SelfCheck | None = None

    def __repr__(self) -> str:
        return f"<NegotiateAuth {self.acceptor!r}>"

    @web.middleware
    def handle(self, request: web.Request, handler: Handler) -> Awaitable[web.StreamResponse]:
        """Let a request through to its handler, or answer it by a challenge or a refusal."""
        decision = self._decide(request)
        if decision.requirement is Requirement.OPEN:
            # Handed on as it is: what is open to everybody pays for no coroutine of ours.
            request[ADMISSION] = Admission(decision)
            return handler(request)
        return self._handle_admitted(request, handler, decision)

    async def _handle_admitted(
        self, request: web.Request, handler: Handler, decision: Decision
    ) -> web.StreamResponse:
        reply = await self.admit(request, decision)
        return await handler(request) if reply is None else respond(reply)

    async def guard(self, request: web.Request) -> None:
        """Decide on a request that was resolved again; `authsrv.aiohttp.guard` calls it.

        Raises:
            Refusal: It may not go on.
        """
        decision = self._decide(request)
        if decision.requirement is Requirement.OPEN:
            request[ADMISSION] = Admission(decision, None, request[ADMISSION].proof)
        elif (reply := await self.admit(request, decision)) is not None:
            raise Refusal(reply)

    def _decide(self, request: web.Request) -> Decision:
        match = request.match_info
        decision = self._decisions.get((match.route, request.method))
        return self.decide_on(request, match) if decision is None else decision

    def decide_on(self, request: web.Request, match: web.UrlMappingMatchInfo) -> Decision:
        """Say what a request needs where the router leads it; nobody is known yet.

        Raises:
            ConfigError: Another middleware comes before this one.
            web.HTTPException: A preflight for a route that does not exist.
        """
        if self._app is not None:
            check_place(self._app, self.handle)
        route, method, exists = match.route, request.method, match.http_exception is None
        requirement = self.rules.requirement_of(route, method, request.headers)
        decision = Decision(self, route, method, requirement)
        if method == hdrs.METH_OPTIONS:
            is_open = requirement is Requirement.OPEN
            if not exists and not is_open and self.rules.is_preflight(method, request.headers):
                raise match.http_exception or web.HTTPNotFound
            return decision  # whether it is a preflight, each request tells anew
        if not exists:
            # Each 404 has a route of its own, and that its exception, and that the request.
            return decision
        if len(self._decisions) >= _MAX_DECISIONS:
            # The routes of an application are few, but a client may make up methods.
            self._decisions.clear()
        self._decisions[route, method] = decision
        return decision

    async def admit(self, request: web.Request, decision: Decision) -> ErrorResponse | None:
        """Authenticate a request; what was authenticated already keeps its identity.

        No page of another site may make it: the browser tells who it is without being asked.

        Args:
            request: The request, from the client, untrusted.
            decision: What it needs; not OPEN.

        Returns:
            None where the request may go on to its handler, with an identity if it has one; else
            the challenge or the refusal to answer it with.
        """
        # Most have nothing noted yet, and a miss is an exception.
        made = request.get(ADMISSION) if len(request) else None
        if made is None:
            request[ADMISSION] = admission = Admission(decision)
        elif made.decision.guard is self:
            request[ADMISSION] = admission = Admission(decision, made.identity, made.proof)
        else:
            error = StateError("two setups cover one request: call setup for one application only")
            return self._refuse(request, error)
        if admission.identity is None:
            try:
                fields = request.headers.getall(hdrs.AUTHORIZATION, ())
                asked = decide(fields, decision.requirement, limits=self.acceptor.limits)
            except AuthsrvError as error:
                return self._refuse(request, error)
            if isinstance(asked, Negotiate):
                reply = await self._authenticate(request, asked.token)
            else:
                reply = self._recall_or_ask(request, asked)
            if reply is not None:
                return reply
        return self._refuse_cross_site(request, admission)

    def _recall_or_ask(
        self, request: web.Request, asked: Anonymous | Challenge
    ) -> ErrorResponse | None:
        if self._recall(request) or isinstance(asked, Anonymous):
            return None
        if self.self_check is None or not self.self_check.recognize(request):
            self._trail.challenged(request)
        return challenge()

    def _refuse_cross_site(
        self, request: web.Request, admission: Admission
    ) -> ErrorResponse | None:
        identity = admission.identity
        if identity is None or is_harmless(request.method, request.headers.get(hdrs.UPGRADE)):
            return None
        error = self.origins.refusal(_provenance(request))
        if error is None:
            return None
        admission.identity = None
        reply = build_error_response(error, limits=self.acceptor.limits)
        self._trail.refused(request, error, reply, identity=identity)
        return reply

    async def prove(self, request: web.Request, response: web.StreamResponse) -> None:
        """Add the mutual-authentication token to a response not yet sent; a signal calls it."""
        made = request.get(ADMISSION)
        if made is not None and made.proof and response.status != 401:
            response.headers.update(made.proof)

    async def _authenticate(self, request: web.Request, token: bytes) -> ErrorResponse | None:
        """Drive one leg. None means that the request now carries an identity."""
        try:
            handshake = self._handshake_for(request, token)
        except AuthsrvError as error:
            return self._refuse(request, error)
        try:
            leg = await handshake.advance(token)
        except asyncio.CancelledError:
            self._trail.abandoned(request, token)
            raise
        answer = conclude(leg.result, limits=self.acceptor.limits)
        if isinstance(answer, Accepted):
            self._accept(request, answer, leg)
            return None
        if isinstance(leg.result, Refused):
            self._end_kept(request, "a token was refused")
            self._trail.refused(request, leg.result.error, answer, leg=leg, token=token)
            return answer
        return self._continue(request, handshake, answer, leg, token)

    def _handshake_for(self, request: web.Request, token: bytes) -> Handshake:
        connection = self._connections.find(request)
        handshake = None if connection is None else connection.take_handshake(token, request)
        return handshake or self.acceptor.create_handshake()

    def _accept(self, request: web.Request, accepted: Accepted, leg: Leg) -> None:
        identity = accepted.identity
        admission = request[ADMISSION]
        admission.identity = identity
        proof = admission.proof
        if accepted.challenge is not None:
            proof[hdrs.WWW_AUTHENTICATE] = accepted.challenge
        if self.persistence is Persistence.CONNECTION:
            self._keep(request, identity)
        else:
            # Without it, curl takes its connection for authenticated, sends its next request
            # without a token, and is challenged again.
            proof["Persistent-Auth"] = "false"
        self._trail.established(request, leg, identity)

    def _continue(
        self,
        request: web.Request,
        handshake: Handshake,
        answer: ErrorResponse,
        leg: Leg,
        token: bytes,
    ) -> ErrorResponse:
        self._end_kept(request, "another handshake began on the connection")
        self._connections.open(request).await_token(handshake, request)
        self._trail.continued(request, leg, token)
        return answer

    def _refuse(self, request: web.Request, error: AuthsrvError) -> ErrorResponse:
        self._end_kept(request, "a token was refused")
        reply = build_error_response(error, limits=self.acceptor.limits)
        self._trail.refused(request, error, reply)
        return reply

    def _recall(self, request: web.Request) -> bool:
        """Take the identity from the connection, if one is kept and nothing speaks against it."""
        connection = self._connections.find(request)
        if connection is None or connection.identity is None:
            return False
        cause = connection.invalid_reason(request)
        if hdrs.AUTHORIZATION in request.headers:
            cause = "credentials of another scheme came on the connection"
        if cause is not None:
            self._end_kept(request, cause)
            return False
        identity = connection.identity
        request[ADMISSION].identity = identity
        self._trail.recalled(request, identity)
        return True

    def _keep(self, request: web.Request, identity: Identity) -> None:
        connection = self._connections.open(request)
        cause = connection.invalid_reason(request)
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
        self._trail.ended(request, principal, cause)

    def awaits_token(self, request: web.Request) -> bool:
        """Whether a handshake waits for its next token on the connection of a request."""
        connection = self._connections.find(request)
        return connection is not None and connection.handshake is not None

    async def start(self, app: web.Application) -> None:
        """Look at start whether all is in place, and say in the log what is not.

        Raises:
            ConfigError: The provider can never work with its settings, or cannot do what is asked
                of its contexts; a mounted application is set up too; another middleware comes
                before this one; a path of the rules fits more than one resource.
        """
        if any(AUTH in inner for inner in mounted(app)):
            raise ConfigError("setup was called for an application and for one mounted in it")
        self._app = app
        check_place(app, self.handle)
        self.rules.check(app)
        self._look_at_channel(app.get(OWN_CHANNEL))
        self.acceptor.create_handshake().close()
        try:
            await asyncio.to_thread(self.acceptor.provider.check)
        except UnavailableError as error:
            _LOG.error("authentication is not possible yet: %s", error.detail)
        if not is_fitting(app):
            _LOG.warning(
                "the server's header limits are not known: aiohttp's own default of 8,190 bytes "
                "refuses the tokens of users with many groups. Start with authsrv.aiohttp.run_app, "
                "or pass authsrv.aiohttp.server_settings(app) to the runner"
            )

    def _look_at_channel(self, bindings: ChannelBindings | None) -> None:
        request = self.acceptor.request
        if self.own_channel is OwnChannel.LOOKED_AT and request.bindings is None:
            self.acceptor.request = replace(request, bindings=bindings)

    async def stop(self, app: web.Application) -> None:
        """End all that is pending, when the application is cleaned up."""
        self._connections.close()
        self.acceptor.close()


AUTH: web.AppKey[NegotiateAuth] = web.AppKey("authsrv.auth", NegotiateAuth)
"""Where an application carries what `setup` installed."""


def _provenance(request: web.Request) -> Provenance:
    fields = request.headers
    return Provenance(
        method=request.method,
        is_websocket=fields.get(hdrs.UPGRADE, "").strip().lower() == "websocket",
        fetch_site=fields.getall("Sec-Fetch-Site", ()),
        origin=fields.getall(hdrs.ORIGIN, ()),
        host=fields.getall(hdrs.HOST, ()),
    )
