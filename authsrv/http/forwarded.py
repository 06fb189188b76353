"""The client's request as a proxy tells of it: method, scheme, host, target and address.

Every value has one strict form, and anything else is a fault of the proxy's configuration or the
work of a client that it let through; both are refused. Texts are one character a byte.
"""

from __future__ import annotations

import enum
import functools
import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from authsrv.errors import MetadataError
from authsrv.http.folding import HeaderNames, fold_name
from authsrv.http.paths import Target

__all__ = [
    "METHODS",
    "Address",
    "AskedRequest",
    "Host",
    "Network",
    "Scheme",
    "bucket_of",
    "find_client",
    "lies_within",
    "method_overrides",
    "read_address",
    "read_method",
]

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

# RFC 9110 section 9.3, RFC 5789, 4918, 3253, 3648, 3744, 4791, 5323 and 5842. TRACE and CONNECT
# are left out: the one gives headers back, the other opens a tunnel.
METHODS: Final = frozenset(
    """
    GET HEAD POST PUT PATCH DELETE OPTIONS
    PROPFIND PROPPATCH MKCOL COPY MOVE LOCK UNLOCK
    VERSION-CONTROL REPORT CHECKOUT CHECKIN UNCHECKOUT MKWORKSPACE UPDATE LABEL MERGE
    BASELINE-CONTROL MKACTIVITY ORDERPATCH ACL MKCALENDAR SEARCH BIND REBIND UNBIND
    """.split()
)
"""The methods that an application may be asked for, exactly so."""

_OVERRIDES: Final = {
    fold_name(name.encode()): name
    for name in ("X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override")
}
_MAX_SHOWN: Final = 64
# RFC 1123 section 2.1; and the underscore, which names within a company may have.
_LABEL: Final = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_NAME: Final = re.compile(rf"{_LABEL}(?:\.{_LABEL})*+")
_MAX_NAME: Final = 253
_AUTHORITY: Final = re.compile(r"(\[[0-9a-f:]{2,45}\]|[a-z0-9._-]+)(?::([1-9][0-9]{0,4}))?")
_MAX_PORT: Final = 65_535
_MAX_AUTHORITY: Final = _MAX_NAME + len(":65535")
# RFC 4291 section 2.2: eight groups, the last two as IPv4.
_MAX_ADDRESS: Final = 45
# Texts that were read lately: a proxy tells the same hosts and addresses again and again.
_MOST_KEPT: Final = 1_024
_UPPER_TO_LOWER: Final = str.maketrans("ABCDEFGHIJKLMNOPQRSTUVWXYZ", "abcdefghijklmnopqrstuvwxyz")


class Scheme(enum.Enum):
    """How the client came to the proxy."""

    HTTP = "http"
    HTTPS = "https"

    @classmethod
    def parse(cls, text: str) -> Scheme:
        """Read a scheme; ws and wss, by which some proxies tell of WebSockets, count as their base.

        Raises:
            MetadataError: It is another, in another case, or a list.
        """
        match text:
            case "https" | "wss":
                return cls.HTTPS
            case "http" | "ws":
                return cls.HTTP
        raise MetadataError(f"the scheme {_shown(text)} is none of http, https, ws and wss")


@dataclass(frozen=True, slots=True)
class Host:
    """The host by which the proxy routed the request; `parse` makes it.

    Args:
        name: A name or an IPv4 address in lower-case ASCII, or an IPv6 address in brackets, in
            its one short form.
        port: As it was named; None where it was not.
    """

    name: str
    port: int | None = None

    def __str__(self) -> str:
        return self.name if self.port is None else f"{self.name}:{self.port}"

    @classmethod
    def parse(cls, text: str) -> Host:
        """Read the value of a Host field, RFC 9110 section 7.2. ASCII letters become lower-case.

        Raises:
            MetadataError: It is empty, a list, ends in a dot, has user information or a letter
                beyond ASCII, or its port is no port.
        """
        if len(text) > _MAX_AUTHORITY:
            raise MetadataError(f"the host {_shown(text)} is too long")
        return _read_host(text)


