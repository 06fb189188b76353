"""Who begins handshakes on a client."""

from __future__ import annotations

from authsrv.core.limits import DEFAULT_LIMITS, Limits
from authsrv.core.role import Role
from authsrv.errors import ConfigError
from authsrv.handshake.context_guard import ContextGuard, Retention, refusal_to_begin
from authsrv.handshake.driver import Handshake
from authsrv.handshake.pool import WorkerPool
from authsrv.handshake.registry import HandshakeRegistry
from authsrv.providers.base import InitiatorProvider, InitiatorRequest

__all__ = ["Initiator"]


class Initiator(HandshakeRegistry):
    """Begins handshakes with servers through one provider.

    Args:
        provider: The provider, with the credential of the client.
        limits: The bounds for one handshake and for all.
        pool: The threads to run the provider on, or None for a pool of its own.

    Raises:
        ConfigError: A setting is of a wrong type.
    """

    def __init__(
        self,
        provider: InitiatorProvider,
        *,
        limits: Limits = DEFAULT_LIMITS,
        pool: WorkerPool | None = None,
    ) -> None:
        super().__init__(limits, pool)
        if not callable(getattr(provider, "create_initiator", None)):
            raise ConfigError("provider must be a provider that begins handshakes")
        self.provider = provider

    def __repr__(self) -> str:
        return f"<Initiator {self.provider.name}, {self.pending} pending>"

    def create_handshake(
        self, request: InitiatorRequest, *, retention: Retention = Retention.RELEASE
    ) -> Handshake:
        """Begin a handshake, as Acceptor.create_handshake does; its identity is the server's.

        Its first leg takes an empty token.

        Args:
            request: Whom to talk to, and what is asked of the context.
            retention: What becomes of the context once it is established.

        Raises:
            OverloadedError: More handshakes are pending than the limits allow in all, or memory
                ran out.
            ConfigError: The provider cannot do what is asked of its contexts.
            ProviderFaultError: The provider could not make a context.
        """
        self.demand_room()
        try:
            context = self.provider.create_initiator(request)
            guard = ContextGuard(context, request.required, retention)
        except Exception as error:
            raise refusal_to_begin(error) from None
        handshake = Handshake(self, guard, Role.INITIATOR)
        self.add(handshake)
        return handshake
