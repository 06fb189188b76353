"""How a setting is validated where it is given: a wrong type never acts as another value.

A string where an enum belongs is the dangerous one: compared by identity with every member it is
none of them, and whatever the last branch does is done. So each public constructor passes what it
is given through here, and goes on with what comes back.

Each function takes the value as it was given, and the name of the setting for the error.
"""

from __future__ import annotations

import enum
import math
import os
from collections.abc import Iterable
from typing import TypeVar

from authsrv.errors import ConfigError

__all__ = [
    "as_flags",
    "as_instance",
    "as_member",
    "as_number",
    "as_optional",
    "as_path",
    "as_texts",
]

_Enum = TypeVar("_Enum", bound=enum.Enum)
_Flags = TypeVar("_Flags", bound=enum.IntFlag)
_T = TypeVar("_T")


def as_member(kind: type[_Enum], value: object, setting: str) -> _Enum:
    """Take a member of an enum, or the value of one: "required" for Requirement.REQUIRED.

    Raises:
        ConfigError: It is neither; the error names the values that are allowed.
    """
    if isinstance(value, kind):
        return value
    for member in kind:
        # Not kind(value): True equals 1, and a value of another type is a mistake.
        if type(value) is type(member.value) and value == member.value:
            return member
    allowed = ", ".join(repr(member.value) for member in kind)
    raise ConfigError(f"{setting} must be one of {allowed}, not {_shown(value)}")


def as_instance(kind: type[_T] | tuple[type[_T], ...], value: object, setting: str) -> _T:
    """Take an object of a type, or of one of several.

    Raises:
        ConfigError: It is of another type; True and False do not count as numbers.
    """
    kinds = kind if isinstance(kind, tuple) else (kind,)
    if isinstance(value, kinds) and not (isinstance(value, bool) and bool not in kinds):
        return value
    allowed = " or ".join(one.__name__ for one in kinds)
    raise ConfigError(f"{setting} must be of type {allowed}, not {_shown(value)}")


def as_flags(kind: type[_Flags], value: object, setting: str) -> _Flags:
    """Take flags, or their number.

    Raises:
        ConfigError: It is neither, or has bits that mean nothing.
    """
    if isinstance(value, kind):
        return value
    number = as_instance(int, value, setting)
    try:
        return kind(number)
    except ValueError:
        raise ConfigError(f"{setting} has bits that no {kind.__name__} has") from None


def as_optional(kind: type[_T], value: object, setting: str) -> _T | None:
    """Take an object of a type, or None.

    Raises:
        ConfigError: It is something else.
    """
    return None if value is None else as_instance(kind, value, setting)


def as_path(value: object, setting: str) -> str:
    """Take the path of a file, or another name, as text or os.PathLike.

    Raises:
        ConfigError: It is neither, is empty, or contains a null character.
    """
    if isinstance(value, os.PathLike):
        value = os.fspath(value)
    path = as_instance(str, value, setting)
    if not path or "\0" in path:
        raise ConfigError(f"{setting} must not be empty or contain a null character")
    return path


def as_number(value: object, setting: str) -> float:
    """Take a number that is finite and greater than zero; an int stays one.

    Raises:
        ConfigError: It is not such a number.
    """
    number = as_instance((int, float), value, setting)
    if not 0 < number < math.inf:
        raise ConfigError(f"{setting} must be greater than zero, and finite")
    return number


def as_texts(value: object, setting: str) -> tuple[str, ...]:
    """Take several texts; one alone is not taken apart into its letters.

    Raises:
        ConfigError: It is one text, or not iterable, or something in it is not text.
    """
    if isinstance(value, str | bytes) or not isinstance(value, Iterable):
        raise ConfigError(f"{setting} must be a list of texts, not {_shown(value)}")
    return tuple(as_instance(str, text, setting) for text in value)


def _shown(value: object) -> str:
    """Show what was given; text that could be a secret given in the wrong place is cut short."""
    if isinstance(value, str):
        return repr(value if len(value) <= 32 else f"{value[:32]}...")
    return "None" if value is None else f"a {type(value).__name__}"
