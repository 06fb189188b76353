"""Every error of authsrv, sorted by whose fault it is.

The tree::

    AuthsrvError
      LocalError                  we or the application erred; no client alone causes it
        ConfigError               a setting is wrong or missing; raised at start
        StateError                a call that the state of the handshake does not allow
        UnsupportedFunctionError  a call that the provider does not know
        TargetUnknownError        nobody knows the service that we, as a client, want to talk to
        ProviderFaultError         a provider broke its contract
      UnavailableError            we cannot answer now; the client may be perfectly right
        KeytabError               the keytab is missing, unreadable, empty or broken
        DeadlineError             a provider did not answer in time
        OverloadedError           more work is waiting than the limits or the memory allow
        ReplayCacheError          the replay cache is full or cannot be used
        AuthorityError            no authority could be asked
        NoCredentialError         we have nothing to authenticate with, as a client
      PeerError                   the client broke the protocol
        InvalidHeaderError        the request breaks HTTP, by two Authorization fields for one
        InvalidTokenError         the token is malformed
        TokenTooLargeError        the token is larger than the limit
        UnexpectedTokenError      a token arrived where none was expected
        TooManyRoundsError        the handshake did not end within the limit
        LostHandshakeError        a later token came where its handshake did not begin
      DeniedError                 the protocol was kept, the answer is no
        LogonDeniedError          the credentials were refused
        ReplayError               the token was used before
        TicketExpiredError        the ticket's life is over, or has not begun
        ClockSkewError            the clocks differ by more than is allowed
        WrongServiceError         the ticket is for a service that is not ours
        KeyVersionError           the ticket's key version is not in the keytab
        EncryptionTypeError       the ticket's encryption type is not in the keytab
        BadBindingsError          the channel bindings are wrong, or missing and required
        AttributesError           the context lacks what is required, such as confidentiality
        MechanismError            the offered mechanism is not accepted here
        HandshakeExpiredError     the handshake took longer than it may
        UnknownCauseError         the answer is no, and nothing shows why
        ForbiddenError            known, but not allowed
          ForbiddenRealmError     known in a realm that is not let in
          CrossSiteError          the request was made by a page of another site
        MutualAuthenticationError the server did not prove who it is

An error's text is its cause in words for the log. It is composed by authsrv alone, from names and
numbers; the text of a native exception never enters it, nor does any byte of a token. A client
never sees it: ``authsrv.http.reply`` has the fixed texts.
"""

from __future__ import annotations

from typing import ClassVar

from authsrv.core.status import NativeCode, SecurityStatus

__all__ = [
    "AttributesError",
    "AuthorityError",
    "AuthsrvError",
    "BadBindingsError",
    "ClockSkewError",
    "ConfigError",
    "CrossSiteError",
    "DeadlineError",
    "DeniedError",
    "EncryptionTypeError",
    "ForbiddenError",
    "ForbiddenRealmError",
    "HandshakeExpiredError",
    "InvalidHeaderError",
    "InvalidTokenError",
    "KeyVersionError",
    "KeytabError",
    "LocalError",
    "LogonDeniedError",
    "LostHandshakeError",
    "MechanismError",
    "MutualAuthenticationError",
    "NoCredentialError",
    "OverloadedError",
    "PeerError",
    "ProviderFaultError",
    "ReplayCacheError",
    "ReplayError",
    "StateError",
    "TargetUnknownError",
    "TicketExpiredError",
    "TokenTooLargeError",
    "TooManyRoundsError",
    "UnavailableError",
    "UnexpectedTokenError",
    "UnknownCauseError",
    "UnsupportedFunctionError",
    "WrongServiceError",
]


