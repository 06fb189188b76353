"""Every error of authsrv, sorted by whose fault it is.

The tree; what each error means is said at its class::

    AuthsrvError
      LocalError                  we or the application erred
        ConfigError
        StateError
        UnsupportedFunctionError
        TargetUnknownError
        ProviderFaultError
      UnavailableError            we cannot answer now
        KeytabError
        DeadlineError
        OverloadedError
        ReplayCacheError
        AuthorityError
        NoCredentialError
        StoreError
      PeerError                   the client broke the protocol
        InvalidHeaderError
        InvalidTokenError
        TokenTooLargeError
        UnexpectedTokenError
        TooManyRoundsError
        LostHandshakeError
      DeniedError                 the client kept the protocol and is refused
        LogonDeniedError
        ReplayError
        TicketExpiredError
        ClockSkewError
        WrongServiceError
        KeyVersionError
        EncryptionTypeError
        BadBindingsError
        AttributesError
        MechanismError
        HandshakeExpiredError
        UnknownCauseError
        SessionError
        TooManyTriesError
        BlockedRequestError
          MetadataError
          UnknownSiteError
          AmbiguousPathError
          AliasedHeaderError
          InsecureSchemeError
          HandOverError
        ForbiddenError
          ForbiddenRealmError
          CrossSiteError
          NoRuleError
          IdentityTooLargeError
        MutualAuthenticationError

The text of an error is its cause in words, for the log. authsrv composes it from names and numbers;
neither the text of a native exception nor a byte of a token gets into it. A client never sees it:
``authsrv.http.reply`` has the fixed texts.
"""

from __future__ import annotations

from typing import ClassVar

from authsrv.core.status import NativeCode, SecurityStatus

__all__ = [
    "AliasedHeaderError",
    "AmbiguousPathError",
    "AttributesError",
    "AuthorityError",
    "AuthsrvError",
    "BadBindingsError",
    "BlockedRequestError",
    "ClockSkewError",
    "ConfigError",
    "CrossSiteError",
    "DeadlineError",
    "DeniedError",
    "EncryptionTypeError",
    "ForbiddenError",
    "ForbiddenRealmError",
    "HandOverError",
    "HandshakeExpiredError",
    "IdentityTooLargeError",
    "InsecureSchemeError",
    "InvalidHeaderError",
    "InvalidTokenError",
    "KeyVersionError",
    "KeytabError",
    "LocalError",
    "LogonDeniedError",
    "LostHandshakeError",
    "MechanismError",
    "MetadataError",
    "MutualAuthenticationError",
    "NoCredentialError",
    "NoRuleError",
    "OverloadedError",
    "PeerError",
    "ProviderFaultError",
    "ReplayCacheError",
    "ReplayError",
    "SessionError",
    "StateError",
    "StoreError",
    "TargetUnknownError",
    "TicketExpiredError",
    "TokenTooLargeError",
    "TooManyRoundsError",
    "TooManyTriesError",
    "UnavailableError",
    "UnexpectedTokenError",
    "UnknownCauseError",
    "UnknownSiteError",
    "UnsupportedFunctionError",
    "WrongServiceError",
]


