"""SecurityStatus: the status codes of SSPI, and what foreign codes are in their terms.

authsrv names every outcome by one vocabulary, that of SSPI. The functions here translate into it:
``from_windows`` an HRESULT, ``from_gss`` the major and minor code of a GSS-API call, and
``from_kerberos`` the error code inside a KRB-ERROR. The code as it was given stays beside the
translation, as a ``NativeCode``, because the translation loses detail.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self, TypeAlias

__all__ = [
    "GSSCode",
    "NativeCode",
    "SecurityStatus",
    "StatusReport",
    "WindowsCode",
    "from_gss",
    "from_kerberos",
    "from_windows",
]


class SecurityStatus(enum.IntEnum):
    """What an SSPI call answered; the value is the HRESULT as an unsigned 32-bit number.

    Attributes:
        meaning: What the code says, one English sentence; also the docstring of the member.
        gss_twin: The name of the GSS-API or Kerberos code nearest to it, None if there is none.
    """

    meaning: str
    gss_twin: str | None

    def __new__(cls, value: int, meaning: str = "", gss_twin: str | None = None) -> Self:
        """Make a member from its row; callers look members up by value alone."""
        member = int.__new__(cls, value)
        member._value_ = value
        member.meaning = meaning
        member.gss_twin = gss_twin
        member.__doc__ = meaning
        return member

    # A table: one row a code, in the order of the values; numbers and names are winerror.h's.
    # fmt: off
    SEC_E_OK = 0x00000000, "The context is accepted.", "GSS_S_COMPLETE"
    SEC_I_CONTINUE_NEEDED = (
        0x00090312, "Send the output token, await the reply, call again.", "GSS_S_CONTINUE_NEEDED")
    SEC_I_COMPLETE_NEEDED = 0x00090313, "Call CompleteAuthToken, then send the output token."
    SEC_I_COMPLETE_AND_CONTINUE = 0x00090314, "Call CompleteAuthToken, then as CONTINUE_NEEDED."
    SEC_I_LOCAL_LOGON = 0x00090315, "The logon was made from cached data, without the network."
    SEC_I_GENERIC_EXTENSION_RECEIVED = 0x00090316, "A TLS extension arrived that was subscribed to."
    SEC_I_CONTEXT_EXPIRED = 0x00090317, "The peer ended the TLS session; no more data will come."
    SEC_I_INCOMPLETE_CREDENTIALS = 0x00090320, "The TLS server asks for a client certificate."
    SEC_I_RENEGOTIATE = 0x00090321, "The peer wants a new TLS handshake on the open connection."
    SEC_I_NO_LSA_CONTEXT = 0x00090323, "The context has no counterpart in the LSA process."
    SEC_I_SIGNATURE_NEEDED = 0x0009035C, "The application must make a signature, then call again."
    SEC_I_NO_RENEGOTIATION = 0x00090360, "The peer refused to renegotiate the TLS session."
    SEC_I_MESSAGE_FRAGMENT = 0x00090364, "The output is one fragment; call again for the next."
    SEC_I_CONTINUE_NEEDED_MESSAGE_OK = 0x00090366, "Continue; messages may already be protected."
    SEC_I_ASYNC_CALL_PENDING = 0x00090368, "The asynchronous call is still running."
    SEC_E_INSUFFICIENT_MEMORY = 0x80090300, "There is not enough memory or other room."
    SEC_E_INVALID_HANDLE = 0x80090301, "There is no such credential or context.", "GSS_S_NO_CONTEXT"
    SEC_E_UNSUPPORTED_FUNCTION = (
        0x80090302, "The provider does not offer the function or flag.", "GSS_S_UNAVAILABLE")
    SEC_E_TARGET_UNKNOWN = 0x80090303, "The target's name is unknown or bad.", "GSS_S_BAD_NAME"
    SEC_E_INTERNAL_ERROR = 0x80090304, "An error that no SSPI code describes.", "GSS_S_FAILURE"
    SEC_E_SECPKG_NOT_FOUND = 0x80090305, "There is no such package or mechanism.", "GSS_S_BAD_MECH"
    SEC_E_NOT_OWNER = 0x80090306, "The caller does not own the credentials it named."
    SEC_E_CANNOT_INSTALL = 0x80090307, "The provider failed to start and is not installed."
    SEC_E_INVALID_TOKEN = (
        0x80090308, "The token is malformed or is for another package.", "GSS_S_DEFECTIVE_TOKEN")
    SEC_E_CANNOT_PACK = 0x80090309, "The provider cannot serialise the context."
    SEC_E_QOP_NOT_SUPPORTED = 0x8009030A, "This quality of protection is missing.", "GSS_S_BAD_QOP"
    SEC_E_NO_IMPERSONATION = 0x8009030B, "The context does not let the server act as the client."
    SEC_E_LOGON_DENIED = 0x8009030C, "The logon was refused.", "GSS_S_UNAUTHORIZED"
    SEC_E_UNKNOWN_CREDENTIALS = (
        0x8009030D, "The provider rejects the credentials given.", "GSS_S_DEFECTIVE_CREDENTIAL")
    SEC_E_NO_CREDENTIALS = 0x8009030E, "There are no usable credentials.", "GSS_S_NO_CRED"
    SEC_E_MESSAGE_ALTERED = 0x8009030F, "The message's checksum does not match.", "GSS_S_BAD_MIC"
    SEC_E_OUT_OF_SEQUENCE = 0x80090310, "A call or message is out of order.", "GSS_S_UNSEQ_TOKEN"
    SEC_E_NO_AUTHENTICATING_AUTHORITY = (
        0x80090311, "No domain controller or KDC could be asked.", "KRB5_KDC_UNREACH")
    SEC_E_BAD_PKGID = 0x80090316, "There is no provider with this identifier."
    SEC_E_CONTEXT_EXPIRED = 0x80090317, "The context or ticket is too old.", "GSS_S_CONTEXT_EXPIRED"
    SEC_E_INCOMPLETE_MESSAGE = 0x80090318, "The input is incomplete; read more and call again."
    SEC_E_INCOMPLETE_CREDENTIALS = 0x80090320, "The credentials lack a part that is needed."
    SEC_E_BUFFER_TOO_SMALL = 0x80090321, "An output buffer is too small for the result."
    SEC_E_WRONG_PRINCIPAL = (
        0x80090322, "The ticket or target names another principal.", "KRB5KRB_AP_ERR_NOT_US")
    SEC_E_TIME_SKEW = 0x80090324, "The clocks differ by more than allowed.", "KRB5KRB_AP_ERR_SKEW"
    SEC_E_UNTRUSTED_ROOT = 0x80090325, "The certificate chain ends in a root that is not trusted."
    SEC_E_ILLEGAL_MESSAGE = 0x80090326, "The TLS message was unexpected or badly formatted."
    SEC_E_CERT_UNKNOWN = 0x80090327, "The certificate could not be processed."
    SEC_E_CERT_EXPIRED = 0x80090328, "The certificate has expired."
    SEC_E_ENCRYPT_FAILURE = 0x80090329, "The data could not be encrypted."
    SEC_E_DECRYPT_FAILURE = 0x80090330, "The data could not be decrypted."
    SEC_E_ALGORITHM_MISMATCH = 0x80090331, "Client and server have no algorithm in common."
    SEC_E_SECURITY_QOS_FAILED = 0x80090332, "The quality of service asked for cannot be had."
    SEC_E_UNFINISHED_CONTEXT_DELETED = 0x80090333, "The context was deleted before it was complete."
    SEC_E_NO_TGT_REPLY = (
        0x80090334, "The peer sent no TGT for user-to-user.", "KRB5KRB_AP_ERR_NO_TGT")
    SEC_E_NO_IP_ADDRESSES = 0x80090335, "The machine has no IP address to ask for a ticket with."
    SEC_E_WRONG_CREDENTIAL_HANDLE = 0x80090336, "The context was begun with another credential."
    SEC_E_CRYPTO_SYSTEM_INVALID = 0x80090337, "The cryptographic system or checksum is not valid."
    SEC_E_MAX_REFERRALS_EXCEEDED = 0x80090338, "The KDCs gave more referrals than are followed."
    SEC_E_MUST_BE_KDC = 0x80090339, "Only a KDC may do this, and this machine is none."
    SEC_E_STRONG_CRYPTO_NOT_SUPPORTED = 0x8009033A, "Strong cryptography is needed and is missing."
    SEC_E_TOO_MANY_PRINCIPALS = 0x8009033B, "The KDC's reply names more than one principal."
    SEC_E_NO_PA_DATA = 0x8009033C, "The preauthentication data that would name an etype is missing."
    SEC_E_PKINIT_NAME_MISMATCH = 0x8009033D, "Client certificate and request name different users."
    SEC_E_SMARTCARD_LOGON_REQUIRED = 0x8009033E, "The account may log on by smart card only."
    SEC_E_SHUTDOWN_IN_PROGRESS = 0x8009033F, "The system is shutting down."
    SEC_E_KDC_INVALID_REQUEST = 0x80090340, "The request that the KDC received is not valid."
    SEC_E_KDC_UNABLE_TO_REFER = 0x80090341, "The KDC knows no referral for the service."
    SEC_E_KDC_UNKNOWN_ETYPE = (
        0x80090342, "The encryption type is not supported.", "KRB5KDC_ERR_ETYPE_NOSUPP")
    SEC_E_UNSUPPORTED_PREAUTH = 0x80090343, "The kind of preauthentication is not supported."
    SEC_E_DELEGATION_REQUIRED = 0x80090345, "The accounts do not allow the delegation needed."
    SEC_E_BAD_BINDINGS = 0x80090346, "The channel bindings are wrong.", "GSS_S_BAD_BINDINGS"
    SEC_E_MULTIPLE_ACCOUNTS = 0x80090347, "The certificate belongs to more than one account."
    SEC_E_NO_KERB_KEY = (
        0x80090348, "There is no Kerberos key to open the ticket with.", "KRB5KRB_AP_ERR_NOKEY")
    SEC_E_CERT_WRONG_USAGE = 0x80090349, "The certificate is not meant for this usage."
    SEC_E_DOWNGRADE_DETECTED = 0x80090350, "Somebody may be forcing weaker security on both sides."
    SEC_E_SMARTCARD_CERT_REVOKED = 0x80090351, "The smart card's certificate has been revoked."
    SEC_E_ISSUING_CA_UNTRUSTED = 0x80090352, "The smart card's certificate has an untrusted issuer."
    SEC_E_REVOCATION_OFFLINE_C = 0x80090353, "The smart card certificate's revocation is unknown."
    SEC_E_PKINIT_CLIENT_FAILURE = 0x80090354, "The smart card's certificate is not trusted."
    SEC_E_SMARTCARD_CERT_EXPIRED = 0x80090355, "The smart card's certificate has expired."
    SEC_E_NO_S4U_PROT_SUPPORT = 0x80090356, "The domain controller has no service-for-user (S4U)."
    SEC_E_CROSSREALM_DELEGATION_FAILURE = 0x80090357, "Delegation was tried to a foreign realm."
    SEC_E_REVOCATION_OFFLINE_KDC = 0x80090358, "The KDC certificate's revocation is unknown."
    SEC_E_ISSUING_CA_UNTRUSTED_KDC = 0x80090359, "The issuer of the KDC's certificate is untrusted."
    SEC_E_KDC_CERT_EXPIRED = 0x8009035A, "The domain controller's certificate has expired."
    SEC_E_KDC_CERT_REVOKED = 0x8009035B, "The domain controller's certificate has been revoked."
    SEC_E_INVALID_PARAMETER = 0x8009035D, "A parameter of the call is not valid."
    SEC_E_DELEGATION_POLICY = 0x8009035E, "Policy does not allow delegation to this target."
    SEC_E_POLICY_NLTM_ONLY = 0x8009035F, "Policy allows NTLM only, and this is no NTLM."
    SEC_E_NO_CONTEXT = 0x80090361, "There is no context for this caller to work with."
    SEC_E_PKU2U_CERT_FAILURE = 0x80090362, "The PKU2U certificate failed its validation."
    SEC_E_MUTUAL_AUTH_FAILED = (
        0x80090363, "One side did not prove who it is.", "KRB5KRB_AP_ERR_MUT_FAIL")
    SEC_E_ONLY_HTTPS_ALLOWED = 0x80090365, "The method may be used over HTTPS only."
    SEC_E_APPLICATION_PROTOCOL_MISMATCH = 0x80090367, "There is no common application protocol."
    SEC_E_INVALID_UPN_NAME = 0x80090369, "The user principal name is malformed."
    SEC_E_EXT_BUFFER_TOO_SMALL = 0x8009036A, "The buffer for a TLS extension is too small."
    SEC_E_INSUFFICIENT_BUFFERS = 0x8009036B, "The call needs more buffers than it was given."
    # fmt: on

    @property
    def hex(self) -> str:
        """How documentation prints the code: "0x80090308"."""
        return f"0x{self.value:08X}"

    @property
    def signed(self) -> int:
        """The code as a signed 32-bit number, as Python's OSError.winerror has it."""
        return self.value - 0x1_0000_0000 if self.is_failure else self.value

    @property
    def is_failure(self) -> bool:
        """Whether the high bit, the severity, says failure; a success need not be final."""
        # MS-ERREF section 2.1.
        return self.value >= 0x8000_0000


