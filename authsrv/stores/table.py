"""What a store of our own does with its rows, in whatever they lie.

A row is a key and its expiry, with a value behind it or none. For every row that is added
three others are looked at, going round through all of them, and removed if they have expired; fewer
where none has. So nothing but the key has to be in order, a claim is a few steps whatever the
number of rows, and of what is there, about a third is dead.

Rows are kept for a minute beyond their expiry: a clock that is set back by less changes nothing.
"""

from __future__ import annotations

import abc
import math
import struct
from collections.abc import Iterable
from typing import Final

from authsrv.core.claims import KEY_BYTES, Claim, Purpose
from authsrv.errors import StoreError
from authsrv.stores.base import LARGEST_VALUE
from authsrv.stores.windows import count_one

__all__ = ["Table", "expiry_of", "most_rows"]

_EXPIRY: Final = struct.Struct(">d")
# Rows looked at for each that is added: above one, or the dead would never become fewer. After how
# many that is done, for all of them; and after how many, where none was dead the last time.
_LOOKED_AT: Final = 3
_LOOK_EVERY: Final = 8
_LOOK_AT_LEAST_EVERY: Final = 64
# And where the table is full: a tenth of a millisecond.
_LOOKED_AT_WHEN_FULL: Final = 256
_GRACE_S: Final = 60.0

# The rows of a purpose for each claim of a token that there is room for.
_SHARES: Final = {
    Purpose.REPLAY: 1.0,
    Purpose.HAND_OVER: 1 / 128,
    Purpose.REVOKED: 1 / 8,
    Purpose.TRIES: 1 / 8,
}


def most_rows(purpose: Purpose, max_claims: int) -> int:
    """Tell how many rows of a purpose a store for so many claims of tokens has room for."""
    return max(1, int(max_claims * _SHARES[purpose]))


class Table(abc.ABC):
    """The rows of one purpose, in the hands of one caller at a time.

    Each method raises StoreError where the clock was set back; and where it is full, if it adds a
    row. Then nothing was added, and what was removed had expired.

    Args:
        limit: How many rows there may be.
    """

    __slots__ = ("_limit", "_unlooked")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._unlooked = 0

    def claim(self, claim: Claim, now: float) -> bool:
        """See Store.check_and_store."""
        self._demand_clock(now)
        key, row = claim.key, _pack(claim.expires_at)
        self._make_room(key, now)
        if self._write_new(key, row):
            return True
        known = self._find(key)
        if known is not None and expiry_of(known) > now:
            return False
        self._write(key, row)
        return True

    def put(self, key: bytes, value: bytes, expires_at: float, now: float) -> None:
        """See Store.put."""
        if len(value) > LARGEST_VALUE or not math.isfinite(expires_at):
            raise ValueError("the value is too long, or its expiry not a number of seconds")
        self._live(key, now)
        self._make_room(key, now)
        self._write(key, _pack(expires_at) + value)

    def get(self, key: bytes, now: float) -> bytes | None:
        """See Store.get."""
        return self._live(key, now)

    def get_many(self, keys: Iterable[bytes], now: float) -> list[bytes | None]:
        """See Store.get_many."""
        return [self._live(key, now) for key in keys]

    def take(self, key: bytes, now: float) -> bytes | None:
        """See Store.take."""
        value = self._live(key, now)
        if value is not None:
            self._remove(key)
        return value

    def count(self, key: bytes, window_seconds: float, now: float) -> int:
        """See Store.count."""
        state, counted, expires_at = count_one(self._live(key, now), window_seconds, now)
        self._make_room(key, now)
        self._write(key, _pack(expires_at) + state)
        return counted

    def _live(self, key: bytes, now: float) -> bytes | None:
        if type(key) is not bytes or len(key) != KEY_BYTES:
            raise ValueError(f"the key must be bytes, {KEY_BYTES} of them")
        self._demand_clock(now)
        row = self._find(key)
        if row is None or expiry_of(row) <= now:
            return None
        return row[_EXPIRY.size :]

    def _demand_clock(self, now: float) -> None:
        forgotten = self._forgotten_until()
        if now < forgotten:
            raise StoreError(f"the clock was set back by {forgotten - now:.0f} s or more")

    def _make_room(self, key: bytes, now: float) -> None:
        """Look at other rows, every few calls; where it is full, only a known key passes."""
        if self._unlooked > 0:
            self._unlooked -= 1
            return
        pause = _LOOK_EVERY if self._sweep(_LOOK_EVERY * _LOOKED_AT, now) else _LOOK_AT_LEAST_EVERY
        room = self._limit - len(self)
        if room <= 0:
            self._sweep(_LOOKED_AT_WHEN_FULL, now)
            room = self._limit - len(self)
        if room <= 0 and self._find(key) is None:
            raise StoreError(f"the store is full: {self._limit} entries")
        self._unlooked = min(pause, max(room, 1)) - 1

    def _sweep(self, count: int, now: float) -> bool:
        """Look at the next rows; true where some had expired."""
        # Packed times are in the order of the times.
        forgotten = self._remove_expired(count, _pack(now - _GRACE_S))
        if forgotten is None:
            return False
        if expiry_of(forgotten) > self._forgotten_until():
            self._note_forgotten(expiry_of(forgotten))
        return True

    @abc.abstractmethod
    def __len__(self) -> int: ...

    @abc.abstractmethod
    def _find(self, key: bytes) -> bytes | None: ...

    @abc.abstractmethod
    def _write(self, key: bytes, row: bytes) -> None: ...

    @abc.abstractmethod
    def _write_new(self, key: bytes, row: bytes) -> bool:
        """Write a row where the key has none; false where it has one."""

    @abc.abstractmethod
    def _remove(self, key: bytes) -> None: ...

    @abc.abstractmethod
    def _remove_expired(self, count: int, until: bytes) -> bytes | None:
        """Look at the next rows, and remove those that are less than `until`.

        Returns:
            The greatest of those that were removed; None where none was.
        """

    @abc.abstractmethod
    def _forgotten_until(self) -> float:
        """The latest expiry of all rows ever removed as expired, of whatever purpose."""

    @abc.abstractmethod
    def _note_forgotten(self, expired_at: float) -> None: ...


def _pack(expires_at: float) -> bytes:
    return _EXPIRY.pack(max(expires_at, 0.0))


def expiry_of(row: bytes) -> float:
    """Read when a row expires, in Unix seconds; struct.error where it is none."""
    expires_at: float = _EXPIRY.unpack_from(row)[0]
    return expires_at
