"""Which servers may have a token: a list of hosts, which nothing that a server says changes."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from yarl import URL

from authsrv.core.settings import as_instance, as_texts
from authsrv.errors import ConfigError

__all__ = ["HostList", "read_services", "service_of"]

_PORTS = {"http": 80, "https": 443}
_SCHEMES = {"http": "http", "https": "https", "ws": "http", "wss": "https"}


@dataclass(frozen=True, slots=True)
class _Entry:
    """One entry. None means any, which only an entry of this machine itself may have."""

    host: str
    subdomains: bool
    scheme: str | None
    port: int | None

    def covers(self, scheme: str | None, host: str, port: int | None, proxy: URL | None) -> bool:
        named = host.endswith(f".{self.host}") if self.subdomains else host == self.host
        # Behind a proxy "localhost" is another machine; over TLS its certificate has to show it.
        is_ours = proxy is None or self.scheme is not None or scheme == "https"
        return named and is_ours and self.scheme in (None, scheme) and self.port in (None, port)


class HostList:
    """The servers that may have a token.

    An entry is a host's name: "web.example.org" is that host over https, at the default port.
    Another port has to be named ("web.example.org:8443"), for somebody else may serve it. "*." in
    front of a name means every name below it, at any depth, and not the name itself. Without
    encryption a token can be stolen on its way, so http has to be named: "http://web.example.org".
    "localhost" and loopback addresses need no scheme and no port; but without them they get no
    token over http through a proxy.

    Args:
        entries: Trusted. Without any, no server may have a token.

    Raises:
        ConfigError: An entry has another form.
    """

    __slots__ = ("_entries", "_texts")

    def __init__(self, entries: Iterable[str]) -> None:
        self._texts = as_texts(entries, "hosts")
        self._entries = tuple(map(_read_entry, self._texts))

    def __repr__(self) -> str:
        return f"<HostList {', '.join(self._texts) or 'nobody'}>"

    def __bool__(self) -> bool:
        return bool(self._entries)

    def covers(self, url: URL, proxy: URL | None = None) -> bool:
        """Tell whether an entry covers the scheme, host and port of a server.

        Args:
            url: Where the request goes; untrusted, as a server can redirect it.
            proxy: The HTTP proxy that it goes through, if it does.
        """
        scheme, host = _SCHEMES.get(url.scheme), _host_of(url)
        return scheme is not None and any(
            entry.covers(scheme, host, url.port, proxy) for entry in self._entries
        )


def service_of(url: URL, services: Mapping[str, str]) -> str:
    """The service principal name of a host: what `services` says, or "HTTP/" and the host.

    No DNS is asked, so an alias stays an alias.
    """
    # RFC 4559 section 4.1: the service is HTTP@host.
    host = _host_of(url)
    return services.get(host) or f"HTTP/{host}"


def read_services(services: object) -> Mapping[str, str]:
    """Read service principal names by host.

    Args:
        services: A mapping of hosts to names such as "HTTP/web" or "HTTP/web@EXAMPLE.ORG".

    Returns:
        The same, with the hosts in the form in which they are compared.

    Raises:
        ConfigError: It is not a mapping, or a host or a name has another form.
    """
    given = as_instance(Mapping, services, "services")
    read = {}
    for host, name in given.items():
        url = _read_authority(as_instance(str, host, "a host in services"))
        if url is None or url.explicit_port is not None:
            raise ConfigError(f"{host!r} in services is not a host: write it like web.example.org")
        read[_host_of(url)] = _check_service(as_instance(str, name, "a name in services"))
    return read


def _check_service(name: str) -> str:
    service, _, realm = name.partition("@")
    kind, _, host = service.partition("/")
    if not (kind and host and name.isprintable()) or "\\" in name or "@" in realm:
        raise ConfigError("a service has the form HTTP/host or HTTP/host@REALM")
    return name


def _host_of(url: URL) -> str:
    # A dot at the end only says that the name is fully qualified.
    return (url.raw_host or "").lower().removesuffix(".")


def _read_entry(text: str) -> _Entry:
    scheme, _, rest = text.rpartition("://")
    subdomains = rest.startswith("*.")
    name = rest[2:] if subdomains else rest
    url = _read_authority(name)
    if url is None or scheme not in ("", "http", "https"):
        raise ConfigError(f"{text!r} is not a host: write it like web.example.org or *.example.org")
    host = _host_of(url)
    if not scheme and not subdomains and _is_loopback(host):
        return _Entry(host, subdomains, None, url.explicit_port)
    asked = scheme or "https"
    return _Entry(host, subdomains, asked, url.explicit_port or _PORTS[asked])


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
