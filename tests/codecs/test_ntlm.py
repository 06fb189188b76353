"""The header of NTLM."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from authsrv.codecs.ntlm.messages import NTLM_SIGNATURE, NTLMMessageType, parse_ntlm_header
from authsrv.errors import InvalidTokenError


@pytest.mark.parametrize("kind", NTLMMessageType)
def test_each_of_the_three_messages_is_known(kind: NTLMMessageType) -> None:
    header = NTLM_SIGNATURE + bytes([kind.value, 0, 0, 0])
    assert parse_ntlm_header(header) is kind
    assert parse_ntlm_header(header + b"whatever follows") is kind


@pytest.mark.parametrize(
    "token",
    [
        b"",
        b"NTLMSSP",
        NTLM_SIGNATURE,
        NTLM_SIGNATURE + b"\x01\x00\x00",
        NTLM_SIGNATURE + b"\x00\x00\x00\x00",
        NTLM_SIGNATURE + b"\x04\x00\x00\x00",
        NTLM_SIGNATURE + b"\x00\x00\x00\x01",
        b"NTLMSSP\x01\x01\x00\x00\x00",
        b"\x60" + NTLM_SIGNATURE + b"\x01\x00\x00\x00",
    ],
)
def test_a_token_that_is_cut_off_or_of_an_unknown_kind_is_refused(token: bytes) -> None:
    with pytest.raises(InvalidTokenError):
        parse_ntlm_header(token)


@settings(deadline=None)
@given(st.binary(max_size=20), st.booleans())
def test_any_bytes_are_read_or_refused(rest: bytes, signed: bool) -> None:
    token = NTLM_SIGNATURE + rest if signed else rest
    try:
        kind = parse_ntlm_header(token)
    except InvalidTokenError:
        return
    assert token[8:12] == bytes([kind.value, 0, 0, 0])
