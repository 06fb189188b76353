"""What was read from the beginning of a token, remembered for tokens that begin alike.

In DER every length stands before what it measures (X.690 section 10.1). So whether a token is well
formed, up to some place in it, and what it says there, depends on its length and on the bytes
before that place, whatever comes behind. The tokens of one client differ only in what is encrypted,
and those of many clients begin alike; to compare a beginning takes a tenth of the time that reading
it takes.

What stands there is in the clear: nothing that is remembered here is secret.
"""

from __future__ import annotations

from typing import Final, Generic, TypeVar

__all__ = ["KnownPrefixes"]

# Lengths of tokens, and beginnings for one length: clients choose both, so both are bounded.
_MAX_LENGTHS: Final = 2_048
_MAX_FOR_ONE: Final = 4
_MAX_BEGINNING: Final = 512

_T = TypeVar("_T")


class KnownPrefixes(Generic[_T]):
    """Values that were read from the beginnings of tokens. Any thread may use it."""

    __slots__ = ("_known",)

    def __init__(self) -> None:
        self._known: dict[int, tuple[tuple[bytes, _T], ...]] = {}

    def find(self, token: bytes) -> tuple[bytes, _T] | None:
        """Find the beginning and value of a token of the same length that begins alike."""
        for known in self._known.get(len(token), ()):
            if token.startswith(known[0]):
                return known
        return None

    def note(self, token: bytes, size: int, value: _T) -> None:
        """Remember what was read; a few others of the same length may be forgotten for it.

        Args:
            token: The token, of which no byte from `size` on had any part in the value.
            size: The length of the beginning, in bytes.
            value: What it said. It must not be changed.
        """
        if size > _MAX_BEGINNING:
            return
        if len(self._known) >= _MAX_LENGTHS:
            self._known.clear()
        others = self._known.get(len(token), ())[: _MAX_FOR_ONE - 1]
        self._known[len(token)] = (token[:size], value), *others