@dataclass(frozen=True, slots=True)
class WindowsCode:
    """A code as Windows gave it: HRESULT or NTSTATUS, 0 to 0xFFFFFFFF."""

    value: int

    def __str__(self) -> str:
        """Print the code as documentation prints it: 0x8009030C."""
        return f"0x{self.value:08X}"


@dataclass(frozen=True, slots=True)
class GSSCode:
    """The pair of codes that a GSS-API call gave.

    Args:
        major: The major code, 0 to 0xFFFFFFFF.
        minor: The minor code, 0 to 0xFFFFFFFF; its meaning belongs to the mechanism.
    """

    major: int
    minor: int

    def __str__(self) -> str:
        """Print both codes: GSS major 0xd0000, minor 0x96c73a25."""
        return f"GSS major {self.major:#x}, minor {self.minor:#x}"


#: A code as the provider gave it.
NativeCode: TypeAlias = WindowsCode | GSSCode


@dataclass(frozen=True, slots=True)
class StatusReport:
    """A foreign code with its translation.

    Args:
        status: The SSPI code nearest to the foreign one.
        native: The foreign code, unchanged but for being unsigned.
    """

    status: SecurityStatus
    native: NativeCode


_S = SecurityStatus

_STATUSES: Mapping[int, SecurityStatus] = {status.value: status for status in SecurityStatus} | {
    0x8010_0003: _S.SEC_E_INVALID_HANDLE,  # SCARD_E_INVALID_HANDLE, misprinted for it in the docs
    0xC000_006D: _S.SEC_E_LOGON_DENIED,  # STATUS_LOGON_FAILURE, which escapes from some packages
}

