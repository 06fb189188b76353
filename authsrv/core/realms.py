"""Which realms are let in; a ticket proves who a client is in any realm that ours trusts."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from authsrv.core.identity import Identity, split_principal
from authsrv.core.settings import as_texts
from authsrv.errors import ConfigError, ForbiddenRealmError

__all__ = ["ALL_REALMS", "KnowsRealms", "RealmPolicy", "realm_of"]

ALL_REALMS = "*"
"""The setting that lets in every realm."""

_MAX_SHOWN = 256


def realm_of(principal: str) -> str | None:
    r"""The realm, or what stands in its place in names of Windows: DOMAIN in DOMAIN\user."""
    name, realm = split_principal(principal)
    if realm is not None:
        return realm
    domain, separator, _ = name.partition("\\")
    return domain if separator else None


@runtime_checkable
class KnowsRealms(Protocol):
    """A provider that knows which realms its own keys belong to."""

    def realms(self) -> Collection[str]:
        """The realms of the keys as they are now. It may block.

        Raises:
            KeytabError: There are no keys.
        """
        ...


@dataclass(frozen=True, slots=True)
class RealmPolicy:
    """Which realms are let in.

    Args:
        names: The realms; None for those of the provider's own keys.
        own_realms: Asks for these; None where the provider has no keys, which lets in all.
    """

    names: frozenset[str] | None = None
    own_realms: Callable[[], Collection[str]] | None = None

    @classmethod
    def of_setting(cls, setting: object, provider: object) -> RealmPolicy:
        """Make the policy of a setting.

        Args:
            setting: None for those of the provider's own keys, "*" for all, or several realms.
            provider: The provider; a KnowsRealms or not.

        Raises:
            ConfigError: The setting is none of these, or names no realm.
        """
        if setting is None:
            return cls(own_realms=provider.realms if isinstance(provider, KnowsRealms) else None)
        if setting == ALL_REALMS:
            return cls(frozenset({ALL_REALMS}))
        names = as_texts(setting, "realms")
        if not names or not all(name.strip() and name.isprintable() for name in names):
            raise ConfigError('realms must name realms; "*" lets in all')
        return cls(frozenset(names))

    @property
    def is_unsettled(self) -> bool:
        """Whether all realms are let in because nobody said which; to be logged at start."""
        return self.names is None and self.own_realms is None

    def check(self, identity: Identity) -> None:
        """Refuse a client of another realm. It may block where the provider is asked.

        Raises:
            ForbiddenRealmError: The realm is not let in; the detail says what would let it in.
            KeytabError: There are no keys any more.
        """
        let_in: Collection[str] | None = self.names
        if let_in is None:
            if self.own_realms is None:
                return
            let_in = self.own_realms()
        if realm_of(identity.principal) in let_in or ALL_REALMS in let_in:
            return
        raise ForbiddenRealmError(
            f"{identity.principal[:_MAX_SHOWN]} is of another realm than {_listed(let_in)}; "
            f'name its realm in realms=[...], or "*" for all that trust leads to'
        )


def _listed(realms: Collection[str]) -> str:
    return ", ".join(sorted(realms)[:4]) or "none"
