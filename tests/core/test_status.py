"""The status codes and their translations, against winerror.h, RFC 2744, RFC 4120 and krb5.h."""

from __future__ import annotations

import copy
import pickle

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from authsrv.core.status import (
    GSSCode,
    SecurityStatus,
    StatusReport,
    WindowsCode,
    from_gss,
    from_kerberos,
    from_windows,
)

S = SecurityStatus

# winerror.h; SEC_ is left out of the names.
WINERROR = """
    E_OK=00000000 I_CONTINUE_NEEDED=00090312 I_COMPLETE_NEEDED=00090313
    I_COMPLETE_AND_CONTINUE=00090314 I_LOCAL_LOGON=00090315 I_GENERIC_EXTENSION_RECEIVED=00090316
    I_CONTEXT_EXPIRED=00090317 I_INCOMPLETE_CREDENTIALS=00090320 I_RENEGOTIATE=00090321
    I_NO_LSA_CONTEXT=00090323 I_SIGNATURE_NEEDED=0009035C I_NO_RENEGOTIATION=00090360
    I_MESSAGE_FRAGMENT=00090364 I_CONTINUE_NEEDED_MESSAGE_OK=00090366
    I_ASYNC_CALL_PENDING=00090368 E_INSUFFICIENT_MEMORY=80090300 E_INVALID_HANDLE=80090301
    E_UNSUPPORTED_FUNCTION=80090302 E_TARGET_UNKNOWN=80090303 E_INTERNAL_ERROR=80090304
    E_SECPKG_NOT_FOUND=80090305 E_NOT_OWNER=80090306 E_CANNOT_INSTALL=80090307
    E_INVALID_TOKEN=80090308 E_CANNOT_PACK=80090309 E_QOP_NOT_SUPPORTED=8009030A
    E_NO_IMPERSONATION=8009030B E_LOGON_DENIED=8009030C E_UNKNOWN_CREDENTIALS=8009030D
    E_NO_CREDENTIALS=8009030E E_MESSAGE_ALTERED=8009030F E_OUT_OF_SEQUENCE=80090310
    E_NO_AUTHENTICATING_AUTHORITY=80090311 E_BAD_PKGID=80090316 E_CONTEXT_EXPIRED=80090317
    E_INCOMPLETE_MESSAGE=80090318 E_INCOMPLETE_CREDENTIALS=80090320 E_BUFFER_TOO_SMALL=80090321
    E_WRONG_PRINCIPAL=80090322 E_TIME_SKEW=80090324 E_UNTRUSTED_ROOT=80090325
    E_ILLEGAL_MESSAGE=80090326 E_CERT_UNKNOWN=80090327 E_CERT_EXPIRED=80090328
    E_ENCRYPT_FAILURE=80090329 E_DECRYPT_FAILURE=80090330 E_ALGORITHM_MISMATCH=80090331
    E_SECURITY_QOS_FAILED=80090332 E_UNFINISHED_CONTEXT_DELETED=80090333 E_NO_TGT_REPLY=80090334
    E_NO_IP_ADDRESSES=80090335 E_WRONG_CREDENTIAL_HANDLE=80090336 E_CRYPTO_SYSTEM_INVALID=80090337
    E_MAX_REFERRALS_EXCEEDED=80090338 E_MUST_BE_KDC=80090339
    E_STRONG_CRYPTO_NOT_SUPPORTED=8009033A E_TOO_MANY_PRINCIPALS=8009033B E_NO_PA_DATA=8009033C
    E_PKINIT_NAME_MISMATCH=8009033D E_SMARTCARD_LOGON_REQUIRED=8009033E
    E_SHUTDOWN_IN_PROGRESS=8009033F E_KDC_INVALID_REQUEST=80090340 E_KDC_UNABLE_TO_REFER=80090341
    E_KDC_UNKNOWN_ETYPE=80090342 E_UNSUPPORTED_PREAUTH=80090343 E_DELEGATION_REQUIRED=80090345
    E_BAD_BINDINGS=80090346 E_MULTIPLE_ACCOUNTS=80090347 E_NO_KERB_KEY=80090348
    E_CERT_WRONG_USAGE=80090349 E_DOWNGRADE_DETECTED=80090350 E_SMARTCARD_CERT_REVOKED=80090351
    E_ISSUING_CA_UNTRUSTED=80090352 E_REVOCATION_OFFLINE_C=80090353
    E_PKINIT_CLIENT_FAILURE=80090354 E_SMARTCARD_CERT_EXPIRED=80090355
    E_NO_S4U_PROT_SUPPORT=80090356 E_CROSSREALM_DELEGATION_FAILURE=80090357
    E_REVOCATION_OFFLINE_KDC=80090358 E_ISSUING_CA_UNTRUSTED_KDC=80090359
    E_KDC_CERT_EXPIRED=8009035A E_KDC_CERT_REVOKED=8009035B E_INVALID_PARAMETER=8009035D
    E_DELEGATION_POLICY=8009035E E_POLICY_NLTM_ONLY=8009035F E_NO_CONTEXT=80090361
    E_PKU2U_CERT_FAILURE=80090362 E_MUTUAL_AUTH_FAILED=80090363 E_ONLY_HTTPS_ALLOWED=80090365
    E_APPLICATION_PROTOCOL_MISMATCH=80090367 E_INVALID_UPN_NAME=80090369
    E_EXT_BUFFER_TOO_SMALL=8009036A E_INSUFFICIENT_BUFFERS=8009036B
"""

