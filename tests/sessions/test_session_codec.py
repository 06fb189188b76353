"""Sessions as bytes: one form each, and nothing else is read."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from logged_in import a_session, sessions

from authsrv.errors import SessionError
from authsrv.sessions.codec import MAX_SESSION_BYTES, decode_session, encode_session
from authsrv.sessions.sealing import MAX_PAYLOAD_BYTES
from authsrv.sessions.session import MAX_GROUP_BYTES, Session

ENCODED = encode_session(a_session())
HEAD = 66


def cause(content: bytes) -> str:
    with pytest.raises(SessionError) as caught:
        decode_session(content)
    return caught.value.detail


@given(sessions())
def test_what_is_written_is_read(session: Session) -> None:
    assert decode_session(encode_session(session)) == session


def test_the_largest_session_fits_into_a_cookie() -> None:
    largest = a_session(
        principal="ä" * 256, mechanism="x" * 32, groups=("x",) * (MAX_GROUP_BYTES // 2)
    )
    assert len(encode_session(largest)) == MAX_SESSION_BYTES <= MAX_PAYLOAD_BYTES


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "another format"),
        (b"\0" + ENCODED[1:], "another format"),
        (b"\2" + ENCODED[1:], "another format"),
        (ENCODED[:1], "malformed"),
        (ENCODED[: HEAD - 1], "malformed"),
        (ENCODED[:HEAD], "malformed"),
        (ENCODED[:HEAD] + b"alice", "malformed"),
        (ENCODED[:HEAD] + b"alice\0", "no mechanism"),
        (ENCODED[:HEAD] + b"\0kerberos", "no principal"),
        (ENCODED + b"\0", "empty or unprintable group"),
        (ENCODED + b"\0\0x", "empty or unprintable group"),
        (ENCODED + b"\xff", "malformed"),
        (ENCODED + b"\0\xc0\x80", "malformed"),
        (ENCODED + b"\0" + b"x" * MAX_GROUP_BYTES, "too many groups"),
        (ENCODED[:1] + b"\4" + ENCODED[2:], "unknown flags"),
        (ENCODED[:50] + b"\xff" + ENCODED[51:], "out of order"),
    ],
    # The ids in it are random, and all workers must call a case by one name.
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_no_session_is_refused(content: bytes, expected: str) -> None:
    assert expected in cause(content)


@given(
    st.binary()
    | st.binary().map(lambda end: ENCODED[:HEAD] + end)
    | st.binary(min_size=65).map(lambda end: b"\1" + end)
)
def test_anything_is_refused_or_is_the_only_form_of_a_session(content: bytes) -> None:
    try:
        session = decode_session(content)
    except SessionError:
        return
    assert encode_session(session) == content


@given(st.integers(0, len(ENCODED) - 1), st.integers(0, 255))
def test_a_changed_byte_is_refused_or_makes_another_session(place: int, byte: int) -> None:
    content = bytearray(ENCODED)
    content[place] = byte
    try:
        session = decode_session(bytes(content))
    except SessionError:
        return
    assert encode_session(session) == bytes(content)
