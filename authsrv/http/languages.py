"""The language of a page, chosen by what the browser says that its user reads."""

from __future__ import annotations

import re
from collections.abc import Collection

__all__ = ["choose_language"]

# RFC 9110 section 12.5.4 and RFC 4647 section 2.1: a range, and its weight of at most three digits.
_RANGE = re.compile(
    r"(\*|[A-Za-z]{1,8}(?:-[A-Za-z0-9]{1,8}){0,7}+)"
    r"(?:[ \t]*+;[ \t]*+[qQ]=(0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?))?"
)
# Browsers send a few; more is no wish.
_MAX_CHARACTERS = 512
_MAX_RANGES = 32


def choose_language(accept_language: str | None, available: Collection[str], default: str) -> str:
    """Choose a language.

    Args:
        accept_language: The field's value, or several joined by commas; from the client, untrusted.
            None where there is none. What is malformed or too long says nothing.
        available: The languages that there are, in lower case, such as "en" or "de-ch".
        default: The one of them for whoever reads none of the others.

    Returns:
        One of the available ones: that with the highest weight, the first of equal ones.
    """
    wishes = _parse(accept_language) if accept_language is not None else []
    refused = {tag for tag, weight in wishes if weight == 0}
    # Sorting is stable: of equal weights the order of the field decides.
    for tag, weight in sorted(wishes, key=lambda wish: -wish[1]):
        if weight == 0:
            break
        found = default if tag == "*" else _look_up(tag, available)
        if found is not None and found not in refused:
            return found
    return default


def _look_up(tag: str, available: Collection[str]) -> str | None:
    """RFC 4647 section 3.4: shorten the range until something fits."""
    while tag:
        if tag in available:
            return tag
        tag = tag.rpartition("-")[0]
    return None


def _parse(value: str) -> list[tuple[str, float]]:
    if len(value) > _MAX_CHARACTERS:
        return []
    parts = value.split(",")
    if len(parts) > _MAX_RANGES:
        return []
    wishes = []
    for part in parts:
        found = _RANGE.fullmatch(part.strip(" \t"))
        if found is None:
            return []
        tag, weight = found.groups()
        wishes.append((tag.lower(), 1.0 if weight is None else float(weight)))
    return wishes
