"""The context flags, against sspi.h and the flags of GSS-API."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from authsrv.core.flags import (
    ASC_REQ_MEANINGS,
    ASC_RET_MEANINGS,
    AscReq,
    AscRet,
    CredentialUse,
    DataRepresentation,
    asc_ret_from_gss,
)

ALL_ASC_RET = sum(AscRet)


def test_every_requested_flag_has_a_meaning_of_its_own() -> None:
    assert list(ASC_REQ_MEANINGS) == list(AscReq)
    assert len(set(ASC_REQ_MEANINGS.values())) == len(AscReq)


def test_every_returned_flag_has_a_meaning_of_its_own() -> None:
    assert list(ASC_RET_MEANINGS) == list(AscRet)
    assert len(set(ASC_RET_MEANINGS.values())) == len(AscRet)


def test_the_meanings_are_sentences_and_cannot_be_changed() -> None:
    for text in (*ASC_REQ_MEANINGS.values(), *ASC_RET_MEANINGS.values()):
        assert text.endswith(".")
    with pytest.raises(TypeError):
        ASC_REQ_MEANINGS[AscReq.DELEGATE] = "another"  # type: ignore[index]
    with pytest.raises(TypeError):
        ASC_RET_MEANINGS[AscRet.DELEGATE] = "another"  # type: ignore[index]


def test_the_bits_of_requested_flags_are_those_of_sspi_h() -> None:
    assert sum(AscReq) == 0x1_15FF_BF7F
    assert len(AscReq) == 26


def test_the_bits_of_returned_flags_are_those_of_sspi_h() -> None:
    assert sum(AscRet) == 0x1_03FF_EF7F
    assert len(AscRet) == 25


def test_flags_that_stand_at_other_bits_in_requests_and_returns_are_not_mixed_up() -> None:
    assert (AscReq.CALL_LEVEL.value, AscRet.CALL_LEVEL.value) == (0x1000, 0x2000)
    assert (AscReq.FRAGMENT_SUPPLIED.value, AscRet.THIRD_LEG_FAILED.value) == (0x2000, 0x4000)
    assert (AscReq.EXTENDED_ERROR.value, AscRet.EXTENDED_ERROR.value) == (0x8000, 0x8000)
    assert (AscReq.INTEGRITY.value, AscRet.INTEGRITY.value) == (0x20000, 0x20000)
    assert (AscReq.MESSAGES.value, AscRet.MESSAGES.value) == (0x1_0000_0000, 0x1_0000_0000)


def test_a_bit_with_two_names_is_one_flag() -> None:
    assert AscReq["HTTP"] is AscReq["ALLOW_MISSING_BINDINGS"]


def test_flags_that_both_sets_name_alike_stand_at_the_same_bit_but_call_level() -> None:
    shared = AscReq.__members__.keys() & AscRet.__members__.keys()
    moved = {name for name in shared if AscReq[name].value != AscRet[name].value}

    assert len(shared) == 19
    assert moved == {"CALL_LEVEL"}


def test_credential_uses_and_byte_orders_are_those_of_sspi_h() -> None:
    assert (CredentialUse.INBOUND | CredentialUse.OUTBOUND) is CredentialUse["BOTH"]
    assert {name: use.value for name, use in CredentialUse.__members__.items()} == {
        "INBOUND": 1,
        "OUTBOUND": 2,
        "BOTH": 3,
        "DEFAULT": 4,
        "AUTOLOGON_RESTRICTED": 0x10,
        "PROCESS_POLICY_ONLY": 0x20,
    }
    assert {order.name: order.value for order in DataRepresentation} == {
        "NETWORK": 0,
        "NATIVE": 0x10,
    }


@pytest.mark.parametrize(
    ("flag", "expected"),
    [
        (1, AscRet.DELEGATE),
        (2, AscRet.MUTUAL_AUTH),
        (4, AscRet.REPLAY_DETECT),
        (8, AscRet.SEQUENCE_DETECT),
        (16, AscRet.CONFIDENTIALITY),
        (32, AscRet.INTEGRITY),
        (64, AscRet.NULL_SESSION),
        (128, AscRet(0)),  # PROT_READY
        (256, AscRet(0)),  # TRANS
        (0x800, AscRet(0)),  # CHANNEL_BOUND
        (0x1000, AscRet.USED_DCE_STYLE),
        (0x2000, AscRet.IDENTIFY),
        (0x4000, AscRet.EXTENDED_ERROR),
        (0x8000, AscRet(0)),  # DELEG_POLICY
    ],
)
def test_a_gss_flag_becomes_its_twin_or_nothing(flag: int, expected: AscRet) -> None:
    assert asc_ret_from_gss(flag) == expected


def test_the_usual_flags_of_a_browser_are_translated_together() -> None:
    usual = 2 | 4 | 8 | 16 | 32 | 128 | 256

    assert asc_ret_from_gss(usual) == (
        AscRet.MUTUAL_AUTH
        | AscRet.REPLAY_DETECT
        | AscRet.SEQUENCE_DETECT
        | AscRet.CONFIDENTIALITY
        | AscRet.INTEGRITY
    )


@given(st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1))
def test_translation_takes_any_flags_bit_by_bit_and_never_gives_an_unknown_one(
    left: int, right: int
) -> None:
    both = asc_ret_from_gss(left | right)

    assert both == asc_ret_from_gss(left) | asc_ret_from_gss(right)
    assert both & ~ALL_ASC_RET == 0
    assert isinstance(both, AscRet)