# RFC 2744 section 3.9.1, bits 24 to 31 and bits 16 to 23 of the major code.
_CALLING_ERRORS = frozenset({1, 2, 3})
_ROUTINE_ERRORS: Mapping[int, SecurityStatus] = {
    1: _S.SEC_E_SECPKG_NOT_FOUND,  # BAD_MECH
    **dict.fromkeys((2, 3, 18), _S.SEC_E_TARGET_UNKNOWN),  # BAD_NAME, BAD_NAMETYPE, NAME_NOT_MN
    4: _S.SEC_E_BAD_BINDINGS,  # BAD_BINDINGS
    5: _S.SEC_E_INVALID_PARAMETER,  # BAD_STATUS
    6: _S.SEC_E_MESSAGE_ALTERED,  # BAD_MIC
    7: _S.SEC_E_NO_CREDENTIALS,  # NO_CRED
    8: _S.SEC_E_INVALID_HANDLE,  # NO_CONTEXT
    9: _S.SEC_E_INVALID_TOKEN,  # DEFECTIVE_TOKEN
    10: _S.SEC_E_UNKNOWN_CREDENTIALS,  # DEFECTIVE_CREDENTIAL
    # RFC 2743 section 2.2.2: the acceptor's own credentials, not those of the client.
    11: _S.SEC_E_NO_CREDENTIALS,  # CREDENTIALS_EXPIRED
    12: _S.SEC_E_CONTEXT_EXPIRED,  # CONTEXT_EXPIRED
    14: _S.SEC_E_QOP_NOT_SUPPORTED,  # BAD_QOP
    15: _S.SEC_E_LOGON_DENIED,  # UNAUTHORIZED
    16: _S.SEC_E_UNSUPPORTED_FUNCTION,  # UNAVAILABLE
}
_FAILURE = 13

