"""The middleware, which answers the challenge of a server (RFC 4559).

One handshake belongs to one request, and requests share nothing but the threads. The token is in
the request's header only while the request is sent: what aiohttp keeps of a request, and what its
errors show, has no token in it, and a redirect carries none along.
"""

from __future__ import annotations

import logging

from aiohttp import ClientHandlerType, ClientRequest, ClientResponse, hdrs

from authsrv.client.bodies import is_repeatable, put_away
from authsrv.client.channel import find_bindings
from authsrv.client.cookies import take_cookies
from authsrv.client.hosts import service_of
from authsrv.client.policy import BindingsSent, ClientPolicy, ConnectionUse, ServerProof, Timing
from authsrv.core.flags import AscRet, IscReq
from authsrv.core.limits import Limits
from authsrv.core.results import Continue, Established, Refused, Result
from authsrv.core.settings import as_instance
from authsrv.errors import (
    LocalError,
    MutualAuthenticationError,
    PeerError,
    ProviderFaultError,
    StateError,
    UnavailableError,
)
from authsrv.handshake.driver import Handshake
from authsrv.handshake.initiator import Initiator
from authsrv.http.headers import build_challenge, negotiate_token
from authsrv.providers.base import InitiatorRequest

__all__ = ["Negotiation"]

_LOG = logging.getLogger("authsrv")


