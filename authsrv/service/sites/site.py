"""The sites that the service answers for: their hosts, and what holds on each.

A host is looked up exactly as the proxy routed by it. Nothing is corrected: a name with a dot at
its end, or with a port that is not listed, is of no site.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field, replace
from typing import Final

from authsrv.core.bindings import ChannelBindings
from authsrv.core.settings import as_instance, as_member, as_optional
from authsrv.errors import ConfigError, InsecureSchemeError, MetadataError, UnknownSiteError
from authsrv.http.forwarded import Address, AskedRequest, Host, Scheme
from authsrv.service.sites.groups import GroupSet
from authsrv.service.sites.headers import HeaderMap
from authsrv.service.sites.networks import ClientNetworks, Fit
from authsrv.service.sites.rules import RuleList

__all__ = [
    "LOGIN_SITE",
    "TOKEN_HEADER",
    "NegotiateAt",
    "NegotiatePolicy",
    "Site",
    "SiteHost",
    "Sites",
]

TOKEN_HEADER: Final = "X-Authsrv-Token"  # noqa: S105
"""The header by which an application is given the signed token."""

LOGIN_SITE: Final = "login"
"""The name by which the proxy's configuration calls the login host, which is no site."""

_DEFAULT_PORTS: Final = {Scheme.HTTP: 80, Scheme.HTTPS: 443}
_LOOPBACK_NAMES: Final = frozenset({"localhost", "127.0.0.1", "[::1]"})
_MAX_SHOWN: Final = 64


class NegotiateAt(enum.Enum):
    """Where a client is asked for a ticket."""

    ASK = "ask"
    """In the answer to any request that needs an identity."""
    LOGIN = "login"
    """At the login path alone, to which navigations are led."""
    BOTH = "both"
    NEVER = "never"


@dataclass(frozen=True, slots=True)
class NegotiatePolicy:
    """Where clients are asked for a ticket, by their network; the first entry that fits decides.

    Args:
        entries: Each with the networks it is about, or None for all clients. Whom none fits, and
            whose network cannot be told, is never asked.

    Raises:
        ConfigError: An entry names no such place.
    """

    entries: tuple[tuple[ClientNetworks | None, NegotiateAt], ...]

    def __post_init__(self) -> None:
        entries = tuple(
            (networks, as_member(NegotiateAt, where, "negotiate"))
            for networks, where in self.entries
        )
        object.__setattr__(self, "entries", entries)

    def at(self, address: Address | None) -> NegotiateAt:
        """Where a client is asked; `address` is None where it is not known."""
        for networks, where in self.entries:
            if networks is None or networks.fit(address) is Fit.YES:
                return where
        return NegotiateAt.NEVER


@dataclass(frozen=True, slots=True)
class SiteHost:
    """A host of a site, or all names one label below one.

    Args:
        host: The host, its port None where it is the scheme's own.
        is_wildcard: Whether "wiki.example.org" stands for each "x.wiki.example.org", x one label.
    """

    host: Host
    is_wildcard: bool = False

    @classmethod
    def parse(cls, text: str, scheme: Scheme) -> SiteHost:
        """Read "wiki.example.org", "wiki.example.org:8443" or "*.apps.example.org".

        Raises:
            ConfigError: It is none of them, is not in lower case, or a wildcard has fewer than two
                labels behind it.
        """
        is_wildcard = text.startswith("*.")
        name = text.removeprefix("*.") if is_wildcard else text
        try:
            host = Host.parse(name)
        except MetadataError:
            raise ConfigError(
                f"{text[:_MAX_SHOWN]!r} is no host; write it as wiki.example.org, international "
                "names as xn--..."
            ) from None
        if name != name.lower():
            raise ConfigError(f"the host {text[:_MAX_SHOWN]!r} must be in lower case")
        # An address has no names below it, and nobody owns a top-level domain.
        last = host.name.rpartition(".")[2]
        if is_wildcard and (last == host.name or last.isdigit()):
            raise ConfigError(f"the wildcard {text[:_MAX_SHOWN]!r} is too wide, or of no domain")
        return cls(_normal(host, scheme), is_wildcard)

    def __str__(self) -> str:
        port = "" if self.host.port is None else f":{self.host.port}"
        return f"{'*.' if self.is_wildcard else ''}{self.host.name}{port}"

    def covers(self, host: Host) -> bool:
        """Whether it means a host, whose port is None where it is the scheme's own."""
        if not self.is_wildcard:
            return host == self.host
        label, _, parent = host.name.partition(".")
        return bool(label) and parent == self.host.name and host.port == self.host.port

    @property
    def is_loopback(self) -> bool:
        """Whether it is this machine, by a name that no other machine has."""
        name = self.host.name
        return name in _LOOPBACK_NAMES or name.endswith(".localhost")


