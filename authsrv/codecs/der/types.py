"""Single values in the Distinguished Encoding Rules, read strictly: numbers, texts, times, lists.

Each function reads one value, the next one in a `Reader`, and is what `Reader.field` and
`Reader.within` take. The section numbers in comments are those of X.690.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TypeVar

from authsrv.codecs.der.reader import (
    BIT_STRING,
    ENUMERATED,
    GENERAL_STRING,
    GENERALIZED_TIME,
    INTEGER,
    OBJECT_IDENTIFIER,
    OCTET_STRING,
    SEQUENCE,
    Reader,
)
from authsrv.errors import InvalidTokenError

__all__ = [
    "read_bits",
    "read_enumerated",
    "read_integer",
    "read_octets",
    "read_oid",
    "read_sequence_of",
    "read_text",
    "read_time",
]

# 64 bits are more than any number in Kerberos or SPNEGO has; an OID of 64 octets has room for three
# UUIDs. Beyond, Python's big integers would work for the client.
_MAX_INTEGER_OCTETS = 8
_MAX_OID_OCTETS = 64

_T = TypeVar("_T")


def read_integer(reader: Reader) -> int:
    """Read an INTEGER, -2**63 to 2**63 - 1.

    Raises:
        InvalidTokenError: There is none, it is not in its shortest form, or it has over 64 bits.
    """
    return _decode_integer(reader.read(INTEGER))


def read_enumerated(reader: Reader) -> int:
    """Read an ENUMERATED, -2**63 to 2**63 - 1.

    Raises:
        InvalidTokenError: There is none, it is not in its shortest form, or it has over 64 bits.
    """
    return _decode_integer(reader.read(ENUMERATED))


def _decode_integer(octets: bytes) -> int:
    if not 1 <= len(octets) <= _MAX_INTEGER_OCTETS:
        raise InvalidTokenError("DER: an integer is empty or too large")
    # Section 8.3.2: the first nine bits are neither all ones nor all zero.
    if len(octets) > 1 and (octets[0] << 1 | octets[1] >> 7) in {0x000, 0x1FF}:
        raise InvalidTokenError("DER: an integer is not in its shortest form")
    return int.from_bytes(octets, "big", signed=True)


def read_octets(reader: Reader) -> bytes:
    """Read an OCTET STRING, which may be empty.

    Raises:
        InvalidTokenError: There is none, or it is constructed of several.
    """
    return reader.read(OCTET_STRING)


def read_bits(reader: Reader) -> bytes:
    """Read a BIT STRING.

    Returns:
        The bits, bit 0 first, as octets; unused bits at the end are zero.

    Raises:
        InvalidTokenError: There is none, or an unused bit is not zero.
    """
    content = reader.read(BIT_STRING)
    unused = content[0] if content else 8
    if unused > 7 or (unused and len(content) == 1):
        raise InvalidTokenError("DER: a bit string is malformed")
    # Section 11.2.1: each unused bit shall be set to zero.
    if unused and content[-1] & ((1 << unused) - 1):
        raise InvalidTokenError("DER: an unused bit of a bit string is set")
    return content[1:]


def read_oid(reader: Reader) -> str:
    """Read an OBJECT IDENTIFIER.

    Returns:
        Its numbers with dots between them, such as "1.3.6.1.5.5.2".

    Raises:
        InvalidTokenError: There is none, a number is not in its shortest form, or it has over 64
            octets.
    """
    return _decode_oid(reader.read(OBJECT_IDENTIFIER))


@functools.lru_cache(maxsize=64)
def _decode_oid(octets: bytes) -> str:
    if not 1 <= len(octets) <= _MAX_OID_OCTETS or octets[-1] & 0x80:
        raise InvalidTokenError("DER: an object identifier is empty, cut off or too long")
    arcs = []
    arc = 0
    for octet in octets:
        # Section 8.19.2: the leading octet of a number is not 0x80. Within a number the
        # value is above zero already, so this looks at leading octets only.
        if arc == 0 and octet == 0x80:
            raise InvalidTokenError("DER: an object identifier is not in its shortest form")
        arc = arc << 7 | octet & 0x7F
        if octet < 0x80:
            arcs.append(arc)
            arc = 0
    root = min(arcs[0] // 40, 2)
    return ".".join(map(str, [root, arcs[0] - 40 * root, *arcs[1:]]))


def read_text(reader: Reader) -> str:
    """Read a GeneralString, as Kerberos uses it for names.

    Returns:
        Printable text, no line breaks and no control characters; may be empty.

    Raises:
        InvalidTokenError: There is none, it is not UTF-8, or not printable.
    """
    # RFC 4120 section 5.2.1 says ASCII, and Windows sends UTF-8. Both end in logs, so characters
    # that do not print are refused.
    try:
        text = reader.read(GENERAL_STRING).decode()
    except UnicodeDecodeError:
        raise InvalidTokenError("DER: a name is not UTF-8") from None
    if not text.isprintable():
        raise InvalidTokenError("DER: a name has unprintable characters")
    return text


def read_time(reader: Reader) -> datetime:
    """Read a GeneralizedTime in the one form that Kerberos allows, YYYYMMDDHHMMSSZ.

    Returns:
        The time in UTC, whole seconds, years 1 to 9999.

    Raises:
        InvalidTokenError: There is none, it has another form, or there is no such time.
    """
    # RFC 4120 section 5.2.3: no fractions of seconds, and Z alone for the zone.
    content = reader.read(GENERALIZED_TIME)
    digits = content[:14]
    if len(content) != 15 or not digits.isdigit() or content[14:] != b"Z":
        raise InvalidTokenError("DER: a time is not of the form YYYYMMDDHHMMSSZ")
    try:
        year, month, day = int(digits[:4]), int(digits[4:6]), int(digits[6:8])
        hour, minute, second = int(digits[8:10]), int(digits[10:12]), int(digits[12:])
        return datetime(year, month, day, hour, minute, second, tzinfo=UTC)
    except ValueError:
        raise InvalidTokenError("DER: there is no such time") from None


def read_sequence_of(reader: Reader, read: Callable[[Reader], _T], limit: int) -> tuple[_T, ...]:
    """Read a SEQUENCE OF with at least one element.

    Args:
        reader: Untrusted.
        read: Reads one element.
        limit: How many elements there may be.

    Raises:
        InvalidTokenError: There is none, it is empty, has too many elements, or one is malformed.
    """

    def read_all(inner: Reader) -> tuple[_T, ...]:
        values: list[_T] = []
        while inner.next_tag is not None:
            if len(values) == limit:
                raise InvalidTokenError(f"DER: a list has more than {limit} entries")
            values.append(read(inner))
        return tuple(values)

    found = reader.within(SEQUENCE, read_all)
    if not found:
        raise InvalidTokenError("DER: a list has no entries")
    return found
