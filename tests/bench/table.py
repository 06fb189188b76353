"""The figures, what they must reach, and how they are shown and written down."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

__all__ = ["Figure", "Verdict", "all_reached", "print_table", "write_json"]


class Verdict(Enum):
    """How a figure stands against its bounds."""

    AIM = "aim reached"
    MUST = "must reached"
    MISSED = "MISSED"
    STATED = "stated"
    ABSENT = "NOT MEASURED"


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured number.

    Args:
        name: What was measured, in snake_case.
        value: The number, or None where it could not be taken.
        unit: Of the value.
        ratio_to: The peer that was measured in the same run, or None.
        ratio: The value over the peer's, or None.
        must: The bound of the ratio, or of the value where there is no peer.
        aim: The bound we would like to reach.
        note: How it was taken, or why it was not.
        needed: Whether a figure that could not be taken fails the bench.
    """

    name: str
    value: float | None
    unit: str
    ratio_to: str | None = None
    ratio: float | None = None
    must: float | None = None
    aim: float | None = None
    note: str = ""
    needed: bool = False

    @property
    def verdict(self) -> Verdict:
        """Answer how the figure stands; a bound is kept if it is not exceeded."""
        judged = self.value if self.ratio_to is None else self.ratio
        if judged is None:
            return Verdict.ABSENT
        if self.must is None:
            return Verdict.STATED
        if self.aim is not None and judged <= self.aim:
            return Verdict.AIM
        return Verdict.MUST if judged <= self.must else Verdict.MISSED

    @property
    def reached(self) -> bool:
        """Answer whether the bench may pass with this figure."""
        if self.verdict is Verdict.ABSENT:
            return self.must is None and not self.needed
        return self.verdict is not Verdict.MISSED


_HEADINGS = ("figure", "value", "unit", "ratio to", "ratio", "must", "aim", "verdict", "note")
_NUMERIC = frozenset({1, 4, 5, 6})


def print_table(figures: Sequence[Figure]) -> None:
    """Print the figures as a table for people."""
    rows = [_HEADINGS, *(_cells(figure) for figure in figures)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADINGS))]
    rows.insert(1, tuple("-" * width for width in widths))
    for row in rows:
        cells = (
            cell.rjust(width) if column in _NUMERIC else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        print("  ".join(cells).rstrip())


def write_json(figures: Sequence[Figure], path: Path) -> None:
    """Write the figures as a list of objects for programs."""
    entries = [
        {
            "name": figure.name,
            "value": figure.value,
            "unit": figure.unit,
            "ratio_to": figure.ratio_to,
            "ratio": figure.ratio,
        }
        for figure in figures
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(entries, indent=2) + "\n")


def all_reached(figures: Sequence[Figure]) -> bool:
    """Answer whether every figure keeps its bound and every needed one was taken."""
    return all(figure.reached for figure in figures)


def _cells(figure: Figure) -> tuple[str, ...]:
    return (
        figure.name,
        _number(figure.value),
        figure.unit,
        figure.ratio_to or "",
        _number(figure.ratio),
        _number(figure.must),
        _number(figure.aim),
        figure.verdict.value,
        figure.note,
    )


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
