"""SPNEGO: what it is made of, in the one order that there is."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from authsrv.codecs.der import reader as der
from authsrv.codecs.der import writer as der_writer
from authsrv.codecs.spnego import (
    IAKERB,
    KERBEROS,
    MS_KERBEROS,
    NEGOEX,
    NTLM,
    SPNEGO,
    NegState,
    NegTokenInit,
    NegTokenResp,
    build_neg_token_init,
    build_neg_token_resp,
    carried_token,
    is_spnego,
    mechanism_name,
    parse_spnego,
    unwrap_spnego,
)
from authsrv.errors import InvalidTokenError

DATA = Path(__file__).parents[1] / "data"
WINDOWS = (MS_KERBEROS, KERBEROS, NEGOEX, NTLM)
OIDS = st.sampled_from([*WINDOWS, SPNEGO, IAKERB, "1.2.3", "2.999.1"])
OCTETS = st.none() | st.binary(max_size=300)
TYPES = der_writer.encode_field(0, der_writer.encode(der.SEQUENCE, der_writer.encode_oid(KERBEROS)))


def captured(name: str) -> bytes:
    return bytes.fromhex((DATA / f"{name}.hex").read_text())


def octets(number: int, content: bytes = b"token") -> bytes:
    return der_writer.encode_field(number, der_writer.encode(der.OCTET_STRING, content))


def init(*fields: bytes) -> bytes:
    inner = der_writer.encode_field(0, der_writer.encode(der.SEQUENCE, *fields))
    return der_writer.build_frame(SPNEGO, inner)


def resp(*fields: bytes) -> bytes:
    return der_writer.encode_field(1, der_writer.encode(der.SEQUENCE, *fields))


def state(number: int) -> bytes:
    return der_writer.encode_field(0, der_writer.encode_integer(number, der.ENUMERATED))


def test_the_first_token_of_mit_is_read() -> None:
    message = parse_spnego(captured("spnego_ap_req"))
    assert isinstance(message, NegTokenInit)
    assert message.mech_types == (KERBEROS,)
    assert message.mech_token is not None
    assert message.mech_token.startswith(b"\x60\x82\x02")
    assert message.mech_list_mic is None


def test_the_first_token_of_windows_is_read() -> None:
    message = parse_spnego(captured("windows_ap_req"))
    assert message == NegTokenInit(WINDOWS, captured("krb5_ap_req"))


def test_the_answer_of_mit_is_read() -> None:
    message = parse_spnego(captured("spnego_ap_rep"))
    assert isinstance(message, NegTokenResp)
    assert message.neg_state is NegState.ACCEPT_COMPLETED
    assert message.supported_mech == KERBEROS
    assert message.response_token is not None
    assert message.mech_list_mic is None


def test_the_refusal_of_mit_is_read() -> None:
    message = parse_spnego(captured("spnego_krb_error_replay"))
    assert isinstance(message, NegTokenResp)
    assert message.neg_state is NegState.REJECT


@settings(deadline=None)
@given(st.lists(OIDS, min_size=1, max_size=32), OCTETS, OCTETS)
def test_a_first_token_is_read_as_it_was_built(
    types: list[str], token: bytes | None, mic: bytes | None
) -> None:
    message = parse_spnego(build_neg_token_init(types, token, mic))
    assert message == NegTokenInit(tuple(types), token, mic)
    assert carried_token(message) == token


@settings(deadline=None)
@given(st.none() | st.sampled_from(NegState), st.none() | OIDS, OCTETS, OCTETS)
def test_a_later_token_is_read_as_it_was_built(
    state: NegState | None, oid: str | None, token: bytes | None, mic: bytes | None
) -> None:
    message = parse_spnego(build_neg_token_resp(state, oid, token, mic))
    assert message == NegTokenResp(state, oid, token, mic)
    assert carried_token(message) == token


def test_a_first_token_without_its_frame_is_read() -> None:
    bare = der_writer.encode_field(0, der_writer.encode(der.SEQUENCE, TYPES, octets(2)))
    assert parse_spnego(bare) == NegTokenInit((KERBEROS,), b"token")


def test_the_flags_and_the_hints_of_windows_are_read_over() -> None:
    flags = der_writer.encode_field(1, der_writer.encode(der.BIT_STRING, b"\x01\xfe"))
    name = der_writer.encode_field(0, der_writer.encode(der.GENERAL_STRING, b"ignore@me"))
    address = octets(1)
    hints = der_writer.encode_field(3, der_writer.encode(der.SEQUENCE, name, address))
    message = parse_spnego(init(TYPES, flags, octets(2), hints, octets(4, b"mic")))
    assert message == NegTokenInit((KERBEROS,), b"token", b"mic")


def test_hints_without_a_mic_are_read_over() -> None:
    hints = der_writer.encode_field(3, b"\x30\x00")
    assert parse_spnego(init(TYPES, hints)) == NegTokenInit((KERBEROS,))


@pytest.mark.parametrize(
    ("token", "why"),
    [
        (b"", "it is empty"),
        (init(), "the mechanisms are missing"),
        (init(octets(2)), "the mechanisms are missing, the token is there"),
        (init(der_writer.encode_field(0, b"\x30\x00")), "there is no mechanism in the list"),
        (init(TYPES, TYPES), "the mechanisms stand there twice"),
        (init(octets(2), TYPES), "the order is wrong"),
        (init(TYPES, octets(2), octets(2)), "the token stands there twice"),
        (init(TYPES, octets(3), octets(2)), "the token stands behind the MIC"),
        (init(TYPES, octets(3), octets(4)), "there are two MICs"),
        (init(TYPES, octets(5)), "there is an unknown field"),
        (init(TYPES, octets(1)), "the flags are of another type"),
        (init(TYPES) + b"\x00", "there is something behind the frame"),
        (init(TYPES)[:-1], "it is cut off"),
        (der_writer.build_frame(SPNEGO, resp()), "a later token stands in the frame"),
        (der_writer.build_frame(SPNEGO, b""), "the frame is empty"),
        (der_writer.build_frame(SPNEGO, b"\xa0\x02\x30\x00\x00"), "the frame holds more"),
        (der_writer.build_frame(KERBEROS, TYPES), "the frame is of another mechanism"),
        (captured("krb5_ap_req"), "it is raw Kerberos"),
        (b"NTLMSSP\x00\x01\x00\x00\x00", "it is raw NTLM"),
        (resp(state(0), state(0)), "the state stands there twice"),
        (resp(octets(2), state(0)), "the order is wrong"),
        (resp(octets(2), octets(2)), "the token stands there twice"),
        (resp(octets(4)), "there is an unknown field"),
        (resp(state(4)), "the state is unknown"),
        (resp(state(-1)), "the state is negative"),
        (resp(der_writer.encode_field(0, b"\x02\x01\x00")), "the state is an INTEGER"),
        (resp() + b"\x00", "there is something behind it"),
        (b"\xa1\x80\x30\x80\x00\x00\x00\x00", "the lengths are indefinite"),
        (b"\xa1\x81\x02\x30\x00", "a length is not in its shortest form"),
    ],
)
def test_a_malformed_token_is_refused(token: bytes, why: str) -> None:
    with pytest.raises(InvalidTokenError):
        parse_spnego(token)


def test_more_mechanisms_than_anybody_has_are_refused() -> None:
    with pytest.raises(InvalidTokenError, match="32"):
        parse_spnego(build_neg_token_init([KERBEROS] * 33))


def test_a_representation_shows_lengths_and_no_bytes() -> None:
    first = NegTokenInit((MS_KERBEROS, "1.2.3"), b"SECRET", None)
    assert repr(first) == "<NegTokenInit MS-Kerberos, OID 1.2.3; token 6 bytes; MIC none>"
    later = NegTokenResp(NegState.REJECT, NTLM, b"SECRET", b"MIC")
    assert repr(later) == "<NegTokenResp REJECT; NTLM; token 6 bytes; MIC 3 bytes>"
    nothing = NegTokenResp()
    assert repr(nothing) == "<NegTokenResp no state; no mechanism; token none; MIC none>"


@pytest.mark.parametrize(
    ("oid", "name"),
    [
        (SPNEGO, "SPNEGO"),
        (KERBEROS, "Kerberos"),
        (MS_KERBEROS, "MS-Kerberos"),
        (NTLM, "NTLM"),
        (NEGOEX, "NegoEx"),
        (IAKERB, "IAKERB"),
        ("1.2.3", "OID 1.2.3"),
    ],
)
def test_a_mechanism_has_a_name(oid: str, name: str) -> None:
    assert mechanism_name(oid) == name


@pytest.mark.parametrize("name", ["spnego_ap_req", "windows_ap_req", "spnego_ap_rep"])
def test_spnego_is_known_by_its_first_bytes_though_cut_off(name: str) -> None:
    token = captured(name)
    assert is_spnego(token)
    assert is_spnego(token[:20])


def test_spnego_is_known_behind_a_length_of_one_octet() -> None:
    assert is_spnego(init(TYPES))


@pytest.mark.parametrize("token", [b"", b"\x60", b"\x60\x82", b"NTLMSSP\x00", b"\x6e\x00"])
def test_what_does_not_begin_like_spnego_is_not_taken_for_it(token: bytes) -> None:
    assert not is_spnego(token)
    assert not is_spnego(captured("krb5_ap_req"))


def test_the_token_of_the_mechanism_is_taken_out() -> None:
    raw = captured("krb5_ap_req")
    assert unwrap_spnego(raw) == raw
    assert unwrap_spnego(captured("windows_ap_req")) == raw
    assert unwrap_spnego(build_neg_token_resp(NegState.ACCEPT_INCOMPLETE, None, raw)) == raw


@pytest.mark.parametrize(
    "token",
    [
        b"",
        build_neg_token_init([NTLM]),
        build_neg_token_init([NTLM], b""),
        build_neg_token_resp(NegState.ACCEPT_COMPLETED),
        build_neg_token_resp(response_token=b""),
        captured("windows_ap_req")[:-1],
    ],
)
def test_spnego_that_carries_no_token_is_not_taken_for_one(token: bytes) -> None:
    with pytest.raises(InvalidTokenError):
        unwrap_spnego(token)


@settings(deadline=None)
@given(st.binary(max_size=100))
@example(b"\xa0\x02\x30\x00")
@example(b"\xa1\x02\x30\x00")
@example(b"\xa2\x02\x30\x00")
def test_any_bytes_are_read_or_refused(token: bytes) -> None:
    try:
        message = parse_spnego(token)
    except InvalidTokenError:
        return
    assert isinstance(message, NegTokenInit | NegTokenResp)


@settings(deadline=None)
@given(
    st.sampled_from([captured("windows_ap_req"), captured("spnego_ap_rep")]),
    st.integers(0, 1 << 13),
    st.binary(max_size=3),
    st.integers(0, 3),
)
def test_a_captured_token_that_is_changed_is_read_or_refused(
    token: bytes, position: int, put: bytes, cut: int
) -> None:
    position %= len(token)
    changed = token[:position] + put + token[position + cut :]
    try:
        message = parse_spnego(changed)
    except InvalidTokenError:
        return
    inner = carried_token(message)
    assert inner is None or inner in changed
