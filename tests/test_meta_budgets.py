"""Sizes: small functions, small modules, short parameter lists, and what must not be there."""

from __future__ import annotations

import ast
import re
import statistics
from collections.abc import Iterator

import pytest
from package_sources import SOURCES, Function, Source

MODULE_LINES = 450
# One row, that is, one class, for each error: a table and no code.
TABLES = {"authsrv.errors": 600}
FUNCTION_LINES = 40
MEDIAN_LINES = 10
PARAMETERS = 8

# What applications are set up with, once, by keyword: options that would gain nothing from a class.
LONG_LISTS = {
    "authsrv.aiohttp.setup.setup",
    "authsrv.aiohttp.runner.run_app",
}
# Their parameters, and the order of these, are those of the functions that they mirror.
MIRRORS = {
    "authsrv.sspi.establish.accept_security_context_async",
    "authsrv.sspi.establish.initialize_security_context_async",
}

# The one line that a server says when it listens, unless the application wants it elsewhere.
PRINTERS = {"authsrv.aiohttp.runner._announce"}

each_module = pytest.mark.parametrize("source", SOURCES, ids=str)


def body_lines(function: Function) -> int:
    """The lines of a function from its first statement to its last, without the docstring."""
    body = function.node.body
    if ast.get_docstring(function.node, clean=False) is not None:
        body = body[1:]
    return (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0


def printers(node: ast.AST, path: str, shadowed: bool = False) -> Iterator[str]:
    """The functions that call the built-in print; one that was passed as an argument is another."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            is_argument = "print" in Function(child, "", None).parameters
            yield from printers(child, f"{path}.{child.name}", shadowed or is_argument)
            continue
        if isinstance(child, ast.Call) and not shadowed:
            if isinstance(child.func, ast.Name) and child.func.id == "print":
                yield path
        yield from printers(child, path, shadowed)


@each_module
def test_a_module_holds_one_concept(source: Source) -> None:
    assert len(source.path.read_text(encoding="utf-8").splitlines()) <= TABLES.get(
        source.module, MODULE_LINES
    )


@each_module
def test_a_function_fits_a_screen(source: Source) -> None:
    sizes = {function.path: body_lines(function) for function in source.functions()}
    assert {path: size for path, size in sizes.items() if size > FUNCTION_LINES} == {}


def test_half_of_all_functions_are_a_handful_of_lines() -> None:
    sizes = [body_lines(function) for source in SOURCES for function in source.functions()]
    assert statistics.median(sizes) <= MEDIAN_LINES


@each_module
def test_a_list_of_parameters_is_short(source: Source) -> None:
    counts = {
        f"{source.module}.{function.path}": len(function.parameters)
        for function in source.functions()
    }
    long = {path for path, count in counts.items() if count > PARAMETERS}
    assert long - LONG_LISTS - MIRRORS == set()


def test_what_is_excused_from_short_lists_needs_it_and_is_called_by_keyword() -> None:
    functions = {
        f"{source.module}.{function.path}": function
        for source in SOURCES
        for function in source.functions()
    }
    for path in LONG_LISTS:
        function = functions[path]
        assert len(function.parameters) > PARAMETERS, f"{path} needs no excuse any more"
        assert len(function.node.args.args) == 1, f"{path} takes more than one by position"


@each_module
def test_a_module_has_a_name_that_says_what_is_in_it(source: Source) -> None:
    nothing = {"util", "utils", "helper", "helpers", "common", "misc", "tools"}
    assert not nothing & set(source.module.split("."))


@each_module
def test_only_the_command_line_prints(source: Source) -> None:
    if source.module.startswith("authsrv.cli.main"):
        return
    assert set(printers(source.tree, source.module)) - PRINTERS == set()


@each_module
def test_nothing_is_left_to_do(source: Source) -> None:
    lines = source.path.read_text(encoding="utf-8").splitlines()
    left = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b")
    assert [number for number, line in enumerate(lines, 1) if left.search(line)] == []
