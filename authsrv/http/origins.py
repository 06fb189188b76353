"""Requests that a page of another site makes in the user's name (CSRF), and how they are told.

A browser answers a Negotiate challenge by itself, whoever wrote the page that the request comes
from. What it says of that page stands in Sec-Fetch-Site, which it sends over https and to loopback,
and in Origin, which goes with every request that is not safe. Programs send neither.

The model is http.CrossOriginProtection of Go. It differs where the identity is ambient on purpose:
what is not understood is refused, and a WebSocket, which begins by GET, is looked at, too.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from authsrv.core.settings import as_texts
from authsrv.errors import ConfigError, CrossSiteError

__all__ = ["OriginPolicy", "Provenance", "is_harmless"]

# RFC 9110 section 9.2.1.
_SAFE = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
# W3C Fetch Metadata, Sec-Fetch-Site: "none" is a request that the user made by hand.
_OWN_SITES = frozenset({"same-origin", "none"})
_DEFAULT_PORTS = {"http": 80, "https": 443}
_HOST = r"(?:\[[0-9a-f:.]+\]|[^\[\]:/?#@\\\s]+)"
_ORIGIN = re.compile(rf"([a-z][a-z0-9+.-]*)://({_HOST})(?::([0-9]{{1,5}}))?")
# Browsers write it in ASCII: an international name in its form with xn--.
_TRUSTED_HOST = re.compile(r"\[[0-9a-f:]+\]|[a-z0-9._-]+")
_MAX_PORT = 65_535
_AUTHORITY = re.compile(rf"({_HOST})(?::([0-9]{{1,5}}))?")
_MAX_SHOWN = 128


def is_harmless(method: str, upgrade: str | None) -> bool:
    """Whether nothing has to be asked: a safe method that begins no other protocol."""
    return upgrade is None and method in _SAFE


@dataclass(frozen=True, slots=True)
class Provenance:
    """What a request says of where it comes from, all of it from the client, untrusted.

    Args:
        method: The method.
        is_websocket: Whether it begins a WebSocket, over which anything may be done.
        fetch_site: The values of its Sec-Fetch-Site fields.
        origin: The values of its Origin fields.
        host: The values of its Host fields, or the authority that the client asked for.
        scheme: "http" or "https", as the client came; None where it is not known, since TLS may
            have ended before.
    """

    method: str
    is_websocket: bool
    fetch_site: Sequence[str]
    origin: Sequence[str]
    host: Sequence[str]
    scheme: str | None = None


@dataclass(frozen=True, slots=True)
class OriginPolicy:
    """Whose pages may make requests in the name of a user; `of_setting` makes it.

    Args:
        trusted: Origins other than our own: scheme, host, and port where it is not the default.
    """

    trusted: frozenset[tuple[str, str, int | None]] = frozenset()

    @classmethod
    def of_setting(cls, setting: object) -> OriginPolicy:
        """Take several origins, such as "https://app.example.org:8443".

        Raises:
            ConfigError: It is something else, or one of them is not an origin: it has a path, a
                wildcard, or no scheme.
        """
        trusted = []
        for text in as_texts(setting, "trusted_origins"):
            origin = _read_origin(text.lower())
            if origin is None or not _can_be_sent(origin):
                raise ConfigError(
                    f"{text[:_MAX_SHOWN]!r} in trusted_origins is no origin: "
                    "write it like https://app.example.org"
                )
            trusted.append(origin)
        return cls(frozenset(trusted))

    def refusal(self, request: Provenance) -> CrossSiteError | None:
        """Say why a request may not be made in the name of a user; None where it may."""
        is_websocket = request.is_websocket
        if request.method in _SAFE and not is_websocket:
            return None
        if len(request.origin) > 1 or len(request.fetch_site) > 1:
            return CrossSiteError("the request has more than one Origin or Sec-Fetch-Site field")
        origin = request.origin[0].strip().lower() if request.origin else None
        if origin is not None and _read_origin(origin) in self.trusted:
            return None
        if request.fetch_site and not (is_websocket and origin is not None):
            return _by_site(request.fetch_site[0].strip().lower())
        return None if origin is None else _by_origin(origin, request)


def _by_site(site: str) -> CrossSiteError | None:
    if site in _OWN_SITES:
        return None
    return CrossSiteError(f"the request comes from a page of another site ({_shown(site)})")


def _by_origin(origin: str, request: Provenance) -> CrossSiteError | None:
    hosts = request.host
    ours = _read_authority(hosts[0].strip().lower()) if len(hosts) == 1 else None
    theirs = _read_origin(origin)
    if ours is None:
        return CrossSiteError("the request has no usable Host to compare its Origin with")
    if theirs is not None and _is_same(theirs, ours, request.scheme):
        return None
    return CrossSiteError(
        f"the request comes from a page of {_shown(origin)}, and not of its own host"
    )


def _is_same(
    origin: tuple[str, str, int | None], ours: tuple[str, int | None], known: str | None
) -> bool:
    scheme, host, port = origin
    # Where our scheme is not known, no port is the one of either scheme.
    default = _DEFAULT_PORTS.get(scheme)
    if host != ours[0] or known not in (None, scheme):
        return False
    return port == ours[1] or (port is None and ours[1] == default)


def _can_be_sent(origin: tuple[str, str, int | None]) -> bool:
    """Whether a browser writes the origin of some page so."""
    scheme, host, port = origin
    if scheme not in _DEFAULT_PORTS or _TRUSTED_HOST.fullmatch(host) is None:
        return False
    return port is None or 0 < port <= _MAX_PORT


def _read_origin(text: str) -> tuple[str, str, int | None] | None:
    found = _ORIGIN.fullmatch(text)
    if found is None:
        return None
    port = int(found[3]) if found[3] else None
    return found[1], found[2], None if port == _DEFAULT_PORTS.get(found[1]) else port


def _read_authority(text: str) -> tuple[str, int | None] | None:
    found = _AUTHORITY.fullmatch(text)
    return None if found is None else (found[1], int(found[2]) if found[2] else None)


def _shown(text: str) -> str:
    return text[:_MAX_SHOWN].encode("ascii", "backslashreplace").decode()