KRB5_BASE = -1765328384  # krb5.h: ERROR_TABLE_BASE_krb5
FAILURE = 13 << 16

# RFC 2744 section 3.9.1.
GSS_NAMES = {
    "GSS_S_COMPLETE": 0,
    "GSS_S_CONTINUE_NEEDED": 1,
    "GSS_S_UNSEQ_TOKEN": 8,
    "GSS_S_BAD_MECH": 1 << 16,
    "GSS_S_BAD_NAME": 2 << 16,
    "GSS_S_BAD_BINDINGS": 4 << 16,
    "GSS_S_BAD_MIC": 6 << 16,
    "GSS_S_NO_CRED": 7 << 16,
    "GSS_S_NO_CONTEXT": 8 << 16,
    "GSS_S_DEFECTIVE_TOKEN": 9 << 16,
    "GSS_S_DEFECTIVE_CREDENTIAL": 10 << 16,
    "GSS_S_CONTEXT_EXPIRED": 12 << 16,
    "GSS_S_FAILURE": 13 << 16,
    "GSS_S_BAD_QOP": 14 << 16,
    "GSS_S_UNAUTHORIZED": 15 << 16,
    "GSS_S_UNAVAILABLE": 16 << 16,
}

# krb5.h, as it prints them.
KRB5_NAMES = {
    "KRB5KDC_ERR_ETYPE_NOSUPP": -1765328370,
    "KRB5KRB_AP_ERR_NOT_US": -1765328349,
    "KRB5KRB_AP_ERR_SKEW": -1765328347,
    "KRB5KRB_AP_ERR_NOKEY": -1765328339,
    "KRB5KRB_AP_ERR_MUT_FAIL": -1765328338,
    "KRB5KRB_AP_ERR_NO_TGT": -1765328317,
    "KRB5_KDC_UNREACH": -1765328228,
}

codes_of_32_bits = st.integers(-(2**31), 2**32 - 1)
codes_beyond_32_bits = st.one_of(st.integers(max_value=-(2**31) - 1), st.integers(min_value=2**32))


def test_every_code_of_winerror_is_a_member_with_its_value() -> None:
    rows = dict(row.split("=") for row in WINERROR.split())

    assert {f"SEC_{name}": int(value, 16) for name, value in rows.items()} == {
        status.name: status.value for status in S
    }


def test_no_member_is_an_alias_of_another() -> None:
    assert len(S.__members__) == len(list(S)) == 93


@pytest.mark.parametrize("status", S, ids=lambda status: status.name)
def test_every_status_explains_itself_in_one_sentence(status: SecurityStatus) -> None:
    assert status.meaning.endswith(".")
    assert len(status.meaning.split()) >= 3
    assert "\n" not in status.meaning
    assert status.__doc__ == status.meaning


def test_no_two_statuses_have_the_same_meaning() -> None:
    assert len({status.meaning for status in S}) == len(S)


