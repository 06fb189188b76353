"""The interface that every store implements, and its contract.

The contract is stated here once, and `authsrv.testing.stores` checks it against each store.

A store remembers under a purpose and a key until a time. It never answers "not seen" because it
does not know: where it cannot tell, or cannot remember, it raises StoreError, and nothing is let
in. What it holds is never trusted to make an identity: keys are digests, and values are sealed by
whoever puts them.

Rules of time: all times are Unix seconds of this machine's clock. What has expired is not there any
more, and is removed when it suits the store. While the clock says a time before the expiry of
something that was removed, the clock was set back, and every call is a StoreError: a token that is
good again may be one that is forgotten.

Rules of tasks: the coroutines are awaited on an event loop, and block it for microseconds at most;
one store may be used on several loops and threads. What they ask may have been done although they
end by StoreError or are cancelled; whoever repeats a claim may then find it claimed, so it is not
to be repeated. Whoever awaits a store sets the deadline.

Rules of use: of one purpose and key, either claims, or values, or counts.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Protocol

from authsrv.core.claims import Claim, Purpose

__all__ = ["LARGEST_VALUE", "Claim", "Purpose", "Store"]

LARGEST_VALUE = 4_096
"""The most bytes of one value."""


class Store(Protocol):
    """Where it is remembered what was used, handed over, revoked and tried.

    Every method but close raises StoreError where the store cannot answer: it is away, full, broken
    or closed, or the clock was set back. Keys are 32 bytes, a digest; ValueError otherwise.
    """

    @property
    def born_at(self) -> float:
        """Since when nothing was forgotten, in Unix seconds.

        What was made before it may have been used before it, and nobody would know. Asked of a
        store that was not used yet, this opens it, and may block for half a second.
        """
        ...

    def check_at_once(self, claim: Claim) -> bool | None:
        """As check_and_store, where that needs no waiting; None where it does: nothing is done.

        It is called on any thread.
        """
        ...

    async def check_and_store(self, claim: Claim) -> bool:
        """Claim something, atomically: of all who claim it, in whatever process, one is the first.

        Returns:
            True for the first one, and it is remembered now. False for everybody after.
        """
        ...

    async def put(self, purpose: Purpose, key: bytes, value: bytes, expires_at: float) -> None:
        """Keep a value, of LARGEST_VALUE bytes at most, in place of the one before."""
        ...

    async def get(self, purpose: Purpose, key: bytes) -> bytes | None:
        """Tell the value, or None where there is none or it has expired."""
        ...

    async def get_many(self, purpose: Purpose, keys: Sequence[bytes]) -> Sequence[bytes | None]:
        """As get, for several keys of one moment."""
        ...

    def state_at_once(self) -> Hashable | None:
        """What changes whenever anything is put, claimed, counted or taken, by whatever process.

        As long as it is the same, and the clock has not been set back since, `get` tells again what
        it told. It does not wait, and None says that this cannot be told without waiting.
        """
        ...

    async def take(self, purpose: Purpose, key: bytes) -> bytes | None:
        """As get, and forget the value, atomically: of all who take it, one gets it."""
        ...

    async def count(self, purpose: Purpose, key: bytes, window_seconds: float) -> int:
        """Count one more, atomically.

        Returns:
            How many were counted in the window that ends now, this one included. It may be too many
            by those of the eighth of a window before, and is never too few.
        """
        ...

    async def close(self) -> None:
        """Let go of files and connections; a second call does nothing."""
        ...
