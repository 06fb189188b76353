"""Processor time and memory of other processes, read from the kernel's own books."""

from __future__ import annotations

import os
import statistics
from collections.abc import Iterator, Sequence
from pathlib import Path

__all__ = ["cpu_seconds", "median_ratio", "resident_bytes"]

_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
_PROC = Path("/proc")


def cpu_seconds(pid: int) -> float:
    """Answer the user and system time that a process tree has used so far.

    Children that have ended count as soon as their parent has waited for them.

    Args:
        pid: The root of the tree.

    Returns:
        Seconds, in steps of a clock tick (1/100 s) a process.

    Raises:
        ProcessLookupError: There is no such process.

    Source: proc(5), /proc/PID/stat, fields 14 to 17.
    """
    if not (_PROC / str(pid)).exists():
        raise ProcessLookupError(pid)
    ticks = 0
    for member in _tree(pid):
        fields = _stat_fields(member)
        ticks += sum(int(field) for field in fields[11:15])
    return ticks / _TICKS_PER_SECOND


def resident_bytes(pid: int) -> int:
    """Answer the resident memory of one process, its children not included.

    Source: proc(5), /proc/PID/statm, field 2.
    """
    pages = int((_PROC / str(pid) / "statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


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


def _stat_fields(pid: int) -> list[str]:
    # The second field is the program's name in parentheses and may hold blanks.
    text = (_PROC / str(pid) / "stat").read_text()
    return text.rpartition(")")[2].split()
