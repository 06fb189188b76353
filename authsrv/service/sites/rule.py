"""A rule: its conditions on a request and on a client, and how each of them fits.

Some conditions cannot be told: the network of an unknown address, the method of a request that
asks for another one in a header, a group where the set was cut. They are met for a rule that
denies, and not for one that lets in.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator
from dataclasses import dataclass, field

from authsrv.core.flags import AscRet
from authsrv.core.settings import as_flags, as_instance, as_member
from authsrv.errors import ConfigError
from authsrv.http.folding import HeaderNames
from authsrv.http.forwarded import Address, AskedRequest, method_overrides
from authsrv.http.paths import NormalPath, PathPattern
from authsrv.service.sites.networks import ClientNetworks, Fit
from authsrv.service.sites.people import NameList, Subject, UserList

__all__ = ["Access", "Rule", "RuledRequest"]

_NO_ATTRIBUTES = AscRet(0)
_PREFLIGHT = frozenset({b"origin", b"access-control-request-method"})


class Access(enum.Enum):
    """What a rule does with the requests that it matches."""

    ALLOW = "allow"
    """A client whose identity is known is let in."""
    DENY = "deny"
    """Nobody is."""
    OPEN = "open"
    """Everybody is, and is not asked who it is."""


@dataclass(frozen=True, slots=True)
class RuledRequest:
    """What rules look at in a request.

    Args:
        method: One of `authsrv.http.forwarded.METHODS`.
        path: As the client sent it.
        address: The client's; None where it is not known.
        has_override: Whether a header asks the application to take another method for it.
        is_preflight: Whether it is a CORS preflight, which browsers send without any credential.
    """

    method: str
    path: str
    address: Address | None = None
    has_override: bool = False
    is_preflight: bool = False

    @classmethod
    def of(cls, asked: AskedRequest, names: HeaderNames) -> RuledRequest:
        """Take it from what the proxy told, and the names of all header fields of the client."""
        # Fetch standard, CORS-preflight fetch: its method and the fields that it has.
        is_preflight = asked.method == "OPTIONS" and _PREFLIGHT <= names.by_name.keys()
        has_override = bool(method_overrides(names))
        return cls(asked.method, asked.target.path, asked.address, has_override, is_preflight)


@dataclass(frozen=True, slots=True, eq=False)
class Rule:
    """A rule; a condition that is not set is always met. It is equal to itself alone.

    Args:
        name: For logs and explanations.
        access: What it does.
        paths: One of them must match.
        methods: The method must be one of them.
        networks: The client must be in one of them.
        realms: The client's realm must be one of them.
        users: The client must be one of them.
        groups: The client must be in one of them.
        mechanisms: The identity must have been proved by one of them.
        channel_bound: Whether it must have been proved over the channel that we see.
        attributes: What the context must have had. A session does not remember it.
        max_age_seconds: How long ago it may have been proved.

    Attributes:
        asks_who: Whether it has conditions on who the client is.
        asks_how: Whether it has conditions on how and when the client proved it.

    Raises:
        ConfigError: It is open and has conditions on the client, or a setting is of a wrong type.
    """

    name: str
    access: Access = Access.ALLOW
    paths: tuple[PathPattern, ...] = ()
    methods: frozenset[str] = frozenset()
    networks: ClientNetworks | None = None
    realms: NameList | None = None
    users: UserList | None = None
    groups: NameList | None = None
    mechanisms: frozenset[str] = frozenset()
    channel_bound: bool = False
    attributes: AscRet = _NO_ATTRIBUTES
    max_age_seconds: float | None = None
    asks_who: bool = field(init=False, repr=False, compare=False)
    asks_how: bool = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "access", as_member(Access, self.access, "access"))
        object.__setattr__(self, "attributes", as_flags(AscRet, self.attributes, "attributes"))
        as_instance(bool, self.channel_bound, "channel_bound")
        who = (self.realms, self.users, self.groups)
        # Told once: each request asks for both.
        object.__setattr__(self, "asks_who", any(each is not None for each in who))
        proof = (self.mechanisms, self.channel_bound, self.attributes)
        has_age = self.max_age_seconds is not None
        object.__setattr__(self, "asks_how", any(proof) or has_age)
        if self.access is Access.OPEN and self.asks:
            raise ConfigError(f"the rule {self.name!r} is open, and so cannot ask who a client is")

    @property
    def asks(self) -> bool:
        """Whether it has conditions on the client, of either kind."""
        return self.asks_who or self.asks_how

    def means_path(self, path: str) -> bool:
        """Whether it is about a path, which is in normal form."""
        return self.means(NormalPath(path))

    def means(self, path: NormalPath) -> bool:
        """As `means_path`."""
        if not self.paths:
            return True
        for pattern in self.paths:
            if pattern.means(path):
                return True
        return False

    def unmet_by_request(self, request: RuledRequest) -> tuple[str, Fit]:
        """The condition on the request, its path aside, that fits worst, and how it fits."""
        if not self.methods and self.networks is None:
            return _MET
        return min(self._fits_of_request(request), key=_by_fit, default=_MET)

    def unmet_by_person(self, subject: Subject) -> tuple[str, Fit]:
        """The condition on who the client is that fits worst, and how it fits."""
        if not self.asks_who:
            return _MET
        return min(self._fits_of_person(subject), key=_by_fit, default=_MET)

    def unmet_by_proof(self, subject: Subject) -> tuple[str, Fit]:
        """The condition on how the client proved it that fits worst, and how it fits."""
        if not self.asks_how:
            return _MET
        return min(self._fits_of_proof(subject), key=_by_fit, default=_MET)

    def _fits_of_request(self, request: RuledRequest) -> Iterator[tuple[str, Fit]]:
        if self.methods and request.method not in self.methods:
            # The method that the header asks for may be one of them.
            yield "methods", Fit.MAYBE if request.has_override else Fit.NO
        elif self.methods and request.has_override:
            yield "methods", Fit.MAYBE
        if self.networks is not None:
            yield "networks", self.networks.fit(request.address)

    def _fits_of_person(self, subject: Subject) -> Iterator[tuple[str, Fit]]:
        if self.realms is not None:
            realm = subject.realm
            yield "realms", Fit.NO if realm is None else self.realms.fit(realm)
        if self.users is not None:
            yield "users", self.users.fit(subject.principal)
        if self.groups is not None:
            yield "groups", self.groups.fit_any(subject.groups)

    def _fits_of_proof(self, subject: Subject) -> Iterator[tuple[str, Fit]]:
        if self.mechanisms and subject.mechanism not in self.mechanisms:
            yield "mechanisms", Fit.NO
        if self.channel_bound and not subject.channel_bound:
            yield "channel_bound", Fit.NO
        if self.attributes & ~subject.attributes:
            yield "attributes", Fit.NO
        if self.max_age_seconds is not None and subject.age_seconds > self.max_age_seconds:
            yield "max_age_seconds", Fit.NO

    def applies(self, fit: Fit) -> bool:
        """Whether it matches where its conditions fit so: what denies does so in doubt."""
        return fit is Fit.YES or (fit is Fit.MAYBE and self.access is Access.DENY)


_MET = ("", Fit.YES)


def _by_fit(condition: tuple[str, Fit]) -> Fit:
    return condition[1]
