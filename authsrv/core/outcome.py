"""Disposition: what a status means for the handshake that got it.

A table with one row for every SecurityStatus. It is the one place that decides whether a handshake
goes on, ends well or ends badly, and in the last case by whose fault; the status of an error says
whose it is, and HTTP's answer follows from that (authsrv.http.reply). Only SEC_E_OK lets anybody
in; other codes of success severity that a handshake cannot end with are faults.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from types import MappingProxyType

from authsrv.core.status import SecurityStatus

__all__ = ["DISPOSITIONS", "Disposition", "disposition"]


class Disposition(enum.Enum):
    """What is to be done about a status that an acceptor's handshake got.

    Source: SSPI AcceptSecurityContext; authsrv design decision 5.
    """

    #: The client is authenticated; an output token may still have to be sent.
    ESTABLISHED = "established"
    #: Send the output token, await the client's next one and call again.
    CONTINUE = "continue"
    #: Call CompleteAuthToken, then send the output token.
    COMPLETE = "complete"
    #: Call CompleteAuthToken, then do as for CONTINUE.
    COMPLETE_AND_CONTINUE = "complete-and-continue"
    #: The input is not whole: read more of it and call again.
    INCOMPLETE = "incomplete"
    #: The client broke the protocol; HTTP answers by a challenge to do it right.
    BROKEN = "broken"
    #: The protocol was kept and the answer is no; HTTP answers by a challenge.
    DENIED = "denied"
    #: There is no answer now, and the client may be perfectly right; never a challenge.
    UNAVAILABLE = "unavailable"
    #: We erred, or the status can never be a final answer.
    FAULT = "fault"


_S = SecurityStatus

#: The disposition of every status, one row each; read-only.
DISPOSITIONS: Mapping[SecurityStatus, Disposition] = MappingProxyType(
    {
        _S.SEC_E_OK: Disposition.ESTABLISHED,
        _S.SEC_I_CONTINUE_NEEDED: Disposition.CONTINUE,
        _S.SEC_I_COMPLETE_NEEDED: Disposition.COMPLETE,
        _S.SEC_I_COMPLETE_AND_CONTINUE: Disposition.COMPLETE_AND_CONTINUE,
        _S.SEC_E_INCOMPLETE_MESSAGE: Disposition.INCOMPLETE,
        # The client's bytes break the protocol.
        _S.SEC_E_INVALID_TOKEN: Disposition.BROKEN,
        _S.SEC_E_OUT_OF_SEQUENCE: Disposition.BROKEN,
        _S.SEC_E_ILLEGAL_MESSAGE: Disposition.BROKEN,
        # Well-formed, and not good enough: the client may try again with other credentials.
        _S.SEC_E_SECPKG_NOT_FOUND: Disposition.DENIED,
        _S.SEC_E_LOGON_DENIED: Disposition.DENIED,
        _S.SEC_E_MESSAGE_ALTERED: Disposition.DENIED,
        _S.SEC_E_CONTEXT_EXPIRED: Disposition.DENIED,
        _S.SEC_E_INCOMPLETE_CREDENTIALS: Disposition.DENIED,
        _S.SEC_E_WRONG_PRINCIPAL: Disposition.DENIED,
        _S.SEC_E_TIME_SKEW: Disposition.DENIED,
        _S.SEC_E_UNTRUSTED_ROOT: Disposition.DENIED,
        _S.SEC_E_CERT_UNKNOWN: Disposition.DENIED,
        _S.SEC_E_CERT_EXPIRED: Disposition.DENIED,
        _S.SEC_E_DECRYPT_FAILURE: Disposition.DENIED,
        _S.SEC_E_ALGORITHM_MISMATCH: Disposition.DENIED,
        _S.SEC_E_NO_TGT_REPLY: Disposition.DENIED,
        _S.SEC_E_STRONG_CRYPTO_NOT_SUPPORTED: Disposition.DENIED,
        _S.SEC_E_PKINIT_NAME_MISMATCH: Disposition.DENIED,
        _S.SEC_E_SMARTCARD_LOGON_REQUIRED: Disposition.DENIED,
        _S.SEC_E_KDC_UNKNOWN_ETYPE: Disposition.DENIED,
        _S.SEC_E_UNSUPPORTED_PREAUTH: Disposition.DENIED,
        _S.SEC_E_BAD_BINDINGS: Disposition.DENIED,
        _S.SEC_E_MULTIPLE_ACCOUNTS: Disposition.DENIED,
        _S.SEC_E_NO_KERB_KEY: Disposition.DENIED,
        _S.SEC_E_CERT_WRONG_USAGE: Disposition.DENIED,
        _S.SEC_E_DOWNGRADE_DETECTED: Disposition.DENIED,
        _S.SEC_E_SMARTCARD_CERT_REVOKED: Disposition.DENIED,
        _S.SEC_E_ISSUING_CA_UNTRUSTED: Disposition.DENIED,
        _S.SEC_E_PKINIT_CLIENT_FAILURE: Disposition.DENIED,
        _S.SEC_E_SMARTCARD_CERT_EXPIRED: Disposition.DENIED,
        _S.SEC_E_DELEGATION_POLICY: Disposition.DENIED,
        _S.SEC_E_POLICY_NLTM_ONLY: Disposition.DENIED,
        _S.SEC_E_PKU2U_CERT_FAILURE: Disposition.DENIED,
        _S.SEC_E_MUTUAL_AUTH_FAILED: Disposition.DENIED,
        _S.SEC_E_ONLY_HTTPS_ALLOWED: Disposition.DENIED,
        _S.SEC_E_APPLICATION_PROTOCOL_MISMATCH: Disposition.DENIED,
        _S.SEC_E_INVALID_UPN_NAME: Disposition.DENIED,
        _S.SEC_E_SECURITY_QOS_FAILED: Disposition.DENIED,
        # Our credentials, our room or the authority we would ask: no verdict on the client.
        _S.SEC_E_INSUFFICIENT_MEMORY: Disposition.UNAVAILABLE,
        _S.SEC_E_UNKNOWN_CREDENTIALS: Disposition.UNAVAILABLE,
        _S.SEC_E_NO_CREDENTIALS: Disposition.UNAVAILABLE,
        _S.SEC_E_NO_AUTHENTICATING_AUTHORITY: Disposition.UNAVAILABLE,
        _S.SEC_E_NO_IP_ADDRESSES: Disposition.UNAVAILABLE,
        _S.SEC_E_MAX_REFERRALS_EXCEEDED: Disposition.UNAVAILABLE,
        _S.SEC_E_TOO_MANY_PRINCIPALS: Disposition.UNAVAILABLE,
        _S.SEC_E_NO_PA_DATA: Disposition.UNAVAILABLE,
        _S.SEC_E_SHUTDOWN_IN_PROGRESS: Disposition.UNAVAILABLE,
        _S.SEC_E_KDC_UNABLE_TO_REFER: Disposition.UNAVAILABLE,
        _S.SEC_E_REVOCATION_OFFLINE_C: Disposition.UNAVAILABLE,
        _S.SEC_E_NO_S4U_PROT_SUPPORT: Disposition.UNAVAILABLE,
        _S.SEC_E_REVOCATION_OFFLINE_KDC: Disposition.UNAVAILABLE,
        _S.SEC_E_ISSUING_CA_UNTRUSTED_KDC: Disposition.UNAVAILABLE,
        _S.SEC_E_KDC_CERT_EXPIRED: Disposition.UNAVAILABLE,
        _S.SEC_E_KDC_CERT_REVOKED: Disposition.UNAVAILABLE,
        # What we asked of the package was wrong, or it broke.
        _S.SEC_E_INVALID_HANDLE: Disposition.FAULT,
        _S.SEC_E_UNSUPPORTED_FUNCTION: Disposition.FAULT,
        _S.SEC_E_TARGET_UNKNOWN: Disposition.FAULT,
        _S.SEC_E_INTERNAL_ERROR: Disposition.FAULT,
        _S.SEC_E_NOT_OWNER: Disposition.FAULT,
        _S.SEC_E_CANNOT_INSTALL: Disposition.FAULT,
        _S.SEC_E_CANNOT_PACK: Disposition.FAULT,
        _S.SEC_E_QOP_NOT_SUPPORTED: Disposition.FAULT,
        _S.SEC_E_NO_IMPERSONATION: Disposition.FAULT,
        _S.SEC_E_BAD_PKGID: Disposition.FAULT,
        _S.SEC_E_BUFFER_TOO_SMALL: Disposition.FAULT,
        _S.SEC_E_ENCRYPT_FAILURE: Disposition.FAULT,
        _S.SEC_E_UNFINISHED_CONTEXT_DELETED: Disposition.FAULT,
        _S.SEC_E_WRONG_CREDENTIAL_HANDLE: Disposition.FAULT,
        _S.SEC_E_CRYPTO_SYSTEM_INVALID: Disposition.FAULT,
        _S.SEC_E_MUST_BE_KDC: Disposition.FAULT,
        _S.SEC_E_KDC_INVALID_REQUEST: Disposition.FAULT,
        _S.SEC_E_DELEGATION_REQUIRED: Disposition.FAULT,
        _S.SEC_E_CROSSREALM_DELEGATION_FAILURE: Disposition.FAULT,
        _S.SEC_E_INVALID_PARAMETER: Disposition.FAULT,
        _S.SEC_E_NO_CONTEXT: Disposition.FAULT,
        _S.SEC_E_EXT_BUFFER_TOO_SMALL: Disposition.FAULT,
        _S.SEC_E_INSUFFICIENT_BUFFERS: Disposition.FAULT,
        # Successes by severity that end no acceptor's handshake: TLS, cached logons, an unfinished
        # call. A package that answers so has broken its contract, and nobody is let in.
        _S.SEC_I_LOCAL_LOGON: Disposition.FAULT,
        _S.SEC_I_GENERIC_EXTENSION_RECEIVED: Disposition.FAULT,
        _S.SEC_I_CONTEXT_EXPIRED: Disposition.FAULT,
        _S.SEC_I_INCOMPLETE_CREDENTIALS: Disposition.FAULT,
        _S.SEC_I_RENEGOTIATE: Disposition.FAULT,
        _S.SEC_I_NO_LSA_CONTEXT: Disposition.FAULT,
        _S.SEC_I_SIGNATURE_NEEDED: Disposition.FAULT,
        _S.SEC_I_NO_RENEGOTIATION: Disposition.FAULT,
        _S.SEC_I_MESSAGE_FRAGMENT: Disposition.FAULT,
        _S.SEC_I_CONTINUE_NEEDED_MESSAGE_OK: Disposition.FAULT,
        _S.SEC_I_ASYNC_CALL_PENDING: Disposition.FAULT,
    }
)


def disposition(status: SecurityStatus) -> Disposition:
    """Answer what is to be done about a status.

    Args:
        status: Any status; every member has its row.

    Returns:
        The disposition; ESTABLISHED for SEC_E_OK alone.

    Source: SSPI AcceptSecurityContext; authsrv design decision 5.
    """
    return DISPOSITIONS[status]
