"""The handshakes of one acceptor or initiator that have begun and not ended, and how many may be.

What a peer can make us keep is bounded. Handshakes that wait for their peer are counted, and one
too many is refused when it would have to wait; so clients that begin handshakes and leave keep
nobody out whose handshake takes one leg. Handshakes that are worked on are bounded by the pool.
"""

from __future__ import annotations

from types import TracebackType
from typing import Protocol, Self

from authsrv.core.limits import Limits
from authsrv.core.settings import as_instance, as_optional
from authsrv.errors import OverloadedError
from authsrv.handshake.pool import WorkerPool
from authsrv.stores.base import Store

__all__ = ["HandshakeRegistry"]


class _Closes(Protocol):
    def close(self) -> None: ...


class HandshakeRegistry:
    """Handshakes that have begun, and the limits and the pool that they share.

    An asynchronous context manager, which closes it. It belongs to one event loop.

    Args:
        limits: max_pending, max_queued and max_workers are read.
        pool: The threads to run the provider on, or None for a pool of its own.
        store: Where it is remembered what the provider claims; None where it claims nothing.

    Raises:
        ConfigError: A setting is of a wrong type.
    """

    def __init__(self, limits: Limits, pool: WorkerPool | None, store: Store | None = None) -> None:
        self.store = store
        self.limits = as_instance(Limits, limits, "limits")
        self.pool = as_optional(WorkerPool, pool, "pool") or WorkerPool(limits)
        self._open: set[_Closes] = set()
        self._waiting: set[_Closes] = set()
        # Those that wait for their peer are bounded by mark_waiting, and those that are worked on
        # by the pool; this is for a caller who begins handshakes and does nothing with them.
        self._most = limits.max_pending + limits.max_queued + limits.max_workers

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def pending(self) -> int:
        """How many handshakes are begun and not ended."""
        return len(self._open)

    def demand_room(self) -> None:
        """Refuse to begin one more than the limits allow in all.

        Raises:
            OverloadedError: There are as many.
        """
        if len(self._open) >= self._most:
            raise OverloadedError(f"{len(self._open)} handshakes are pending")

    def add(self, handshake: _Closes) -> None:
        """Note that a handshake has begun."""
        self._open.add(handshake)

    def mark_running(self, handshake: _Closes) -> None:
        """Note that a handshake is worked on."""
        self._waiting.discard(handshake)

    def mark_waiting(self, handshake: _Closes) -> None:
        """Note that a handshake waits for its peer.

        Raises:
            OverloadedError: max_pending handshakes wait already.
        """
        if len(self._waiting) >= self.limits.max_pending:
            raise OverloadedError(f"{len(self._waiting)} handshakes wait for their clients")
        self._waiting.add(handshake)

    def remove(self, handshake: _Closes) -> None:
        """Note that a handshake has ended."""
        self._open.discard(handshake)
        self._waiting.discard(handshake)

    def close(self) -> None:
        """End all handshakes and let the threads go. Nothing can be begun any more."""
        for handshake in tuple(self._open):
            handshake.close()
        self.pool.close()
