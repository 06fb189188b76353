"""What can keep a bench from answering."""

from __future__ import annotations

__all__ = ["BenchError", "MissingPeerError", "last_line"]


class BenchError(Exception):
    """A figure could not be taken honestly: a wrong status, an accepted replay, a dead server."""


class MissingPeerError(BenchError):
    """A program that we compare with is not installed; the text names it and its package."""


def last_line(output: str) -> str:
    """Answer the last line of a program's output, which is where most say what went wrong."""
    return (output.strip().splitlines() or ["no output"])[-1]
