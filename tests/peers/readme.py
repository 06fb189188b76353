"""README's tables, row by row."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

__all__ = ["README", "assert_version", "rows_below"]

README = Path(__file__).resolve().parents[2] / "README.md"


def rows_below(name: str) -> list[str]:
    """The rows of the table about peers whose first heading is a name, without its headings."""
    section = README.read_text(encoding="utf-8").partition("\n## Clients and proxies\n")[2]
    lines = section.partition("\n## ")[0].splitlines()
    start = next((at for at, line in enumerate(lines) if line.startswith(f"| {name} |")), None)
    assert start is not None, f"README has no table of {name}"
    rows = []
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        rows.append(line)
    return rows


def assert_version(name: str, package: str) -> None:
    """The version in a name of a table is that of the Debian package that is installed."""
    command = ["dpkg-query", "--show", "--showformat=${Version}", package]
    installed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    named = re.search(r"(?<!\w)\d+(\.\d+)*", name)
    assert named is not None
    assert re.search(rf"(?<![\d]){re.escape(named[0])}(?!\d)", installed), (
        f"README's table is about {name}; {package} is {installed}"
    )
