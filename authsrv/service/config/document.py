"""From the bytes of authsrv.toml to its tables: strict, and telling all that is wrong at once."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Mapping
from typing import Any, Final, get_args

from pydantic import ValidationError

from authsrv.service.config.model import Configuration, Table
from authsrv.service.config.problems import Findings

__all__ = ["parse_document"]

_MAX_SHOWN: Final = 128
# What is wrong is taken out and the rest looked at again; more than twice is not needed.
_ROUNDS: Final = 3

_WORDS: Final = {
    "string_type": "it must be text",
    "int_type": "it must be a whole number",
    "float_type": "it must be a number",
    "bool_type": "it must be true or false",
    "list_type": "it must be a list",
    "model_type": "it must be a table",
    "dict_type": "it must be a table",
    "string_pattern_mismatch": "it must be one line without control characters",
    "string_too_short": "it must not be empty",
    "too_short": "it must not be empty",
}


def parse_document(content: bytes, findings: Findings) -> Configuration | None:
    """Read the file.

    Args:
        content: All of it.
        findings: Where problems go. They have no value of the file, which could be a secret.

    Returns:
        Its tables, without the keys that have errors, so that the rest can be checked, too; None
        where nothing can be read.
    """
    document = _parse_toml(content, findings)
    for _ in range(_ROUNDS):
        if document is None:
            return None
        try:
            return Configuration.model_validate(document)
        except ValidationError as error:
            found = error.errors(include_url=False, include_context=True, include_input=False)
            for each in found:
                _tell(each, document, findings)
            # From the back, so that no entry of a list moves.
            for where in sorted((each["loc"] for each in found), key=str, reverse=True):
                _take_out(document, where)
    return None


def _parse_toml(content: bytes, findings: Findings) -> dict[str, Any] | None:
    try:
        return tomllib.loads(content.decode("utf-8"))
    except UnicodeDecodeError as error:
        findings.error("", f"it is not UTF-8: byte {error.start}")
    except RecursionError:
        findings.error("", "it is nested too deeply")
    except ValueError as error:
        # The text of tomllib says what was expected, and where; a number too long for Python, too.
        findings.error("", f"it is not TOML: {str(error)[:_MAX_SHOWN]}")
    return None


def _tell(error: Mapping[str, Any], document: dict[str, Any], findings: Findings) -> None:
    key = _key_of(error["loc"], document)
    kind = error["type"]
    if kind == "extra_forbidden":
        findings.error(key, "unknown key", _resembling(error["loc"]))
    elif kind == "literal_error":
        findings.error(key, f"it must be one of {error['ctx']['expected']}")
    elif kind in _WORDS:
        findings.error(key, _WORDS[kind])
    else:
        text = str(error["msg"]).removeprefix("Input should be ")
        findings.error(key, f"it must be {text}" if text != error["msg"] else text)


def _key_of(where: tuple[int | str, ...], document: Any) -> str:
    """The key as operators find it: tables of a list by their names, or numbers from 1."""
    parts: list[str] = []
    for step in where:
        document = _child(document, step)
        if isinstance(step, str):
            parts.append(f".{_shown(step)}" if parts else _shown(step))
            continue
        name = document.get("name") if isinstance(document, dict) else None
        parts.append(f"[{_shown(name) if isinstance(name, str) else step + 1}]")
    return "".join(parts)


def _child(node: Any, step: int | str) -> Any:
    if isinstance(node, dict):
        return node.get(step)
    if isinstance(node, list) and isinstance(step, int) and step < len(node):
        return node[step]
    return None


def _take_out(document: dict[str, Any], where: tuple[int | str, ...]) -> None:
    """Take out a value; of a list of values all, and of a list of tables its table's content."""
    node: Any = document
    for position, step in enumerate(where):
        child = _child(node, step)
        is_last = position == len(where) - 1
        if isinstance(node, dict):
            nested = isinstance(child, dict) or (
                isinstance(child, list) and all(isinstance(each, dict) for each in child)
            )
            if is_last or not nested:
                node.pop(step, None)
                return
        elif isinstance(node, list) and isinstance(step, int) and is_last and step < len(node):
            node[step] = {}
        node = child


def _shown(name: str) -> str:
    return name if name.isprintable() and len(name) <= _MAX_SHOWN else ascii(name[:_MAX_SHOWN])


def _resembling(where: tuple[int | str, ...]) -> str:
    known = sorted(_table_around(where).model_fields)
    found = difflib.get_close_matches(str(where[-1]), known, n=1)
    return f"is {found[0]} meant?" if found else "remove it"


def _table_around(where: tuple[int | str, ...]) -> type[Table]:
    """The table that a key is of. Numbers, and names that the file gives, are within a field."""
    table: type[Table] = Configuration
    for step in where[:-1]:
        field = table.model_fields.get(str(step))
        table = (field and _table_in(field.annotation)) or table
    return table


def _table_in(annotation: Any) -> type[Table] | None:
    """The table in the type of a field, which has one at most."""
    if isinstance(annotation, type) and issubclass(annotation, Table):
        return annotation
    return next(filter(None, map(_table_in, get_args(annotation))), None)
