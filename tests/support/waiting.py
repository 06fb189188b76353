"""Waiting for a fact; the time is only the patience."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

__all__ = ["until", "wait_until"]

_PATIENCE_S = 10.0


async def until(condition: Callable[[], bool], *, seconds: float = _PATIENCE_S) -> None:
    """Let the loop go on until another task or thread has brought it about."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come true"
        await asyncio.sleep(0.001)


def wait_until(condition: Callable[[], bool], *, seconds: float = _PATIENCE_S) -> None:
    """Wait, without a loop, until another thread or process has brought it about."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come true"
        time.sleep(0.01)
