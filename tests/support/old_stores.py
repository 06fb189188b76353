"""A store for tests that knows all that can still be used."""

from __future__ import annotations

import time

from authsrv.stores.memory import MemoryStore

__all__ = ["old_store"]


def old_store(max_claims: int = 100_000) -> MemoryStore:
    """A store that was there an hour ago: tokens that were made before this call are taken."""
    births = iter([time.time() - 3_600])
    return MemoryStore(max_claims=max_claims, clock=lambda: next(births, None) or time.time())
