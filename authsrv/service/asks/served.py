"""A site as it is served, and one ask about it."""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from typing import Final

from authsrv.core.identity import Identity
from authsrv.handshake.acceptor import Acceptor
from authsrv.http.cookies import SortedCookies
from authsrv.http.forwarded import AskedRequest, Host
from authsrv.service.asks.fields import Fields
from authsrv.service.asks.leading import Visit
from authsrv.service.sign_in.cookie_names import OWN
from authsrv.service.sites.groups import GroupSet, GroupSource
from authsrv.service.sites.site import Site
from authsrv.sessions.sealing import Audience, Sealer
from authsrv.sessions.session import SessionLengths, digest_of_groups
from authsrv.sessions.tokens import TokenSigner

__all__ = ["Ask", "ServedSite"]

# Hosts that were asked about lately; each is one of a site's.
_MOST_KEPT: Final = 1_024


@dataclass(frozen=True, slots=True)
class ServedSite:
    """A site, with what serves it.

    Args:
        site: The site as configured.
        acceptor: What accepts tickets for it.
        sealer: The keys of cookies.
        groups: Who knows the groups of clients.
        signer: Who signs its tokens; None where it has none.
    """

    site: Site
    acceptor: Acceptor
    sealer: Sealer
    groups: GroupSource
    signer: TokenSigner | None = None
    lengths: SessionLengths = field(init=False)
    """How long its sessions last."""
    group_digest: str = field(init=False)
    """Tells the set of groups that the site asks about from any other."""

    def __post_init__(self) -> None:
        site = self.site
        lengths = SessionLengths(
            site.idle_seconds, site.session_seconds, site.password_session_seconds
        )
        object.__setattr__(self, "lengths", lengths)
        # No group is called so: its name is not printable.
        asked = {"\0"} if site.asked_groups is None else site.asked_groups
        object.__setattr__(self, "group_digest", digest_of_groups(asked))

    @property
    def has_sessions(self) -> bool:
        """Whether a log-in is remembered; over plain http it never is, but on this machine."""
        return self.site.has_sessions and self.site.is_secure

    @property
    def names_realms(self) -> bool:
        """Whether the site names the realms that are let in."""
        return self.acceptor.realms.names is not None

    def check_realm(self, identity: Identity) -> None:
        """Refuse whom a session names, if the site names realms and not this one.

        A session may have begun before the site named its realms.

        Raises:
            ForbiddenRealmError: The realm is not let in.
        """
        if self.names_realms:
            self.acceptor.realms.check(identity)

    def groups_of(self, identity: Identity) -> GroupSet:
        """Those of a client's groups that the site asks about."""
        return self.site.groups_that_matter(self.groups.groups_of(identity))


@dataclass(frozen=True, slots=True)
class Ask:
    """What a proxy asks about, once it is read and its site is known; or a request for a page.

    Args:
        served: The site.
        asked: The client's request.
        fields: All fields of the ask, the client's among them, untrusted.
        visit: What kind of request it is.
        now: Unix seconds.
    """

    served: ServedSite
    asked: AskedRequest
    fields: Fields
    visit: Visit
    now: float
    cookies: SortedCookies = field(init=False)
    """The client's cookies."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "cookies", OWN.sort(self.fields.all(b"cookie")))

    @property
    def audience(self) -> Audience:
        """What cookies of this host are sealed for."""
        return _audience(self.asked.host, self.served.site.name)


@functools.lru_cache(_MOST_KEPT)
def _audience(host: Host, site: str) -> Audience:
    return Audience(str(host), site)
