"""The files of the package, parsed once, for the tests that look at the code itself."""

from __future__ import annotations

import ast
import importlib
import inspect
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import ModuleType

__all__ = [
    "ROOT",
    "SOURCES",
    "Function",
    "Source",
    "decorator_names",
    "docstring_of",
    "package_errors",
]

ROOT = Path(__file__).resolve().parents[2]

Definition = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True, slots=True)
class Function:
    """A function or method, and where it stands.

    Args:
        node: Its definition.
        path: The names of what it stands in, and its own, such as "Acceptor.create_handshake".
        owner: The class that it is a method of, or None.
    """

    node: Definition
    path: str
    owner: ast.ClassDef | None

    @property
    def decorators(self) -> set[str]:
        """The last names of its decorators, such as "property" or "setter"."""
        return decorator_names(self.node)

    @property
    def parameters(self) -> list[str]:
        """The names of its parameters, without self and cls."""
        given = self.node.args
        every = [*given.posonlyargs, *given.args, given.vararg, *given.kwonlyargs, given.kwarg]
        names = [parameter.arg for parameter in every if parameter is not None]
        bound = self.owner is not None and "staticmethod" not in self.decorators
        return names[1:] if bound else names


@dataclass(frozen=True, slots=True)
class Source:
    """A module of the package.

    Args:
        module: Its name, such as "authsrv.http.reply".
        path: Its file.
        tree: What the file holds.
    """

    module: str
    path: Path
    tree: ast.Module = field(repr=False)

    def __str__(self) -> str:
        return self.module

    @property
    def is_facade(self) -> bool:
        """Whether it is the `__init__` of a package."""
        return self.path.name == "__init__.py"

    def load(self) -> ModuleType:
        """Import it."""
        return importlib.import_module(self.module)

    def functions(self) -> Iterator[Function]:
        """All functions and methods, the private and the nested ones included."""
        return _functions(self.tree, "", None)

    def classes(self) -> Iterator[ast.ClassDef]:
        """All classes at the top of the module."""
        return (node for node in self.tree.body if isinstance(node, ast.ClassDef))


def _functions(scope: ast.AST, prefix: str, owner: ast.ClassDef | None) -> Iterator[Function]:
    for node in ast.iter_child_nodes(scope):
        if isinstance(node, Definition):
            path = f"{prefix}{node.name}"
            yield Function(node, path, owner)
            yield from _functions(node, f"{path}.", None)
        elif isinstance(node, ast.ClassDef):
            yield from _functions(node, f"{prefix}{node.name}.", node)
        else:
            yield from _functions(node, prefix, owner)


def decorator_names(node: Definition | ast.ClassDef) -> set[str]:
    """The last names of the decorators of a definition, such as "dataclass"."""
    return {_last_name(decorator) for decorator in node.decorator_list}


def _last_name(node: ast.AST) -> str:
    if isinstance(node, ast.Call):
        return _last_name(node.func)
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def docstring_of(node: Definition | ast.ClassDef | ast.Module) -> str:
    """The docstring of a definition, without its indentation; empty if there is none."""
    return inspect.cleandoc(ast.get_docstring(node, clean=False) or "")


def _read(path: Path) -> Source:
    parts = path.relative_to(ROOT).with_suffix("").parts
    module = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
    return Source(module, path, ast.parse(path.read_text(encoding="utf-8"), str(path)))


# A module `__main__` runs when it is imported; it is the command line's, and has nothing public.
SOURCES = [
    _read(path) for path in sorted((ROOT / "authsrv").rglob("*.py")) if path.name != "__main__.py"
]


@cache
def package_errors() -> dict[str, type[BaseException]]:
    """Every exception that the package defines, by name."""
    found: dict[str, type[BaseException]] = {}
    for source in SOURCES:
        for name, value in vars(source.load()).items():
            defined_here = getattr(value, "__module__", None) == source.module
            if defined_here and isinstance(value, type) and issubclass(value, BaseException):
                found[name] = value
    return found
