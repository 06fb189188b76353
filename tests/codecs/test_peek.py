"""What is told of a token, and which authenticator the replay cache remembers."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from authsrv.codecs.der.writer import build_frame
from authsrv.codecs.inspect import (
    Framing,
    Mechanism,
    TokenForm,
    TokenPeek,
    authenticator_ciphertext,
    fingerprint,
    peek,
)
from authsrv.codecs.kerberos.messages import parse_ap_req
from authsrv.codecs.ntlm.messages import NTLMMessageType
from authsrv.codecs.spnego import (
    IAKERB,
    KERBEROS,
    MS_KERBEROS,
    NEGOEX,
    NTLM,
    NegState,
    build_neg_token_init,
    build_neg_token_resp,
)
from authsrv.errors import InvalidTokenError

DATA = Path(__file__).parents[1] / "data"
WINDOWS = (MS_KERBEROS, KERBEROS, NEGOEX, NTLM)
WINDOWS_NAMES = ("MS-Kerberos", "Kerberos", "NegoEx", "NTLM")
NEGOTIATE = b"NTLMSSP\x00\x01\x00\x00\x00" + bytes(20)
NEGOEX_MESSAGE = b"NEGOEXTS" + bytes(32)


def captured(name: str) -> bytes:
    return bytes.fromhex((DATA / f"{name}.hex").read_text())


AP_REQ = captured("krb5_ap_req")


def test_kerberos_inside_spnego_is_known_with_its_request() -> None:
    token = captured("windows_ap_req")
    assert peek(token) == TokenPeek(
        Mechanism.KERBEROS,
        Framing.SPNEGO,
        WINDOWS_NAMES,
        ap_req=parse_ap_req(AP_REQ),
        length=len(token),
        form=TokenForm.WELL_FORMED,
    )


def test_raw_kerberos_is_known_with_its_request() -> None:
    found = peek(AP_REQ)
    assert found.mechanism is Mechanism.KERBEROS
    assert found.framing is Framing.RAW
    assert found.offered == ("Kerberos",)
    assert found.ap_req == parse_ap_req(AP_REQ)
    assert found.wellformed


def test_the_answers_of_a_server_are_known_and_are_no_requests() -> None:
    answer = peek(captured("spnego_ap_rep"))
    assert (answer.mechanism, answer.ap_req) == (Mechanism.KERBEROS, None)
    assert answer.neg_state is NegState.ACCEPT_COMPLETED
    assert answer.offered == ()
    refusal = peek(captured("spnego_krb_error_replay"))
    assert (refusal.mechanism, refusal.ap_req) == (Mechanism.KERBEROS, None)
    assert refusal.neg_state is NegState.REJECT
    assert refusal.wellformed


@pytest.mark.parametrize(
    ("token", "framing", "offered"),
    [
        (NEGOTIATE, Framing.RAW, ()),
        (build_neg_token_init([NTLM], NEGOTIATE), Framing.SPNEGO, ("NTLM",)),
        (build_neg_token_init(WINDOWS, NEGOTIATE), Framing.SPNEGO, WINDOWS_NAMES),
        (build_neg_token_resp(response_token=NEGOTIATE), Framing.SPNEGO, ()),
    ],
)
def test_ntlm_is_known_wherever_it_stands(
    token: bytes, framing: Framing, offered: tuple[str, ...]
) -> None:
    found = peek(token)
    assert found.mechanism is Mechanism.NTLM
    assert found.ntlm_type is NTLMMessageType.NEGOTIATE
    assert (found.framing, found.offered) == (framing, offered)
    assert found.wellformed


@pytest.mark.parametrize("token", [NEGOEX_MESSAGE, build_neg_token_init(WINDOWS, NEGOEX_MESSAGE)])
def test_negoex_is_known_wherever_it_stands(token: bytes) -> None:
    assert peek(token).mechanism is Mechanism.NEGOEX


@pytest.mark.parametrize(
    ("token", "state"),
    [
        (build_neg_token_init([NTLM]), None),
        (build_neg_token_init([NTLM], b""), None),
        (build_neg_token_resp(NegState.ACCEPT_COMPLETED), NegState.ACCEPT_COMPLETED),
        (build_neg_token_resp(), None),
    ],
)
def test_a_negotiation_without_a_token_is_spnego_alone(
    token: bytes, state: NegState | None
) -> None:
    found = peek(token)
    assert found.mechanism is Mechanism.SPNEGO
    assert found.neg_state is state
    assert found.wellformed


def test_an_unknown_mechanism_is_named_by_its_oid() -> None:
    raw = peek(build_frame("1.2.3", b"anything"))
    assert (raw.mechanism, raw.offered) == (Mechanism.UNKNOWN, ("OID 1.2.3",))
    assert raw.wellformed
    wrapped = peek(build_neg_token_init([IAKERB], build_frame(IAKERB, b"\x05\x01")))
    assert (wrapped.mechanism, wrapped.offered) == (Mechanism.UNKNOWN, ("IAKERB",))
    assert wrapped.wellformed


@pytest.mark.parametrize(
    ("token", "framing"),
    [
        (b"", Framing.RAW),
        (b"junk", Framing.RAW),
        (AP_REQ[:-1], Framing.RAW),
        (AP_REQ[17:], Framing.RAW),
        (b"NTLMSSP\x00\x09\x00\x00\x00", Framing.RAW),
        (build_frame(KERBEROS, b"\x09\x00"), Framing.RAW),
        (build_frame(KERBEROS, b"\x01\x00\x6e\x00"), Framing.RAW),
        (captured("windows_ap_req")[:100], Framing.SPNEGO),
        (captured("windows_ap_req") + b"\x00", Framing.SPNEGO),
        (b"\xa1\x80\x00\x00", Framing.SPNEGO),
    ],
)
def test_a_malformed_token_is_unknown(token: bytes, framing: Framing) -> None:
    assert peek(token) == TokenPeek(
        Mechanism.UNKNOWN, framing, length=len(token), form=TokenForm.MALFORMED
    )
    assert not peek(token).wellformed


def test_a_malformed_request_in_a_good_shell_leaves_what_the_shell_says() -> None:
    found = peek(build_neg_token_init(WINDOWS, AP_REQ[:-1]))
    assert found.mechanism is Mechanism.UNKNOWN
    assert found.offered == WINDOWS_NAMES
    assert not found.wellformed
    found = peek(build_neg_token_resp(NegState.REQUEST_MIC, response_token=b"junk"))
    assert found.neg_state is NegState.REQUEST_MIC
    assert not found.wellformed


def test_a_representation_shows_no_ciphertext() -> None:
    assert "b'" not in repr(peek(captured("windows_ap_req")))


def test_each_mechanism_has_a_label_of_its_own() -> None:
    assert [mechanism.label for mechanism in Mechanism] == [
        "Kerberos",
        "NTLM",
        "SPNEGO",
        "NegoEx",
        "unknown",
    ]


@pytest.mark.parametrize(
    "token",
    [
        AP_REQ,
        captured("windows_ap_req"),
        build_neg_token_init([KERBEROS], AP_REQ),
        build_neg_token_init([KERBEROS], AP_REQ, b"mic"),
        build_neg_token_init([MS_KERBEROS, NTLM], AP_REQ),
        build_neg_token_resp(NegState.ACCEPT_INCOMPLETE, KERBEROS, AP_REQ),
        build_neg_token_resp(response_token=AP_REQ, mech_list_mic=b"mic"),
    ],
)
def test_the_same_authenticator_is_found_in_every_shell(token: bytes) -> None:
    assert authenticator_ciphertext(token) == parse_ap_req(AP_REQ).authenticator_cipher


def test_two_requests_have_two_authenticators() -> None:
    first = authenticator_ciphertext(AP_REQ)
    assert authenticator_ciphertext(captured("spnego_ap_req")) != first
    assert authenticator_ciphertext(captured("krb5_ap_req_not_mutual")) != first


@pytest.mark.parametrize(
    ("token", "why"),
    [
        (b"", "it is empty"),
        (AP_REQ[17:], "the request stands without its frame"),
        (AP_REQ + b"\x00", "something follows"),
        (captured("windows_ap_req") + AP_REQ, "another request follows"),
        (captured("krb5_ap_rep"), "it is an AP-REP"),
        (captured("spnego_ap_rep"), "it is an AP-REP in SPNEGO"),
        (NEGOTIATE, "it is NTLM"),
        (build_neg_token_init([KERBEROS]), "there is no token in SPNEGO"),
        (build_neg_token_init([KERBEROS], mech_list_mic=AP_REQ), "it stands in the MIC's place"),
        (build_neg_token_init([KERBEROS], build_neg_token_init([KERBEROS], AP_REQ)), "two shells"),
        (build_frame(IAKERB, AP_REQ), "it stands in IAKERB"),
    ],
)
def test_where_no_request_is_read_in_one_way_there_is_no_authenticator(
    token: bytes, why: str
) -> None:
    with pytest.raises(InvalidTokenError):
        authenticator_ciphertext(token)
    assert peek(token).ap_req is None


def test_a_request_behind_another_mechanism_is_shown_and_does_not_count() -> None:
    token = build_neg_token_init([NTLM, KERBEROS], AP_REQ)
    assert peek(token).ap_req == parse_ap_req(AP_REQ)
    with pytest.raises(InvalidTokenError, match="before Kerberos"):
        authenticator_ciphertext(token)


def test_a_fingerprint_is_the_beginning_of_the_hash() -> None:
    assert fingerprint(b"token") == hashlib.sha256(b"token").hexdigest()[:12]
    assert len(fingerprint(b"")) == 12


@st.composite
def tokens(draw: st.DrawFn) -> bytes:
    """Junk, captured tokens with a change, and either of them in a shell."""
    inner = draw(st.binary(max_size=60) | st.sampled_from([AP_REQ, NEGOTIATE, NEGOEX_MESSAGE]))
    if draw(st.booleans()):
        position = draw(st.integers(0, len(inner)))
        inner = inner[:position] + draw(st.binary(max_size=3)) + inner[position + 1 :]
    types = draw(st.lists(st.sampled_from(WINDOWS), min_size=1, max_size=4))
    shells = [inner, build_neg_token_init(types, inner), build_neg_token_resp(None, None, inner)]
    token = draw(st.sampled_from(shells))
    return token[: draw(st.integers(0, len(token)))] if draw(st.booleans()) else token


@settings(deadline=None)
@given(tokens() | st.binary(max_size=100))
@example(b"\x60\x84")
@example(b"\x60\x80" * 50)
def test_any_token_is_told_and_the_replay_cache_sees_the_same_request(token: bytes) -> None:
    found = peek(token)
    assert found.length == len(token)
    assert found.wellformed or found.mechanism is Mechanism.UNKNOWN
    try:
        cipher = authenticator_ciphertext(token)
    except InvalidTokenError:
        return
    assert found.ap_req is not None
    assert found.ap_req.authenticator_cipher == cipher
