"""The client as a user sees it: a list of hosts, a credential, and a middleware."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from types import MappingProxyType, TracebackType
from typing import Self, cast

from authsrv.client.hosts import HostList
from authsrv.client.negotiation import Negotiation
from authsrv.client.policy import BindingsSent, ClientPolicy, ConnectionUse, ServerProof, Timing
from authsrv.core.credentials import ClientCredential
from authsrv.core.identity import DelegatedCredential
from authsrv.core.limits import Limits
from authsrv.core.settings import as_instance
from authsrv.errors import ConfigError
from authsrv.handshake.initiator import Initiator
from authsrv.providers.base import InitiatorProvider

# Imported here and not at its use, which is on the event loop: it takes a while.
_MISSING: ConfigError | None = None
try:
    from authsrv.providers.gssapi.initiator import GssapiInitiatorProvider
except ConfigError as missing:
    _MISSING = missing

__all__ = ["CLIENT_LIMITS", "NegotiateClient"]

CLIENT_LIMITS = Limits(handshake_seconds=3_600.0)
"""The bounds of a client where none are given: a handshake lasts as long as the server takes to
answer the request that carries its token, which the session's own timeout bounds."""

_NO_SERVICES: Mapping[str, str] = MappingProxyType({})


class NegotiateClient(Negotiation):
    """A middleware for aiohttp's ClientSession: single sign-on for requests to the hosts named.

    It may be used by any number of sessions of one event loop.

    Args:
        hosts: The hosts that may have a token; see HostList.
        credential: What to authenticate with: a TicketCache, a ClientKeytab, a
            DelegatedCredential; None for what the environment holds. Or a provider, which has its
            own credential.
        proof: Which responses need the server's proof.
        timing: When the first token is sent.
        bindings: Whether channel bindings are sent over TLS.
        delegates: The hosts that may act as the user towards other services, in the form of
            `hosts`. The user's ticket-granting ticket goes there, if it is forwardable.
        services: Service principal names by host, for hosts whose service is not "HTTP/host".
        limits: The bounds of the handshakes.

    Raises:
        ConfigError: There is no host, or a name has another form; the credential cannot be used;
            or the extra authsrv[kerberos] is not installed.
    """

    def __init__(
        self,
        hosts: Iterable[str],
        *,
        credential: ClientCredential | InitiatorProvider | None = None,
        proof: ServerProof = ServerProof.REQUIRED,
        timing: Timing = Timing.WHEN_ASKED,
        bindings: BindingsSent = BindingsSent.SENT,
        delegates: Iterable[str] = (),
        services: Mapping[str, str] = _NO_SERVICES,
        limits: Limits = CLIENT_LIMITS,
    ) -> None:
        listed = HostList(hosts)
        if not listed:
            raise ConfigError("a client needs a host that it may authenticate to")
        policy = ClientPolicy(listed, HostList(delegates), services, proof, timing, bindings)
        super().__init__(Initiator(_package_of(credential), limits=limits), policy)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End all handshakes and release the threads; close the sessions before."""
        self.initiator.close()

    def acting_as(self, delegated: DelegatedCredential) -> Negotiation:
        """Make a middleware that acts as a user who delegated a credential to this process.

        It has this client's settings and threads. Give it to one request of any session:
        `session.get(url, middlewares=(client.acting_as(identity.delegated),))`.

        Some servers take a connection for authenticated once a token came over it. So that no
        user's request is taken for another's, each one has a token, and its connection is closed
        afterwards. Where a user has a session alone, NegotiateClient(hosts, credential=delegated)
        keeps connections.

        Args:
            delegated: The credential, `Identity.delegated` of an authenticated user.

        Returns:
            The middleware. It needs no closing, and works until this client is closed.

        Raises:
            ConfigError: The credential is None, as the user delegated none, or of a provider that
                cannot do this. So nothing acts as this process by mistake.
        """
        # None would mean the credential of this process, which may do what the user may not.
        delegated = as_instance(DelegatedCredential, delegated, "delegated")
        ours = self.initiator
        initiator = Initiator(_package_of(delegated), limits=ours.limits, pool=ours.pool)
        policy = replace(self.policy, timing=Timing.AT_ONCE, connections=ConnectionUse.SINGLE)
        return Negotiation(initiator, policy)


def _package_of(credential: ClientCredential | InitiatorProvider | None) -> InitiatorProvider:
    if hasattr(credential, "create_initiator"):
        return cast(InitiatorProvider, credential)
    if _MISSING is not None:
        raise _MISSING
    return GssapiInitiatorProvider(credential)
