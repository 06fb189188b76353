"""Where clients are, as rules and the policy of Negotiate ask it.

An address tells something only where it is that of the client. A proxy that forgets to pass it on
makes every client look like itself, and whatever runs beside it too; so the addresses of trusted
peers and of loopback are in a network only if that network was listed for them.
"""

from __future__ import annotations

import enum
import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass

from authsrv.errors import ConfigError
from authsrv.http.forwarded import Address, Network

__all__ = ["LOOPBACK", "ClientNetworks", "Fit", "parse_networks"]

LOOPBACK: tuple[Network, ...] = (
    ipaddress.IPv4Network("127.0.0.0/8"),
    ipaddress.IPv6Network("::1/128"),
)
"""The networks of this machine alone: RFC 1122 section 3.2.1.3 and RFC 4291 section 2.5.3."""


class Fit(enum.IntEnum):
    """How a condition fits a request; several fit as the worst of them does."""

    NO = 0
    MAYBE = 1
    """It cannot be told. It lets nobody in, and it keeps out."""
    YES = 2


def parse_networks(texts: Iterable[str], setting: str) -> tuple[Network, ...]:
    """Read networks, such as "10.0.0.0/8", "2001:db8::/32", or one address.

    Raises:
        ConfigError: One is no network, has bits behind its prefix, or has a zone.
    """
    return tuple(_parse(text, setting) for text in texts)


def _parse(text: str, setting: str) -> Network:
    try:
        network = ipaddress.ip_network(text)
    except ValueError:
        raise ConfigError(
            f"{setting}: {text!r} is no network; write it as 10.0.0.0/8, without bits set behind "
            "the prefix"
        ) from None
    if isinstance(network, ipaddress.IPv6Network):
        if "%" in text:
            raise ConfigError(f"{setting}: {text!r} has a zone, which other machines do not share")
        if network.network_address.ipv4_mapped is not None:
            raise ConfigError(f"{setting}: {text!r} must be written as an IPv4 network")
    return network


@dataclass(frozen=True, slots=True)
class ClientNetworks:
    """A condition on the client's address.

    Args:
        networks: Those that it may be in; at least one.
        peers: The networks of the trusted peers.
    """

    networks: tuple[Network, ...]
    peers: tuple[Network, ...] = ()

    def fit(self, address: Address | None) -> Fit:
        """Tell whether a client is in one of the networks.

        Args:
            address: The client's, or None where it is not known; IPv4 never as mapped into IPv6.

        Returns:
            MAYBE where the address is not known, or is a peer's or of loopback and falls into a
            network that was not listed for it.
        """
        if address is None:
            return Fit.MAYBE
        around = [each for each in self.networks if address in each]
        if not around:
            return Fit.NO
        own = [each for each in (*LOOPBACK, *self.peers) if address in each]
        if not own:
            return Fit.YES
        is_listed = any(_is_within(inner, outer) for inner in around for outer in own)
        return Fit.YES if is_listed else Fit.MAYBE


def _is_within(inner: Network, outer: Network) -> bool:
    if isinstance(inner, ipaddress.IPv4Network) and isinstance(outer, ipaddress.IPv4Network):
        return inner.subnet_of(outer)
    if isinstance(inner, ipaddress.IPv6Network) and isinstance(outer, ipaddress.IPv6Network):
        return inner.subnet_of(outer)
    return False
