"""Which modules import which, and the picture of the rooms in the README that is made from that.

PYTHONPATH=tests/support python tests/support/rooms.py    # prints the picture
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from package_sources import SOURCES, Source

__all__ = ["GRAPH", "MODULES", "draw_rooms", "imported", "room_of"]

MODULES = {source.module: source for source in SOURCES}


def room_of(module: str) -> str:
    """The room of a module; empty for authsrv itself, through which users come in."""
    return ".".join(module.split(".")[1:2])


def imported(source: Source) -> Iterator[str]:
    """All modules that a module imports, wherever in its text."""
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{source}: a relative import in line {node.lineno}"
            parent = node.module or ""
            for alias in node.names:
                whole = f"{parent}.{alias.name}"
                yield whole if whole in MODULES else parent


GRAPH = {
    name: {each for each in imported(source) if each in MODULES} for name, source in MODULES.items()
}


def draw_rooms() -> str:
    """Draw the rooms as a Mermaid graph; what is reached through another room has no line."""
    below = _rooms_below()
    lines = ["graph TD"]
    for room in sorted(below):
        through = set().union(*(_all_below(each, below) for each in below[room]))
        lines += [f"    {room} --> {each}" for each in sorted(below[room] - through)]
    return "\n".join(lines)


def _rooms_below() -> dict[str, set[str]]:
    below: dict[str, set[str]] = {}
    for module, found in GRAPH.items():
        room = _drawn(room_of(module))
        rooms = {_drawn(room_of(each)) for each in found}
        if room not in ("", "__main__"):
            below.setdefault(room, set()).update(rooms - {"", room})
    return below


def _drawn(room: str) -> str:
    # They need each other: one layer.
    return "core" if room == "errors" else room


def _all_below(room: str, below: dict[str, set[str]]) -> set[str]:
    return below[room].union(*(_all_below(each, below) for each in below[room]))


if __name__ == "__main__":
    print(draw_rooms())
