"""Names of header fields that an application may take for one another.

CGI and its heirs write "Remote-User" as REMOTE_USER, and so "Remote_User" of a client becomes it,
too; other servers do the same with dots and other signs. So names are compared folded: of a name
only letters and digits count, and their case does not.
"""

from __future__ import annotations

import functools
import string
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from authsrv.core.settings import as_texts
from authsrv.errors import AliasedHeaderError, ConfigError

__all__ = ["NO_NAMES", "HeaderNames", "IdentityNames", "fold_name", "nominated_by_connection"]

_KEPT = (string.ascii_letters + string.digits).encode()
_DROPPED = bytes(set(range(256)) - set(_KEPT))
_LOWER = bytes.maketrans(string.ascii_uppercase.encode(), string.ascii_lowercase.encode())
_MAX_SHOWN = 64
# A client sends the same names again and again, and all clients of one browser do. What is kept is
# a few hundred kilobytes at most.
_NOTHING: Final[frozenset[bytes]] = frozenset()
_MOST_KEPT: Final = 256
_LARGEST_KEPT: Final = 1_024


def fold_name(name: bytes) -> bytes:
    """Fold a name: its ASCII letters, lower-case, and its digits; nothing else of it."""
    return name.translate(_LOWER, _DROPPED)


class HeaderNames:
    """The names of all header fields of a request, looked at once for whatever is asked of them.

    `of` makes it, and gives the same one again for the same names: a request of a browser has some
    twenty, and to fold each of them takes longer than all the rest. No value is kept.

    Args:
        names: As they came, in their order; from the client, untrusted.
    """

    __slots__ = ("by_fold", "by_name", "folds", "names", "notes")

    def __init__(self, names: tuple[bytes, ...]) -> None:
        self.names = names
        self.by_name = _positions(names, bytes.lower)
        """Where each name stands, in lower case."""
        self.by_fold = _positions(names, fold_name)
        """Where each name stands, folded."""
        self.folds = frozenset(self.by_fold)
        self.notes: dict[object, Any] = {}
        """What others have found out from these names alone, each under a key of its own: something
        of which there are few."""

    def __repr__(self) -> str:
        return f"<HeaderNames {b' '.join(self.names).decode('latin-1')[:_MAX_SHOWN]}>"

    @staticmethod
    def of(headers: Iterable[tuple[bytes, bytes]]) -> HeaderNames:
        """The names of a request."""
        names = [name for name, _ in headers]
        joined = b"\n".join(names)
        if len(joined) <= _LARGEST_KEPT:
            kept = _kept_names(joined)
            # No parser lets a line's end into a name; whatever has one is not looked up.
            if len(kept.names) == len(names):
                return kept
        return HeaderNames(tuple(names))


@functools.lru_cache(_MOST_KEPT)
def _kept_names(joined: bytes) -> HeaderNames:
    return HeaderNames(tuple(joined.split(b"\n")))


def _positions(
    names: Iterable[bytes], change: Callable[[bytes], bytes]
) -> Mapping[bytes, tuple[int, ...]]:
    found: dict[bytes, tuple[int, ...]] = {}
    for position, name in enumerate(map(change, names)):
        found[name] = (*found.get(name, ()), position)
    return found


NO_NAMES: Final = HeaderNames(())
"""Those of a request without header fields."""


def nominated_by_connection(
    headers: Sequence[tuple[bytes, bytes]], names: HeaderNames | None = None
) -> frozenset[bytes]:
    """The folded names that the Connection fields of a request tell the next hop to remove.

    RFC 9110 section 7.6.1. A client that nominates a header of the proxy's may get it removed.

    Args:
        headers: All header fields of the request.
        names: Their names, where somebody has looked at them already.
    """
    names = names or HeaderNames.of(headers)
    places = names.by_name.get(b"connection")
    if places is None:
        return _NOTHING
    options = b",".join([headers[place][1] for place in places])
    return frozenset(fold_name(each) for each in options.split(b",") if each)


@dataclass(frozen=True, slots=True)
class IdentityNames:
    """The header names by which any site's application learns who the client is.

    Args:
        names: Such as "Remote-User", of all sites together and the token's header with them.
        stripped: Those of them that the proxy removes or overwrites before the application sees
            them. They may come in exactly that name; under an alias they may not.

    Raises:
        ConfigError: A name has no letter or digit or is no ASCII, or stripped has another name.
    """

    names: tuple[str, ...]
    stripped: tuple[str, ...] = ()
    _folded: frozenset[bytes] = field(init=False, repr=False, compare=False)
    _allowed: frozenset[bytes] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "names", as_texts(self.names, "names"))
        object.__setattr__(self, "stripped", as_texts(self.stripped, "stripped"))
        known = {_as_bytes(name) for name in self.names}
        allowed = {_as_bytes(name) for name in self.stripped}
        if not allowed <= known:
            raise ConfigError("stripped has a header name that is no identity name")
        object.__setattr__(self, "_folded", frozenset(map(fold_name, known)))
        object.__setattr__(self, "_allowed", frozenset(allowed))

    def check(
        self, headers: Sequence[tuple[bytes, bytes]], names: HeaderNames | None = None
    ) -> None:
        """Look at the header names of a request, and at those that its Connection nominates.

        Args:
            headers: From the client, untrusted.
            names: Their names, where somebody has looked at them already.

        Raises:
            AliasedHeaderError: One of them is an identity name, exact or folded.
        """
        names = names or HeaderNames.of(headers)
        if not self._folded.isdisjoint(names.folds):
            self._refuse_aliases(names)
        if not self._folded.isdisjoint(nominated_by_connection(headers, names)):
            raise AliasedHeaderError("the client's Connection header nominates an identity header")

    def _refuse_aliases(self, names: HeaderNames) -> None:
        for name in names.names:
            if fold_name(name) in self._folded and name.lower() not in self._allowed:
                raise AliasedHeaderError(f"the client sent the header {_shown(name)}")


def _as_bytes(name: str) -> bytes:
    if not name.isascii() or not fold_name(name.encode()):
        raise ConfigError(f"{name[:_MAX_SHOWN]!r} is no name of a header")
    return name.lower().encode()


def _shown(name: bytes) -> str:
    """A name for the log: printable ASCII, cut."""
    return ascii(name[:_MAX_SHOWN].decode("latin-1"))
