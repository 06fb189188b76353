"""How often passwords are tried, counted before the KDC is asked.

The KDC locks an account after some wrong passwords, whoever typed them. So what reaches it of one
account is capped, below the KDC's own threshold; above the cap the KDC is not asked, and the client
is told the same as for a wrong password. Nobody is locked out here: a browser in which the account
has logged in before has a counter of its own, and single sign-on needs no password at all.

What is counted, in this order, so that whoever is stopped by one counter does not fill the next:
the tries of an address, all together, those of an address and an account, and those of an account.
Strangers choose addresses and accounts, but not how much of the store that takes: addresses have a
fixed number of counters, which they share, and of the others there are no more than all tries
together may be.

A log-in that succeeds begins the counts of its account anew, as it does at the KDC.
"""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_network
from typing import Final

from authsrv.core.account_names import fold_account
from authsrv.core.settings import as_instance, as_number
from authsrv.errors import ConfigError, TooManyTriesError
from authsrv.stores.base import Purpose, Store

__all__ = ["Address", "KnownDevice", "Tries", "Try", "TryLimits"]

# RFC 6177: what one customer has at least; within it, addresses are free to choose.
_IPV6_PREFIX: Final = 64

_ADDRESS_COUNTERS: Final = 8_192

Address = IPv4Address | IPv6Address
"""Where a client comes from."""


@dataclass(frozen=True, slots=True)
class TryLimits:
    """How many passwords are tried at the KDC within a window of time.

    What strangers and one known device try together, max_tries_per_window and
    max_tries_per_device, should stay below the number of wrong passwords after which the domain
    locks an account, within the time after which the domain forgets them.

    Args:
        window_seconds: The window; at least as long as the domain's counter lives.
        max_tries_per_window: Of one account, by browsers in which it has not logged in before.
        max_tries_per_pair: Of one account from one address, of the above.
        max_tries_per_device: Of one account, by one browser in which it has logged in before.
        max_tries_per_address: From one address, an IPv4 address or an IPv6 /64. Clients whose
            address is not known are counted as one.
        max_tries_in_all: By all browsers that are not known. Beyond it none of these can sign in
            by password, so it is far above what the people of the domain type.

    Raises:
        ConfigError: A bound is not greater than zero, or not a number of its kind.
    """

    window_seconds: float = 900.0
    max_tries_per_window: int = 4
    max_tries_per_pair: int = 3
    max_tries_per_device: int = 4
    max_tries_per_address: int = 60
    max_tries_in_all: int = 2_000

    def __post_init__(self) -> None:
        as_number(self.window_seconds, "window_seconds")
        for name in (
            "max_tries_per_window",
            "max_tries_per_pair",
            "max_tries_per_device",
            "max_tries_per_address",
            "max_tries_in_all",
        ):
            as_number(as_instance(int, getattr(self, name), name), name)
        if self.max_tries_per_pair > self.max_tries_per_window:
            raise ConfigError("max_tries_per_pair must not be above max_tries_per_window")


@dataclass(frozen=True, slots=True)
class KnownDevice:
    """What a browser's sealed cookie says: this account has logged in here.

    Args:
        account: The account, as fold_account has it.
        identifier: Of the browser, random; what its tries are counted by.
    """

    account: str
    identifier: str

    @classmethod
    def of(cls, typed: str) -> KnownDevice:
        """Make one for a browser in which an account has just logged in, as it was typed."""
        return cls(fold_account(typed), secrets.token_urlsafe(16))


@dataclass(frozen=True, slots=True)
class Try:
    """A try that was counted, and may reach the KDC."""

    account: str


class Tries:
    """Counts the tries of passwords in a store.

    Args:
        store: Where they are counted; what several processes share, they count together.
        limits: How many are let through.
        clock: Seconds since the epoch.
    """

    def __init__(
        self,
        store: Store,
        limits: TryLimits,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._limits = as_instance(TryLimits, limits, "limits")
        self._clock = clock

    async def admit(
        self, typed: str, *, address: Address | None, device: KnownDevice | None = None
    ) -> Try:
        """Count a try, before anybody is asked about it.

        Args:
            typed: The name as it was typed.
            address: The client's; None where it is not known.
            device: What the browser's cookie says, already opened; one of another account counts
                for nothing.

        Returns:
            The try, for `succeeded`.

        Raises:
            TooManyTriesError: It is one too many: the KDC is not to be asked. The cause names the
                counter, not the account.
            StoreError: It cannot be counted.
        """
        limits, account = self._limits, fold_account(typed)
        era = await self._store.get(Purpose.TRIES, _key("era", account)) or b""
        if device is not None and device.account == account:
            await self._count(
                limits.max_tries_per_device, "device", account, device.identifier, era.hex()
            )
            return Try(account)
        where = _block_of(address)
        await self._count(limits.max_tries_per_address, "address", _shared_counter(where))
        await self._count(limits.max_tries_in_all, "all")
        await self._count(limits.max_tries_per_pair, "pair", account, where, era.hex())
        await self._count(limits.max_tries_per_window, "account", account, era.hex())
        return Try(account)

    async def succeeded(self, attempt: Try) -> None:
        """Begin the counts of an account anew: its password was right.

        Raises:
            StoreError: It cannot be stored.
        """
        # What was counted before it ends is over by then, so the old era may come again.
        until = self._clock() + 2 * self._limits.window_seconds
        era = secrets.token_bytes(16)
        await self._store.put(Purpose.TRIES, _key("era", attempt.account), era, until)

    async def _count(self, limit: int, counter: str, *parts: str) -> None:
        key = _key(counter, *parts)
        window = self._limits.window_seconds
        if await self._store.count(Purpose.TRIES, key, window) > limit:
            raise TooManyTriesError(
                f"more than {limit} passwords in {window:g} s by the counter {counter!r}"
            )


def _key(*parts: str) -> bytes:
    """Digest parts, so that no two lists of parts have one key."""
    digest = hashlib.sha256()
    for part in parts:
        encoded = part.encode()
        digest.update(len(encoded).to_bytes(4, "big") + encoded)
    return digest.digest()


def _shared_counter(where: str) -> str:
    """Which counter an address has; some addresses have the same, and each other's tries count."""
    digest = hashlib.sha256(where.encode()).digest()
    return str(int.from_bytes(digest[:4]) % _ADDRESS_COUNTERS)


def _block_of(address: Address | None) -> str:
    """What addresses are counted as one."""
    if address is None:
        return "unknown"
    if isinstance(address, IPv4Address):
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ip_network((int(address), _IPV6_PREFIX), strict=False))
