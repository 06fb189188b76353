"""Stores for tests: one that knows all that can still be used, and one that knows nothing."""

from __future__ import annotations

import time

from authsrv.stores.base import Claim
from authsrv.stores.memory import MemoryStore

__all__ = ["Forgetful", "old_store"]


def old_store(max_claims: int = 100_000) -> MemoryStore:
    """A store that was there an hour ago: tokens that were made before this call are taken."""
    births = iter([time.time() - 3_600])
    return MemoryStore(max_claims=max_claims, clock=lambda: next(births, None) or time.time())


class Forgetful(MemoryStore):
    """No protection at all: one ticket is good any number of times, whenever it was made."""

    def __init__(self) -> None:
        super().__init__(clock=lambda: 0.0)

    def check_at_once(self, claim: Claim) -> bool:
        """Remember nothing."""
        return True
