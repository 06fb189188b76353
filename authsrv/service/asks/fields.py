"""The header fields of a request as bytes, each value as it came."""

from __future__ import annotations

from collections.abc import Sequence

from authsrv.http.folding import HeaderNames

__all__ = ["Fields"]

_NONE: tuple[bytes, ...] = ()


class Fields:
    """Header fields by their names in lower case; from the client, untrusted.

    Args:
        raw: Names and values in their order, as `web.BaseRequest.raw_headers` has them.
    """

    __slots__ = ("names", "raw")

    def __init__(self, raw: Sequence[tuple[bytes, bytes]]) -> None:
        self.raw = raw
        self.names = HeaderNames.of(raw)

    def __repr__(self) -> str:
        """Show the names alone."""
        return f"<Fields {b' '.join(self.names.by_name).decode('latin-1')}>"

    def has(self, name: bytes) -> bool:
        """Whether there is such a field; its name in lower case."""
        return name in self.names.by_name

    def all(self, name: bytes) -> Sequence[bytes]:
        """The values of a field, one a line of the message."""
        places = self.names.by_name.get(name)
        return _NONE if places is None else [self.raw[place][1] for place in places]

    def joined(self, name: bytes) -> bytes:
        """The one value that a list means (RFC 9110 section 5.3), without blanks around it."""
        places = self.names.by_name.get(name)
        if places is None:
            return b""
        return b", ".join([self.raw[place][1] for place in places]).strip(b" \t")

    def texts(self, name: bytes) -> list[str]:
        """The values as text, each byte a character."""
        return [value.decode("latin-1") for value in self.all(name)]