class Negotiation:
    """A middleware for aiohttp's ClientSession. `NegotiateClient` makes it.

    Raises:
        ConfigError: An argument is of a wrong type.
    """

    def __init__(self, initiator: Initiator, policy: ClientPolicy) -> None:
        self.initiator = as_instance(Initiator, initiator, "initiator")
        self.policy = as_instance(ClientPolicy, policy, "policy")

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.policy.hosts!r} by {self.initiator!r}>"

    async def __call__(self, request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
        """Send a request, and answer the challenge if there is one.

        A request to a host that is not on the list, and one that has an Authorization field
        already, are sent as they are.

        Returns:
            The response. After a 401 nothing more can be done: there is no answer to it, or the
            server has refused.

        Raises:
            MutualAuthenticationError: The server's proof is wrong, or is missing where it is
                required; the response is closed.
            StateError: Every response needs a proof, and the request has an Authorization field
                already.
            AuthsrvError: No token can be made, and why: NoCredentialError, TargetUnknownError,
                AuthorityError, DeadlineError, and so on.
            aiohttp.ClientError: As without the middleware.
        """
        if not self.policy.hosts.covers(request.url, request.proxy):
            return await handler(request)
        at_once = self.policy.timing is Timing.AT_ONCE
        if self.policy.proof is ServerProof.ALWAYS:
            if hdrs.AUTHORIZATION in request.headers:
                raise StateError(
                    "a request with an Authorization field of its own gets no proof of the server"
                )
            at_once = True
        if hdrs.AUTHORIZATION in request.headers:
            return await handler(request)
        if not at_once and is_repeatable(request):
            response = await handler(request)
            if response.status != 401 or not self._is_asked(response):
                return response
            take_cookies(request, response)
            await put_away(request, response)
        return await self._authenticate(request, handler)

    async def _authenticate(
        self, request: ClientRequest, handler: ClientHandlerType
    ) -> ClientResponse:
        asked = await self._ask(request)
        handshake = self.initiator.create_handshake(asked)
        try:
            return await _Exchange(self, request, handler, handshake, asked.target).converse()
        finally:
            handshake.close()

    def _is_asked(self, response: ClientResponse) -> bool:
        """Whether a 401 asks for Negotiate; if not, the log says why."""
        target = service_of(response.url, self.policy.services)
        try:
            token = _offered_token(response, self.initiator.limits)
        except PeerError as error:
            _log_refusal(target, error.detail)
            return False
        if token is None:
            _log_refusal(target, "the server does not offer Negotiate")
        return token is not None

    async def _ask(self, request: ClientRequest) -> InitiatorRequest:
        flags = IscReq.MUTUAL_AUTH
        if self.policy.delegates.covers(request.url, request.proxy):
            flags |= IscReq.DELEGATE
        bindings = None
        if self.policy.bindings is BindingsSent.SENT:
            bindings = await find_bindings(request, self.initiator.pool)
        target = service_of(request.url, self.policy.services)
        return InitiatorRequest(target, bindings=bindings, flags=flags)


class _Exchange:
    """One request on its way through one handshake."""

    __slots__ = ("_handler", "_handshake", "_limits", "_policy", "_request", "_target")

    def __init__(
        self,
        negotiation: Negotiation,
        request: ClientRequest,
        handler: ClientHandlerType,
        handshake: Handshake,
        target: str,
    ) -> None:
        self._policy = negotiation.policy
        self._limits = negotiation.initiator.limits
        self._request = request
        self._handler = handler
        self._handshake = handshake
        self._target = target

    async def converse(self) -> ClientResponse:
        """Send the request with one token after the other, until the handshake has ended."""
        result = await self._begin()
        while True:
            response = await self._send(_token_of(result))
            try:
                if response.status != 401:
                    await self._check(response, result)
                    return response
                answer = await self._answer(response)
                if answer is None:
                    return response
            except BaseException:
                response.close()
                raise
            take_cookies(self._request, response)
            await put_away(self._request, response)
            result = answer

    async def _begin(self) -> Result:
        result = await self._advance(b"")
        if isinstance(result, Refused):
            raise result.error
        if not _token_of(result):
            raise ProviderFaultError("the provider makes no first token")
        return result

    async def _advance(self, token: bytes) -> Result:
        return (await self._handshake.advance(token)).result

    async def _send(self, token: bytes) -> ClientResponse:
        headers = self._request.headers
        headers[hdrs.AUTHORIZATION] = build_challenge(token)
        if self._policy.connections is ConnectionUse.SINGLE:
            headers.setdefault(hdrs.CONNECTION, "close")
        try:
            return await self._handler(self._request)
        finally:
            headers.popall(hdrs.AUTHORIZATION, None)

    async def _answer(self, response: ClientResponse) -> Result | None:
        """What to answer to a 401; None if nothing can be, and the log says why."""
        result, cause = await self._go_on(response)
        cause = cause or self._unrepeatable()
        if cause is None:
            return result
        _log_refusal(self._target, cause)
        return None

    async def _go_on(self, response: ClientResponse) -> tuple[Result | None, str | None]:
        """The next token, or why there is none."""
        try:
            token = _offered_token(response, self._limits)
        except PeerError as error:
            return None, error.detail
        if not token:
            told = "gives no cause" if token is not None else "does not offer Negotiate any more"
            return None, f"the server refuses the token, and {told}"
        if not self._handshake.is_open:
            return None, "the server continues a handshake that has ended"
        result = await self._advance(token)
        return result, _end_of(result)

    def _unrepeatable(self) -> str | None:
        if is_repeatable(self._request):
            return None
        return "the handshake needs another request, and this one cannot be sent again"

    async def _check(self, response: ClientResponse, result: Result) -> None:
        """Demand the proof that the response comes from the server that was meant."""
        try:
            token = _offered_token(response, self._limits)
        except PeerError as error:
            raise self._distrust(response, error.detail) from None
        if token and self._handshake.is_open:
            result = await self._advance(token)
        if isinstance(result, Refused):
            if isinstance(result.error, UnavailableError | LocalError):
                raise result.error
            raise self._distrust(response, result.error.detail)
        if self._policy.proof is not ServerProof.OPTIONAL and not _proves(result):
            raise self._distrust(response, "it does not prove which server sent it")

    def _distrust(self, response: ClientResponse, cause: str) -> MutualAuthenticationError:
        return MutualAuthenticationError(
            f"the response {response.status} of {self._target} is not trusted: {cause}"
        )


def _log_refusal(target: str, cause: str) -> None:
    _LOG.warning("refused by=%s http=401 cause=%s", target, cause)


def _challenges(response: ClientResponse) -> list[str]:
    return response.headers.getall(hdrs.WWW_AUTHENTICATE, [])


def _offered_token(response: ClientResponse, limits: Limits) -> bytes | None:
    """The token of a challenge; None where Negotiate is not offered."""
    return negotiate_token(_challenges(response), max_token_bytes=limits.max_token_bytes)


def _end_of(result: Result) -> str | None:
    """Why nothing can follow; None if something can."""
    if isinstance(result, Refused):
        return result.error.detail
    if _token_of(result):
        return None
    if _proves(result):
        return "the server has authenticated this client and denies it access"
    return "the provider makes no further token"


def _token_of(result: Result) -> bytes:
    return result.token if isinstance(result, Continue | Established) else b""


def _proves(result: Result) -> bool:
    return isinstance(result, Established) and AscRet.MUTUAL_AUTH in result.identity.attributes
