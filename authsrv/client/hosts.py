"""Which servers may have a token: a list of hosts, and nothing that a server says changes it."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from yarl import URL

from authsrv.errors import ConfigError

__all__ = ["HostList", "service_of"]

_SCHEMES = {"http": "http", "https": "https", "ws": "http", "wss": "https"}


@dataclass(frozen=True, slots=True)
class _Entry:
    """One entry; what is None is free."""

    host: str
    subdomains: bool
    scheme: str | None
    port: int | None

    def covers(self, scheme: str | None, host: str, port: int | None) -> bool:
        named = host.endswith(f".{self.host}") if self.subdomains else host == self.host
        return named and self.scheme in (None, scheme) and self.port in (None, port)


class HostList:
    """The servers that may have a token.

    An entry is a host's name: "web.example.org" is that host over https, at any port. A port can
    be added ("web.example.org:8443"), and "*." in front of a name means every name below it, at
    any depth, and not the name itself. Without encryption a token can be taken on its way, so http
    has to be asked for: "http://web.example.org". "localhost" and loopback addresses need no
    scheme.

    Args:
        entries: The entries; at least one, trusted.

    Raises:
        ConfigError: There is no entry, or one is of another form.

    Source: RFC 4559 section 6; RFC 9110 section 4.3.
    """

    __slots__ = ("_entries", "_texts")

    def __init__(self, entries: Iterable[str]) -> None:
        if isinstance(entries, str):
            raise ConfigError("the hosts are a list of names, and not one name")
        self._texts = tuple(entries)
        self._entries = tuple(map(_read_entry, self._texts))

    def __repr__(self) -> str:
        return f"<HostList {', '.join(self._texts) or 'nobody'}>"

    def __bool__(self) -> bool:
        return bool(self._entries)

    def covers(self, url: URL) -> bool:
        """Tell whether a server may have a token.

        Args:
            url: Where the request goes; untrusted, for a server can redirect it.

        Returns:
            True if an entry covers its scheme, host and port.

        Source: RFC 4559 section 6.
        """
        scheme, host = _SCHEMES.get(url.scheme), _host_of(url)
        return scheme is not None and any(
            entry.covers(scheme, host, url.port) for entry in self._entries
        )


def service_of(url: URL, services: Mapping[str, str]) -> str:
    """Name the service to ask a ticket for. No DNS is asked, so an alias stays an alias.

    Args:
        url: Where the request goes.
        services: Names of services by host, for hosts whose service is called otherwise.

    Returns:
        "HTTP/" and the host, or what `services` says of it.

    Source: RFC 4559 section 4.1.
    """
    host = _host_of(url)
    return services.get(host) or f"HTTP/{host}"


def _host_of(url: URL) -> str:
    # One dot at the end only says that the name is whole.
    return (url.raw_host or "").lower().removesuffix(".")


def _read_entry(text: str) -> _Entry:
    scheme, _, rest = text.rpartition("://")
    subdomains = rest.startswith("*.")
    name = rest[2:] if subdomains else rest
    url = _read_authority(name)
    if url is None or scheme not in ("", "http", "https"):
        raise ConfigError(f"{text!r} is no host: write it like web.example.org or *.example.org")
    host = _host_of(url)
    asked = scheme or (None if not subdomains and _is_loopback(host) else "https")
    return _Entry(host, subdomains, asked, url.explicit_port)


def _read_authority(name: str) -> URL | None:
    try:
        url = URL(f"https://{name}")
        if url.authority and url == url.origin() and not set(name) & set("/?#@*\\ "):
            return url
    except ValueError:
        pass
    return None


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
