"""The configuration in force, and what is made of it: one value, taken once by each request."""

from __future__ import annotations

import functools
import ipaddress
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from aiohttp import web

from authsrv.errors import ConfigError, MetadataError
from authsrv.http.folding import IdentityNames
from authsrv.http.forwarded import AskedRequest
from authsrv.service.acceptors import Acceptors
from authsrv.service.asks.served import ServedSite
from authsrv.service.config.settings import Settings, TrustedPeers
from authsrv.service.key_files import KeyFile
from authsrv.service.pages.look import Look
from authsrv.service.sites.site import Site
from authsrv.sessions.sealing import Sealer
from authsrv.sessions.tokens import TokenSigner

__all__ = ["Keys", "Snapshot", "make_snapshot"]

# Peers that asked lately; there are a few proxies.
_MOST_PEERS = 64


@dataclass(frozen=True, slots=True)
class Keys:
    """The files of keys."""

    sealing: KeyFile
    signing: KeyFile


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What a request is answered by, from its begin to its end.

    Args:
        settings: The settings.
        served: The sites as they are served, by name.
        sealer: The keys of cookies.
        look: How pages look.
        identity_names: The headers by which applications are told of clients.
    """

    settings: Settings
    served: Mapping[str, ServedSite]
    sealer: Sealer
    look: Look
    identity_names: IdentityNames
    login_host: str | None = field(init=False)
    """The login host as it stands in a URL; None where there is none."""
    login_origin: str | None = field(init=False)
    """The same with its scheme."""
    _trusts: Callable[[str | None], bool] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        trusts = functools.lru_cache(_MOST_PEERS)(functools.partial(_trusts, self.settings.peers))
        object.__setattr__(self, "_trusts", trusts)
        login = self.settings.login
        host = None if login.host is None else str(login.host)
        object.__setattr__(self, "login_host", host)
        origin = None if host is None else f"{login.scheme.value}://{host}"
        object.__setattr__(self, "login_origin", origin)

    def find(self, asked: AskedRequest) -> ServedSite:
        """The site of a request.

        Raises:
            UnknownSiteError: As of `Sites.find`.
            InsecureSchemeError: As of `Sites.find`.
        """
        return self.served[self.settings.sites.find(asked).name]

    def check_peer(self, request: web.BaseRequest) -> None:
        """Look whether whoever sends the request may ask at all; for each request anew.

        Raises:
            MetadataError: It may not.
        """
        if not self._trusts(request.remote):
            raise MetadataError(f"{request.remote} asks, and is not a trusted peer")


def _trusts(peers: TrustedPeers, remote: str | None) -> bool:
    # Of a Unix socket it is empty, and of a connection that is gone None.
    if remote == "":
        return True
    try:
        address = None if remote is None else ipaddress.ip_address(remote)
    except ValueError:
        address = None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return address is not None and peers.trusts(address)


def make_snapshot(settings: Settings, acceptors: Acceptors, keys: Keys, look: Look) -> Snapshot:
    """Make all that settings mean.

    Raises:
        ConfigError: Something of it can never work.
    """
    sealer = Sealer(keys.sealing.ring)
    served = {
        site.name: ServedSite(
            site,
            acceptors.of_site(settings, site),
            sealer,
            settings.groups,
            _signer(settings, keys, site),
        )
        for site in settings.sites.sites
    }
    names = IdentityNames(settings.sites.identity_names)
    return Snapshot(settings, MappingProxyType(served), sealer, look, names)


def _signer(settings: Settings, keys: Keys, site: Site) -> TokenSigner | None:
    if not (site.sends_token or site.has_token_path):
        return None
    return TokenSigner(keys.signing.ring, issuer=_issuer_of(settings, site), site=site.name)


def _issuer_of(settings: Settings, site: Site) -> str:
    """The URL that is the issuer of a site's tokens: the login host, else the site's first host."""
    login = settings.login
    if login.host is not None:
        return f"{login.scheme.value}://{login.host!s}"
    first = site.hosts[0]
    if first.is_wildcard:
        raise ConfigError(f"the site {site.name!r} has tokens, and no host to name as the issuer")
    return f"{site.scheme.value}://{first.host!s}"
