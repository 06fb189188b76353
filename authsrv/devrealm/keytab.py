"""A keytab file, and choosing some of its keys.

``ktadd`` can write the keys of a service as they are, or those of some encryption types, but in the
latter case it makes new ones. So a keytab that lacks a key is made by leaving it out afterwards.
"""

from __future__ import annotations

import enum
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from authsrv.devrealm.errors import RealmError

__all__ = ["EncryptionType", "Key", "select_keys"]

_VERSION_2 = b"\x05\x02"


class EncryptionType(enum.StrEnum):
    """An encryption type that a realm can have keys of, by the name that MIT krb5 gives it.

    Source: IANA registry "Kerberos Encryption Type Numbers".
    """

    AES128_SHA1 = "aes128-cts-hmac-sha1-96"
    """AES with 128 bits; RFC 3962."""
    AES256_SHA1 = "aes256-cts-hmac-sha1-96"
    """AES with 256 bits, what Active Directory uses where it may; RFC 3962."""
    AES128_SHA256 = "aes128-cts-hmac-sha256-128"
    """AES with 128 bits and SHA-2; RFC 8009."""
    AES256_SHA384 = "aes256-cts-hmac-sha384-192"
    """AES with 256 bits and SHA-2; RFC 8009."""
    RC4 = "arcfour-hmac"
    """RC4, weak, and found in old domains; RFC 4757."""

    @property
    def number(self) -> int:
        """The number that stands in tickets and keytabs.

        Source: RFC 3962 section 7; RFC 8009 section 7; RFC 4757 section 8.
        """
        return _NUMBERS[self]


_NUMBERS = {
    EncryptionType.AES128_SHA1: 17,
    EncryptionType.AES256_SHA1: 18,
    EncryptionType.AES128_SHA256: 19,
    EncryptionType.AES256_SHA384: 20,
    EncryptionType.RC4: 23,
}


@dataclass(frozen=True, slots=True)
class Key:
    """A record of a keytab.

    Args:
        kvno: The key's version number.
        enctype: The number of its encryption type.
        record: All of it, the key included, as it stands in the file.

    Source: MIT krb5, keytab file format.
    """

    kvno: int
    enctype: int
    record: bytes = field(repr=False)


def select_keys(content: bytes, wanted: Callable[[Key], bool]) -> bytes:
    """Leave keys out of a keytab.

    Args:
        content: A keytab of version 2, written by kadmin.local.
        wanted: Tells whether a key stays.

    Returns:
        The new content of the file.

    Raises:
        RealmError: No key would stay, or it is no such keytab.

    Source: MIT krb5, keytab file format.
    """
    if content[:2] != _VERSION_2:
        raise RealmError("the keytab is not of version 2")
    chosen = [key.record for key in _keys(content) if wanted(key)]
    if not chosen:
        raise RealmError("the services have no such key")
    return _VERSION_2 + b"".join(chosen)


def _keys(content: bytes) -> Iterator[Key]:
    position = 2
    while position + 4 <= len(content):
        (size,) = struct.unpack_from(">i", content, position)
        end = position + 4 + abs(size)
        # A negative size is a hole that a removed key left.
        if size > 0:
            yield _read_key(content[position:end])
        position = end


def _read_key(record: bytes) -> Key:
    (components,) = struct.unpack_from(">H", record, 4)
    position = 6
    for _ in range(components + 1):  # the realm comes first
        (length,) = struct.unpack_from(">H", record, position)
        position += 2 + length
    # The type of the name and the time of writing precede the version.
    kvno, enctype, length = struct.unpack_from(">BHH", record, position + 8)
    end = position + 13 + length
    if len(record) - end >= 4:
        # The byte has no room for versions above 255. The whole number stands behind the key.
        kvno = struct.unpack_from(">I", record, end)[0] or kvno
    return Key(kvno, enctype, record)
