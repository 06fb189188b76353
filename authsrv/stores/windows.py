"""How many in a window of time: a few counters, whatever is counted, packed into bytes."""

from __future__ import annotations

import struct
from typing import Final

from authsrv.errors import StoreError

__all__ = ["count_one"]

# A window is counted in eighths. Nine counters hold every window that ends in the newest of them.
_PARTS: Final = 8
_COUNTERS: Final = _PARTS + 1
# The length of a part in seconds, the number of the newest part, and the counters, newest first.
_LAYOUT: Final = struct.Struct(f">dq{_COUNTERS}I")
_MOST: Final = 2**32 - 1


def count_one(state: bytes | None, window_seconds: float, now: float) -> tuple[bytes, int, float]:
    """Count one more in a window that ends now.

    Args:
        state: The bytes that the last call gave; None where nothing was counted yet.
        window_seconds: The length of the window.
        now: The time, in Unix seconds. Earlier than in the last call, it counts as that one's.

    Returns:
        The state to keep; how many were counted in the window, this one included; and when nothing
        of the state counts any more.

    Raises:
        StoreError: The state is not one.
        ValueError: The window is not longer than zero.
    """
    if not window_seconds > 0:
        raise ValueError("a window must be longer than zero seconds")
    part = window_seconds / _PARTS
    newest = int(now // part)
    counters = [0] * _COUNTERS
    if state is not None:
        newest, counters = _moved(state, part, newest)
    counters[0] += 1
    counters = [min(counter, _MOST) for counter in counters]
    packed = _LAYOUT.pack(part, newest, *counters)
    return packed, sum(counters), (newest + _COUNTERS) * part


def _moved(state: bytes, part: float, newest: int) -> tuple[int, list[int]]:
    """Shift the counters to the newest part; of a window of another length, all counts as new."""
    try:
        part_before, newest_before, *counters = _LAYOUT.unpack(state)
    except struct.error:
        raise StoreError("what was kept is not a count") from None
    if part_before != part:
        return newest, [sum(counters)] + [0] * _PARTS
    newest = max(newest, newest_before)
    gone = min(newest - newest_before, _COUNTERS)
    return newest, ([0] * gone + counters)[:_COUNTERS]
