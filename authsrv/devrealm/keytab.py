"""Choosing some of the keys of a keytab file.

``ktadd`` can write the keys of a service as they are, or those of some encryption types, but in the
latter case it makes new ones. So a keytab that lacks a key is made by leaving it out afterwards.
"""

from __future__ import annotations

import enum
from collections.abc import Callable

from authsrv.codecs.keytab import KEYTAB_VERSION_2, Key, parse_keytab
from authsrv.devrealm.errors import RealmError
from authsrv.errors import ConfigError

__all__ = ["EncryptionType", "Key", "select_keys"]


class EncryptionType(enum.StrEnum):
    """An encryption type that a realm can have keys of, by the name that MIT krb5 gives it."""

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
        """The number in tickets and keytabs."""
        return _NUMBERS[self]


# RFC 3962 section 7, RFC 8009 section 7 and RFC 4757 section 8.
_NUMBERS = {
    EncryptionType.AES128_SHA1: 17,
    EncryptionType.AES256_SHA1: 18,
    EncryptionType.AES128_SHA256: 19,
    EncryptionType.AES256_SHA384: 20,
    EncryptionType.RC4: 23,
}


def select_keys(content: bytes, wanted: Callable[[Key], bool]) -> bytes:
    """Leave keys out of a keytab.

    Args:
        content: A keytab of version 2, written by kadmin.local.
        wanted: Tells whether a key stays.

    Raises:
        RealmError: No key would stay, or it is not a well-formed keytab of version 2.
    """
    if content[:2] != KEYTAB_VERSION_2:
        raise RealmError("the keytab is not of version 2")
    try:
        keys = parse_keytab(content, "of kadmin.local")
    except ConfigError as error:
        raise RealmError(error.detail) from None
    chosen = [key.record for key in keys if wanted(key)]
    if not chosen:
        raise RealmError("the services have no such key")
    return KEYTAB_VERSION_2 + b"".join(chosen)
