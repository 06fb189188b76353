"""The settings of the service: an immutable value, the same for a request from begin to end."""

from __future__ import annotations

import enum
import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from authsrv.core.limits import DEFAULT_LIMITS, Limits
from authsrv.core.settings import as_instance, as_member
from authsrv.errors import ConfigError
from authsrv.http.forwarded import Address, Host, Network, Scheme
from authsrv.service.asks.conventions import Convention
from authsrv.service.sites.groups import NOBODY, StaticGroups
from authsrv.service.sites.networks import LOOPBACK
from authsrv.service.sites.site import Sites

__all__ = [
    "DEFAULT_KEYS_FOLDER",
    "Endpoint",
    "LogFormat",
    "Login",
    "Settings",
    "StoreKind",
    "TlsFiles",
    "TrustedPeers",
]

DEFAULT_KEYS_FOLDER: Final = "/var/lib/authsrv/keys"
"""Where the sealing and signing keys are, if nothing else is said."""

_PORT: Final = re.compile(r"[1-9][0-9]{0,4}")
_MAX_PORT: Final = 65_535
# sun_path of unix(7), without the null byte at its end.
_MAX_SOCKET_PATH: Final = 107


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where the service listens: a Unix socket, or an address and a port.

    Args:
        path: Of the Unix socket; None where it is none.
        address: Of this machine.
        port: 1 to 65535.
    """

    path: str | None = None
    address: str = ""
    port: int = 0

    @classmethod
    def parse(cls, text: str) -> Endpoint:
        """Read "unix:/run/authsrv/asks.sock", "127.0.0.1:9180" or "[::1]:9180".

        Raises:
            ConfigError: It is none of them; names are not looked up.
        """
        if text.startswith("unix:"):
            path = text.removeprefix("unix:")
            if not path.startswith("/") or len(path.encode()) > _MAX_SOCKET_PATH:
                raise ConfigError(f"{text!r} is no absolute path of a Unix socket, or is too long")
            return cls(path)
        host, _, port = text.rpartition(":")
        bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
        try:
            address = ipaddress.ip_address(bare)
        except ValueError:
            raise _no_endpoint(text) from None
        if (address.version == 6) != (bare != host) or _PORT.fullmatch(port) is None:
            raise _no_endpoint(text)
        if int(port) > _MAX_PORT:
            raise _no_endpoint(text)
        return cls(None, str(address), int(port))

    def __str__(self) -> str:
        if self.path is not None:
            return f"unix:{self.path}"
        host = f"[{self.address}]" if ":" in self.address else self.address
        return f"{host}:{self.port}"

    @property
    def is_local(self) -> bool:
        """Whether only this machine reaches it."""
        return self.path is not None or ipaddress.ip_address(self.address).is_loopback


def _no_endpoint(text: str) -> ConfigError:
    return ConfigError(f"{text!r} is neither unix:/PATH nor ADDRESS:PORT")


@dataclass(frozen=True, slots=True)
class TrustedPeers:
    """Who may ask. Who comes by a Unix socket always may: the folder around it says who can.

    Args:
        networks: Those of the proxies; loopback where none were listed.
        trusts_all: Whether anybody may.
    """

    networks: tuple[Network, ...] = LOOPBACK
    trusts_all: bool = False

    def trusts(self, peer: Address | None) -> bool:
        """Whether a peer may ask. To be looked at for each request.

        Args:
            peer: Its address, IPv4 never as mapped into IPv6; None for a Unix socket.
        """
        return peer is None or self.trusts_all or any(peer in each for each in self.networks)


class StoreKind(enum.Enum):
    """Where is remembered what must be."""

    MACHINE = "machine"
    """In a file that all workers of this machine share."""
    MEMORY = "memory"
    """In the process; with one worker only."""


class LogFormat(enum.Enum):
    """How is logged."""

    TEXT = "text"
    JSON = "json"


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """What the service ends TLS with.

    Args:
        certificate: The path of the chain, PEM.
        key: The path of the private key, PEM.
        password: That of the key, a secret.
    """

    certificate: str
    key: str
    password: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Login:
    """The login host, and what its pages look like.

    Args:
        host: It; None where there is no form.
        scheme: Its scheme.
        realm: The realm whose passwords are checked; None for that of the keytab.
        netbios_names: What may stand before a backslash in a typed name.
        upn_suffixes: What may stand behind its "@", beside the realm.
        language: The language where a browser asks for none that there is.
        texts: The path of a file with other texts.
        css: The path of a style sheet of one's own.
        logo: The path of an image.

    Raises:
        ConfigError: The scheme is none.
    """

    host: Host | None = None
    scheme: Scheme = Scheme.HTTPS
    realm: str | None = None
    netbios_names: tuple[str, ...] = ()
    upn_suffixes: tuple[str, ...] = ()
    language: str = "en"
    texts: str | None = None
    css: str | None = None
    logo: str | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "scheme", as_member(Scheme, self.scheme, "scheme"))


def _nothing() -> Mapping[str, float]:
    return MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings, checked.

    Args:
        digest: SHA-256 over what they were made from, as hexadecimal digits: it names them in logs.
        keytab: The path of the keytab.
        asks: Where proxies ask.
        pages: Where browsers are led.
        convention: How the proxy asks.
        sites: The sites.
        services: The service principal names of all sites that name none; none for any.
        realms: The realms that are let in; None for those of the keytab.
        peers: Who may ask.
        trusted_proxies: The proxies in front of the one that asks.
        tls: What TLS is ended with; None for none.
        login: The login host.
        store_kind: Where is remembered what must be.
        store_path: Its path; None for the default.
        keys_folder: Of the sealing and signing keys.
        groups: The groups of the file; without one, nobody is in any.
        limits: The bounds of handshakes.
        tries: The bounds of tries of passwords that were given, by their names.
        log_format: How is logged.

    Raises:
        ConfigError: A setting is of a wrong type.
    """

    digest: str
    keytab: str
    asks: Endpoint
    pages: Endpoint
    convention: Convention
    sites: Sites
    services: tuple[str, ...] = ()
    realms: frozenset[str] | None = None
    peers: TrustedPeers = TrustedPeers()
    trusted_proxies: tuple[Network, ...] = ()
    tls: TlsFiles | None = None
    login: Login = Login()
    store_kind: StoreKind = StoreKind.MACHINE
    store_path: str | None = None
    keys_folder: str = DEFAULT_KEYS_FOLDER
    groups: StaticGroups = NOBODY
    limits: Limits = DEFAULT_LIMITS
    tries: Mapping[str, float] = field(default_factory=_nothing)
    log_format: LogFormat = LogFormat.TEXT

    def __post_init__(self) -> None:
        as_instance(Limits, self.limits, "limits")
        for name, kind in (("store_kind", StoreKind), ("log_format", LogFormat)):
            object.__setattr__(self, name, as_member(kind, getattr(self, name), name))