# RFC 2744 section 3.9.1, bits 0 to 15. Section 5.1 calls DUPLICATE and OLD fatal while a context
# is made, so these come before CONTINUE_NEEDED: a replayed token must not pass as one more leg.
_SUPPLEMENTS: Mapping[int, SecurityStatus] = {
    0x02: _S.SEC_E_LOGON_DENIED,  # DUPLICATE_TOKEN, a replay
    0x04: _S.SEC_E_CONTEXT_EXPIRED,  # OLD_TOKEN
    0x08: _S.SEC_E_OUT_OF_SEQUENCE,  # UNSEQ_TOKEN
    0x10: _S.SEC_E_OUT_OF_SEQUENCE,  # GAP_TOKEN
}
_CONTINUE_NEEDED = 0x01

# RFC 4120 section 7.5.9. A code that is not here says nothing that SSPI has a name for.
_PROTOCOL_ERRORS: Mapping[int, SecurityStatus] = {
    # KDC_ERR: C_PRINCIPAL_UNKNOWN, POLICY, CLIENT_REVOKED, PREAUTH_FAILED;
    # AP_ERR: REPEAT (a replay), BADADDR, PATH_NOT_ACCEPTED (realms on the ticket's way)
    **dict.fromkeys((6, 12, 18, 24, 34, 38, 51), _S.SEC_E_LOGON_DENIED),
    7: _S.SEC_E_TARGET_UNKNOWN,  # S_PRINCIPAL_UNKNOWN
    14: _S.SEC_E_KDC_UNKNOWN_ETYPE,  # ETYPE_NOSUPP
    29: _S.SEC_E_NO_AUTHENTICATING_AUTHORITY,  # SVC_UNAVAILABLE
    **dict.fromkeys((31, 41, 50), _S.SEC_E_MESSAGE_ALTERED),  # BAD_INTEGRITY, MODIFIED, INAPP_CKSUM
    **dict.fromkeys((32, 33), _S.SEC_E_CONTEXT_EXPIRED),  # TKT_EXPIRED, TKT_NYV (not yet valid)
    **dict.fromkeys((35, 36), _S.SEC_E_WRONG_PRINCIPAL),  # NOT_US, BADMATCH
    37: _S.SEC_E_TIME_SKEW,  # SKEW
    # BAD_PVNO, BADVERSION, MSG_TYPE, FIELD_TOOLONG
    **dict.fromkeys((3, 39, 40, 61), _S.SEC_E_INVALID_TOKEN),
    **dict.fromkeys((42, 47, 49), _S.SEC_E_OUT_OF_SEQUENCE),  # BADORDER, BADDIRECTION, BADSEQ
    **dict.fromkeys((44, 45), _S.SEC_E_NO_KERB_KEY),  # BADKEYVER, NOKEY
    46: _S.SEC_E_MUTUAL_AUTH_FAILED,  # MUT_FAIL
    67: _S.SEC_E_NO_TGT_REPLY,  # NO_TGT
}

