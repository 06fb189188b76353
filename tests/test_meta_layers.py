"""The order of the layers: a module imports from its own layer and from lower ones, never a facade.

The order is told here once more, apart from the code, so that a new module has to be given a place.
"""

from __future__ import annotations

import ast
import enum
import graphlib
from collections.abc import Iterator

import pytest
from package_sources import SOURCES, Source


class Layer(enum.Enum):
    """The layers, the lowest first; ASIDE stands beside them."""

    VOCABULARY = 0
    CODECS = 1
    PACKAGES = 2
    HANDSHAKE = 3
    HTTP = 4
    AIOHTTP = 5
    CLI = 6
    ASIDE = "aside"
    FACADE = "facade"


PLACES = {
    "authsrv": Layer.FACADE,
    "authsrv.attributes": Layer.VOCABULARY,
    "authsrv.bindings": Layer.VOCABULARY,
    "authsrv.buffers": Layer.VOCABULARY,
    "authsrv.disposition": Layer.VOCABULARY,
    "authsrv.errors": Layer.VOCABULARY,
    "authsrv.flags": Layer.VOCABULARY,
    "authsrv.identity": Layer.VOCABULARY,
    "authsrv.limits": Layer.VOCABULARY,
    "authsrv.results": Layer.VOCABULARY,
    "authsrv.realms": Layer.VOCABULARY,
    "authsrv.role": Layer.VOCABULARY,
    "authsrv.settings": Layer.VOCABULARY,
    "authsrv.status": Layer.VOCABULARY,
    "authsrv.tokens": Layer.CODECS,
    "authsrv.packages": Layer.PACKAGES,
    "authsrv.acceptor": Layer.HANDSHAKE,
    "authsrv.drive": Layer.HANDSHAKE,
    "authsrv.events": Layer.HANDSHAKE,
    "authsrv.handshake": Layer.HANDSHAKE,
    "authsrv.lease": Layer.HANDSHAKE,
    "authsrv.sspi": Layer.HANDSHAKE,
    "authsrv.streams": Layer.AIOHTTP,
    "authsrv.blocking": Layer.HANDSHAKE,
    "authsrv.workers": Layer.HANDSHAKE,
    "authsrv.http": Layer.HTTP,
    "authsrv.aiohttp": Layer.AIOHTTP,
    "authsrv.cli": Layer.CLI,
    "authsrv.client": Layer.AIOHTTP,
    "authsrv.devrealm": Layer.ASIDE,
    "authsrv.testing": Layer.ASIDE,
}

MODULES = {source.module for source in SOURCES}

# Pure layers: bytes and values in, bytes and values out. What is here waits, keeps time or blocks.
PURE = (Layer.VOCABULARY, Layer.CODECS, Layer.HTTP)
IMPURE_MODULES = {"asyncio", "socket", "subprocess", "threading", "time"}

# Whose business a foreign library is; nobody else may know of it.
OWNERS = {
    "aiohttp": (Layer.AIOHTTP, Layer.CLI, Layer.ASIDE),
    "gssapi": (Layer.PACKAGES, Layer.ASIDE),
    "krb5": (Layer.PACKAGES, Layer.ASIDE),
    "sspilib": (Layer.PACKAGES, Layer.ASIDE),
    "spnego": (Layer.PACKAGES, Layer.ASIDE),
    "uvloop": (Layer.AIOHTTP, Layer.CLI),
}

# The command line tells the version, which stands in the facade; nobody imports the command line.
USERS_OF_THE_FACADE = {"authsrv.cli"}

# What the handshake may know of security packages: their interface, and who finds them by name.
INTERFACE_OF_PACKAGES = {
    "authsrv.packages.base",
    "authsrv.packages.client_credentials",
    "authsrv.packages.registry",
}

each_module = pytest.mark.parametrize("source", SOURCES, ids=str)


def place(module: str) -> Layer | None:
    """The layer of a module: its own, or that of the package that it is in."""
    while module not in PLACES and "." in module:
        module = module.rpartition(".")[0]
    # The facade's place is for the facade alone.
    return None if module == "authsrv" else PLACES[module]


def layer_of(module: str) -> Layer | None:
    """The layer of a module, or None if it has no place yet."""
    return PLACES[module] if module in PLACES else place(module)


def imported(source: Source) -> Iterator[str]:
    """All modules that a module imports, wherever in its text, the parent of a name included."""
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{source}: a relative import in line {node.lineno}"
            parent = node.module or ""
            for alias in node.names:
                whole = f"{parent}.{alias.name}"
                yield whole if whole in MODULES else parent


def imported_of_ours(source: Source) -> set[str]:
    """The modules of the package that a module imports."""
    ours = {name for name in imported(source) if name.partition(".")[0] == "authsrv"}
    return ours - {"authsrv"} if source.module in USERS_OF_THE_FACADE else ours


def may_import(importer: Layer, target: Layer) -> bool:
    """The order itself."""
    if importer is Layer.ASIDE:
        return target is Layer.ASIDE or target.value in range(Layer.AIOHTTP.value)
    if importer is Layer.FACADE:
        # Whoever serves streams must not have to load aiohttp.
        return target.value in range(Layer.AIOHTTP.value)
    if target is Layer.ASIDE:
        return importer is Layer.CLI
    return target is not Layer.FACADE and target.value <= importer.value


@each_module
def test_every_module_has_a_layer(source: Source) -> None:
    assert layer_of(source.module) is not None, f"give {source} a place in PLACES"


def test_every_place_is_taken_by_a_module() -> None:
    assert sorted(set(PLACES) - MODULES) == []


@each_module
def test_a_module_imports_only_its_own_layer_and_lower_ones(source: Source) -> None:
    importer = layer_of(source.module)
    assert importer is not None
    upward = {
        name: layer
        for name in imported_of_ours(source)
        if (layer := layer_of(name)) is None or not may_import(importer, layer)
    }
    assert upward == {}, f"{source} ({importer.name}) must not import these"


@each_module
def test_no_module_imports_a_facade_that_it_is_behind(source: Source) -> None:
    parts = source.module.split(".")
    facades = {".".join(parts[:length]) for length in range(1, len(parts))} | {"authsrv"}
    assert imported_of_ours(source) & facades == set()


@each_module
def test_the_handshake_knows_no_package_but_their_interface(source: Source) -> None:
    if layer_of(source.module) is not Layer.HANDSHAKE:
        return
    known = {name for name in imported_of_ours(source) if layer_of(name) is Layer.PACKAGES}
    assert known <= INTERFACE_OF_PACKAGES


def test_the_imports_have_no_circle() -> None:
    graph = {source.module: imported_of_ours(source) for source in SOURCES}
    for facade in (source.module for source in SOURCES if source.is_facade):
        graph[facade] = graph[facade] - {facade}
    graphlib.TopologicalSorter(graph).prepare()


@each_module
def test_pure_layers_neither_wait_nor_block(source: Source) -> None:
    if layer_of(source.module) not in PURE:
        return
    waiting = (ast.AsyncFunctionDef, ast.Await, ast.AsyncFor, ast.AsyncWith)
    assert [node.lineno for node in ast.walk(source.tree) if isinstance(node, waiting)] == []
    assert {name.partition(".")[0] for name in imported(source)} & IMPURE_MODULES == set()


@each_module
def test_a_foreign_library_is_known_to_its_owners_only(source: Source) -> None:
    layer = layer_of(source.module)
    foreign = {name.partition(".")[0] for name in imported(source)} & OWNERS.keys()
    assert {name for name in foreign if layer not in OWNERS[name]} == set()