@pytest.mark.parametrize(
    ("status", "printed", "signed", "is_failure"),
    [
        (S.SEC_E_OK, "0x00000000", 0, False),
        (S.SEC_I_CONTINUE_NEEDED, "0x00090312", 590610, False),
        (S.SEC_E_INVALID_TOKEN, "0x80090308", -2146893048, True),
        (S.SEC_E_LOGON_DENIED, "0x8009030C", -2146893044, True),
        (S.SEC_E_INVALID_HANDLE, "0x80090301", -2146893055, True),
    ],
)
def test_a_status_prints_as_documentation_and_python_print_it(
    status: SecurityStatus, printed: str, signed: int, is_failure: bool
) -> None:
    assert (status.hex, status.signed, status.is_failure) == (printed, signed, is_failure)


@pytest.mark.parametrize("status", S, ids=lambda status: status.name)
def test_names_with_e_fail_and_names_with_i_do_not(status: SecurityStatus) -> None:
    expected = status.name.startswith("SEC_E_") and status is not S.SEC_E_OK

    assert status.is_failure is expected
    assert (status.signed < 0) is expected


def test_a_status_survives_copying_and_pickling() -> None:
    for status in S:
        assert copy.deepcopy(status) is status
        assert pickle.loads(pickle.dumps(status)) is status


@pytest.mark.parametrize("status", S, ids=lambda status: status.name)
def test_from_windows_knows_every_status_signed_and_unsigned(status: SecurityStatus) -> None:
    report = StatusReport(status, WindowsCode(status.value))

    assert from_windows(status.value) == from_windows(status.signed) == report


@pytest.mark.parametrize(
    ("code", "status"),
    [
        (0xC000006D, S.SEC_E_LOGON_DENIED),  # STATUS_LOGON_FAILURE
        (-1073741715, S.SEC_E_LOGON_DENIED),
        (0x80100003, S.SEC_E_INVALID_HANDLE),  # the misprint
        (0x80070005, S.SEC_E_INTERNAL_ERROR),  # E_ACCESSDENIED
        (1, S.SEC_E_INTERNAL_ERROR),  # S_FALSE: a success, and none of SSPI's
        (0xFFFFFFFF, S.SEC_E_INTERNAL_ERROR),
        (-1, S.SEC_E_INTERNAL_ERROR),
    ],
)
def test_from_windows_keeps_the_code_that_it_translates(code: int, status: S) -> None:
    assert from_windows(code) == StatusReport(status, WindowsCode(code & 0xFFFFFFFF))


@given(codes_of_32_bits)
@example(-(2**31))
@example(2**32 - 1)
def test_from_windows_takes_every_code_of_32_bits_and_never_invents_a_success(code: int) -> None:
    report = from_windows(code)

    assert report.native == WindowsCode(code % 2**32)
    assert report.status.is_failure or report.status == code


@given(codes_beyond_32_bits)
@example(-(2**31) - 1)
@example(2**32)
def test_a_code_beyond_32_bits_is_refused(code: int) -> None:
    with pytest.raises(ValueError, match="32 bits"):
        from_windows(code)
    with pytest.raises(ValueError, match="32 bits"):
        from_gss(code, 0)
    with pytest.raises(ValueError, match="32 bits"):
        from_gss(0, code)


def test_every_status_with_a_twin_comes_back_from_it() -> None:
    for status in S:
        if status.gss_twin is None:
            continue
        if status.gss_twin in GSS_NAMES:
            report = from_gss(GSS_NAMES[status.gss_twin], 0)
        else:
            report = from_gss(FAILURE, KRB5_NAMES[status.gss_twin])
        assert report.status is status


@pytest.mark.parametrize(
    ("routine", "status"),
    [
        (1, S.SEC_E_SECPKG_NOT_FOUND),
        (2, S.SEC_E_TARGET_UNKNOWN),
        (3, S.SEC_E_TARGET_UNKNOWN),
        (4, S.SEC_E_BAD_BINDINGS),
        (5, S.SEC_E_INVALID_PARAMETER),
        (6, S.SEC_E_MESSAGE_ALTERED),
        (7, S.SEC_E_NO_CREDENTIALS),
        (8, S.SEC_E_INVALID_HANDLE),
        (9, S.SEC_E_INVALID_TOKEN),
        (10, S.SEC_E_UNKNOWN_CREDENTIALS),
        (11, S.SEC_E_NO_CREDENTIALS),
        (12, S.SEC_E_CONTEXT_EXPIRED),
        (13, S.SEC_E_INTERNAL_ERROR),
        (14, S.SEC_E_QOP_NOT_SUPPORTED),
        (15, S.SEC_E_LOGON_DENIED),
        (16, S.SEC_E_UNSUPPORTED_FUNCTION),
        (17, S.SEC_E_INTERNAL_ERROR),
        (18, S.SEC_E_TARGET_UNKNOWN),
        (19, S.SEC_E_INTERNAL_ERROR),
        (255, S.SEC_E_INTERNAL_ERROR),
    ],
)
def test_a_routine_error_wins_over_supplementary_bits(routine: int, status: S) -> None:
    assert from_gss(routine << 16, 0).status is status
    assert from_gss(routine << 16 | 0x1F, 0).status is status