# krb5.h: the table of the krb5 library starts with the protocol's codes and goes on with its own.
_KRB5_BASE = 0x96C7_3A00
_LIBRARY_BASE = 128
_LIBRARY_ERRORS: Mapping[int, SecurityStatus] = {
    **dict.fromkeys((138, 143), _S.SEC_E_INVALID_TOKEN),  # BADMSGTYPE, NO_TKT_SUPPLIED
    144: _S.SEC_E_WRONG_PRINCIPAL,  # WRONG_PRINC
    **dict.fromkeys((145, 163), _S.SEC_E_LOGON_DENIED),  # TKT_INVALID, RC_REPLAY
    # PROG_ETYPE_NOSUPP, BAD_ENCTYPE, NOPERM_ETYPE
    **dict.fromkeys((150, 188, 236), _S.SEC_E_KDC_UNKNOWN_ETYPE),
    # KDC_UNREACH, REALM_CANT_RESOLVE
    **dict.fromkeys((156, 220), _S.SEC_E_NO_AUTHENTICATING_AUTHORITY),
    # RC_*: a replay cache that cannot be used is our trouble; the client is not refused for it.
    **dict.fromkeys((160, 162, *range(164, 173), 215), _S.SEC_E_INSUFFICIENT_MEMORY),
    # Nor for a keytab that cannot be read: BADNAME, UNKNOWN_TYPE, IOERR, BADVNO, TOOLONG, FORMAT.
    **dict.fromkeys((179, 180, 184, 213, 229, 235), _S.SEC_E_NO_CREDENTIALS),
    **dict.fromkeys((181, 230), _S.SEC_E_NO_KERB_KEY),  # KT_NOTFOUND, KT_KVNONOTFOUND
}


