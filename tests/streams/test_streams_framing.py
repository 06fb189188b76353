"""The messages of MS-NNS as bytes."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from authsrv.codecs.nns import (
    MAX_PAYLOAD_BYTES,
    HandshakeDone,
    HandshakeError,
    HandshakeInProgress,
    HandshakeMessage,
    MissingBytes,
    ParsedMessage,
    build_message,
    parse_message,
)
from authsrv.errors import InvalidTokenError, ProviderFaultError, TokenTooLargeError

# As .NET's NegotiateStream writes them.
WIRE = [
    pytest.param(HandshakeInProgress(b"abc"), "16 01 00 00 03 61 62 63", id="in-progress"),
    pytest.param(HandshakeDone(), "14 01 00 00 00", id="done"),
    pytest.param(HandshakeDone(b"abc"), "14 01 00 00 03 61 62 63", id="done-with-token"),
    pytest.param(
        HandshakeError(0x8009030C), "15 01 00 00 08 00 00 00 00 80 09 03 0c", id="logon-denied"
    ),
    pytest.param(
        HandshakeError(0x6FE), "15 01 00 00 08 00 00 00 00 00 00 06 fe", id="trust-failure"
    ),
]

each_message = pytest.mark.parametrize(("message", "wire"), WIRE)

TOKENS = st.binary(max_size=40)
MESSAGES = st.one_of(
    TOKENS.filter(bool).map(HandshakeInProgress),
    TOKENS.map(HandshakeDone),
    st.integers(0, 2**32 - 1).map(HandshakeError),
)


def header(message_id: int, size: int) -> bytes:
    return bytes((message_id, 1, 0)) + size.to_bytes(2, "big")


@each_message
def test_a_message_is_written_as_dotnet_writes_it(message: HandshakeMessage, wire: str) -> None:
    assert build_message(message) == bytes.fromhex(wire)


@each_message
def test_a_message_is_read_as_dotnet_writes_it(message: HandshakeMessage, wire: str) -> None:
    data = bytes.fromhex(wire)
    assert parse_message(data) == ParsedMessage(message, len(data))


@each_message
def test_of_every_part_of_a_message_it_is_known_what_is_missing(
    message: HandshakeMessage, wire: str
) -> None:
    data = bytes.fromhex(wire)
    for end in range(len(data)):
        whole = 5 if end < 5 else len(data)
        assert parse_message(data[:end]) == MissingBytes(whole - end)


@each_message
def test_what_follows_a_message_is_not_used(message: HandshakeMessage, wire: str) -> None:
    data = bytes.fromhex(wire)
    assert parse_message(data + b"\xff" + data) == ParsedMessage(message, len(data))


@each_message
@pytest.mark.parametrize("version", [b"\x00\x00", b"\x01\x01", b"\x02\x00", b"\xff\xff"])
def test_the_version_is_ignored(message: HandshakeMessage, wire: str, version: bytes) -> None:
    data = bytearray.fromhex(wire)
    data[1:3] = version
    assert parse_message(bytes(data)) == ParsedMessage(message, len(data))


def test_the_higher_byte_of_the_size_comes_first() -> None:
    data = build_message(HandshakeDone(bytes(0x0102)))
    assert data[3:5] == b"\x01\x02"
    assert parse_message(data) == ParsedMessage(HandshakeDone(bytes(0x0102)), 5 + 0x0102)


def test_every_unknown_kind_of_message_is_refused_by_its_header() -> None:
    for message_id in set(range(256)) - {20, 21, 22}:
        with pytest.raises(InvalidTokenError):
            parse_message(header(message_id, 8))


def test_a_message_in_progress_has_a_token() -> None:
    with pytest.raises(InvalidTokenError):
        parse_message(header(22, 0))
    with pytest.raises(InvalidTokenError):
        HandshakeInProgress(b"")


@pytest.mark.parametrize("size", [0, 4, 7, 9, 0xFFFF])
def test_an_error_of_another_size_is_refused_by_its_header(size: int) -> None:
    with pytest.raises(InvalidTokenError):
        parse_message(header(21, size))


def test_the_reserved_bytes_of_an_error_are_ignored() -> None:
    # .NET Framework extended the sign of the code into them.
    data = header(21, 8) + bytes.fromhex("ff ff ff ff 80 09 03 0c")
    assert parse_message(data) == ParsedMessage(HandshakeError(0x8009030C), 13)


def test_a_payload_over_the_limit_is_refused_by_its_header() -> None:
    with pytest.raises(TokenTooLargeError):
        parse_message(header(22, 101), max_payload_bytes=100)
    assert parse_message(header(22, 100), max_payload_bytes=100) == MissingBytes(100)


def test_the_largest_payload_goes_through() -> None:
    message = HandshakeInProgress(bytes(MAX_PAYLOAD_BYTES))
    data = build_message(message)
    assert len(data) == 65_540
    assert parse_message(data) == ParsedMessage(message, len(data))


def test_a_token_that_no_message_can_hold_is_not_written() -> None:
    with pytest.raises(ProviderFaultError):
        build_message(HandshakeInProgress(bytes(MAX_PAYLOAD_BYTES + 1)))


@pytest.mark.parametrize("code", [-1, 2**32])
def test_a_code_of_more_than_32_bits_is_not_written(code: int) -> None:
    with pytest.raises(OverflowError):
        build_message(HandshakeError(code))


def test_a_message_shows_no_token() -> None:
    for message in (HandshakeInProgress(b"SECRET"), HandshakeDone(b"SECRET")):
        assert "SECRET" not in repr(ParsedMessage(message, 11))


@settings(deadline=None)
@given(MESSAGES, st.binary(max_size=20))
def test_what_is_written_is_read_again(message: HandshakeMessage, rest: bytes) -> None:
    data = build_message(message)
    assert parse_message(data + rest) == ParsedMessage(message, len(data))


@settings(deadline=None, max_examples=300)
@given(
    st.one_of(
        st.binary(max_size=60),
        st.builds(
            lambda kind, size, rest: header(kind, size) + rest,
            st.sampled_from([20, 21, 22]),
            st.integers(0, 40),
            st.binary(max_size=60),
        ),
    )
)
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    try:
        part = parse_message(data, max_payload_bytes=30)
    except (InvalidTokenError, TokenTooLargeError):
        return
    if isinstance(part, MissingBytes):
        assert len(data) + part.count == (5 if len(data) < 5 else 5 + data[4])
        return
    assert part.used == 5 + data[4] <= len(data)
    # The version and the reserved bytes of an error are not kept; all else is.
    again, ignored = build_message(part.message), {1, 2}
    if isinstance(part.message, HandshakeError):
        ignored |= {5, 6, 7, 8}
    assert len(again) == part.used
    assert {place for place, byte in enumerate(again) if byte != data[place]} <= ignored
