"""Every public name says what it answers, what it takes, what it raises, and where that is written.

The form is Google's, with a last paragraph `Source:`. A method that keeps a contract written down
elsewhere says "see SecurityPackage." in its first line; then that one has the Args and Returns.
"""

from __future__ import annotations

import ast
import enum
import inspect
import re
from collections.abc import Iterator, Mapping

import pytest
from package_sources import (
    SOURCES,
    Definition,
    Function,
    Source,
    decorator_names,
    docstring_of,
    package_errors,
)

each_module = pytest.mark.parametrize("source", SOURCES, ids=str)

SECTION = re.compile(r"^(Args|Attributes|Raises|Returns|Yields|Source):", re.MULTILINE)
ENTRY = re.compile(r"^ {4}(\*{0,2}[\w.]+(?:, \*{0,2}[\w.]+)*):", re.MULTILINE)
ELSEWHERE = re.compile(r"see (\w+)\.$")
INLINE_COMMENT = re.compile(r"^\s*#:")

NOTHING_RETURNED = {"None", "NoReturn", "Never"}
CLASSES = {node.name: node for source in SOURCES for node in source.classes()}


def sections(text: str) -> dict[str, str]:
    """The sections of a docstring, by name."""
    pieces = SECTION.split(text)
    return dict(zip(pieces[1::2], pieces[2::2], strict=True))


def entries(section: str) -> set[str]:
    """The names that a section explains."""
    names = (name for match in ENTRY.findall(section) for name in match.split(","))
    return {name.strip().lstrip("*") for name in names}


def is_public(name: str) -> bool:
    return not name.startswith("_")


def public_functions(source: Source) -> Iterator[Function]:
    """The functions at the top of a module and the methods of its public classes."""
    for function in source.functions():
        within = function.path.split(".")
        depth = 1 if function.owner is None else 2
        # A setter has its property's docstring.
        if len(within) == depth and all(map(is_public, within)):
            if not function.decorators & {"setter", "overload"}:
                yield function


def public_classes(source: Source) -> Iterator[ast.ClassDef]:
    return (node for node in source.classes() if is_public(node.name))


def written_elsewhere(function: Function) -> bool:
    """Whether the contract stands in a class that the docstring names, and really does."""
    named = ELSEWHERE.search(docstring_of(function.node).partition("\n")[0])
    other = CLASSES.get(named[1]) if named else None
    methods = (node for node in (other.body if other else ()) if isinstance(node, Definition))
    return any(
        node.name == function.node.name and "Source:" in docstring_of(node) for node in methods
    )


def raised_in(node: Definition) -> set[str]:
    """The package's own errors that a function raises by name, and does not catch itself."""
    pending: list[ast.AST] = list(node.body)
    names: set[str] = set()
    while pending:
        statement = pending.pop()
        if isinstance(statement, Definition | ast.Lambda | ast.ClassDef):
            continue
        if isinstance(statement, ast.Raise) and statement.exc is not None:
            names.add(_raised_name(statement.exc))
        pending += ast.iter_child_nodes(statement)
    return names & package_errors().keys()


def undocumented_errors(node: Definition, text: str) -> set[str]:
    """What a function raises, and neither it nor an ancestor of it stands under Raises."""
    documented = entries(sections(text).get("Raises", ""))
    errors = package_errors()
    return {
        name
        for name in raised_in(node)
        if not documented & {ancestor.__name__ for ancestor in errors[name].__mro__}
    }


def class_parameters(node: ast.ClassDef) -> list[str] | None:
    """What a class is called with, as far as its own text tells; None if it does not tell."""
    for function in node.body:
        if isinstance(function, Definition) and function.name == "__init__":
            return Function(function, function.name, node).parameters
    return _fields(node) if "dataclass" in decorator_names(node) else None


def _fields(node: ast.ClassDef) -> list[str]:
    annotated = (entry for entry in node.body if isinstance(entry, ast.AnnAssign))
    return [
        entry.target.id
        for entry in annotated
        if isinstance(entry.target, ast.Name)
        and is_public(entry.target.id)
        and "ClassVar" not in ast.unparse(entry.annotation)
        and "init=False" not in (ast.unparse(entry.value) if entry.value else "")
    ]


def _raised_name(node: ast.expr) -> str:
    if isinstance(node, ast.Call):
        return _raised_name(node.func)
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


@each_module
def test_every_module_has_a_docstring(source: Source) -> None:
    empty = not source.path.read_text(encoding="utf-8").strip()
    assert empty or docstring_of(source.tree)