def from_windows(code: int) -> StatusReport:
    """Translate an HRESULT or NTSTATUS.

    Args:
        code: The code, signed or unsigned, -0x80000000 to 0xFFFFFFFF.

    Returns:
        The status with the unsigned code; SEC_E_INTERNAL_ERROR for a code that is not SSPI's.

    Raises:
        ValueError: The code does not fit in 32 bits.
    """
    value = _unsigned(code)
    status = _STATUSES.get(value, _S.SEC_E_INTERNAL_ERROR)
    return StatusReport(status, WindowsCode(value))


def from_gss(major: int, minor: int) -> StatusReport:
    """Translate the codes of a GSS-API call.

    Args:
        major: The major code, signed or unsigned, -0x80000000 to 0xFFFFFFFF.
        minor: The minor code, likewise; read only where the major code is GSS_S_FAILURE.

    Returns:
        The status with the unsigned pair; SEC_E_INTERNAL_ERROR for codes that are unknown, and
        SEC_E_OK for a major code of 0 alone.

    Raises:
        ValueError: A code does not fit in 32 bits.
    """
    native = GSSCode(_unsigned(major), _unsigned(minor))
    return StatusReport(_translate_gss(native), native)


def from_kerberos(code: int) -> SecurityStatus:
    """Translate the error code of a KRB-ERROR message.

    Args:
        code: The error code as it stands in the message; any number, untrusted.

    Returns:
        The status, never a success: SEC_E_INTERNAL_ERROR for unknown codes and for 0, too.
    """
    # MIT's mechglue replaces the minor codes of mechanisms by small numbers that it hands out in
    # the order of their appearance. There, the KRB-ERROR in the output token is the better witness.
    return _PROTOCOL_ERRORS.get(code, _S.SEC_E_INTERNAL_ERROR)


def _unsigned(code: int) -> int:
    if not -0x8000_0000 <= code <= 0xFFFF_FFFF:
        raise ValueError(f"a code of 32 bits was expected, not {code}")
    return code & 0xFFFF_FFFF


def _translate_gss(native: GSSCode) -> SecurityStatus:
    calling, routine = native.major >> 24, native.major >> 16 & 0xFF
    if calling:
        known = calling in _CALLING_ERRORS
        return _S.SEC_E_INVALID_PARAMETER if known else _S.SEC_E_INTERNAL_ERROR
    if routine == _FAILURE:
        return _translate_minor(native.minor)
    if routine:
        return _ROUTINE_ERRORS.get(routine, _S.SEC_E_INTERNAL_ERROR)
    return _translate_supplement(native.major)


def _translate_supplement(bits: int) -> SecurityStatus:
    for bit, status in _SUPPLEMENTS.items():
        if bits & bit:
            return status
    if bits == _CONTINUE_NEEDED:
        return _S.SEC_I_CONTINUE_NEEDED
    return _S.SEC_E_INTERNAL_ERROR if bits else _S.SEC_E_OK


def _translate_minor(minor: int) -> SecurityStatus:
    offset = minor - _KRB5_BASE
    if offset < _LIBRARY_BASE:
        return from_kerberos(offset)
    return _LIBRARY_ERRORS.get(offset, _S.SEC_E_INTERNAL_ERROR)
