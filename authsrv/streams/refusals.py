"""The code of a HandshakeError: which code an error becomes, and which error a code becomes."""

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

# MS-NNS sections 3.1.5.1 and 3.2.5.2.
ERROR_TRUST_FAILURE: Final = 0x0000_06FE
"""The context is established and lacks what the sender requires."""

_FAILURE_BIT = 0x8000_0000

# The statuses of which one error is the cause; the others say only whose fault it is.
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
    """The code that tells the peer of an error.

    Returns:
        Its SSPI status as an HRESULT, SEC_E_INTERNAL_ERROR where that is not a failure;
        ERROR_TRUST_FAILURE for an AttributesError.
    """
    if isinstance(error, AttributesError):
        return ERROR_TRUST_FAILURE
    code = error.status.value
    return code if code & _FAILURE_BIT else SecurityStatus.SEC_E_INTERNAL_ERROR.value


def refusal_of(code: int, role: Role) -> AuthsrvError:
    """Make the error of the peer's HandshakeError.

    Args:
        code: Its code, 0 to 0xFFFFFFFF, from the peer, untrusted.
        role: The side that this program is.

    Returns:
        The error to raise, with the code as its `native`. For an initiator it is the one that the
        acceptor has, as far as the code tells: a LogonDeniedError, a ClockSkewError and so on; or
        DeniedError, PeerError (this client broke the protocol) or UnavailableError (the server
        cannot answer) where there is no special one. For an acceptor it is a DeniedError: the
        client ended the handshake.

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
    # A HandshakeError is a failure, whatever success it quotes.
    return StatusReport(SecurityStatus.SEC_E_INTERNAL_ERROR, report.native)
