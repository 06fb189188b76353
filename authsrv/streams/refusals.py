"""The code of a HandshakeError: which one an error is told by, and which error a code means."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from authsrv.core.outcome import OUTCOMES, Outcome
from authsrv.core.role import Role
from authsrv.core.status import SecurityStatus, StatusReport, WindowsCode, from_windows
from authsrv.errors import (
    AttributesError,
    AuthorityError,
    AuthsrvError,
    BadBindingsError,
    ClockSkewError,
    DeniedError,
    EncryptionTypeError,
    InvalidTokenError,
    KeyVersionError,
    LogonDeniedError,
    MechanismError,
    MutualAuthenticationError,
    PeerError,
    UnavailableError,
    WrongServiceError,
)

__all__ = ["ERROR_TRUST_FAILURE", "code_of", "refusal_of"]

ERROR_TRUST_FAILURE: Final = 0x0000_06FE
"""The context is established and lacks what the sender requires."""

_FAILURE_BIT = 0x8000_0000

# Those that one error of ours is told by; the others only say whose fault it is.
_KINDS: Mapping[SecurityStatus, type[AuthsrvError]] = MappingProxyType(
    {
        kind.status: kind
        for kind in (
            AttributesError,
            AuthorityError,
            BadBindingsError,
            ClockSkewError,
            EncryptionTypeError,
            InvalidTokenError,
            KeyVersionError,
            LogonDeniedError,
            MechanismError,
            MutualAuthenticationError,
            WrongServiceError,
        )
    }
)

_FAMILIES: Mapping[Outcome, type[AuthsrvError]] = MappingProxyType(
    {Outcome.PROTOCOL_ERROR: PeerError, Outcome.DENIED: DeniedError}
)


def code_of(error: AuthsrvError) -> int:
    """Tell by which code the peer learns of an error.

    Args:
        error: Why the handshake ended.

    Returns:
        Its SSPI status as an HRESULT, SEC_E_INTERNAL_ERROR where that is none of a failure;
        ERROR_TRUST_FAILURE for an AttributesError.
    """
    if isinstance(error, AttributesError):
        return ERROR_TRUST_FAILURE
    code = error.status.value
    return code if code & _FAILURE_BIT else SecurityStatus.SEC_E_INTERNAL_ERROR.value


def refusal_of(code: int, role: Role) -> AuthsrvError:
    """Tell what the peer's HandshakeError means to us.

    Args:
        code: Its code, 0 to 0xFFFFFFFF, from the peer, untrusted.
        role: Which side we are.

    Returns:
        The error to raise, with the code as its `native`. For an initiator it is the one that the
        acceptor may be thought to have: a LogonDeniedError, a ClockSkewError, or DeniedError,
        PeerError (we broke the protocol) or UnavailableError (the server cannot answer) where
        there is none of its own. For an acceptor it is a DeniedError: the client does not want to.

    Raises:
        ValueError: The code does not fit in 32 bits.
    """
    report = _report(code)
    status = report.status
    who = "client" if role is Role.ACCEPTOR else "server"
    kind = DeniedError if role is Role.ACCEPTOR else _kind_of(status)
    cause = f"the {who} ended the handshake with {status.name} ({report.native})"
    return kind(cause, status=status, native=report.native)


def _kind_of(status: SecurityStatus) -> type[AuthsrvError]:
    family = _FAMILIES.get(OUTCOMES[status], UnavailableError)
    return _KINDS.get(status, family)


def _report(code: int) -> StatusReport:
    if code == ERROR_TRUST_FAILURE:
        return StatusReport(SecurityStatus.SEC_E_SECURITY_QOS_FAILED, WindowsCode(code))
    report = from_windows(code)
    if code & _FAILURE_BIT:
        return report
    # A HandshakeError never is good news, whatever success it quotes.
    return StatusReport(SecurityStatus.SEC_E_INTERNAL_ERROR, report.native)
