"""README's tables, row by row."""

from __future__ import annotations

from pathlib import Path

__all__ = ["rows_below"]

README = Path(__file__).resolve().parents[2] / "README.md"


def rows_below(name: str) -> list[str]:
    """The rows of the table whose first heading is a name, without its headings."""
    lines = README.read_text(encoding="utf-8").splitlines()
    start = next((at for at, line in enumerate(lines) if line.startswith(f"| {name} |")), None)
    assert start is not None, f"README has no table of {name}"
    rows = []
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        rows.append(line)
    return rows
