"""The writer writes what the specification prints, and what the reader reads."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from authsrv.codecs.der.reader import ENUMERATED, OCTET_STRING, SEQUENCE, Reader, open_frame
from authsrv.codecs.der.types import read_octets, read_oid
from authsrv.codecs.der.writer import (
    build_frame,
    encode,
    encode_field,
    encode_integer,
    encode_oid,
)


@pytest.mark.parametrize(
    ("length", "header"),
    [
        (0, "0400"),
        (127, "047f"),
        (128, "048180"),
        (255, "0481ff"),
        (256, "04820100"),
        (65_536, "0483010000"),
    ],
)
def test_a_length_is_written_in_its_shortest_form(length: int, header: str) -> None:
    assert encode(OCTET_STRING, bytes(length)) == bytes.fromhex(header) + bytes(length)


def test_pieces_of_content_are_joined() -> None:
    assert encode(SEQUENCE, b"\x04\x00", b"\x04\x00") == bytes.fromhex("300404000400")


@pytest.mark.parametrize(
    ("number", "octets"),
    [
        (0, "020100"),
        (127, "02017f"),
        (128, "02020080"),
        (256, "02020100"),
        (-1, "0201ff"),
        (-128, "020180"),
        (-129, "0202ff7f"),
    ],
)
def test_a_number_is_written_in_its_shortest_form(number: int, octets: str) -> None:
    assert encode_integer(number) == bytes.fromhex(octets)


def test_a_number_is_written_as_another_type() -> None:
    assert encode_integer(2, ENUMERATED) == bytes.fromhex("0a0102")


@pytest.mark.parametrize(
    ("oid", "octets"),
    [
        ("1.3.6.1.5.5.2", "06062b0601050502"),
        ("1.2.840.113554.1.2.2", "06092a864886f712010202"),
        ("2.999", "06028837"),
        ("0.0", "060100"),
    ],
)
def test_an_object_identifier_is_written(oid: str, octets: str) -> None:
    assert encode_oid(oid) == bytes.fromhex(octets)


@pytest.mark.parametrize("oid", ["", "1", "3.1", "0.40", "1.2.-3", "-1.2", "1.x", "1..2"])
def test_a_text_that_is_no_object_identifier_is_refused(oid: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        encode_oid(oid)


def test_a_field_is_written_and_an_empty_one_left_out() -> None:
    assert encode_field(3, b"\x04\x00") == bytes.fromhex("a3020400")
    assert encode_field(3, b"") == b""


@settings(deadline=None)
@given(st.binary(max_size=300))
def test_a_frame_is_opened_again_with_the_same_content(inner: bytes) -> None:
    reader = open_frame(build_frame("1.3.6.1.5.5.2", inner))
    assert read_oid(reader) == "1.3.6.1.5.5.2"
    assert reader.take_rest() == inner


@settings(deadline=None)
@given(st.binary(max_size=300))
def test_octets_are_read_as_they_were_written(content: bytes) -> None:
    assert read_octets(Reader(encode(OCTET_STRING, content))) == content
