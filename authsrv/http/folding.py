"""Names of header fields that an application may take for one another.

CGI and its heirs write "Remote-User" as REMOTE_USER, and so "Remote_User" of a client becomes it,
too; other servers do the same with dots and other signs. So names are compared folded: of a name
only letters and digits count, and their case does not.
"""

from __future__ import annotations

import string
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from authsrv.core.settings import as_texts
from authsrv.errors import AliasedHeaderError, ConfigError

__all__ = ["IdentityNames", "fold_name", "nominated_by_connection"]

_KEPT = (string.ascii_letters + string.digits).encode()
_DROPPED = bytes(set(range(256)) - set(_KEPT))
_LOWER = bytes.maketrans(string.ascii_uppercase.encode(), string.ascii_lowercase.encode())
_MAX_SHOWN = 64


def fold_name(name: bytes) -> bytes:
    """Fold a name: its ASCII letters, lower-case, and its digits; nothing else of it."""
    return name.translate(_LOWER, _DROPPED)


def nominated_by_connection(headers: Iterable[tuple[bytes, bytes]]) -> frozenset[bytes]:
    """The folded names that the Connection fields of a request tell the next hop to remove.

    RFC 9110 section 7.6.1. A client that nominates a header of the proxy's may get it removed.
    """
    options = [value for name, value in headers if name.lower() == b"connection"]
    return frozenset(fold_name(each) for each in b",".join(options).split(b",") if each)


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

    def check(self, headers: Collection[tuple[bytes, bytes]]) -> None:
        """Look at the header names of a request, and at those that its Connection nominates.

        Args:
            headers: From the client, untrusted.

        Raises:
            AliasedHeaderError: One of them is an identity name, exact or folded.
        """
        for name, _ in headers:
            if fold_name(name) in self._folded and name.lower() not in self._allowed:
                raise AliasedHeaderError(f"the client sent the header {_shown(name)}")
        if not self._folded.isdisjoint(nominated_by_connection(headers)):
            raise AliasedHeaderError("the client's Connection header nominates an identity header")


def _as_bytes(name: str) -> bytes:
    if not name.isascii() or not fold_name(name.encode()):
        raise ConfigError(f"{name[:_MAX_SHOWN]!r} is no name of a header")
    return name.lower().encode()


def _shown(name: bytes) -> str:
    """A name for the log: printable ASCII, cut."""
    return ascii(name[:_MAX_SHOWN].decode("latin-1"))
