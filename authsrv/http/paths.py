"""The path that a client asked for, whether it can be misread, and the patterns it is held against.

Servers and frameworks decode, cut and shorten paths each in their own way, so that what a rule does
not recognize as /admin may be /admin to the application. Nothing here corrects a path: one that is
not in normal form (RFC 3986 section 6.2.2) is called ambiguous, and no pattern matches it.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import unquote

from authsrv.core.settings import as_instance
from authsrv.errors import ConfigError, MetadataError

__all__ = ["MAX_TARGET_CHARACTERS", "NormalPath", "PathPattern", "Target", "ambiguity_of"]

MAX_TARGET_CHARACTERS: Final = 16_384
"""Characters of path and query together; what proxies take by default is less."""

# RFC 3986 section 3.3 without the semicolon, and what browsers leave as it is besides.
_SIGNS: Final = r"A-Za-z0-9\-._~!$&'()*+,=:@\[\]|^"
# Nearly every path is of this kind, and needs no closer look: no segment begins with a dot.
_PLAIN: Final = re.compile(rf"(?:/(?!\.)[{_SIGNS}]++)*+/?+")
_WRITTEN: Final = re.compile(rf"[{_SIGNS}/%]*+")
_MALFORMED: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")
_ENCODED: Final = re.compile(r"%[0-9A-Fa-f]{2}")
_UNRESERVED: Final = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_SEPARATORS: Final = {";": "a semicolon", "\\": "a backslash", "#": "a number sign"}
_ENCODED_SEPARATORS: Final = {"/": "slash", "\\": "backslash", ";": "semicolon", "#": "number sign"}
_QUERY_CONTROLS: Final = re.compile(r"[\x00-\x20\x7f]")
# What separates, ends or encodes something in some server's reading of a path.
_STRUCTURE: Final = frozenset("/\\.;%#?")


@dataclass(frozen=True, slots=True)
class Target:
    """What a client asked for, as it was received, untrusted; `parse` makes it.

    Args:
        path: Begins with "/"; may be ambiguous.
        query: What stands behind the first "?"; it never decides about anything.
    """

    path: str
    query: str = ""

    @classmethod
    def parse(cls, text: str) -> Target:
        """Split the target of a request, one character a byte, at its first question mark.

        Raises:
            MetadataError: It is not in origin form (RFC 9112 section 3.2.1) but absolute, an
                authority or "*"; it is too long; or its query has a blank or a control.
        """
        if not text.startswith("/"):
            raise MetadataError("the request target does not begin with a slash")
        if len(text) > MAX_TARGET_CHARACTERS:
            raise MetadataError(f"the request target has over {MAX_TARGET_CHARACTERS} characters")
        path, _, query = text.partition("?")
        if _QUERY_CONTROLS.search(query):
            raise MetadataError("the query has a blank or a control character")
        return cls(path, query)


def ambiguity_of(path: str) -> str | None:
    """Say why a path is not in normal form, in words for the log; None where it is.

    Args:
        path: As the client sent it, percent signs included, without its query.
    """
    if _PLAIN.fullmatch(path) and path:
        return None
    return _ambiguity_in_signs(path) or _ambiguity_in_encoding(path) or _ambiguity_in_dots(path)


class NormalPath:
    """A path in normal form, taken apart once for many patterns.

    Args:
        path: As the client sent it; `ambiguity_of` says nothing of it.
    """

    __slots__ = ("segments",)

    def __init__(self, path: str) -> None:
        parts = path.split("/")
        self.segments = [unquote(part) for part in parts] if "%" in path else parts
        """What stands between the slashes, decoded; the first is empty."""

    def __repr__(self) -> str:
        return f"<NormalPath {self.segments}>"

    @property
    def folded(self) -> list[str]:
        """The segments for applications to which case is nothing."""
        return [segment.casefold() for segment in self.segments]


@dataclass(frozen=True, slots=True)
class PathPattern:
    """Which paths a rule is about.

    "/a/b" is that path alone, and neither "/a/b/" nor "/a/bc". "*" in place of a segment is any
    one segment that is not empty: "/a/*/c". "/**" at the end is what stands before it and all
    below that: "/a/**" is "/a", "/a/" and "/a/b/c"; "/**" is every path. There is nothing else.
    Segments are compared decoded, so "/a@b" is "/a%40b", too.

    Args:
        pattern: Such a pattern, written like a path in normal form.
        case_insensitive: Whether the application takes "/ADMIN" for "/admin", as IIS does.

    Raises:
        ConfigError: It is no such pattern, and would match nothing or something else.
    """

    pattern: str
    case_insensitive: bool = False
    _segments: tuple[str | None, ...] = field(init=False, repr=False, compare=False)
    _has_tail: bool = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        pattern = as_instance(str, self.pattern, "a path pattern")
        as_instance(bool, self.case_insensitive, "case_insensitive")
        has_tail = pattern.endswith("/**")
        fixed = pattern[: -len("/**")] if has_tail else pattern
        _check_pattern(pattern, fixed)
        segments = tuple(
            None if segment == "*" else self._comparable(segment) for segment in fixed.split("/")
        )
        object.__setattr__(self, "_segments", segments)
        object.__setattr__(self, "_has_tail", has_tail)

    def matches(self, path: str) -> bool:
        """Whether a path is one of those meant; an ambiguous one never is.

        Args:
            path: As the client sent it, without its query.
        """
        return ambiguity_of(path) is None and self.means(NormalPath(path))

    def means(self, path: NormalPath) -> bool:
        """As `matches`, of a path that is known not to be ambiguous."""
        found = path.folded if self.case_insensitive else path.segments
        wanted = self._segments
        if len(found) < len(wanted) or (len(found) > len(wanted) and not self._has_tail):
            return False
        for want, segment in zip(wanted, found, strict=False):
            if want != segment and (want is not None or not segment):
                return False
        return True

    def _comparable(self, segment: str) -> str:
        text = unquote(segment)
        return text.casefold() if self.case_insensitive else text


def _check_pattern(pattern: str, fixed: str) -> None:
    shown = repr(pattern[:64])
    if not pattern.startswith("/"):
        raise ConfigError(f"the path pattern {shown} does not begin with a slash")
    ambiguity = ambiguity_of(pattern)
    if ambiguity is not None:
        raise ConfigError(f"the path pattern {shown} matches nothing: {ambiguity}")
    if any("*" in segment and segment != "*" for segment in fixed.split("/")):
        raise ConfigError(
            f"the path pattern {shown} has a star inside of a segment; a star stands for one whole "
            "segment, and two for all that follow at the end"
        )


def _ambiguity_in_signs(path: str) -> str | None:
    if not path.startswith("/"):
        return "the path does not begin with a slash"
    if not path.isascii():
        return "the path has a byte of 0x80 or above that is not percent-encoded"
    for sign, name in _SEPARATORS.items():
        if sign in path:
            return f"the path has {name}"
    if _WRITTEN.fullmatch(path) is None:
        return "the path has a blank, a control or another character that must be encoded"
    if "//" in path:
        return "the path has an empty segment"
    return None


def _ambiguity_in_encoding(path: str) -> str | None:
    if _MALFORMED.search(path):
        return "the path has a percent sign without two hexadecimal digits"
    encoded = [chr(int(found[1:], 16)) for found in _ENCODED.findall(path)]
    for sign, name in _ENCODED_SEPARATORS.items():
        if sign in encoded:
            return f"the path has an encoded {name}"
    if not _UNRESERVED.isdisjoint(encoded):
        return "the path has an encoded character that needs no encoding"
    try:
        decoded = unquote(path, errors="strict")
    except UnicodeDecodeError:
        return "the path has encoded bytes that are no UTF-8"
    if _ENCODED.search(decoded):
        return "the path is encoded twice"
    return _ambiguity_in_text(decoded)


def _ambiguity_in_text(decoded: str) -> str | None:
    if any(unicodedata.category(sign) == "Cc" for sign in decoded):
        return "the path has an encoded control character"
    if decoded.isascii():
        return None
    if not unicodedata.is_normalized("NFC", decoded):
        return "the path has an encoded character in two parts that has a form in one"
    foreign = "".join(sign for sign in decoded if not sign.isascii())
    if not _STRUCTURE.isdisjoint(unicodedata.normalize("NFKC", foreign)):
        return "the path has an encoded look-alike of a dot, a slash or the like"
    return None


def _ambiguity_in_dots(path: str) -> str | None:
    if any(segment in (".", "..") for segment in path.split("/")):
        return "the path has a segment of dots"
    return None