@pytest.mark.parametrize(
    ("calling", "status"),
    [
        (1, S.SEC_E_INVALID_PARAMETER),
        (2, S.SEC_E_INVALID_PARAMETER),
        (3, S.SEC_E_INVALID_PARAMETER),
        (4, S.SEC_E_INTERNAL_ERROR),
        (255, S.SEC_E_INTERNAL_ERROR),
    ],
)
def test_a_calling_error_wins_over_a_routine_error(calling: int, status: S) -> None:
    assert from_gss(calling << 24, 0).status is status
    assert from_gss(calling << 24 | 9 << 16 | 1, 0).status is status


@pytest.mark.parametrize(
    ("bits", "status"),
    [
        (0x00, S.SEC_E_OK),
        (0x01, S.SEC_I_CONTINUE_NEEDED),
        (0x02, S.SEC_E_LOGON_DENIED),
        (0x03, S.SEC_E_LOGON_DENIED),  # a replay is no leg of a handshake
        (0x04, S.SEC_E_CONTEXT_EXPIRED),
        (0x08, S.SEC_E_OUT_OF_SEQUENCE),
        (0x10, S.SEC_E_OUT_OF_SEQUENCE),
        (0x11, S.SEC_E_OUT_OF_SEQUENCE),
        (0x20, S.SEC_E_INTERNAL_ERROR),  # not assigned
        (0x21, S.SEC_E_INTERNAL_ERROR),
    ],
)
def test_supplementary_bits_count_where_there_is_no_error(bits: int, status: S) -> None:
    assert from_gss(bits, 0).status is status


def test_the_minor_code_of_a_success_is_not_an_error() -> None:
    assert from_gss(0, KRB5_BASE + 37) == StatusReport(S.SEC_E_OK, GSSCode(0, 0x96C73A25))


@pytest.mark.parametrize(
    ("code", "status"),
    [
        (14, S.SEC_E_KDC_UNKNOWN_ETYPE),
        (24, S.SEC_E_LOGON_DENIED),
        (29, S.SEC_E_NO_AUTHENTICATING_AUTHORITY),
        (31, S.SEC_E_MESSAGE_ALTERED),
        (32, S.SEC_E_CONTEXT_EXPIRED),
        (33, S.SEC_E_CONTEXT_EXPIRED),
        (34, S.SEC_E_LOGON_DENIED),
        (35, S.SEC_E_WRONG_PRINCIPAL),
        (36, S.SEC_E_WRONG_PRINCIPAL),
        (37, S.SEC_E_TIME_SKEW),
        (38, S.SEC_E_LOGON_DENIED),
        (39, S.SEC_E_INVALID_TOKEN),
        (40, S.SEC_E_INVALID_TOKEN),
        (41, S.SEC_E_MESSAGE_ALTERED),
        (44, S.SEC_E_NO_KERB_KEY),
        (45, S.SEC_E_NO_KERB_KEY),
        (46, S.SEC_E_MUTUAL_AUTH_FAILED),
        (60, S.SEC_E_INTERNAL_ERROR),  # KRB_ERR_GENERIC
        (61, S.SEC_E_INVALID_TOKEN),
    ],
)
def test_a_protocol_error_is_the_same_in_a_message_and_in_a_minor_code(
    code: int, status: S
) -> None:
    assert from_kerberos(code) is status
    assert from_gss(FAILURE, KRB5_BASE + code).status is status
    assert from_gss(FAILURE, 0x96C73A00 + code).status is status


