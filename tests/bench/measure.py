"""Processor time of other processes, and how figures that were taken in turns are compared."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

__all__ = ["cpu_seconds", "median_ratio"]

_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
_PROC = Path("/proc")


def cpu_seconds(pid: int) -> float:
    """Answer the user and system time that a process tree has used so far.

    Each living process is asked for its own clock, which counts nanoseconds and ended threads too.
    Children that have ended count as soon as their parent has waited for them.

    Args:
        pid: The root of the tree.

    Returns:
        Seconds.

    Raises:
        ProcessLookupError: There is no such process.

    Source: clock_getcpuclockid(3); proc(5), /proc/PID/stat, fields 16 and 17.
    """
    if not (_PROC / str(pid)).exists():
        raise ProcessLookupError(pid)
    return sum(_own_seconds(member) + _ended_seconds(member) for member in _tree(pid))


def median_ratio(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """Answer the median of the ratios of figures that were taken side by side, round by round.

    Both members of a ratio come from the same moment, so a machine that slows down for a while
    moves both.
    """
    return statistics.median(a / b for a, b in zip(ours, theirs, strict=True))


def _tree(pid: int) -> Iterator[int]:
    yield pid
    for task in (_PROC / str(pid) / "task").glob("*/children"):
        for child in task.read_text().split():
            yield from _tree(int(child))


def _own_seconds(pid: int) -> float:
    # The number that clock_getcpuclockid makes for another process on Linux: its id, inverted, and
    # the kind of clock in the last three bits, where 2 is the scheduler's.
    return time.clock_gettime(~pid << 3 | 2)


def _ended_seconds(pid: int) -> float:
    # The second field is the program's name in parentheses and may hold blanks.
    fields = (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    return (int(fields[13]) + int(fields[14])) / _TICKS_PER_SECOND
