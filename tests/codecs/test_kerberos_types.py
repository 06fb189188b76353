"""The types of Kerberos messages."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from authsrv.codecs.der.reader import (
    GENERAL_STRING,
    OCTET_STRING,
    SEQUENCE,
    Reader,
    application_tag,
)
from authsrv.codecs.der.types import read_integer
from authsrv.codecs.der.writer import encode, encode_field, encode_integer
from authsrv.codecs.kerberos.types import (
    VERSION,
    EncryptedData,
    enctype_name,
    escape_realm,
    read_constant,
    read_encrypted_data,
    read_int32,
    read_message,
    read_microseconds,
    read_principal_name,
)
from authsrv.errors import InvalidTokenError


def integer_field(number: int, value: int) -> bytes:
    return encode_field(number, encode_integer(value))


def encrypted_data(enctype: int = 18, kvno: int | None = 2, cipher: bytes = b"cipher") -> bytes:
    version = b"" if kvno is None else integer_field(1, kvno)
    text = encode_field(2, encode(OCTET_STRING, cipher))
    return encode(SEQUENCE, integer_field(0, enctype), version, text)


def principal_name(*components: str) -> bytes:
    names = encode(SEQUENCE, *(encode(GENERAL_STRING, name.encode()) for name in components))
    return encode(SEQUENCE, integer_field(0, 3), encode_field(1, names))


@pytest.mark.parametrize(
    ("number", "name"),
    [
        (1, "des-cbc-crc"),
        (16, "des3-cbc-sha1"),
        (17, "aes128-cts-hmac-sha1-96"),
        (18, "aes256-cts-hmac-sha1-96"),
        (19, "aes128-cts-hmac-sha256-128"),
        (20, "aes256-cts-hmac-sha384-192"),
        (23, "rc4-hmac"),
        (25, "camellia128-cts-cmac"),
        (26, "camellia256-cts-cmac"),
        (99, "enctype 99"),
        (-133, "enctype -133"),
    ],
)
def test_an_encryption_type_has_a_name(number: int, name: str) -> None:
    assert enctype_name(number) == name


def test_a_ciphertext_is_read_with_its_key_version_and_without() -> None:
    assert read_encrypted_data(Reader(encrypted_data())) == EncryptedData(18, 2, b"cipher")
    without = Reader(encrypted_data(kvno=None))
    assert read_encrypted_data(without) == EncryptedData(18, None, b"cipher")


def test_a_ciphertext_is_not_shown() -> None:
    assert "cipher=" not in repr(EncryptedData(18, 2, b"cipher"))


@pytest.mark.parametrize(
    ("written", "read"), [(0, 0), (2**32 - 1, 2**32 - 1), (-1, 2**32 - 1), (-(2**31), 2**31)]
)
def test_a_key_version_is_32_bits_whatever_its_sign(written: int, read: int) -> None:
    assert read_encrypted_data(Reader(encrypted_data(kvno=written))).kvno == read


@pytest.mark.parametrize(
    "data",
    [
        encrypted_data(kvno=2**32),
        encrypted_data(kvno=-(2**31) - 1),
        encrypted_data(enctype=2**31),
        encrypted_data(cipher=b""),
        encrypted_data()[:-1],
        b"",
    ],
)
def test_a_ciphertext_with_numbers_that_do_not_fit_or_empty_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidTokenError):
        read_encrypted_data(Reader(data))


@pytest.mark.parametrize(
    ("components", "name"),
    [
        (("alice",), "alice"),
        (("HTTP", "localhost"), "HTTP/localhost"),
        (("HTTP/localhost",), r"HTTP\/localhost"),
        (("a@b",), r"a\@b"),
        (("a\\", "b"), r"a\\/b"),
        (("a\\/b",), r"a\\\/b"),
    ],
)
def test_a_principal_is_written_so_that_no_separator_is_forged(
    components: tuple[str, ...], name: str
) -> None:
    assert read_principal_name(Reader(principal_name(*components))) == name


@pytest.mark.parametrize(
    "data", [principal_name(), principal_name(*("a" * 17)), principal_name("a\nb"), b"\x30\x00"]
)
def test_a_principal_without_components_or_with_too_many_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidTokenError):
        read_principal_name(Reader(data))


def test_a_realm_is_written_so_that_no_at_sign_is_forged() -> None:
    assert escape_realm("AUTHSRV.TEST") == "AUTHSRV.TEST"
    assert escape_realm("A@B\\C/D") == r"A\@B\\C/D"


@pytest.mark.parametrize("number", [0, -1, 2**31 - 1, -(2**31)])
def test_a_number_of_32_bits_is_read(number: int) -> None:
    assert read_int32(Reader(encode_integer(number))) == number


@pytest.mark.parametrize("number", [2**31, -(2**31) - 1, 2**63 - 1])
def test_a_number_of_more_bits_is_refused(number: int) -> None:
    with pytest.raises(InvalidTokenError):
        read_int32(Reader(encode_integer(number)))


def test_microseconds_are_less_than_a_second() -> None:
    read = read_microseconds(Reader(encode_integer(999_999)))
    assert read == timedelta(microseconds=999_999)
    assert read_microseconds(Reader(encode_integer(0))) == timedelta()


@pytest.mark.parametrize("number", [-1, 1_000_000])
def test_microseconds_of_a_second_or_more_are_refused(number: int) -> None:
    with pytest.raises(InvalidTokenError):
        read_microseconds(Reader(encode_integer(number)))


def test_a_version_is_read_and_another_one_refused() -> None:
    read_constant(Reader(integer_field(0, 5)), 0, VERSION)
    with pytest.raises(InvalidTokenError):
        read_constant(Reader(integer_field(0, 4)), 0, VERSION)


def test_a_message_is_a_sequence_in_an_application_type() -> None:
    data = encode(application_tag(14), encode(SEQUENCE, encode_integer(7)))
    assert read_message(Reader(data), application_tag(14), read_integer) == 7
    with pytest.raises(InvalidTokenError):
        read_message(Reader(data), application_tag(15), read_integer)


@settings(deadline=None)
@given(st.sampled_from([encrypted_data(), principal_name("HTTP", "localhost")]), st.data())
def test_a_changed_value_is_read_or_refused(value: bytes, data: st.DataObject) -> None:
    position = data.draw(st.integers(0, len(value) - 1))
    changed = value[:position] + data.draw(st.binary(max_size=2)) + value[position + 1 :]
    for read in (read_encrypted_data, read_principal_name, read_int32, read_microseconds):
        try:
            read(Reader(changed))
        except InvalidTokenError:
            continue
