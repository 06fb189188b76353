"""The header fields of a request as bytes, each value as it came."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["Fields"]

_NONE: tuple[bytes, ...] = ()


class Fields:
    """Header fields by their names in lower case; from the client, untrusted.

    Args:
        raw: Names and values in their order, as `web.BaseRequest.raw_headers` has them.
    """

    __slots__ = ("_values", "raw")

    def __init__(self, raw: Sequence[tuple[bytes, bytes]]) -> None:
        self.raw = raw
        self._values: dict[bytes, list[bytes]] = {}
        for name, value in raw:
            self._values.setdefault(name.lower(), []).append(value)

    def __repr__(self) -> str:
        """Show the names alone."""
        return f"<Fields {b' '.join(self._values).decode('latin-1')}>"

    def has(self, name: bytes) -> bool:
        """Whether there is such a field; its name in lower case."""
        return name in self._values

    def all(self, name: bytes) -> Sequence[bytes]:
        """The values of a field, one a line of the message."""
        return self._values.get(name, _NONE)

    def joined(self, name: bytes) -> bytes:
        """The one value that a list means (RFC 9110 section 5.3), without blanks around it."""
        return b", ".join(self._values.get(name, _NONE)).strip(b" \t")

    def texts(self, name: bytes) -> list[str]:
        """The values as text, each byte a character."""
        return [value.decode("latin-1") for value in self._values.get(name, _NONE)]
