"""The order of the rooms: what a module imports, and what that imports, lies below it.

The order is told here once more, apart from the code, so that a new room has to be given a place.
"""

from __future__ import annotations

import ast
import graphlib
from pathlib import Path

from rooms import GRAPH, MODULES, draw_rooms, imported, room_of

# The rooms that a room may reach, by whatever way, besides itself.
_PURE = frozenset({"errors", "core", "codecs"})
_BLOCKING = _PURE | {"providers", "stores"}
_HANDSHAKE = _BLOCKING | {"handshake"}
_SERVING = _HANDSHAKE | {"audit", "http"}
REACH = {
    "errors": frozenset({"core"}),
    "core": frozenset({"errors"}),
    "codecs": _PURE,
    "stores": frozenset({"errors", "core"}),
    "providers": _BLOCKING,
    "handshake": _HANDSHAKE,
    "audit": _HANDSHAKE,
    "http": _PURE,
    "sessions": _PURE,
    "sspi": _HANDSHAKE,
    "streams": _HANDSHAKE,
    "client": _SERVING,
    "aiohttp": _SERVING,
    "service": _SERVING | {"sessions", "aiohttp", "devrealm"},
    "devrealm": _PURE,
    "testing": _HANDSHAKE | {"devrealm"},
    "cli": _SERVING
    | {"sspi", "streams", "client", "aiohttp", "devrealm", "testing", "sessions", "service"},
}

# Bytes and values in, bytes and values out: what waits, keeps time or blocks is not for them.
PURE = _PURE | {"http", "sessions"}
IMPURE_MODULES = {"asyncio", "socket", "subprocess", "threading", "time"}

# Whose business a foreign library is; no other room may know of it.
OWNERS = {
    "aiohttp": {"aiohttp", "client", "service"},
    "gssapi": {"providers", "testing"},
    "joserfc": {"sessions"},
    "krb5": {"providers", "testing"},
    "pydantic": {"service"},
    "sspilib": {"providers"},
    "spnego": {"providers"},
    "uvloop": {"aiohttp"},
    "lmdb": {"stores"},
    "jinja2": {"service"},
    "markupsafe": {"service"},
}

# What the handshake may know of providers and of stores: their interfaces.
INTERFACES = {"authsrv.providers.base", "authsrv.stores.base"}


def reached(module: str) -> set[str]:
    """All modules that are loaded with a module."""
    found: set[str] = set()
    coming = [module]
    while coming:
        for name in GRAPH[coming.pop()] - found:
            found.add(name)
            coming.append(name)
    return found


def test_every_room_has_a_place() -> None:
    assert {room_of(name) for name in MODULES} - {"", "__main__"} == set(REACH)


def test_a_module_reaches_only_what_lies_below_it() -> None:
    wrong = {
        name: sorted(above)
        for name in MODULES
        if (room := room_of(name)) in REACH
        and (
            above := {
                each for each in reached(name) if room_of(each) not in REACH[room] | {room, ""}
            }
        )
    }
    assert wrong == {}


def test_nobody_imports_the_door_of_a_room_that_it_is_in() -> None:
    wrong = {
        name: sorted(doors)
        for name in MODULES
        if name not in ("authsrv.cli.main",)
        and (doors := {each for each in GRAPH[name] if name.startswith(f"{each}.")})
    }
    assert wrong == {}


def test_the_handshake_knows_only_the_interfaces_of_providers_and_stores() -> None:
    known = {
        each
        for name in MODULES
        if room_of(name) == "handshake"
        for each in GRAPH[name]
        if room_of(each) in ("providers", "stores")
    }
    assert known == INTERFACES


def test_the_imports_have_no_circle() -> None:
    graphlib.TopologicalSorter({name: found - {name} for name, found in GRAPH.items()}).prepare()


def test_pure_rooms_neither_wait_nor_block() -> None:
    waiting = (ast.AsyncFunctionDef, ast.Await, ast.AsyncFor, ast.AsyncWith)
    for name, source in MODULES.items():
        if room_of(name) in PURE:
            found = [node.lineno for node in ast.walk(source.tree) if isinstance(node, waiting)]
            assert found == [], name
            roots = {each.partition(".")[0] for each in imported(source)}
            assert roots & IMPURE_MODULES == set(), name


def test_a_foreign_library_is_known_to_its_owners_only() -> None:
    wrong = {
        (name, library)
        for name, source in MODULES.items()
        for library in {each.partition(".")[0] for each in imported(source)} & OWNERS.keys()
        if room_of(name) not in OWNERS[library]
    }
    assert wrong == set()


def test_the_picture_in_the_readme_is_drawn_from_the_imports() -> None:
    readme = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")
    assert f"```mermaid\n{draw_rooms()}\n```" in readme
