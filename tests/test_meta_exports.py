"""What the modules export: `__all__` is there, sorted, true and complete."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

import pytest
from package_sources import SOURCES, Source

FACADES = ["authsrv", "authsrv.aiohttp", "authsrv.devrealm"]

each_module = pytest.mark.parametrize("source", SOURCES, ids=str)


def exported(source: Source) -> list[str] | None:
    """What stands in `__all__`, in its order; None where there is none."""
    for node in source.tree.body:
        if isinstance(node, ast.Assign) and _targets(node) == ["__all__"]:
            names = ast.literal_eval(node.value)
            assert isinstance(names, list)
            return names
    return None


def defined(source: Source) -> Iterator[str]:
    """The public names that a module makes: at its top, and below an `if` or `try` there."""
    pending: list[ast.AST] = list(source.tree.body)
    while pending:
        node = pending.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            yield from _targets(node)
        elif isinstance(node, ast.ImportFrom | ast.Import) and source.is_facade:
            yield from _bound(node)
        elif isinstance(node, ast.If | ast.Try):
            pending += [child for child in ast.walk(node) if child is not node]


def public(names: Iterator[str]) -> set[str]:
    """Those that begin with no underscore."""
    return {name for name in names if not name.startswith("_")}


def rank(name: str) -> tuple[int, str]:
    """The order of an `__all__`: constants, classes, functions; in each, by letters."""
    if re.fullmatch(r"[A-Z][A-Z0-9_]*", name) and len(name) > 1:
        return 0, name
    return (1 if name[0].isupper() else 2), name


def _targets(node: ast.Assign | ast.AnnAssign) -> list[str]:
    targets = node.targets if isinstance(node, ast.Assign) else [node.target]
    every = [name for target in targets for name in ast.walk(target)]
    return [name.id for name in every if isinstance(name, ast.Name)]


def _bound(node: ast.ImportFrom | ast.Import) -> list[str]:
    if isinstance(node, ast.ImportFrom) and node.module == "__future__":
        return []
    return [(alias.asname or alias.name).partition(".")[0] for alias in node.names]


@each_module
def test_a_module_that_offers_something_says_what(source: Source) -> None:
    assert exported(source) is not None or public(defined(source)) == set()


@each_module
def test_the_exports_are_sorted_and_without_doubles(source: Source) -> None:
    names = exported(source) or []
    assert names == sorted(set(names), key=rank)


@each_module
def test_every_exported_name_exists_and_is_public(source: Source) -> None:
    module = source.load()
    names = exported(source) or []
    assert [name for name in names if not hasattr(module, name)] == []
    assert [name for name in names if name.startswith("_")] == []


@each_module
def test_no_public_name_is_missing_from_the_exports(source: Source) -> None:
    assert sorted(public(defined(source)) - set(exported(source) or [])) == []


@pytest.mark.parametrize("facade", FACADES)
def test_a_facade_passes_on_what_its_modules_export(facade: str) -> None:
    by_name = {source.module: source for source in SOURCES}
    imports = [node for node in by_name[facade].tree.body if isinstance(node, ast.ImportFrom)]
    passed_on: set[str] = set()
    for node in imports:
        if node.module is None or not node.module.startswith("authsrv."):
            continue
        names = {alias.name for alias in node.names if not (alias.asname or "").startswith("_")}
        assert names <= set(exported(by_name[node.module]) or []), node.module
        passed_on |= names
    assert passed_on == set(exported(by_name[facade]) or [])


@pytest.mark.parametrize("facade", FACADES)
def test_a_star_import_of_a_facade_brings_every_name(facade: str) -> None:
    by_name = {source.module: source for source in SOURCES}
    namespace: dict[str, object] = {}
    exec(f"from {facade} import *", namespace)
    assert set(exported(by_name[facade]) or []) <= namespace.keys()
