"""Who begins handshakes on a server: the heart of every integration."""

from __future__ import annotations

import logging
from collections.abc import Collection

from authsrv.core.limits import DEFAULT_LIMITS, Limits
from authsrv.core.realms import RealmPolicy
from authsrv.core.role import Role
from authsrv.core.settings import as_instance
from authsrv.errors import ConfigError
from authsrv.handshake.context_guard import ContextGuard, Retention, refusal_to_begin
from authsrv.handshake.driver import Handshake
from authsrv.handshake.pool import WorkerPool
from authsrv.handshake.registry import HandshakeRegistry
from authsrv.providers.base import ContextRequest, SecurityProvider
from authsrv.stores.base import Store

__all__ = ["Acceptor"]

_LOG = logging.getLogger("authsrv")
_NO_REQUEST = ContextRequest()


class Acceptor(HandshakeRegistry):
    """Accepts handshakes through one provider; the heart of every integration.

    Args:
        provider: The provider.
        request: What is asked of each context.
        limits: The bounds for one handshake and for all.
        pool: The threads to run the provider on, or None for a pool of its own.
        store: Where it is remembered what was used, as far as the provider does not do so itself.
            If it is not given, the provider's own; where that claims something and has none,
            nobody gets in.
        realms: The realms whose clients are let in, or "*" for all that trust leads to. If it is
            not given, those of the provider's own keys; where it has none, all, and a warning in
            the log says so.

    Raises:
        ConfigError: A setting is of a wrong type.
    """

    def __init__(
        self,
        provider: SecurityProvider,
        *,
        request: ContextRequest = _NO_REQUEST,
        limits: Limits = DEFAULT_LIMITS,
        pool: WorkerPool | None = None,
        realms: str | Collection[str] | None = None,
        store: Store | None = None,
    ) -> None:
        self.realms = RealmPolicy.of_setting(realms, provider)
        super().__init__(limits, pool, _choose_store(store, provider))
        if not callable(getattr(provider, "create_context", None)):
            raise ConfigError("provider must be a provider that accepts clients")
        self.provider = provider
        self.request = as_instance(ContextRequest, request, "request")
        self._has_to_warn = self.realms.is_unsettled

    def __repr__(self) -> str:
        return f"<Acceptor {self.provider.name}, {self.pending} pending>"

    def create_handshake(
        self,
        request: ContextRequest | None = None,
        *,
        retention: Retention = Retention.RELEASE,
    ) -> Handshake:
        """Begin a handshake.

        It must be given a token or closed. Once it waits for a second token, it ends by itself when
        handshake_seconds have passed since its beginning.

        Args:
            request: What is asked of this context, if it differs from the acceptor's.
            retention: What becomes of the context once it is established.

        Raises:
            OverloadedError: More handshakes are pending than the limits allow in all, or memory
                ran out.
            ConfigError: The provider cannot do what is asked of its contexts.
            ProviderFaultError: The provider could not make a context.
        """
        if self._has_to_warn:
            self._warn_of_all_realms()
        asked = self.request if request is None else request
        self.demand_room()
        try:
            context = self.provider.create_context(asked)
            guard = ContextGuard(context, asked.required, retention, self.realms.check)
        except Exception as error:
            raise refusal_to_begin(error) from None
        handshake = Handshake(self, guard, Role.ACCEPTOR)
        self.add(handshake)
        return handshake

    def _warn_of_all_realms(self) -> None:
        self._has_to_warn = False
        _LOG.warning(
            "users of all realms are let in: the provider %s has no keytab that tells "
            "which; name them in realms=[...], or give realms='*' if that is meant",
            self.provider.name,
        )


def _choose_store(store: Store | None, provider: object) -> Store | None:
    own: Store | None = getattr(provider, "store", None)
    if store is None:
        return own
    if own is not None and own is not store:
        # What it says of its own store, such as since when that remembers, would be wrong.
        raise ConfigError("store: the provider has another one already")
    if isinstance(store, type) or not callable(getattr(store, "check_at_once", None)):
        raise ConfigError("store must be a store, such as MachineStore or MemoryStore")
    return store
