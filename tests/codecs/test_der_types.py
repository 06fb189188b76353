"""Single values: each is read from its only encoding, or refused."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

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
from authsrv.codecs.der.types import (
    read_bits,
    read_enumerated,
    read_integer,
    read_octets,
    read_oid,
    read_sequence_of,
    read_text,
    read_time,
)
from authsrv.codecs.der.writer import encode, encode_integer, encode_oid
from authsrv.errors import InvalidTokenError


def element(tag: int, content: bytes) -> Reader:
    return Reader(encode(tag, content))


@settings(deadline=None)
@given(st.integers(-(2**63), 2**63 - 1))
@example(0)
@example(127)
@example(128)
@example(-128)
@example(-129)
def test_every_number_of_64_bits_is_read_as_it_was_written(number: int) -> None:
    assert read_integer(Reader(encode_integer(number))) == number
    assert read_enumerated(Reader(encode_integer(number, ENUMERATED))) == number


@pytest.mark.parametrize("octets", ["", "0001", "007f", "ff80", "ffff", "010000000000000000"])
def test_a_number_that_is_empty_too_long_or_too_large_is_refused(octets: str) -> None:
    with pytest.raises(InvalidTokenError):
        read_integer(element(INTEGER, bytes.fromhex(octets)))
    with pytest.raises(InvalidTokenError):
        read_enumerated(element(ENUMERATED, bytes.fromhex(octets)))


def test_octets_are_read_as_they_are() -> None:
    assert read_octets(element(OCTET_STRING, b"\x00\xff")) == b"\x00\xff"
    assert read_octets(element(OCTET_STRING, b"")) == b""


@pytest.mark.parametrize(
    ("content", "bits"), [("00", ""), ("0020000000", "20000000"), ("0780", "80"), ("00ff", "ff")]
)
def test_bits_are_read_without_the_count_of_unused_ones(content: str, bits: str) -> None:
    assert read_bits(element(BIT_STRING, bytes.fromhex(content))) == bytes.fromhex(bits)


@pytest.mark.parametrize("content", ["", "01", "0800", "ff00", "0701", "04f8"])
def test_bits_with_a_wrong_count_or_unused_ones_set_are_refused(content: str) -> None:
    with pytest.raises(InvalidTokenError):
        read_bits(element(BIT_STRING, bytes.fromhex(content)))


@pytest.mark.parametrize(
    ("octets", "oid"),
    [
        ("2b0601050502", "1.3.6.1.5.5.2"),
        ("2a864886f712010202", "1.2.840.113554.1.2.2"),
        ("00", "0.0"),
        ("27", "0.39"),
        ("28", "1.0"),
        ("4f", "1.39"),
        ("50", "2.0"),
        ("883703", "2.999.3"),
        ("2a818000", "1.2.16384"),
    ],
)
def test_an_object_identifier_is_read_with_dots(octets: str, oid: str) -> None:
    assert read_oid(element(OBJECT_IDENTIFIER, bytes.fromhex(octets))) == oid


@pytest.mark.parametrize("octets", ["", "2a86", "80", "8001", "2a8001", "2a" + "01" * 64])
def test_an_object_identifier_that_is_malformed_or_long_is_refused(octets: str) -> None:
    with pytest.raises(InvalidTokenError):
        read_oid(element(OBJECT_IDENTIFIER, bytes.fromhex(octets)))


@settings(deadline=None)
@given(st.binary(min_size=1, max_size=70))
def test_an_object_identifier_that_is_read_has_no_second_encoding(octets: bytes) -> None:
    try:
        oid = read_oid(element(OBJECT_IDENTIFIER, octets))
    except InvalidTokenError:
        return
    assert encode_oid(oid) == encode(OBJECT_IDENTIFIER, octets)


@pytest.mark.parametrize("text", ["", "HTTP", "AUTHSRV.TEST", "Grüße", "a b"])
def test_a_name_is_read_as_utf_8(text: str) -> None:
    assert read_text(element(GENERAL_STRING, text.encode())) == text


@pytest.mark.parametrize(
    "content", [b"\xff", b"a\nb", b"a\x00", b"\x1b[31m", "a\u2028b".encode(), "\u202e".encode()]
)
def test_a_name_that_could_forge_a_line_of_a_log_is_refused(content: bytes) -> None:
    with pytest.raises(InvalidTokenError):
        read_text(element(GENERAL_STRING, content))


@pytest.mark.parametrize(
    ("content", "time"),
    [
        (b"20261122221729Z", datetime(2026, 11, 22, 22, 17, 29, tzinfo=UTC)),
        (b"19700101000000Z", datetime(1970, 1, 1, tzinfo=UTC)),
        (b"99991231235959Z", datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)),
    ],
)
def test_a_time_is_read_in_utc(content: bytes, time: datetime) -> None:
    assert read_time(element(GENERALIZED_TIME, content)) == time


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"20261122221729",
        b"20261122221729z",
        b"20261122221729+",
        b"202611222217Z",
        b"20261122221729.0Z",
        b"2026112222172 Z",
        b"+0261122221729Z",
        b"20261322221729Z",
        b"20260230000000Z",
        b"20261122240000Z",
        b"20261122235960Z",
        b"00001122235959Z",
        b"\xb2\xb2\xb2\xb2\xb2\xb2\xb2\xb2\xb2\xb2\xb2\xb2\xb2\xb2Z",
    ],
)
def test_a_time_in_another_form_or_that_never_was_is_refused(content: bytes) -> None:
    with pytest.raises(InvalidTokenError):
        read_time(element(GENERALIZED_TIME, content))


def test_a_list_is_read_in_its_order() -> None:
    data = encode(SEQUENCE, *map(encode_integer, (3, 1, 2)))
    assert read_sequence_of(Reader(data), read_integer, limit=3) == (3, 1, 2)


@pytest.mark.parametrize("numbers", [(), (1, 2, 3, 4)])
def test_a_list_that_is_empty_or_too_long_is_refused(numbers: tuple[int, ...]) -> None:
    data = encode(SEQUENCE, *map(encode_integer, numbers))
    with pytest.raises(InvalidTokenError):
        read_sequence_of(Reader(data), read_integer, limit=3)


READERS: list[tuple[int, Callable[[Reader], object]]] = [
    (INTEGER, read_integer),
    (ENUMERATED, read_enumerated),
    (OCTET_STRING, read_octets),
    (BIT_STRING, read_bits),
    (OBJECT_IDENTIFIER, read_oid),
    (GENERAL_STRING, read_text),
    (GENERALIZED_TIME, read_time),
    (SEQUENCE, lambda reader: read_sequence_of(reader, read_integer, 3)),
]


@pytest.mark.parametrize(("tag", "read"), READERS)
def test_a_value_of_another_type_is_refused(tag: int, read: Callable[[Reader], object]) -> None:
    with pytest.raises(InvalidTokenError):
        read(element(tag ^ 0x40, b"\x00"))


@pytest.mark.parametrize(("tag", "read"), READERS)
@settings(deadline=None)
@given(content=st.binary(max_size=80))
def test_any_content_is_read_or_refused(
    tag: int, read: Callable[[Reader], object], content: bytes
) -> None:
    try:
        read(element(tag, content))
    except InvalidTokenError:
        return