class AuthsrvError(Exception):
    """The root of all errors that authsrv raises.

    Args:
        detail: The cause in words, for the log; trusted text without token bytes or secrets.
        status: The SSPI code nearest to the cause; the class's own where it is not given.
        native: The code as the provider gave it, if it gave one.

    Attributes:
        code: Names the class in logs and audit lines; no two classes share one.
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
    """We or the application erred; no client can cause this by its bytes alone."""

    code = "local-error"


class ConfigError(LocalError):
    """A setting is wrong or missing; raised at start."""

    status = SecurityStatus.SEC_E_INVALID_PARAMETER
    code = "bad-configuration"


class StateError(LocalError):
    """A call was made that the state of the handshake does not allow."""

    status = SecurityStatus.SEC_E_INVALID_HANDLE
    code = "wrong-state"


class UnsupportedFunctionError(LocalError):
    """The provider does not support the call, flag or attribute that was asked for."""

    status = SecurityStatus.SEC_E_UNSUPPORTED_FUNCTION
    code = "unsupported-function"


class TargetUnknownError(LocalError):
    """As a client, we ask for a service that the KDC does not know."""

    status = SecurityStatus.SEC_E_TARGET_UNKNOWN
    code = "target-unknown"


class ProviderFaultError(LocalError):
    """A provider broke its contract: it raised, or reported success without an identity."""

    code = "provider-fault"


class UnavailableError(AuthsrvError):
    """We cannot answer now; the client may be right, so HTTP never answers 401."""

    status = SecurityStatus.SEC_E_NO_AUTHENTICATING_AUTHORITY
    code = "unavailable"


class KeytabError(UnavailableError):
    """The keytab is missing, unreadable, empty or broken."""

    status = SecurityStatus.SEC_E_NO_CREDENTIALS
    code = "keytab"


class DeadlineError(UnavailableError):
    """A provider did not answer within its deadline."""

    code = "deadline"


class OverloadedError(UnavailableError):
    """More work is waiting than the limits allow, or there is no memory for it."""

    status = SecurityStatus.SEC_E_INSUFFICIENT_MEMORY
    code = "overloaded"


class ReplayCacheError(UnavailableError):
    """The replay cache is full or cannot be used; accepting without it would be unsafe."""

    status = SecurityStatus.SEC_E_INSUFFICIENT_MEMORY
    code = "replay-cache"


class AuthorityError(UnavailableError):
    """No domain controller or KDC could be reached."""

    code = "no-authority"


class NoCredentialError(UnavailableError):
    """As a client, we have nothing to authenticate with: no ticket, or an expired one."""

    status = SecurityStatus.SEC_E_NO_CREDENTIALS
    code = "no-credential"


class StoreError(UnavailableError):
    """What must be remembered cannot be: the store is away, full, broken or not ours."""

    code = "store-fault"


class PeerError(AuthsrvError):
    """The client broke the protocol."""

    status = SecurityStatus.SEC_E_INVALID_TOKEN
    code = "protocol-broken"


class InvalidHeaderError(PeerError):
    """The request breaks HTTP: two Authorization fields, or one without a scheme."""

    code = "bad-header"


class InvalidTokenError(PeerError):
    """The token is malformed."""

    code = "bad-token"


class TokenTooLargeError(PeerError):
    """The token is larger than the limit."""

    code = "token-too-large"


class UnexpectedTokenError(PeerError):
    """A token arrived where none was expected."""

    status = SecurityStatus.SEC_E_OUT_OF_SEQUENCE
    code = "unexpected-token"


class TooManyRoundsError(PeerError):
    """The handshake did not end within the limit of rounds."""

    status = SecurityStatus.SEC_E_OUT_OF_SEQUENCE
    code = "too-many-rounds"


class LostHandshakeError(PeerError):
    """A later token of a handshake came on another connection than its first one."""

    status = SecurityStatus.SEC_E_OUT_OF_SEQUENCE
    code = "lost-handshake"


class DeniedError(AuthsrvError):
    """The client kept the protocol and is refused."""

    status = SecurityStatus.SEC_E_LOGON_DENIED
    code = "denied"


class LogonDeniedError(DeniedError):
    """The credentials were refused."""

    code = "logon-denied"


class ReplayError(DeniedError):
    """The token was used before."""

    code = "replay"


class TicketExpiredError(DeniedError):
    """The ticket has expired, or is not yet valid."""

    status = SecurityStatus.SEC_E_CONTEXT_EXPIRED
    code = "ticket-expired"


class ClockSkewError(DeniedError):
    """The clocks of client and server differ by more than is allowed."""

    status = SecurityStatus.SEC_E_TIME_SKEW
    code = "clock-skew"


class WrongServiceError(DeniedError):
    """The ticket is for a service whose key is not ours to use."""

    status = SecurityStatus.SEC_E_WRONG_PRINCIPAL
    code = "wrong-service"


class KeyVersionError(DeniedError):
    """The ticket was made with a key version that the keytab does not hold."""

    status = SecurityStatus.SEC_E_NO_KERB_KEY
    code = "key-version"


class EncryptionTypeError(DeniedError):
    """The ticket's encryption type is not in the keytab."""

    status = SecurityStatus.SEC_E_KDC_UNKNOWN_ETYPE
    code = "encryption-type"


class BadBindingsError(DeniedError):
    """The channel bindings are wrong, or are missing where they are required."""

    status = SecurityStatus.SEC_E_BAD_BINDINGS
    code = "bad-bindings"


class AttributesError(DeniedError):
    """The established context lacks a required attribute, such as confidentiality."""

    status = SecurityStatus.SEC_E_SECURITY_QOS_FAILED
    code = "attributes"


class MechanismError(DeniedError):
    """The client offered no mechanism that is accepted here."""

    status = SecurityStatus.SEC_E_SECPKG_NOT_FOUND
    code = "mechanism"


class HandshakeExpiredError(DeniedError):
    """The handshake took longer than it may."""

    status = SecurityStatus.SEC_E_CONTEXT_EXPIRED
    code = "handshake-expired"


class UnknownCauseError(DeniedError):
    """The client is refused for a reason that nothing shows; the detail says what was ruled out."""

    code = "unknown"


class SessionError(DeniedError):
    """The session's cookie is malformed, doubled, forged, over, revoked, or of another host."""

    status = SecurityStatus.SEC_E_CONTEXT_EXPIRED
    code = "session"


class TooManyTriesError(DeniedError):
    """More passwords were tried than are asked of the KDC; this one was not looked at."""

    code = "too-many-tries"


class BlockedRequestError(DeniedError):
    """Whoever sends it, the request is not let through: it is not clear what it is."""

    code = "blocked-request"


class MetadataError(BlockedRequestError):
    """What the proxy says of the client's request is missing, doubled, or cannot be read."""

    code = "metadata"


class UnknownSiteError(BlockedRequestError):
    """The host belongs to no site, or to another one than the proxy names."""

    code = "unknown-site"


class AmbiguousPathError(BlockedRequestError):
    """The path is not in normal form, so the application may take it for another one."""

    code = "ambiguous-path"


class AliasedHeaderError(BlockedRequestError):
    """The client sent a header that the application may take for the identity."""

    code = "aliased-header"


class InsecureSchemeError(BlockedRequestError):
    """The client came by plain http, over which no session and no password may go."""

    code = "insecure-scheme"


class HandOverError(BlockedRequestError):
    """The code that hands a session over was used, is too old, or is of another browser or host."""

    code = "hand-over"


class ForbiddenError(DeniedError):
    """The client is known, and is not allowed to do this."""

    code = "forbidden"


class ForbiddenRealmError(ForbiddenError):
    """The client is known, in a realm that is not let in."""

    code = "forbidden-realm"


class CrossSiteError(ForbiddenError):
    """The client is known, and the request was made by a page of another site."""

    code = "cross-site"


class NoRuleError(ForbiddenError):
    """No rule of the site lets this client make this request."""

    code = "no-rule"


class IdentityTooLargeError(ForbiddenError):
    """What the application is to be told of the client does not fit into header fields."""

    code = "identity-too-large"


class MutualAuthenticationError(DeniedError):
    """As a client, we asked for mutual authentication and the server did not prove itself."""

    status = SecurityStatus.SEC_E_MUTUAL_AUTH_FAILED
    code = "mutual-authentication"
