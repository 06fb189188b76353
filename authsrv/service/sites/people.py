"""Who a client is, as rules see it, and the conditions that rules put on that.

A condition that cannot be told (of a cut set of groups, or where a name differs from the listed one
in nothing but case) fits as `Fit.MAYBE`: it lets nobody in, and it keeps out.
"""

from __future__ import annotations

import enum
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass

from authsrv.core.flags import AscRet
from authsrv.core.identity import Identity, split_principal
from authsrv.core.realms import realm_of
from authsrv.errors import ConfigError
from authsrv.service.sites.groups import NO_GROUPS, GroupSet
from authsrv.service.sites.networks import Fit

__all__ = ["Affix", "NameList", "Subject", "UserList", "UserPattern", "fold_text"]

_NO_ATTRIBUTES = AscRet(0)


@dataclass(frozen=True, slots=True)
class Subject:
    """A client whose identity is proved, whether by this request or by its session.

    Args:
        principal: Such as "alice@EXAMPLE.ORG"; from an `Identity`, or from what was sealed of one.
        mechanism: How it was proved, such as "kerberos" or "password".
        channel_bound: Whether the client proved that it speaks over the channel we see.
        attributes: What the context had; empty where that is no longer known.
        groups: The groups.
        age_seconds: How long ago it was proved.
    """

    principal: str
    mechanism: str
    channel_bound: bool = False
    attributes: AscRet = _NO_ATTRIBUTES
    groups: GroupSet = NO_GROUPS
    age_seconds: float = 0

    @classmethod
    def of_identity(cls, identity: Identity, groups: GroupSet = NO_GROUPS) -> Subject:
        """The client that a handshake has just established."""
        return cls(
            identity.principal,
            identity.mechanism,
            identity.channel_bound,
            identity.attributes,
            groups,
        )

    @property
    def realm(self) -> str | None:
        r"""The realm, or DOMAIN of DOMAIN\user."""
        return realm_of(self.principal)

    @property
    def account(self) -> str:
        r"""The principal without its realm or its domain: "alice" of "alice@EXAMPLE.ORG".

        Two realms may both have an alice.
        """
        name, realm = split_principal(self.principal)
        domain, separator, account = name.partition("\\")
        return account if realm is None and separator and domain else name


def fold_text(text: str) -> str:
    """Fold what systems take for the same name: compatibility forms (NFKC) and case."""
    if text.isascii():
        return text.lower()
    # Unicode 15, section 3.13, D146: a compatibility caseless match.
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())


class NameList:
    """Names of which a client's must be one, exactly."""

    __slots__ = ("_folded", "names")

    def __init__(self, names: Iterable[str]) -> None:
        self.names = frozenset(names)
        self._folded = frozenset(map(fold_text, self.names))

    def __repr__(self) -> str:
        return f"<NameList {', '.join(sorted(self.names))}>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, NameList) and self.names == other.names

    def __hash__(self) -> int:
        return hash(self.names)

    def fit(self, name: str) -> Fit:
        """YES for a name of the list, MAYBE for one that folds to such a name."""
        if name in self.names:
            return Fit.YES
        return Fit.MAYBE if fold_text(name) in self._folded else Fit.NO

    def fit_any(self, groups: GroupSet) -> Fit:
        """How the group fits that fits best; of a cut set, none is known not to be there."""
        if not self.names.isdisjoint(groups.names):
            return Fit.YES
        if groups.is_truncated or any(self.fit(name) for name in groups.names):
            return Fit.MAYBE
        return Fit.NO


class Affix(enum.Enum):
    """Which part of a name a pattern fixes."""

    WHOLE = "whole"
    BEGINNING = "beginning"
    END = "end"


@dataclass(frozen=True, slots=True)
class UserPattern:
    r"""A user, or several by a pattern with one "*" at one end.

    Args:
        affix: Which part of the name is fixed.
        name: That part: of the name before the realm, or of all of ``DOMAIN\user``.
        realm: The realm, whole; None where the pattern has none.
    """

    affix: Affix
    name: str
    realm: str | None

    @classmethod
    def parse(cls, text: str) -> UserPattern:
        r"""Read "alice@EXAMPLE.ORG", "*@EXAMPLE.ORG", "*.admin@EXAMPLE.ORG", "svc-*" or "DOM\*".

        Raises:
            ConfigError: It is empty or not printable, has a "*" elsewhere or two, fixes nothing, or
                has a pattern in its realm.
        """
        stars = text.count("*")
        fixed = text.removeprefix("*").removesuffix("*")
        if not fixed or "*" in fixed or stars > 1 or not text.isprintable():
            raise ConfigError(f"{text!r} is no user, nor a pattern with one * at its end or begin")
        name, realm = split_principal(fixed)
        if realm == "" or (not name and not text.startswith("*")):
            raise ConfigError(f"the user {text!r} has no name or no realm")
        if text.startswith("*"):
            if realm is None:
                raise ConfigError(f"the user {text!r} must end in @ and a whole realm")
            return cls(Affix.END, name, realm)
        if text.endswith("*"):
            if realm is not None:
                raise ConfigError(f"the user {text!r} must not have a pattern in its realm")
            return cls(Affix.BEGINNING, name, None)
        if realm is None and "\\" not in name:
            raise ConfigError(f"the user {text!r} must have its realm, as alice@EXAMPLE.ORG")
        return cls(Affix.WHOLE, name, realm)

    @property
    def is_of_any_realm(self) -> bool:
        """Whether it fits users of every realm that is let in."""
        return self.realm is None and "\\" not in self.name

    def fit(self, principal: str) -> Fit:
        """YES for a user it means, MAYBE for one who folds to such a user."""
        name, realm = split_principal(principal)
        if self._means(name, realm):
            return Fit.YES
        folded = UserPattern(self.affix, fold_text(self.name), _folded(self.realm))
        return Fit.MAYBE if folded._means(fold_text(name), _folded(realm)) else Fit.NO

    def _means(self, name: str, realm: str | None) -> bool:
        # A name of Kerberos may have an escaped backslash; only one without a realm is Windows'.
        if self.is_of_any_realm:
            if realm is None:
                return False
        elif realm != self.realm:
            return False
        match self.affix:
            case Affix.WHOLE:
                return name == self.name
            case Affix.BEGINNING:
                return name.startswith(self.name)
            case Affix.END:
                return name.endswith(self.name)


def _folded(realm: str | None) -> str | None:
    return None if realm is None else fold_text(realm)


class UserList:
    """Users of which a client must be one: by their principals, or by patterns.

    Args:
        texts: As `UserPattern.parse` reads them.

    Raises:
        ConfigError: One of them is neither.
    """

    __slots__ = ("_exact", "_patterns", "texts")

    def __init__(self, texts: Iterable[str]) -> None:
        self.texts = tuple(texts)
        parsed = {text: UserPattern.parse(text) for text in self.texts}
        whole = [text for text, user in parsed.items() if user.affix is Affix.WHOLE]
        self._exact = NameList(whole)
        self._patterns = tuple(user for text, user in parsed.items() if text not in whole)

    def __repr__(self) -> str:
        return f"<UserList {', '.join(self.texts)}>"

    @property
    def principals(self) -> frozenset[str]:
        """Those that are named whole."""
        return self._exact.names

    @property
    def is_of_any_realm(self) -> bool:
        """Whether a pattern fits users of every realm that is let in."""
        return any(user.is_of_any_realm for user in self._patterns)

    def fit(self, principal: str) -> Fit:
        """How the user fits that fits best."""
        fits = (self._exact.fit(principal), *(user.fit(principal) for user in self._patterns))
        return max(fits)
