"""A store in the memory of this process. It protects exactly one process, while that runs."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Final

from authsrv.core.settings import as_instance, as_number
from authsrv.errors import StoreError
from authsrv.stores.base import Claim, Purpose
from authsrv.stores.table import Table, most_rows

__all__ = ["MemoryStore"]

_CLOSED: Final = "the store is closed"


class MemoryStore:
    """Remembers in this process; a second process knows nothing of it, nor does the next one.

    It may be used on several threads and event loops.

    Args:
        max_claims: How many used tokens are remembered; beside them a part as many of other things.
            When it is full, new ones are refused and nothing is forgotten. One takes some 300
            bytes.
        clock: Tells the time in Unix seconds.

    Raises:
        ConfigError: max_claims is not greater than zero.
    """

    def __init__(
        self, *, max_claims: int = 1_000_000, clock: Callable[[], float] = time.time
    ) -> None:
        most = int(as_number(as_instance(int, max_claims, "max_claims"), "max_claims"))
        self._clock = clock
        self._born_at = clock()
        self._guard = threading.Lock()
        past = _Past()
        self._tables = {
            purpose: _MemoryTable(most_rows(purpose, most), past) for purpose in Purpose
        }
        self._is_open = True
        self._changes = 0

    def __repr__(self) -> str:
        return f"<MemoryStore {len(self._tables[Purpose.REPLAY])} claims>"

    @property
    def born_at(self) -> float:
        """See Store.born_at: when this object was made."""
        return self._born_at

    def check_at_once(self, claim: Claim) -> bool:
        """See Store.check_at_once; it never has to wait."""
        with self._guard:
            return self._changing(claim.purpose).claim(claim, self._clock())

    async def check_and_store(self, claim: Claim) -> bool:
        """See Store.check_and_store."""
        return self.check_at_once(claim)

    async def put(self, purpose: Purpose, key: bytes, value: bytes, expires_at: float) -> None:
        """See Store.put."""
        with self._guard:
            self._changing(purpose).put(key, value, expires_at, self._clock())

    async def get(self, purpose: Purpose, key: bytes) -> bytes | None:
        """See Store.get."""
        with self._guard:
            return self._table(purpose).get(key, self._clock())

    async def get_many(self, purpose: Purpose, keys: Sequence[bytes]) -> list[bytes | None]:
        """See Store.get_many."""
        with self._guard:
            return self._table(purpose).get_many(keys, self._clock())

    def state_at_once(self) -> int:
        """See Store.state_at_once; it never has to wait."""
        with self._guard:
            if not self._is_open:
                raise StoreError(_CLOSED)
            return self._changes

    async def take(self, purpose: Purpose, key: bytes) -> bytes | None:
        """See Store.take."""
        with self._guard:
            return self._changing(purpose).take(key, self._clock())

    async def count(self, purpose: Purpose, key: bytes, window_seconds: float) -> int:
        """See Store.count."""
        with self._guard:
            return self._changing(purpose).count(key, window_seconds, self._clock())

    async def close(self) -> None:
        """See Store.close; all is forgotten."""
        with self._guard:
            self._is_open = False
            self._tables = {}

    def _table(self, purpose: Purpose) -> Table:
        if not self._is_open:
            raise StoreError(_CLOSED)
        return self._tables[purpose]

    def _changing(self, purpose: Purpose) -> Table:
        """A table in which something may change."""
        self._changes += 1
        return self._table(purpose)


class _Past:
    """What the tables of one store have forgotten."""

    __slots__ = ("until",)

    def __init__(self) -> None:
        self.until = 0.0


class _MemoryTable(Table):
    """Rows in the order in which they are looked at for their expiry."""

    __slots__ = ("_past", "_rows")

    def __init__(self, limit: int, past: _Past) -> None:
        super().__init__(limit)
        self._rows: OrderedDict[bytes, bytes] = OrderedDict()
        self._past = past

    def __len__(self) -> int:
        return len(self._rows)

    def _find(self, key: bytes) -> bytes | None:
        return self._rows.get(key)

    def _write(self, key: bytes, row: bytes) -> None:
        self._rows[key] = row

    def _write_new(self, key: bytes, row: bytes) -> bool:
        return self._rows.setdefault(key, row) is row

    def _remove(self, key: bytes) -> None:
        del self._rows[key]

    def _remove_expired(self, count: int, until: bytes) -> bytes | None:
        rows, latest = self._rows, None
        for _ in range(min(count, len(rows))):
            key, row = next(iter(rows.items()))
            if row >= until:
                rows.move_to_end(key)
                continue
            del rows[key]
            latest = row if latest is None else max(latest, row)
        return latest

    def _forgotten_until(self) -> float:
        return self._past.until

    def _note_forgotten(self, expired_at: float) -> None:
        self._past.until = expired_at
