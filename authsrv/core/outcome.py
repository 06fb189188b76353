"""Outcome: what a status means for the handshake that got it.

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

__all__ = ["OUTCOMES", "Outcome", "outcome_of"]


class Outcome(enum.Enum):
    """What is to be done about a status that an acceptor's handshake got."""

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
    #: The client broke the protocol; HTTP answers by a challenge.
    PROTOCOL_ERROR = "broken"
    #: The protocol was kept and the answer is no; HTTP answers by a challenge.
    DENIED = "denied"
    #: There is no answer now, and the client may be perfectly right; never a challenge.
    UNAVAILABLE = "unavailable"
    #: We erred, or the status can never be a final answer.
    INTERNAL_ERROR = "fault"


_S = SecurityStatus

#: The outcome of every status, one row each; read-only.
OUTCOMES: Mapping[SecurityStatus, Outcome] = MappingProxyType(
    {
        _S.SEC_E_OK: Outcome.ESTABLISHED,
        _S.SEC_I_CONTINUE_NEEDED: Outcome.CONTINUE,
        _S.SEC_I_COMPLETE_NEEDED: Outcome.COMPLETE,
        _S.SEC_I_COMPLETE_AND_CONTINUE: Outcome.COMPLETE_AND_CONTINUE,
        _S.SEC_E_INCOMPLETE_MESSAGE: Outcome.INCOMPLETE,
        # The client's bytes break the protocol.
        _S.SEC_E_INVALID_TOKEN: Outcome.PROTOCOL_ERROR,
        _S.SEC_E_OUT_OF_SEQUENCE: Outcome.PROTOCOL_ERROR,
        _S.SEC_E_ILLEGAL_MESSAGE: Outcome.PROTOCOL_ERROR,
        # Well-formed, and not good enough: the client may try again with other credentials.
        _S.SEC_E_SECPKG_NOT_FOUND: Outcome.DENIED,
        _S.SEC_E_LOGON_DENIED: Outcome.DENIED,
        _S.SEC_E_MESSAGE_ALTERED: Outcome.DENIED,
        _S.SEC_E_CONTEXT_EXPIRED: Outcome.DENIED,
        _S.SEC_E_INCOMPLETE_CREDENTIALS: Outcome.DENIED,
        _S.SEC_E_WRONG_PRINCIPAL: Outcome.DENIED,
        _S.SEC_E_TIME_SKEW: Outcome.DENIED,
        _S.SEC_E_UNTRUSTED_ROOT: Outcome.DENIED,
        _S.SEC_E_CERT_UNKNOWN: Outcome.DENIED,
        _S.SEC_E_CERT_EXPIRED: Outcome.DENIED,
        _S.SEC_E_DECRYPT_FAILURE: Outcome.DENIED,
        _S.SEC_E_ALGORITHM_MISMATCH: Outcome.DENIED,
        _S.SEC_E_NO_TGT_REPLY: Outcome.DENIED,
        _S.SEC_E_STRONG_CRYPTO_NOT_SUPPORTED: Outcome.DENIED,
        _S.SEC_E_PKINIT_NAME_MISMATCH: Outcome.DENIED,
        _S.SEC_E_SMARTCARD_LOGON_REQUIRED: Outcome.DENIED,
        _S.SEC_E_KDC_UNKNOWN_ETYPE: Outcome.DENIED,
        _S.SEC_E_UNSUPPORTED_PREAUTH: Outcome.DENIED,
        _S.SEC_E_BAD_BINDINGS: Outcome.DENIED,
        _S.SEC_E_MULTIPLE_ACCOUNTS: Outcome.DENIED,
        _S.SEC_E_NO_KERB_KEY: Outcome.DENIED,
        _S.SEC_E_CERT_WRONG_USAGE: Outcome.DENIED,
        _S.SEC_E_DOWNGRADE_DETECTED: Outcome.DENIED,
        _S.SEC_E_SMARTCARD_CERT_REVOKED: Outcome.DENIED,
        _S.SEC_E_ISSUING_CA_UNTRUSTED: Outcome.DENIED,
        _S.SEC_E_PKINIT_CLIENT_FAILURE: Outcome.DENIED,
        _S.SEC_E_SMARTCARD_CERT_EXPIRED: Outcome.DENIED,
        _S.SEC_E_DELEGATION_POLICY: Outcome.DENIED,
        _S.SEC_E_POLICY_NLTM_ONLY: Outcome.DENIED,
        _S.SEC_E_PKU2U_CERT_FAILURE: Outcome.DENIED,
        _S.SEC_E_MUTUAL_AUTH_FAILED: Outcome.DENIED,
        _S.SEC_E_ONLY_HTTPS_ALLOWED: Outcome.DENIED,
        _S.SEC_E_APPLICATION_PROTOCOL_MISMATCH: Outcome.DENIED,
        _S.SEC_E_INVALID_UPN_NAME: Outcome.DENIED,
        _S.SEC_E_SECURITY_QOS_FAILED: Outcome.DENIED,
        # Our credentials, our room or the authority we would ask: no verdict on the client.
        _S.SEC_E_INSUFFICIENT_MEMORY: Outcome.UNAVAILABLE,
        _S.SEC_E_UNKNOWN_CREDENTIALS: Outcome.UNAVAILABLE,
        _S.SEC_E_NO_CREDENTIALS: Outcome.UNAVAILABLE,
        _S.SEC_E_NO_AUTHENTICATING_AUTHORITY: Outcome.UNAVAILABLE,
        _S.SEC_E_NO_IP_ADDRESSES: Outcome.UNAVAILABLE,
        _S.SEC_E_MAX_REFERRALS_EXCEEDED: Outcome.UNAVAILABLE,
        _S.SEC_E_TOO_MANY_PRINCIPALS: Outcome.UNAVAILABLE,
        _S.SEC_E_NO_PA_DATA: Outcome.UNAVAILABLE,
        _S.SEC_E_SHUTDOWN_IN_PROGRESS: Outcome.UNAVAILABLE,
        _S.SEC_E_KDC_UNABLE_TO_REFER: Outcome.UNAVAILABLE,
        _S.SEC_E_REVOCATION_OFFLINE_C: Outcome.UNAVAILABLE,
        _S.SEC_E_NO_S4U_PROT_SUPPORT: Outcome.UNAVAILABLE,
        _S.SEC_E_REVOCATION_OFFLINE_KDC: Outcome.UNAVAILABLE,
        _S.SEC_E_ISSUING_CA_UNTRUSTED_KDC: Outcome.UNAVAILABLE,
        _S.SEC_E_KDC_CERT_EXPIRED: Outcome.UNAVAILABLE,
        _S.SEC_E_KDC_CERT_REVOKED: Outcome.UNAVAILABLE,
        # What we asked of the provider was wrong, or it broke.
        _S.SEC_E_INVALID_HANDLE: Outcome.INTERNAL_ERROR,
        _S.SEC_E_UNSUPPORTED_FUNCTION: Outcome.INTERNAL_ERROR,
        _S.SEC_E_TARGET_UNKNOWN: Outcome.INTERNAL_ERROR,
        _S.SEC_E_INTERNAL_ERROR: Outcome.INTERNAL_ERROR,
        _S.SEC_E_NOT_OWNER: Outcome.INTERNAL_ERROR,
        _S.SEC_E_CANNOT_INSTALL: Outcome.INTERNAL_ERROR,
        _S.SEC_E_CANNOT_PACK: Outcome.INTERNAL_ERROR,
        _S.SEC_E_QOP_NOT_SUPPORTED: Outcome.INTERNAL_ERROR,
        _S.SEC_E_NO_IMPERSONATION: Outcome.INTERNAL_ERROR,
        _S.SEC_E_BAD_PKGID: Outcome.INTERNAL_ERROR,
        _S.SEC_E_BUFFER_TOO_SMALL: Outcome.INTERNAL_ERROR,
        _S.SEC_E_ENCRYPT_FAILURE: Outcome.INTERNAL_ERROR,
        _S.SEC_E_UNFINISHED_CONTEXT_DELETED: Outcome.INTERNAL_ERROR,
        _S.SEC_E_WRONG_CREDENTIAL_HANDLE: Outcome.INTERNAL_ERROR,
        _S.SEC_E_CRYPTO_SYSTEM_INVALID: Outcome.INTERNAL_ERROR,
        _S.SEC_E_MUST_BE_KDC: Outcome.INTERNAL_ERROR,
        _S.SEC_E_KDC_INVALID_REQUEST: Outcome.INTERNAL_ERROR,
        _S.SEC_E_DELEGATION_REQUIRED: Outcome.INTERNAL_ERROR,
        _S.SEC_E_CROSSREALM_DELEGATION_FAILURE: Outcome.INTERNAL_ERROR,
        _S.SEC_E_INVALID_PARAMETER: Outcome.INTERNAL_ERROR,
        _S.SEC_E_NO_CONTEXT: Outcome.INTERNAL_ERROR,
        _S.SEC_E_EXT_BUFFER_TOO_SMALL: Outcome.INTERNAL_ERROR,
        _S.SEC_E_INSUFFICIENT_BUFFERS: Outcome.INTERNAL_ERROR,
        # Successes by severity that end no acceptor's handshake: TLS, cached logons, an unfinished
        # call. A provider that answers so has broken its contract, and nobody is let in.
        _S.SEC_I_LOCAL_LOGON: Outcome.INTERNAL_ERROR,
        _S.SEC_I_GENERIC_EXTENSION_RECEIVED: Outcome.INTERNAL_ERROR,
        _S.SEC_I_CONTEXT_EXPIRED: Outcome.INTERNAL_ERROR,
        _S.SEC_I_INCOMPLETE_CREDENTIALS: Outcome.INTERNAL_ERROR,
        _S.SEC_I_RENEGOTIATE: Outcome.INTERNAL_ERROR,
        _S.SEC_I_NO_LSA_CONTEXT: Outcome.INTERNAL_ERROR,
        _S.SEC_I_SIGNATURE_NEEDED: Outcome.INTERNAL_ERROR,
        _S.SEC_I_NO_RENEGOTIATION: Outcome.INTERNAL_ERROR,
        _S.SEC_I_MESSAGE_FRAGMENT: Outcome.INTERNAL_ERROR,
        _S.SEC_I_CONTINUE_NEEDED_MESSAGE_OK: Outcome.INTERNAL_ERROR,
        _S.SEC_I_ASYNC_CALL_PENDING: Outcome.INTERNAL_ERROR,
    }
)


def outcome_of(status: SecurityStatus) -> Outcome:
    """Tell what is to be done about a status; ESTABLISHED for SEC_E_OK alone."""
    return OUTCOMES[status]
