"""The types that Kerberos messages are made of: principals, ciphertexts, fractions of seconds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final, TypeVar

from authsrv.codecs.der.reader import SEQUENCE, Reader
from authsrv.codecs.der.types import read_integer, read_octets, read_sequence_of, read_text
from authsrv.errors import InvalidTokenError

__all__ = [
    "VERSION",
    "EncryptedData",
    "enctype_name",
    "escape_realm",
    "read_constant",
    "read_encrypted_data",
    "read_int32",
    "read_message",
    "read_microseconds",
    "read_principal_name",
]

VERSION: Final = 5
"""The version of the protocol, of tickets and of authenticators: RFC 4120 section 5."""

# Two are usual and three common with Active Directory; each costs time before anybody is known.
_MAX_COMPONENTS = 16
_MICROSECONDS_PER_SECOND = 1_000_000
_INT32_MIN = -(2**31)
_INT32_MAX = 2**31 - 1
_UINT32_MAX = 2**32 - 1

# IANA registry "Kerberos Encryption Type Numbers", by the names of krb5.conf.
_ENCTYPES: Final = {
    1: "des-cbc-crc",
    2: "des-cbc-md4",
    3: "des-cbc-md5",
    16: "des3-cbc-sha1",
    17: "aes128-cts-hmac-sha1-96",
    18: "aes256-cts-hmac-sha1-96",
    19: "aes128-cts-hmac-sha256-128",
    20: "aes256-cts-hmac-sha384-192",
    23: "rc4-hmac",
    24: "rc4-hmac-exp",
    25: "camellia128-cts-cmac",
    26: "camellia256-cts-cmac",
}

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class EncryptedData:
    """A ciphertext, and the key that opens it.

    Args:
        enctype: The encryption type, -2**31 to 2**31 - 1.
        kvno: The version of the key, 0 to 2**32 - 1, if the sender said so.
        cipher: The ciphertext; at least one byte.
    """

    enctype: int
    kvno: int | None
    cipher: bytes = field(repr=False)


def enctype_name(number: int) -> str:
    """Name an encryption type as krb5.conf and klist do, or "enctype 99" if it is unknown."""
    return _ENCTYPES.get(number) or f"enctype {number}"


def escape_realm(realm: str) -> str:
    """Write an untrusted realm with a backslash before each "@" and backslash (RFC 1964).

    So nobody can forge the "@" that stands before a realm.
    """
    return _escape(realm, "@")


def read_message(reader: Reader, tag: int, read: Callable[[Reader], _T]) -> _T:
    """Read an application type around a sequence, the shape of every message of Kerberos.

    Raises:
        InvalidTokenError: There is none, or it is malformed.
    """
    return reader.within(tag, lambda inner: inner.within(SEQUENCE, read))


def read_constant(reader: Reader, number: int, value: int) -> None:
    """Read a field that can have one value only: a version, a message type.

    Raises:
        InvalidTokenError: It is missing, malformed or something else.
    """
    if reader.field(number, read_integer) != value:
        raise InvalidTokenError("the Kerberos message is of another version or type")


def read_encrypted_data(reader: Reader) -> EncryptedData:
    """Read an EncryptedData.

    Raises:
        InvalidTokenError: There is none, it is malformed, or the ciphertext is empty.
    """
    return reader.within(SEQUENCE, _read_encrypted_fields)


def read_principal_name(reader: Reader) -> str:
    """Read a PrincipalName, without its type.

    Returns:
        The components with "/" between them, such as "HTTP/www.example.com". A backslash stands
        before each "/", "@" and backslash inside a component.

    Raises:
        InvalidTokenError: There is none, it is malformed, or it has none or over 16 components.
    """
    return reader.within(SEQUENCE, _read_name_fields)


def read_int32(reader: Reader) -> int:
    """Read an Int32, -2**31 to 2**31 - 1.

    Raises:
        InvalidTokenError: There is none, it is malformed, or does not fit.
    """
    number = read_integer(reader)
    if not _INT32_MIN <= number <= _INT32_MAX:
        raise InvalidTokenError("the Kerberos message holds a number that is too large")
    return number


def read_microseconds(reader: Reader) -> timedelta:
    """Read the fraction of a second that Kerberos keeps beside its times.

    Raises:
        InvalidTokenError: There is none, it is malformed, or not from 0 to 999,999.
    """
    count = read_integer(reader)
    if not 0 <= count < _MICROSECONDS_PER_SECOND:
        raise InvalidTokenError("the Kerberos message holds microseconds out of range")
    return timedelta(microseconds=count)


def _read_kvno(reader: Reader) -> int:
    number = read_integer(reader)
    if not _INT32_MIN <= number <= _UINT32_MAX:
        raise InvalidTokenError("the Kerberos message holds a key version that is too large")
    # A read-only domain controller keeps its own number in the upper half, and Windows writes the
    # whole as a signed number: MS-KILE section 3.1.5.8.
    return number & _UINT32_MAX


def _read_encrypted_fields(reader: Reader) -> EncryptedData:
    enctype = reader.field(0, read_int32)
    kvno = reader.optional_field(1, _read_kvno)
    cipher = reader.field(2, read_octets)
    if not cipher:
        raise InvalidTokenError("the Kerberos message holds an empty ciphertext")
    return EncryptedData(enctype, kvno, cipher)


def _read_name_fields(reader: Reader) -> str:
    reader.field(0, read_int32)
    components = reader.field(1, _read_components)
    return "/".join(_escape(component, "/@") for component in components)


def _read_components(reader: Reader) -> tuple[str, ...]:
    return read_sequence_of(reader, read_text, _MAX_COMPONENTS)


def _escape(name: str, separators: str) -> str:
    for character in "\\" + separators:
        name = name.replace(character, "\\" + character)
    return name
