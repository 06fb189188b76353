"""Our cookies among all that a browser sends, read in one way only.

Another host of the same domain can plant cookies here, under names that some servers read as ours:
with blanks in front, in quotes, in another case. Of two cookies that could be meant, nobody knows
which is the browser's own; so two are none. The grammar is that of RFC 6265 section 4.1.1.
"""

from __future__ import annotations

import functools
import re
import string
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from authsrv.core.settings import as_instance, as_texts
from authsrv.errors import ConfigError, SessionError
from authsrv.http.folding import fold_name

__all__ = [
    "MAX_COOKIES",
    "MAX_COOKIE_BYTES",
    "MAX_FIELD_BYTES",
    "MAX_FOREIGN_BYTES",
    "OwnCookies",
    "SortedCookies",
    "build_cookie_deletion",
    "build_set_cookie",
]

MAX_COOKIE_BYTES: Final = 4_096
"""Bytes of a name and its value together that browsers keep at least; RFC 6265 section 6.1."""

MAX_FIELD_BYTES: Final = 65_536
"""Bytes of all Cookie fields of a request that are looked at; with more there is no session."""

MAX_COOKIES: Final = 256
"""Cookies of a request that are looked at. Browsers keep some 180 for a host."""

MAX_FOREIGN_BYTES: Final = 1_024
"""Bytes of all names together that have signs beyond ASCII. It takes long to tell what they are."""

_PREFIX: Final = "__Host-"
# RFC 9110 section 5.6.2, and the cookie-octet of RFC 6265 section 4.1.1.
_NAME: Final = re.compile(r"__Host-[!#$%&'*+\-.^_`|~0-9A-Za-z]++")
_VALUE_SIGNS: Final = bytes({*range(0x21, 0x7F)} - {*b'",;\\'})
_ALPHANUMERIC: Final = frozenset(string.ascii_lowercase + string.digits)
_BLANKS: Final = b" \t"
# The names of cookies that came lately; browsers send the same ones each time.
_MOST_KEPT: Final = 1_024
_LARGEST_KEPT: Final = 64
_ATTRIBUTES: Final = "Path=/; Secure; HttpOnly; SameSite=Lax"


@dataclass(frozen=True, slots=True)
class OwnCookies:
    """The names of all cookies that are the service's own on an application's host.

    Args:
        names: Each begins with "__Host-", so that browsers take it from no other host.

    Raises:
        ConfigError: A name does not begin so or is no token, or two of them fold to one.
    """

    names: tuple[str, ...]
    _folded: frozenset[str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "names", as_texts(self.names, "names"))
        folded = {fold_name(_as_name(name).encode()).decode() for name in self.names}
        if len(folded) < len(self.names):
            raise ConfigError("two names of cookies differ in signs or case only")
        object.__setattr__(self, "_folded", frozenset(folded))

    def sort(self, fields: Sequence[bytes]) -> SortedCookies:
        """Sort the cookies of a request into ours and others.

        Args:
            fields: The values of all its Cookie fields, from the client, untrusted.
        """
        # RFC 9113 section 8.2.3 joins fields so.
        joined = b"; ".join(fields)
        pieces = _pieces(joined)
        if pieces is None:
            return SortedCookies((), b"", is_too_much=True)
        ours, others = [], []
        for piece in pieces:
            folds = _folds_of(piece)
            if self._folded.isdisjoint(folds):
                others.append(piece)
            else:
                ours.append((folds, piece))
        return SortedCookies(tuple(ours), b";".join(others).strip(_BLANKS) if ours else joined)

    def read(self, fields: Sequence[bytes], name: str) -> str | None:
        """Read one of our cookies out of a request; as `SortedCookies.read`."""
        return self.sort(fields).read(name)

    def without(self, fields: Sequence[bytes]) -> bytes:
        """Give the Cookie header back without ours; as `SortedCookies.rest`."""
        return self.sort(fields).rest


