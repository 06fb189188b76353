"""A strict reader of the ASN.1 Distinguished Encoding Rules: elements and their nesting.

A value has exactly one encoding in DER (X.690 sections 8 and 10), and the reader accepts that one
only: definite lengths in their shortest form, no constructed strings, nothing left over. The bytes
come from a client before anybody is authenticated, so every loop is bounded and nothing recurses by
the client's choice: the nesting is that of the code that reads.

A structure is read by a function that takes a `Reader`. `Reader.within` and `Reader.field` call it
and then demand that it has read all there was; the functions for single values are in
`authsrv.codecs.der.types`::

    def read_encrypted_data(reader: Reader) -> tuple[int, bytes]:
        return reader.field(0, read_integer), reader.field(2, read_octets)

    enctype, cipher = Reader(data).within(SEQUENCE, read_encrypted_data)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeVar

from authsrv.errors import InvalidTokenError

__all__ = [
    "BIT_STRING",
    "ENUMERATED",
    "FRAME",
    "GENERALIZED_TIME",
    "GENERAL_STRING",
    "INTEGER",
    "OBJECT_IDENTIFIER",
    "OCTET_STRING",
    "SEQUENCE",
    "Reader",
    "application_tag",
    "field_tag",
    "open_frame",
    "skip_element",
]

INTEGER: Final = 0x02
BIT_STRING: Final = 0x03
OCTET_STRING: Final = 0x04
OBJECT_IDENTIFIER: Final = 0x06
ENUMERATED: Final = 0x0A
GENERALIZED_TIME: Final = 0x18
GENERAL_STRING: Final = 0x1B
SEQUENCE: Final = 0x30
FRAME: Final = 0x60
"""The tag of the frame around a GSS-API token: RFC 2743 section 3.1."""

_MAX_LENGTH_OCTETS = 4

_T = TypeVar("_T")


def field_tag(number: int) -> int:
    """Compute the tag of an explicitly tagged field, `[number]` in a specification; 0 to 30."""
    # X.690 section 8.1.2: context-specific and constructed.
    return 0xA0 | number


def application_tag(number: int) -> int:
    """Compute the tag of a type that is `[APPLICATION number]` in a specification; 0 to 30."""
    # X.690 section 8.1.2: application and constructed.
    return 0x60 | number


class Reader:
    """A position in DER bytes, with the end that it may not cross.

    Once a method has raised, the reader is of no more use.

    Args:
        data: The bytes, from the client, untrusted; of any length.
        start: Where to begin, an offset into data.
        end: Where to stop, an offset into data; its length where not given.
    """

    __slots__ = ("_data", "_end", "_next")

    def __init__(self, data: bytes, start: int = 0, end: int | None = None) -> None:
        self._data = data
        self._next = start
        self._end = len(data) if end is None else end

    @property
    def next_tag(self) -> int | None:
        """The identifier octet of the next element, or None at the end."""
        return self._data[self._next] if self._next < self._end else None

    @property
    def position(self) -> int:
        """Where the next element begins, an offset into the data."""
        return self._next

    def read(self, tag: int) -> bytes:
        """Read the next element and give its content, which may be empty.

        Args:
            tag: The identifier octet that it must have.

        Raises:
            InvalidTokenError: The next element is another one, is cut off or is not DER.
        """
        start = self._open(tag)
        return self._data[start : self._next]

    def enter(self, *tags: int) -> None:
        """Go into the next element, and further into the first one in it; what is behind is left.

        Args:
            tags: The identifier octets that they must have, the outermost first.

        Raises:
            InvalidTokenError: An element is another one, is cut off or is not DER.
        """
        for tag in tags:
            start = self._open(tag)
            self._end, self._next = self._next, start

    def skip(self, *tags: int) -> None:
        """Step over elements, without a look inside.

        Args:
            tags: The identifier octets that they must have.

        Raises:
            InvalidTokenError: An element is another one, is cut off or is not DER.
        """
        for tag in tags:
            self._open(tag)

    def take(self, count: int) -> bytes:
        """Take bytes, whatever they are; fewer than `count` where the end comes before."""
        start = self._next
        self._next = min(start + count, self._end)
        return self._data[start : self._next]

    def within(self, tag: int, read: Callable[[Reader], _T]) -> _T:
        """Read the elements inside the next element, all of them.

        Args:
            tag: The identifier octet that the outer element must have.
            read: Reads the content from this reader, which ends where the content ends; its
                result is passed on.

        Raises:
            InvalidTokenError: The next element is another one, is cut off or is not DER; the
                function said so of its content; or the function left a part of it unread.
        """
        # The reader itself is narrowed to the element, and widened again: a token has dozens of
        # elements, and a new reader for each would take longer than the reading.
        start = self._open(tag)
        outer_end, self._end, self._next = self._end, self._next, start
        value = read(self)
        self.finish()
        self._end = outer_end
        return value

    def field(self, number: int, read: Callable[[Reader], _T]) -> _T:
        """Read a field that must be there, `[number]` with explicit tagging.

        Args:
            number: The field's number, 0 to 30.
            read: Reads the value.

        Raises:
            InvalidTokenError: The next field is another one, or its content is malformed.
        """
        return self.within(0xA0 | number, read)

    def optional_field(self, number: int, read: Callable[[Reader], _T]) -> _T | None:
        """Read a field that may be missing, `[number] ... OPTIONAL`.

        Args:
            number: The field's number, 0 to 30.
            read: Reads the value.

        Returns:
            The field's value, or None if the next field is another one or there is none.

        Raises:
            InvalidTokenError: The field is there and its content is malformed.
        """
        if self.next_tag != 0xA0 | number:
            return None
        return self.within(0xA0 | number, read)

    def finish(self) -> None:
        """Demand that nothing is left.

        Raises:
            InvalidTokenError: There is more.
        """
        if self._next != self._end:
            raise InvalidTokenError("DER: unexpected bytes at the end")

    def take_rest(self) -> bytes:
        """Take all that is left, whatever it is; may be empty."""
        start, self._next = self._next, self._end
        return self._data[start : self._end]

    def _open(self, tag: int) -> int:
        """Step over the next element; return where its content begins, it ends at _next."""
        data, start = self._data, self._next + 2
        if start > self._end:
            raise InvalidTokenError(f"DER: the element {tag:#04x} is missing or cut off")
        if data[start - 2] != tag:
            raise InvalidTokenError(f"DER: another element stands where {tag:#04x} is expected")
        length = data[start - 1]
        if length >= 0x80:
            size = length & 0x7F
            length = self._long_length(start, size)
            start += size
        if length > self._end - start:
            raise InvalidTokenError(f"DER: the element {tag:#04x} is cut off")
        self._next = start + length
        return start

    def _long_length(self, start: int, size: int) -> int:
        if not 1 <= size <= _MAX_LENGTH_OCTETS or start + size > self._end:
            raise InvalidTokenError("DER: a length is indefinite, too large or cut off")
        octets = self._data[start : start + size]
        length = int.from_bytes(octets, "big")
        # X.690 section 10.1: a length has the fewest octets possible.
        if octets[0] == 0 or length < 0x80:
            raise InvalidTokenError("DER: a length is not in its shortest form")
        return length


def skip_element(reader: Reader) -> None:
    """Step over one element of whatever type, without a look inside.

    Raises:
        InvalidTokenError: There is none, it is cut off, or its tag has more than one octet.
    """
    tag = reader.next_tag
    if tag is None or tag & 0x1F == 0x1F:
        raise InvalidTokenError("DER: an element is missing, or its tag is too large")
    reader.read(tag)


def open_frame(token: bytes) -> Reader:
    """Open the frame that GSS-API puts around a mechanism's first token.

    Args:
        token: From the client, untrusted; of any length.

    Returns:
        A reader of the content: the mechanism's OID, and then its own token, which need not be
        ASN.1.

    Raises:
        InvalidTokenError: It is empty, has no such frame, is cut off or goes on after it.
    """
    outer = Reader(token)
    start = outer._open(FRAME)
    outer.finish()
    return Reader(token, start)
