"""SSPI's fatal codes as errors: whose fault they are, and the cause in words."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from authsrv.core.outcome import Outcome, outcome_of
from authsrv.core.status import SecurityStatus, WindowsCode, from_windows
from authsrv.errors import (
    AuthorityError,
    AuthsrvError,
    BadBindingsError,
    ClockSkewError,
    DeniedError,
    InvalidTokenError,
    LogonDeniedError,
    MechanismError,
    MutualAuthenticationError,
    NoCredentialError,
    OverloadedError,
    ProviderFaultError,
    StateError,
    TargetUnknownError,
    TicketExpiredError,
    UnavailableError,
    UnexpectedTokenError,
    UnsupportedFunctionError,
    WrongServiceError,
)

__all__ = ["error_from_native", "error_from_windows"]

_S = SecurityStatus

_CAUSES: Mapping[SecurityStatus, tuple[type[AuthsrvError], str]] = MappingProxyType(
    {
        _S.SEC_E_INVALID_TOKEN: (InvalidTokenError, "SSPI cannot read the token"),
        _S.SEC_E_LOGON_DENIED: (LogonDeniedError, "SSPI denies the logon"),
        _S.SEC_E_OUT_OF_SEQUENCE: (UnexpectedTokenError, "SSPI expects another token"),
        _S.SEC_E_BAD_BINDINGS: (BadBindingsError, "the channel bindings differ"),
        _S.SEC_E_TIME_SKEW: (ClockSkewError, "the clocks differ by too much"),
        _S.SEC_E_CONTEXT_EXPIRED: (TicketExpiredError, "the ticket or the context has expired"),
        _S.SEC_E_WRONG_PRINCIPAL: (WrongServiceError, "the token is for another principal"),
        _S.SEC_E_SECPKG_NOT_FOUND: (MechanismError, "SSPI has no package for the token"),
        _S.SEC_E_MUTUAL_AUTH_FAILED: (
            MutualAuthenticationError,
            "the server did not prove who it is",
        ),
        _S.SEC_E_NO_CREDENTIALS: (NoCredentialError, "SSPI has no credential to use"),
        _S.SEC_E_TARGET_UNKNOWN: (TargetUnknownError, "the service is not known"),
        _S.SEC_E_NO_AUTHENTICATING_AUTHORITY: (
            AuthorityError,
            "no authority, such as a domain controller, answers",
        ),
        _S.SEC_E_INSUFFICIENT_MEMORY: (OverloadedError, "SSPI has no memory left"),
        _S.SEC_E_INVALID_HANDLE: (StateError, "SSPI does not know the handle"),
        _S.SEC_E_UNSUPPORTED_FUNCTION: (UnsupportedFunctionError, "SSPI cannot do this"),
    }
)
# What sspi-rs and Wine answer to tokens that were cut off or altered, too.
_BLAMED_ON_THE_TOKEN = frozenset({_S.SEC_E_INTERNAL_ERROR, _S.SEC_E_INVALID_PARAMETER})
_FAMILIES: Mapping[Outcome, type[AuthsrvError]] = MappingProxyType(
    {
        Outcome.PROTOCOL_ERROR: InvalidTokenError,
        Outcome.DENIED: DeniedError,
        Outcome.UNAVAILABLE: UnavailableError,
    }
)


def error_from_windows(code: int) -> AuthsrvError:
    """Make the error of a code, signed or unsigned, that an SSPI function ended with.

    A code that is not SSPI's becomes SEC_E_INTERNAL_ERROR, and stays in `native`.
    """
    report = from_windows(code)
    native = report.native
    number = native.value if isinstance(native, WindowsCode) else 0
    known = _CAUSES.get(report.status)
    if number in _BLAMED_ON_THE_TOKEN:
        known = InvalidTokenError, "SSPI fails at the token"
    if known is None:
        family = _FAMILIES.get(outcome_of(report.status), ProviderFaultError)
        known = family, "SSPI fails"
    kind, words = known
    cause = f"{words} ({report.status.name}, 0x{number:08X})"
    return kind(cause, status=report.status, native=native)


def error_from_native(failed: Exception) -> AuthsrvError:
    """Make the error of an exception that sspilib raised. Its text, which is SSPI's, is left out.

    Where it has no code that fits in 32 bits, the error is a ProviderFaultError.
    """
    code = getattr(failed, "winerror", None)
    if not isinstance(code, int) or not -0x8000_0000 <= code <= 0xFFFF_FFFF:
        return ProviderFaultError(f"SSPI raised {type(failed).__name__}")
    return error_from_windows(code)