class AuthsrvError(Exception):
    """The root of all errors that authsrv raises.

    Args:
        detail: The cause in words, for the log; trusted text without token bytes or secrets.
        status: The SSPI code nearest to the cause; the class's own where it is not given.
        native: The code as the provider gave it, if it gave one.

    Source: authsrv design decision 5.
    """

    status: SecurityStatus = SecurityStatus.SEC_E_INTERNAL_ERROR
    code: ClassVar[str] = "error"

    def __init__(
        self,
        detail: str,
        *,
        status: SecurityStatus | None = None,
        native: NativeCode | None = None,
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.native = native
        if status is not None:
            self.status = status


class LocalError(AuthsrvError):
    """We or the application erred; no client causes this with bytes alone.

    Args and attributes are those of AuthsrvError.

    Source: authsrv design decision 5.
    """

    status = SecurityStatus.SEC_E_INTERNAL_ERROR
    code = "local-error"


class ConfigError(LocalError):
    """A setting is wrong or missing; raised at start, so that nothing runs half configured.

    Args and attributes are those of AuthsrvError.

    Source: authsrv design decision 5.
    """

    status = SecurityStatus.SEC_E_INVALID_PARAMETER
    code = "bad-configuration"


class StateError(LocalError):
    """A call was made that the state of the handshake does not allow.

    Args and attributes are those of AuthsrvError.

    Source: authsrv design decision 5.
    """

    status = SecurityStatus.SEC_E_INVALID_HANDLE
    code = "wrong-state"


class UnsupportedFunctionError(LocalError):
    """The provider does not know the call or the flag that was asked for.

    Args and attributes are those of AuthsrvError.

    Source: authsrv design decision 5.
    """

    status = SecurityStatus.SEC_E_UNSUPPORTED_FUNCTION
    code = "unsupported-function"


class TargetUnknownError(LocalError):
    """We are the client, and nobody knows the service that we want to talk to.

    Args and attributes are those of AuthsrvError.

    Source: authsrv design decision 5.
    """

    status = SecurityStatus.SEC_E_TARGET_UNKNOWN
    code = "target-unknown"


class ProviderFaultError(LocalError):
    """A provider broke its contract: it raised, or said OK and named nobody.

    Args and attributes are those of AuthsrvError.

    Source: authsrv design decision 5.
    """

    status = SecurityStatus.SEC_E_INTERNAL_ERROR
    code = "provider-fault"


class UnavailableError(AuthsrvError):
    """We cannot answer now; the client may be perfectly right, so this is never a 401.

    Args and attributes are those of AuthsrvError.

    Source: authsrv design decision 5.
    """

    status = SecurityStatus.SEC_E_NO_AUTHENTICATING_AUTHORITY
    code = "unavailable"


class KeytabError(UnavailableError):
    """The keytab is missing, unreadable, empty or broken.

    Args and attributes are those of AuthsrvError.

    Source: authsrv design decision 5.
    """

    status = SecurityStatus.SEC_E_NO_CREDENTIALS
    code = "keytab"


class DeadlineError(UnavailableError):
    """A provider did not answer within its deadline.

    Args and attributes are those of AuthsrvError.

    Source: authsrv design decision 5.
    """

    status = SecurityStatus.SEC_E_NO_AUTHENTICATING_AUTHORITY
    code = "deadline"


class OverloadedError(UnavailableError):
    """More work is waiting than the limits allow, or there is no memory for it.

    Args and attributes are those of AuthsrvError.

    Source: authsrv design decision 5.
    """

    status = SecurityStatus.SEC_E_INSUFFICIENT_MEMORY
    code = "overloaded"


class ReplayCacheError(UnavailableError):
    """The replay cache is full or cannot be used; accepting without it would be unsafe.

    Args and attributes are those of AuthsrvError.

    Source: authsrv design decision 5.
    """

    status = SecurityStatus.SEC_E_INSUFFICIENT_MEMORY
    code = "replay-cache"


class AuthorityError(UnavailableError):
    """No authority could be asked: domain controller or KDC out of reach.

    Args and attributes are those of AuthsrvError.

    Source: authsrv design decision 5.
    """

    status = SecurityStatus.SEC_E_NO_AUTHENTICATING_AUTHORITY
    code = "no-authority"


class NoCredentialError(UnavailableError):
    """We are the client, and have nothing to authenticate with: no ticket, or an expired one.

    Args and attributes are those of AuthsrvError.

    Source: authsrv design decision 5.
    """

    status = SecurityStatus.SEC_E_NO_CREDENTIALS
    code = "no-credential"


class PeerError(AuthsrvError):
    """The client broke the protocol.

    Args and attributes are those of AuthsrvError.

    Source: authsrv design decision 5.
    """

    status = SecurityStatus.SEC_E_INVALID_TOKEN
    code = "protocol-broken"


class InvalidHeaderError(PeerError):
    """The request breaks HTTP: two Authorization fields, or one without a scheme.

    Args and attributes are those of AuthsrvError.

    Source: authsrv design decision 5.
    """

    status = SecurityStatus.SEC_E_INVALID_TOKEN
    code = "bad-header"


class InvalidTokenError(PeerError):
    """The token is malformed.

    Args and attributes are those of AuthsrvError.

    Source: authsrv design decision 5.
    """

    status = SecurityStatus.SEC_E_INVALID_TOKEN
    code = "bad-token"


class TokenTooLargeError(PeerError):
    """The token is larger than the limit.

    Args and attributes are those of AuthsrvError.

    Source: authsrv design decision 5.
    """

    status = SecurityStatus.SEC_E_INVALID_TOKEN
    code = "token-too-large"


class UnexpectedTokenError(PeerError):
    """A token arrived where none was expected.

    Args and attributes are those of AuthsrvError.

    Source: authsrv design decision 5.
    """

    status = SecurityStatus.SEC_E_OUT_OF_SEQUENCE
    code = "unexpected-token"


class TooManyRoundsError(PeerError):
    """The handshake did not end within the limit of rounds.

    Args and attributes are those of AuthsrvError.

    Source: authsrv design decision 5.
    """

    status = SecurityStatus.SEC_E_OUT_OF_SEQUENCE
    code = "too-many-rounds"


class LostHandshakeError(PeerError):
    """A later token of a handshake came where that handshake did not begin: on another connection.

    Args and attributes are those of AuthsrvError.

    Source: authsrv design decision 5.
    """

    status = SecurityStatus.SEC_E_OUT_OF_SEQUENCE
    code = "lost-handshake"


class DeniedError(AuthsrvError):
    """The protocol was kept, and the answer is no.

    Args and attributes are those of AuthsrvError.

    Source: authsrv design decision 5.
    """

    status = SecurityStatus.SEC_E_LOGON_DENIED
    code = "denied"


class LogonDeniedError(DeniedError):
    """The credentials were refused.

    Args and attributes are those of AuthsrvError.

    Source: authsrv design decision 5.
    """

    status = SecurityStatus.SEC_E_LOGON_DENIED
    code = "logon-denied"


class ReplayError(DeniedError):
    """The token was used before.

    Args and attributes are those of AuthsrvError.

    Source: authsrv design decision 5.
    """

    status = SecurityStatus.SEC_E_LOGON_DENIED
    code = "replay"


class TicketExpiredError(DeniedError):
    """The ticket's life is over, or has not begun.

    Args and attributes are those of AuthsrvError.

    Source: authsrv design decision 5.
    """

    status = SecurityStatus.SEC_E_CONTEXT_EXPIRED
    code = "ticket-expired"


class ClockSkewError(DeniedError):
    """The clocks of client and server differ by more than is allowed.

    Args and attributes are those of AuthsrvError.

    Source: authsrv design decision 5.
    """

    status = SecurityStatus.SEC_E_TIME_SKEW
    code = "clock-skew"


class WrongServiceError(DeniedError):
    """The ticket is for a service whose key is not ours to use.

    Args and attributes are those of AuthsrvError.

    Source: authsrv design decision 5.
    """

    status = SecurityStatus.SEC_E_WRONG_PRINCIPAL
    code = "wrong-service"


class KeyVersionError(DeniedError):
    """The ticket was made with a key version that the keytab does not hold.

    Args and attributes are those of AuthsrvError.

    Source: authsrv design decision 5.
    """

    status = SecurityStatus.SEC_E_NO_KERB_KEY
    code = "key-version"


class EncryptionTypeError(DeniedError):
    """The ticket's encryption type is not in the keytab.

    Args and attributes are those of AuthsrvError.

    Source: authsrv design decision 5.
    """

    status = SecurityStatus.SEC_E_KDC_UNKNOWN_ETYPE
    code = "encryption-type"


class BadBindingsError(DeniedError):
    """The channel bindings are wrong, or are missing where they are required.

    Args and attributes are those of AuthsrvError.

    Source: authsrv design decision 5.
    """

    status = SecurityStatus.SEC_E_BAD_BINDINGS
    code = "bad-bindings"


class AttributesError(DeniedError):
    """The context is established and lacks an attribute that is required, such as confidentiality.

    Args and attributes are those of AuthsrvError.

    Source: authsrv design decision 5.
    """

    status = SecurityStatus.SEC_E_SECURITY_QOS_FAILED
    code = "attributes"


class MechanismError(DeniedError):
    """The client offered no mechanism that is accepted here.

    Args and attributes are those of AuthsrvError.

    Source: authsrv design decision 5.
    """

    status = SecurityStatus.SEC_E_SECPKG_NOT_FOUND
    code = "mechanism"


class HandshakeExpiredError(DeniedError):
    """The handshake took longer than it may.

    Args and attributes are those of AuthsrvError.

    Source: authsrv design decision 5.
    """

    status = SecurityStatus.SEC_E_CONTEXT_EXPIRED
    code = "handshake-expired"


class UnknownCauseError(DeniedError):
    """The answer is no, and nothing shows why; the cause says what was ruled out.

    Args and attributes are those of AuthsrvError.

    Source: authsrv design decision 5.
    """

    status = SecurityStatus.SEC_E_LOGON_DENIED
    code = "unknown"


class ForbiddenError(DeniedError):
    """The client is known, and is not allowed to do this.

    Args and attributes are those of AuthsrvError.

    Source: authsrv design decision 5.
    """

    status = SecurityStatus.SEC_E_LOGON_DENIED
    code = "forbidden"


class ForbiddenRealmError(ForbiddenError):
    """The client is known, in a realm that is not let in.

    Args and attributes are those of AuthsrvError.

    Source: authsrv design decision 5.
    """

    status = SecurityStatus.SEC_E_LOGON_DENIED
    code = "forbidden-realm"


class CrossSiteError(ForbiddenError):
    """The client is known, and the request was made by a page of another site.

    Args and attributes are those of AuthsrvError.

    Source: authsrv design decision 5.
    """

    status = SecurityStatus.SEC_E_LOGON_DENIED
    code = "cross-site"


class MutualAuthenticationError(DeniedError):
    """We are the client, and the server did not prove who it is.

    Args and attributes are those of AuthsrvError.

    Source: authsrv design decision 5.
    """

    status = SecurityStatus.SEC_E_MUTUAL_AUTH_FAILED
    code = "mutual-authentication"