@dataclass(frozen=True, slots=True)
class Site:
    """A site, as it was configured.

    Args:
        name: By which the proxy's configuration calls it.
        scheme: That by which clients come, and by which addresses of it are built.
        hosts: Its hosts; at least one.
        rules: Who may do what.
        negotiate: Where clients are asked for a ticket.
        headers: What the application is told of the client.
        has_sessions: Whether a session is begun after a log-in.
        has_token_path: Whether a page of it may fetch a signed token.
        sends_token: Whether the application is given a signed token in TOKEN_HEADER.
        case_insensitive: Whether the application takes "/ADMIN" for "/admin".
        bindings: What clients that send channel bindings must be bound to; None if that is not
            looked at.
        services: The service principal names that tickets may be for; none for any of the keytab.
        realms: The realms that are let in; None for those of the keytab, "*" for all.
        idle_seconds: How long a session lasts without a request.
        session_seconds: How long it lasts at most.
        password_session_seconds: The same, if it began with a password.

    Raises:
        ConfigError: It has no hosts, or a setting is of a wrong type.
    """

    name: str
    scheme: Scheme
    hosts: tuple[SiteHost, ...]
    rules: RuleList
    negotiate: NegotiatePolicy
    headers: HeaderMap
    has_sessions: bool = True
    has_token_path: bool = False
    sends_token: bool = False
    case_insensitive: bool = False
    bindings: ChannelBindings | None = None
    services: tuple[str, ...] = ()
    realms: frozenset[str] | None = None
    idle_seconds: float = 3_600
    session_seconds: float = 36_000
    password_session_seconds: float = 36_000

    def __post_init__(self) -> None:
        as_instance(str, self.name, "name")
        object.__setattr__(self, "scheme", as_member(Scheme, self.scheme, "scheme"))
        as_optional(ChannelBindings, self.bindings, "bindings")
        if not self.hosts:
            raise ConfigError(f"the site {self.name!r} has no hosts")

    @property
    def is_loopback(self) -> bool:
        """Whether all of its hosts are this machine, as in a demonstration."""
        return all(each.is_loopback for each in self.hosts)

    @property
    def is_secure(self) -> bool:
        """Whether sessions and passwords may go over its connections."""
        return self.scheme is Scheme.HTTPS or self.is_loopback

    def covers(self, host: Host) -> bool:
        """Whether a host is one of its own; a port that is the scheme's own may be named."""
        own = _normal(host, self.scheme)
        return any(each.covers(own) for each in self.hosts)

    @property
    def identity_names(self) -> tuple[str, ...]:
        """The header names by which its application is told of the client."""
        return (*self.headers.names, *([TOKEN_HEADER] if self.sends_token else []))

    @property
    def asked_groups(self) -> frozenset[str] | None:
        """The groups that matter here; None where all do, since the application is told them."""
        tells_all = self.headers.tells_groups or self.sends_token or self.has_token_path
        return None if tells_all else self.rules.group_names

    def groups_that_matter(self, groups: GroupSet) -> GroupSet:
        """Those of a client's groups that a session has to remember."""
        asked = self.asked_groups
        return groups if asked is None else replace(groups, names=groups.names & asked)


@dataclass(frozen=True, slots=True)
class Sites:
    """All sites.

    Args:
        sites: Them, in the order of the configuration.

    Raises:
        ConfigError: Two have one name or one host.
    """

    sites: tuple[Site, ...]
    _by_name: dict[str, Site] = field(init=False, repr=False, compare=False)
    _by_host: dict[Host, Site] = field(init=False, repr=False, compare=False)
    _wildcards: tuple[Site, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        by_name: dict[str, Site] = {}
        by_host: dict[SiteHost, Site] = {}
        for site in self.sites:
            if site.name in by_name:
                raise ConfigError(f"two sites have the name {site.name!r}")
            by_name[site.name] = site
            for host in site.hosts:
                if host in by_host:
                    raise ConfigError(f"the host {host} stands in the configuration twice")
                by_host[host] = site
        exact = {host.host: site for host, site in by_host.items() if not host.is_wildcard}
        wild = tuple(dict.fromkeys(site for host, site in by_host.items() if host.is_wildcard))
        object.__setattr__(self, "_by_name", by_name)
        object.__setattr__(self, "_by_host", exact)
        object.__setattr__(self, "_wildcards", wild)

    def __getitem__(self, name: str) -> Site:
        return self._by_name[name]

    def find(self, asked: AskedRequest) -> Site:
        """Find the site of a request.

        Raises:
            UnknownSiteError: Its host is of none, or of another one than the proxy names.
            InsecureSchemeError: The client came by http to a site of https.
        """
        site = self.of_host(asked.host, asked.scheme)
        if site is None:
            raise UnknownSiteError(f"the host {_shown(asked.host)} is of no site")
        if asked.site is not None and asked.site != site.name:
            raise UnknownSiteError(
                f"the host {_shown(asked.host)} is of the site {site.name!r}, and the proxy names "
                f"{asked.site[:_MAX_SHOWN]!r}"
            )
        if asked.scheme is not site.scheme and site.scheme is Scheme.HTTPS:
            raise InsecureSchemeError(f"the client came by http to the site {site.name!r}")
        return site

    def of_host(self, host: Host, scheme: Scheme) -> Site | None:
        """The site that a host is of; an exact host goes before a wildcard."""
        own = _normal(host, scheme)
        found = self._by_host.get(own)
        if found is not None:
            return found
        return next((site for site in self._wildcards if site.covers(own)), None)

    @property
    def identity_names(self) -> tuple[str, ...]:
        """The header names by which any application may be told of the client, each once.

        The token's header is one of them even where no site has tokens yet.
        """
        names = (name for site in self.sites for name in site.identity_names)
        return tuple(dict.fromkeys([*names, TOKEN_HEADER]))


def _normal(host: Host, scheme: Scheme) -> Host:
    return replace(host, port=None) if host.port == _DEFAULT_PORTS[scheme] else host


def _shown(host: Host) -> str:
    return host.name[:_MAX_SHOWN] + ("" if host.port is None else f":{host.port}")
