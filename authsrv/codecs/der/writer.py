"""A writer of the Distinguished Encoding Rules, as small as building tokens needs it."""

from __future__ import annotations

from authsrv.codecs.der.reader import FRAME, INTEGER, OBJECT_IDENTIFIER, field_tag

__all__ = ["build_frame", "encode", "encode_field", "encode_integer", "encode_oid"]


def encode(tag: int, *contents: bytes) -> bytes:
    """Write one element.

    Args:
        tag: The identifier octet, 0 to 255.
        contents: The content, in pieces; under 4 GiB together.
    """
    content = b"".join(contents)
    length = len(content)
    if length < 0x80:
        return bytes((tag, length)) + content
    octets = length.to_bytes((length.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(octets))) + octets + content


def encode_integer(value: int, tag: int = INTEGER) -> bytes:
    """Write an INTEGER, or an ENUMERATED, which is encoded like one."""
    magnitude = value if value >= 0 else ~value
    return encode(tag, value.to_bytes(magnitude.bit_length() // 8 + 1, "big", signed=True))


def encode_oid(oid: str) -> bytes:
    """Write an OBJECT IDENTIFIER.

    Args:
        oid: Its numbers with dots between them; two at least, trusted.

    Raises:
        ValueError: The text is not an object identifier.
    """
    # X.690 section 8.19.4: the first two numbers are encoded as one.
    root, second, *arcs = (int(number) for number in oid.split("."))
    if root > 2 or (root < 2 and second > 39) or min(root, second, *arcs) < 0:
        raise ValueError("not an object identifier")
    return encode(OBJECT_IDENTIFIER, *map(_encode_arc, [40 * root + second, *arcs]))


def _encode_arc(arc: int) -> bytes:
    octets = [arc & 0x7F]
    while arc := arc >> 7:
        octets.append(0x80 | arc & 0x7F)
    return bytes(reversed(octets))


def build_frame(oid: str, inner: bytes) -> bytes:
    """Put the GSS-API frame around a mechanism's token.

    Args:
        oid: The mechanism's OID with dots, trusted.
        inner: The mechanism's own token.

    Raises:
        ValueError: The text is not an object identifier.
    """
    return encode(FRAME, encode_oid(oid), inner)


def encode_field(number: int, element: bytes) -> bytes:
    """Write a field, `[number]` with explicit tagging, unless its value is missing.

    Args:
        number: The field's number, 0 to 30.
        element: The value's element; where it is empty, so is the field.
    """
    return encode(field_tag(number), element) if element else b""
