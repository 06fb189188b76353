"""The acceptors of the sites: on threads that all share, and kept over a new configuration."""

from __future__ import annotations

from dataclasses import dataclass

from authsrv.core.bindings import ChannelBindings
from authsrv.core.limits import Limits
from authsrv.handshake.acceptor import Acceptor
from authsrv.handshake.pool import WorkerPool
from authsrv.providers.base import ContextRequest
from authsrv.providers.gssapi.acceptor import GssapiProvider
from authsrv.service.config.settings import Settings
from authsrv.service.sites.site import Site
from authsrv.stores.base import Store

__all__ = ["Acceptors"]


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What an acceptor is made of; two sites that want the same share one."""

    keytab: str
    services: tuple[str, ...]
    realms: frozenset[str] | None
    bindings: ChannelBindings | None
    limits: Limits


class Acceptors:
    """Makes acceptors, and gives the same one for the same wants.

    Args:
        store: Where accepted tickets are remembered.
        limits: The bounds of the threads; they hold until the process ends.
    """

    def __init__(self, store: Store, limits: Limits) -> None:
        self._store = store
        self._pool = WorkerPool(limits)
        self._made: dict[_Wanted, Acceptor] = {}

    def of_site(self, settings: Settings, site: Site) -> Acceptor:
        """The acceptor of a site.

        Raises:
            ConfigError: It can never work with these settings.
        """
        wanted = _Wanted(
            settings.keytab,
            site.services or settings.services,
            settings.realms if site.realms is None else site.realms,
            site.bindings,
            settings.limits,
        )
        if wanted not in self._made:
            self._made[wanted] = self._make(wanted)
        return self._made[wanted]

    def _make(self, wanted: _Wanted) -> Acceptor:
        return Acceptor(
            GssapiProvider(wanted.keytab, service=wanted.services or None, replay=self._store),
            request=ContextRequest(wanted.bindings),
            limits=wanted.limits,
            pool=self._pool,
            realms=_as_setting(wanted.realms),
        )

    def close(self) -> None:
        """End what is pending, and the threads."""
        for acceptor in self._made.values():
            acceptor.close()
        self._pool.close()


def _as_setting(realms: frozenset[str] | None) -> str | frozenset[str] | None:
    return "*" if realms is not None and "*" in realms else realms
