"""The strict reader: one encoding of a value is read, every other one is refused."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from authsrv.codecs.der.reader import (
    FRAME,
    INTEGER,
    OCTET_STRING,
    SEQUENCE,
    Reader,
    application_tag,
    field_tag,
    open_frame,
    skip_element,
)
from authsrv.errors import InvalidTokenError

OCTETS = bytes.fromhex("0403616263")


def read_octets(reader: Reader) -> bytes:
    return reader.read(OCTET_STRING)


def read_everything(reader: Reader, depth: int = 0) -> None:
    """Walk whatever elements there are, ten levels deep."""
    while reader.next_tag is not None:
        if reader.next_tag & 0x20 and depth < 10 and reader.next_tag & 0x1F != 0x1F:
            reader.within(reader.next_tag, lambda inner: read_everything(inner, depth + 1))
        else:
            skip_element(reader)


def test_an_element_is_read_with_its_content() -> None:
    reader = Reader(OCTETS)
    assert reader.read(OCTET_STRING) == b"abc"
    reader.finish()


def test_the_next_tag_is_seen_before_it_is_read() -> None:
    assert Reader(OCTETS).next_tag == OCTET_STRING
    assert Reader(b"").next_tag is None


def test_a_reader_of_a_part_sees_nothing_beyond_it() -> None:
    reader = Reader(b"\xff" + OCTETS + b"\xff", 1, 1 + len(OCTETS))
    assert reader.read(OCTET_STRING) == b"abc"
    assert reader.next_tag is None


@pytest.mark.parametrize("length", [0, 1, 127, 128, 255, 256, 65_535, 65_536, 1 << 24])
def test_every_length_in_its_shortest_form_is_read(length: int) -> None:
    octets = length.to_bytes((length.bit_length() + 7) // 8, "big")
    header = bytes([length]) if length < 128 else bytes([0x80 | len(octets)]) + octets
    content = bytes(length)
    assert Reader(b"\x04" + header + content).read(OCTET_STRING) == content


@pytest.mark.parametrize(
    ("data", "why"),
    [
        ("", "nothing is there"),
        ("04", "the length is missing"),
        ("0203616263", "it is another element"),
        ("0404616263", "the content is cut off"),
        ("048103616263", "a short length in the long form"),
        ("04820003616263", "a length with a leading zero"),
        ("04820080" + "00" * 128, "a length of 128 with a leading zero"),
        ("04806162630000", "an indefinite length"),
        ("0485000000000361", "a length of five octets"),
        ("0482", "the octets of the length are cut off"),
        ("048201", "the octets of the length are cut off in their middle"),
        ("04ff", "the reserved length"),
        ("0484ffffffff61", "a length beyond the end"),
        ("2405" + "0403616263", "a constructed string"),
        ("1f0403616263", "a tag of several octets"),
    ],
)
def test_an_encoding_that_is_not_the_only_one_is_refused(data: str, why: str) -> None:
    with pytest.raises(InvalidTokenError, match=r"^DER: "):
        Reader(bytes.fromhex(data)).read(OCTET_STRING)


def test_an_element_that_crosses_the_end_of_a_part_is_refused() -> None:
    with pytest.raises(InvalidTokenError):
        Reader(OCTETS, 0, len(OCTETS) - 1).read(OCTET_STRING)


def test_an_element_that_crosses_the_end_of_its_parent_is_refused() -> None:
    # The sequence ends after two octets of the string; the bytes go on behind it.
    data = bytes.fromhex("3004" + "0403616263")
    with pytest.raises(InvalidTokenError):
        Reader(data).within(SEQUENCE, read_octets)


def test_the_elements_inside_an_element_are_read_and_then_those_behind_it() -> None:
    reader = Reader(b"\x30\x05" + OCTETS + b"\x04\x01z")
    assert reader.within(SEQUENCE, read_octets) == b"abc"
    assert reader.read(OCTET_STRING) == b"z"
    reader.finish()


def test_an_element_that_is_not_read_to_its_end_is_refused() -> None:
    with pytest.raises(InvalidTokenError, match="unexpected bytes at the end"):
        Reader(b"\x30\x07" + OCTETS + b"\x04\x00").within(SEQUENCE, read_octets)


def test_a_field_is_read_by_its_number() -> None:
    assert Reader(b"\xa2\x05" + OCTETS).field(2, read_octets) == b"abc"


def test_a_field_that_is_missing_is_refused_unless_it_is_optional() -> None:
    reader = Reader(b"\xa2\x05" + OCTETS)
    with pytest.raises(InvalidTokenError):
        Reader(b"\xa2\x05" + OCTETS).field(1, read_octets)
    assert reader.optional_field(1, read_octets) is None
    assert reader.optional_field(2, read_octets) == b"abc"
    assert reader.optional_field(3, read_octets) is None


def test_an_optional_field_that_is_malformed_is_refused() -> None:
    with pytest.raises(InvalidTokenError):
        Reader(b"\xa2\x03\x02\x01\x05").optional_field(2, read_octets)


def test_what_is_left_is_refused_or_taken() -> None:
    reader = Reader(OCTETS + b"rest")
    reader.read(OCTET_STRING)
    with pytest.raises(InvalidTokenError):
        reader.finish()
    assert reader.take_rest() == b"rest"
    assert reader.take_rest() == b""
    reader.finish()


def test_an_element_is_skipped_whatever_it_is() -> None:
    reader = Reader(b"\x30\x03\xff\xff\xff" + OCTETS)
    skip_element(reader)
    assert reader.read(OCTET_STRING) == b"abc"


@pytest.mark.parametrize("data", ["", "1f8101", "bf2003020105", "04"])
def test_an_element_with_a_large_tag_or_none_is_not_skipped(data: str) -> None:
    with pytest.raises(InvalidTokenError):
        skip_element(Reader(bytes.fromhex(data)))


def test_tags_are_computed_as_the_specification_prints_them() -> None:
    assert field_tag(0) == 0xA0
    assert field_tag(10) == 0xAA
    assert application_tag(14) == 0x6E
    assert application_tag(0) == FRAME


def test_a_frame_is_opened_and_gives_its_content() -> None:
    reader = open_frame(b"\x60\x06\x02\x01\x05xyz")
    assert reader.read(INTEGER) == b"\x05"
    assert reader.take_rest() == b"xyz"


@pytest.mark.parametrize(
    "token", [b"", b"\x60", b"\x60\x03ab", b"\x60\x01ab", b"\x61\x02ab", b"\x60\x81\x02ab"]
)
def test_a_frame_that_does_not_fit_the_token_is_refused(token: bytes) -> None:
    with pytest.raises(InvalidTokenError):
        open_frame(token)


@settings(deadline=None)
@given(st.binary(max_size=200))
@example(b"\x30\x80\x00\x00")
@example(b"\x30" * 100)
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    try:
        read_everything(Reader(data))
    except InvalidTokenError:
        return