@each_module
def test_every_public_name_has_a_docstring_that_ends_in_its_source(source: Source) -> None:
    places = {function.path: function.node for function in public_functions(source)}
    texts = {name: docstring_of(node) for name, node in places.items()}
    texts |= {node.name: docstring_of(node) for node in public_classes(source)}
    last = {name: text.split("\n\n")[-1] for name, text in texts.items()}
    assert [name for name, text in last.items() if not re.match(r"Source: \S", text)] == []


@each_module
def test_every_docstring_begins_with_one_whole_sentence(source: Source) -> None:
    texts = {function.path: docstring_of(function.node) for function in public_functions(source)}
    texts |= {node.name: docstring_of(node) for node in public_classes(source)}
    first = {name: text.split("\n\n")[0] for name, text in texts.items()}
    assert [name for name, text in first.items() if text[-1:] not in {".", ":", "?"}] == []


@each_module
def test_args_explain_every_parameter_of_a_function_and_nothing_else(source: Source) -> None:
    wrong: dict[str, set[str]] = {}
    for function in public_functions(source):
        explained = entries(sections(docstring_of(function.node)).get("Args", ""))
        difference = explained ^ set(function.parameters)
        if difference and not (written_elsewhere(function) and not explained):
            wrong[function.path] = difference
    assert wrong == {}


@each_module
def test_args_explain_every_parameter_of_a_class_and_nothing_else(source: Source) -> None:
    wrong: dict[str, set[str]] = {}
    for node in public_classes(source):
        parameters = class_parameters(node)
        if parameters is None:
            continue
        explained = entries(sections(docstring_of(node)).get("Args", ""))
        if difference := explained ^ set(parameters):
            wrong[node.name] = difference
    assert wrong == {}


@each_module
def test_returns_tell_what_a_function_answers(source: Source) -> None:
    silent = []
    for function in public_functions(source):
        answer = ast.unparse(function.node.returns) if function.node.returns else "None"
        if answer in NOTHING_RETURNED or function.decorators & {"property", "cached_property"}:
            continue
        told = sections(docstring_of(function.node)).keys() & {"Returns", "Yields"}
        if not told and not written_elsewhere(function):
            silent.append(function.path)
    assert silent == []


@each_module
def test_raises_name_every_error_that_a_function_raises_itself(source: Source) -> None:
    missing = {
        function.path: errors
        for function in public_functions(source)
        if (errors := undocumented_errors(function.node, docstring_of(function.node)))
    }
    for node in public_classes(source):
        for function in node.body:
            if isinstance(function, Definition) and function.name in {"__init__", "__post_init__"}:
                errors = undocumented_errors(function, docstring_of(node))
                if errors:
                    missing[node.name] = errors
    assert missing == {}


@each_module
def test_every_member_of_an_enumeration_is_explained(source: Source) -> None:
    module = source.load()
    lines = source.path.read_text(encoding="utf-8").splitlines()
    tables = [table for name, table in vars(module).items() if name.endswith("_MEANINGS")]
    silent = []
    for node in public_classes(source):
        kind = getattr(module, node.name)
        if isinstance(kind, type) and issubclass(kind, enum.Enum):
            texts = _texts_below(node) | _texts_above(node, lines) | _texts_of_members(kind, tables)
            silent += [f"{node.name}.{name}" for name in kind.__members__ if not texts.get(name)]
    assert silent == []


def _texts_below(node: ast.ClassDef) -> dict[str, str]:
    """A string that stands below a member."""
    texts = {}
    for member, text in zip(node.body, node.body[1:], strict=False):
        if isinstance(member, ast.Assign) and isinstance(text, ast.Expr):
            (target,) = member.targets
            if isinstance(target, ast.Name) and isinstance(text.value, ast.Constant):
                texts[target.id] = str(text.value.value).strip()
    return texts


def _texts_above(node: ast.ClassDef, lines: list[str]) -> dict[str, str]:
    """A comment `#:` that stands above a member."""
    members = [entry for entry in node.body if isinstance(entry, ast.Assign)]
    return {
        ast.unparse(member.targets[0]): lines[member.lineno - 2]
        for member in members
        if INLINE_COMMENT.match(lines[member.lineno - 2])
    }


def _texts_of_members(
    kind: type[enum.Enum], tables: list[Mapping[enum.Enum, str]]
) -> dict[str, str]:
    """A member's own `__doc__`, or its row in a table of meanings."""
    texts = {}
    for name, member in kind.__members__.items():
        rows = [table[member] for table in tables if _is_of(kind, table) and member in table]
        own = member.__doc__ if member.__doc__ != kind.__doc__ else ""
        texts[name] = inspect.cleandoc("\n".join([*rows, own or ""]))
    return {name: text for name, text in texts.items() if text}


def _is_of(kind: type[enum.Enum], table: Mapping[enum.Enum, str]) -> bool:
    """Whether a table is about this enumeration: flags of two kinds may be equal as numbers."""
    return all(type(member) is kind for member in table)
