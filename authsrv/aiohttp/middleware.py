"""Single sign-on for an aiohttp application: the middleware, and `setup`, which installs it.

The order of a request: the rules say what it needs; `authsrv.http.exchange` reads its Authorization
field; a token is driven through the handshake; what comes out goes on to the handler or back to
the client. The token by which the server proves itself (mutual authentication) goes out with the
handler's response, whatever its status, streaming responses included; only a 401 of the
handler's own keeps its own challenge.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler

from authsrv.aiohttp.connections import Connections, Persistence
from authsrv.aiohttp.requests import IDENTITY
from authsrv.aiohttp.rules import AccessRules
from authsrv.aiohttp.server import HeaderLimit, header_limit
from authsrv.bindings import ChannelBindings
from authsrv.drive import Acceptor, AcceptorHandshake, Leg
from authsrv.errors import AuthsrvError, ConfigError, StateError, UnavailableError
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
from authsrv.limits import DEFAULT_LIMITS, Limits
from authsrv.packages.base import ContextRequest, SecurityPackage
from authsrv.results import Refused
from authsrv.tokens.peek import peek

__all__ = ["NegotiateAuth", "setup"]

_LOG = logging.getLogger("authsrv")

_AUTH: web.AppKey[NegotiateAuth] = web.AppKey("authsrv.auth")
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
        key = request.match_info.route, request.method
        requirement = self._requirements.get(key)
        if requirement is None:
            requirement = self._require(request, key)
        if requirement is Requirement.OPEN:
            # Handed on as it is: what is open to everybody pays for no coroutine of ours.
            return handler(request)
        return self._demand(request, handler, requirement)

    def _require(self, request: web.Request, key: tuple[web.AbstractRoute, str]) -> Requirement:
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

    async def _demand(
        self, request: web.Request, handler: Handler, requirement: Requirement
    ) -> web.StreamResponse:
        limits = self.acceptor.limits
        try:
            fields = request.headers.getall(hdrs.AUTHORIZATION, ())
            decision = decide(fields, requirement, limits=limits)
        except AuthsrvError as error:
            return self._refuse(request, error)
        if isinstance(decision, Step):
            if IDENTITY in request:
                return self._refuse(request, StateError("two setups authenticate one request"))
            refusal = await self._authenticate(request, decision.token)
            if refusal is not None:
                return refusal
        elif not self._recall(request) and isinstance(decision, Ask):
            self._emit(lambda: ChallengedEvent(_described(request)))
            return _respond(challenge())
        return await handler(request)

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

    async def _authenticate(self, request: web.Request, token: bytes) -> web.Response | None:
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

    def _handshake_for(self, request: web.Request, token: bytes) -> AcceptorHandshake:
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
        handshake: AcceptorHandshake,
        answer: Reply,
        leg: Leg,
        token: bytes,
    ) -> web.Response:
        self._end_kept(request, "another handshake began on the connection")
        self._connections.open(request).await_token(handshake, request)
        self._emit(lambda: ContinuedEvent(_described(request), leg, peek(token).mechanism.label))
        return _respond(answer)

    def _refuse(self, request: web.Request, error: AuthsrvError) -> web.Response:
        self._end_kept(request, "a token was refused")
        return self._refused(request, error, build_reply(error, limits=self.acceptor.limits))

    def _refused(
        self,
        request: web.Request,
        error: AuthsrvError,
        reply: Reply,
        leg: Leg | None = None,
        token: bytes = b"",
    ) -> web.Response:
        mechanism = peek(token).mechanism.label if token else ""
        self._audit(
            RefusedEvent(
                _described(request), leg, error, mechanism, int(reply.status), reply.reference
            )
        )
        return _respond(reply)

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

    async def stop(self, app: web.Application) -> None:
        """End all that is pending, when the application is cleaned up.

        Args:
            app: The application.

        Source: SSPI FreeCredentialsHandle.
        """
        self._connections.close()
        self.acceptor.close()


def setup(
    app: web.Application,
    *,
    keytab: str | os.PathLike[str] | None = None,
    service: str | None = None,
    package: SecurityPackage | None = None,
    rules: AccessRules | None = None,
    bindings: ChannelBindings | None = None,
    persistence: Persistence = Persistence.REQUEST,
    limits: Limits = DEFAULT_LIMITS,
    audit: AuditSink = log_event,
) -> NegotiateAuth:
    """Require single sign-on for an application and all that is mounted in it.

    Args:
        app: The application, not yet started.
        keytab: The keytab with the service's keys, for the package "gssapi".
        service: The service principal name to accept tickets for, such as
            "HTTP/web.example.org"; None for every key of the keytab.
        package: Another security package, instead of a keytab.
        rules: Which requests need an authenticated client; all, if not given.
        bindings: The TLS channel that clients must speak over (RFC 5929), if it is looked at.
        persistence: How long an identity lasts; for one request, if not given.
        limits: All bounds.
        audit: Where events go; to the log "authsrv.audit", if not given.

    Returns:
        What was installed.

    Raises:
        ConfigError: Neither keytab nor package is given, or both are; the extra
            authsrv[kerberos] is missing; the application was set up before.

    Source: RFC 4559; authsrv design section 1.
    """
    if _AUTH in app:
        raise ConfigError("authentication is set up for this application already")
    acceptor = Acceptor(
        _choose_package(keytab, service, package), request=ContextRequest(bindings), limits=limits
    )
    auth = NegotiateAuth(
        acceptor, rules=rules or AccessRules(), persistence=persistence, audit=audit
    )
    app[_AUTH] = auth

    # First of all: no other middleware may see a request that is not authenticated.
    app.middlewares.insert(0, auth.handle)
    app.on_startup.append(auth.start)
    app.on_cleanup.append(auth.stop)
    return auth


def _choose_package(
    keytab: str | os.PathLike[str] | None, service: str | None, package: SecurityPackage | None
) -> SecurityPackage:
    if package is not None:
        if keytab is not None or service is not None:
            raise ConfigError("give a package, or a keytab and a service, not both")
        return package
    if keytab is None:
        raise ConfigError("give the keytab with the service's keys, or a security package")
    from authsrv.packages.gssapi import GssapiPackage  # needs the extra authsrv[kerberos]

    return GssapiPackage(keytab, service=service)


def _respond(reply: Reply) -> web.Response:
    return web.Response(status=reply.status, headers=reply.headers, text=reply.text)


def _described(request: web.Request) -> Request:
    return Request(request.method, request.path, request.remote)