@functools.lru_cache(_MOST_KEPT)
def _read_host(text: str) -> Host:
    found = _AUTHORITY.fullmatch(text.translate(_UPPER_TO_LOWER))
    if found is None or not _is_name(found[1]):
        raise MetadataError(f"the host {_shown(text)} is not a name and perhaps a port")
    port = int(found[2]) if found[2] else None
    if port is not None and port > _MAX_PORT:
        raise MetadataError(f"the host {_shown(text)} has no port that there is")
    return Host(found[1], port)


@dataclass(frozen=True, slots=True)
class AskedRequest:
    """The client's request, of which the proxy asks whether it may pass.

    Args:
        method: One of METHODS.
        scheme: That of the client's connection to the proxy.
        host: By which the proxy routed it.
        target: What it is for; may be ambiguous.
        address: The client's; None where it is not known, so that no network matches.
        site: The name of the site that the proxy's configuration gives; None where it gives none.
        is_websocket: Whether it begins a WebSocket or another protocol.
    """

    method: str
    scheme: Scheme
    host: Host
    target: Target
    address: Address | None
    site: str | None
    is_websocket: bool


def read_method(text: str) -> str:
    """Take a method, RFC 9110 section 9.1; its case counts.

    Raises:
        MetadataError: It is none of METHODS: TRACE, CONNECT, and whatever is unknown.
    """
    if text not in METHODS:
        raise MetadataError(f"the method {_shown(text)} is not one that is let through")
    return text


def read_address(text: str) -> Address:
    """Read an IP address without port, brackets and zone; an IPv4 one within IPv6 is taken out.

    Raises:
        MetadataError: It is something else.
    """
    address = _address_or_none(text)
    if address is None:
        raise MetadataError(f"the client's address {_shown(text)} is no IP address")
    return address


def find_client(chain: str, trusted: Iterable[Network]) -> Address | None:
    """Find the client in an X-Forwarded-For field: from the right, past the trusted proxies.

    What stands left of the first that is not trusted was written by the client, and is not read.

    Args:
        chain: The whole list; its last entry was written by the proxy that asks.
        trusted: The proxies in front of that one, each of which wrote the entry left of its own.

    Returns:
        The client's address; None where it is not known: an entry is no address, or all of them
        are trusted proxies.
    """
    networks = tuple(trusted)
    for entry in reversed(chain.split(",")):
        address = _address_or_none(entry.strip(" \t"))
        if address is None or not lies_within(address, networks):
            return address
    return None


def lies_within(address: Address | None, networks: Iterable[Network]) -> bool:
    """Whether an address lies in one of several networks.

    An unknown one lies in none, and loopback in a network of loopback only: not in 0.0.0.0/0.
    """
    if address is None:
        return False
    return any(
        address in network and (network.is_loopback or not address.is_loopback)
        for network in networks
    )


def bucket_of(address: Address | None) -> str:
    """Name what tries are counted by: an IPv4 address, an IPv6 network of 64 bits, or "unknown".

    One client has as many addresses of such a network as it likes. All that are unknown share one.
    """
    if address is None:
        return "unknown"
    length = 32 if address.version == 4 else 64
    return str(ipaddress.ip_network((address, length), strict=False))


def method_overrides(names: HeaderNames) -> tuple[str, ...]:
    """Tell which headers of a request would make some applications take another method for it.

    Returns:
        Their usual names, sorted: an alias such as X_HTTP_Method counts as what it stands for.
    """
    if names.folds.isdisjoint(_OVERRIDES):
        return ()
    return tuple(sorted(_OVERRIDES[fold] for fold in names.folds & _OVERRIDES.keys()))


def _address_or_none(text: str) -> Address | None:
    return None if len(text) > _MAX_ADDRESS else _read_address(text)


@functools.lru_cache(_MOST_KEPT)
def _read_address(text: str) -> Address | None:
    try:
        # A zone means something on the proxy's machine only: RFC 4007 section 6.
        address = None if "%" in text else ipaddress.ip_address(text)
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def _is_name(text: str) -> bool:
    if not text.startswith("["):
        return len(text) <= _MAX_NAME and _NAME.fullmatch(text) is not None
    address = _address_or_none(text[1:-1])
    return f"[{address}]" == text


def _shown(text: str) -> str:
    """Untrusted text for the log: printable ASCII, cut."""
    return ascii(text[:_MAX_SHOWN])