@dataclass(frozen=True, slots=True)
class SortedCookies:
    """The cookies of a request; `OwnCookies.sort` makes it.

    Args:
        ours: What is ours or could be taken for it, with the names that it could be taken for.
        rest: The others, for the application, in one value; empty where nothing is left, and where
            there are more cookies than are looked at. They are in it byte for byte, whether they
            are well-formed or not.
        is_too_much: Whether there are more cookies than are looked at.
    """

    ours: tuple[tuple[tuple[str, ...], bytes], ...] = field(repr=False)
    rest: bytes = field(repr=False)
    is_too_much: bool = False

    def read(self, name: str) -> str | None:
        """Read one of our cookies.

        Args:
            name: One of the names of `OwnCookies`.

        Returns:
            Its value, in the characters of a cookie, at most MAX_COOKIE_BYTES; None where there is
            neither such a cookie nor one that could be taken for it.

        Raises:
            SessionError: It is doubled, has an alias, is malformed, or is too large. The request
                has no session then.
        """
        if self.is_too_much:
            raise SessionError("the request has more cookies than are looked at")
        if not self.ours:
            return None
        wanted = name.encode()
        folded = fold_name(wanted).decode()
        values = []
        for folds, piece in self.ours:
            if folded not in folds:
                continue
            found, equals, value = piece.partition(b"=")
            if not equals or found.strip(_BLANKS) != wanted:
                raise SessionError(f"a cookie has a name that may be taken for {name}")
            values.append(value.strip(_BLANKS))
        if len(values) > 1:
            raise SessionError(f"the request has {len(values)} cookies {name}")
        return _as_value(name, values[0]) if values else None


def build_set_cookie(name: str, value: str, *, max_age: int | None = None) -> str:
    """Build the value of a Set-Cookie field.

    Args:
        name: With "__Host-" in front, whose conditions the attributes fulfil.
        value: In the characters of a cookie, not empty.
        max_age: Seconds to keep it, at least 1; None until the browser ends.

    Raises:
        ConfigError: The name or the value is outside the grammar or too large, or max_age is no
            such number. The error does not show the value.
    """
    as_instance(str, value, "the value of a cookie")
    if not value or not value.isascii() or value.encode().translate(None, _VALUE_SIGNS):
        raise ConfigError("the value of a cookie is empty, or has characters that it may not have")
    if len(_as_name(name)) + len(value) > MAX_COOKIE_BYTES:
        raise ConfigError(f"the cookie {name} has more than {MAX_COOKIE_BYTES} bytes")
    if max_age is None:
        return f"{name}={value}; {_ATTRIBUTES}"
    if as_instance(int, max_age, "max_age") < 1:
        raise ConfigError("max_age must be at least 1 second")
    return f"{name}={value}; Max-Age={max_age}; {_ATTRIBUTES}"


def build_cookie_deletion(name: str) -> str:
    """Build the value of a Set-Cookie field that makes the browser forget a cookie of ours.

    Raises:
        ConfigError: The name is not one of ours.
    """
    return f"{_as_name(name)}=; Max-Age=0; {_ATTRIBUTES}"


def _pieces(joined: bytes) -> list[bytes] | None:
    """What stands between the semicolons, blanks included; None where it is too much to look at."""
    if len(joined) > MAX_FIELD_BYTES:
        return None
    pieces = joined.split(b";", MAX_COOKIES)
    if len(pieces) > MAX_COOKIES:
        return None
    if joined.isascii():
        return pieces
    foreign = sum(len(name) for name in map(_name_in, pieces) if not name.isascii())
    return None if foreign > MAX_FOREIGN_BYTES else pieces


def _name_in(piece: bytes) -> bytes:
    # Some take "=name=value" for a cookie of that name.
    return piece.lstrip(b"= \t").partition(b"=")[0]


def _folds_of(piece: bytes) -> tuple[str, ...]:
    """The names that a cookie could be taken for, by those who read it otherwise than we do."""
    name = _name_in(piece)
    return _folds_of_name(name) if len(name) <= _LARGEST_KEPT else _fold_cookie(name)


def _fold_cookie(name: bytes) -> tuple[str, ...]:
    if name.isascii():
        return (fold_name(name).decode(),)
    return _fold_text(name.decode("utf-8", "ignore")), _fold_text(name.decode("latin-1"))


_folds_of_name = functools.lru_cache(_MOST_KEPT)(_fold_cookie)


def _fold_text(name: str) -> str:
    folded = unicodedata.normalize("NFKC", name).casefold()
    return "".join(sign for sign in folded if sign in _ALPHANUMERIC)


def _as_name(name: object) -> str:
    text = as_instance(str, name, "the name of a cookie")
    if _NAME.fullmatch(text) is None:
        raise ConfigError(f"the name of a cookie of ours must be a token behind {_PREFIX}")
    return text


def _as_value(name: str, value: bytes) -> str:
    if len(name) + len(value) > MAX_COOKIE_BYTES:
        raise SessionError(f"the cookie {name} has more than {MAX_COOKIE_BYTES} bytes")
    if value.translate(None, _VALUE_SIGNS):
        raise SessionError(f"the cookie {name} has characters that it may not have")
    return value.decode("ascii")