@given(st.integers())
@example(0)
@example(127)
def test_from_kerberos_takes_any_number_and_never_answers_a_success(code: int) -> None:
    status = from_kerberos(code)

    assert status.is_failure
    assert 0 < code < 128 or status is S.SEC_E_INTERNAL_ERROR


@pytest.mark.parametrize(
    ("minor", "status"),
    [
        (-1765328240, S.SEC_E_WRONG_PRINCIPAL),  # KRB5KRB_AP_WRONG_PRINC
        (-1765328228, S.SEC_E_NO_AUTHENTICATING_AUTHORITY),  # KRB5_KDC_UNREACH
        (-1765328164, S.SEC_E_NO_AUTHENTICATING_AUTHORITY),  # KRB5_REALM_CANT_RESOLVE
        (-1765328203, S.SEC_E_NO_KERB_KEY),  # KRB5_KT_NOTFOUND
        (-1765328154, S.SEC_E_NO_KERB_KEY),  # KRB5_KT_KVNONOTFOUND
        (-1765328200, S.SEC_E_NO_CREDENTIALS),  # KRB5_KT_IOERR
        (-1765328149, S.SEC_E_NO_CREDENTIALS),  # KRB5_KT_FORMAT
        (-1765328171, S.SEC_E_NO_CREDENTIALS),  # KRB5_KEYTAB_BADVNO
        (-1765328148, S.SEC_E_KDC_UNKNOWN_ETYPE),  # KRB5_NOPERM_ETYPE
        (-1765328196, S.SEC_E_KDC_UNKNOWN_ETYPE),  # KRB5_BAD_ENCTYPE
        (-1765328221, S.SEC_E_LOGON_DENIED),  # KRB5_RC_REPLAY
        (-1765328220, S.SEC_E_INSUFFICIENT_MEMORY),  # KRB5_RC_IO
        (-1765328212, S.SEC_E_INSUFFICIENT_MEMORY),  # KRB5_RC_IO_SPACE
        (-1765328169, S.SEC_E_INSUFFICIENT_MEMORY),  # KRB5_RC_REQUIRED
        (-1765328246, S.SEC_E_INVALID_TOKEN),  # KRB5_BADMSGTYPE
        (-1765328256, S.SEC_E_INTERNAL_ERROR),  # KRB5_ERR_RCSID, the library's first
        (-1765328128, S.SEC_E_INTERNAL_ERROR),  # past the table
        (KRB5_BASE, S.SEC_E_INTERNAL_ERROR),  # "no error", with a failure
        (KRB5_BASE - 1, S.SEC_E_INTERNAL_ERROR),
        (0, S.SEC_E_INTERNAL_ERROR),
        (100001, S.SEC_E_INTERNAL_ERROR),  # a number that the mechglue handed out
    ],
)
def test_a_failure_is_refined_by_the_minor_code_of_the_krb5_library(minor: int, status: S) -> None:
    assert from_gss(FAILURE, minor) == StatusReport(status, GSSCode(FAILURE, minor % 2**32))


def test_only_a_failure_is_refined_by_the_minor_code() -> None:
    assert from_gss(9 << 16, KRB5_BASE + 37).status is S.SEC_E_INVALID_TOKEN


@given(codes_of_32_bits, codes_of_32_bits)
@example(FAILURE, KRB5_BASE)
@example(-(2**31), -(2**31))
def test_from_gss_takes_every_pair_and_never_invents_a_success(major: int, minor: int) -> None:
    report = from_gss(major, minor)

    assert report.native == GSSCode(major % 2**32, minor % 2**32)
    assert (report.status is S.SEC_E_OK) is (major == 0)
    assert (report.status is S.SEC_I_CONTINUE_NEEDED) is (major == 1)
    assert report.status.is_failure or major in {0, 1}


@given(st.integers(0, 2**16 - 1), codes_of_32_bits)
def test_from_gss_lets_no_unknown_supplementary_bit_pass(bits: int, minor: int) -> None:
    assert from_gss(bits, minor).status.is_failure is (bits not in {0, 1})


def test_native_codes_print_for_the_log() -> None:
    assert str(WindowsCode(0x8009030C)) == "0x8009030C"
    assert str(WindowsCode(0)) == "0x00000000"
    assert str(GSSCode(0xD0000, 0x96C73A25)) == "GSS major 0xd0000, minor 0x96c73a25"
