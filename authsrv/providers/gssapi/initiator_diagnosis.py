"""Why MIT's initiator failed: from its codes, and from the server's token, to a cause in words.

What can be trusted. For the mechanism Kerberos the minor code is libkrb5's own; for SPNEGO it is
a number that MIT's mechanism glue made up, so nobody asks here with that. The texts depend on the
locale and quote the other side. What a server says in a KRB-ERROR or in a refusal of SPNEGO is
protected by nothing: it explains a failure, and it never makes a success.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from authsrv.codecs.kerberos.messages import parse_krb_error
from authsrv.codecs.spnego import (
    KERBEROS,
    KERBEROS_OIDS,
    NegState,
    NegTokenResp,
    is_spnego,
    mechanism_name,
    parse_spnego,
)
from authsrv.core.status import GSSCode, from_kerberos
from authsrv.errors import (
    AuthorityError,
    AuthsrvError,
    ClockSkewError,
    ConfigError,
    EncryptionTypeError,
    InvalidTokenError,
    KeyVersionError,
    LogonDeniedError,
    MechanismError,
    MutualAuthenticationError,
    NoCredentialError,
    ReplayError,
    TargetUnknownError,
    TicketExpiredError,
    UnavailableError,
    WrongServiceError,
)

__all__ = ["diagnose_answer", "diagnose_beginning"]

# krb5.h: the codes of RFC 4120 section 7.5.9 stand above this base, and libkrb5's own above them.
_BASE = -1765328384
_OWN_CODES = 128

# RFC 2744 section 3.9.1, routine errors.
_NO_CRED = 7
_EXPIRED_CREDENTIALS = 11

_Cause = tuple[type[AuthsrvError], str]

_NO_TICKET: _Cause = (NoCredentialError, "there is no ticket in {credential}")
_DAMAGED: _Cause = (NoCredentialError, "{credential} is damaged")
_WRONG_KEY: _Cause = (NoCredentialError, "the KDC does not take the key of {credential}")
_NO_KEY: _Cause = (NoCredentialError, "no key can be read from {credential}")
_CLOSED: _Cause = (LogonDeniedError, "the KDC has closed the account of {credential}")
_DENIED: _Cause = (LogonDeniedError, "the KDC's policy denies a ticket for {target}")
_UNKNOWN_KDC: _Cause = (AuthorityError, "no KDC is known for the realm")
_BAD_CONF: _Cause = (ConfigError, "libkrb5 cannot use its configuration file")
_EXPIRED: _Cause = (NoCredentialError, "the ticket in {credential} has expired")

_BEGINNINGS: Mapping[int, _Cause] = MappingProxyType(
    {
        1: _CLOSED,  # NAME_EXP
        6: (NoCredentialError, "the KDC does not know the principal of {credential}"),
        7: (TargetUnknownError, "the KDC knows no service {target}"),
        12: _DENIED,  # POLICY
        13: _DENIED,  # BADOPTION
        14: (EncryptionTypeError, "the KDC has no encryption type for {target} that we have"),
        18: _CLOSED,  # CLIENT_REVOKED
        23: _CLOSED,  # KEY_EXP
        24: _WRONG_KEY,  # PREAUTH_FAILED
        31: _WRONG_KEY,  # BAD_INTEGRITY
        32: _EXPIRED,
        37: (ClockSkewError, "our clock differs from the KDC's by more than is allowed"),
        134: (ConfigError, "the principal of {credential} is no Kerberos name"),
        135: _BAD_CONF,  # CONFIG_CANTOPEN
        136: _BAD_CONF,  # CONFIG_BADFORMAT
        139: (ConfigError, "{credential} has a name that libkrb5 does not understand"),
        140: (ConfigError, "{credential} is of a type that libkrb5 does not know"),
        141: _NO_TICKET,  # CC_NOTFOUND
        142: _NO_TICKET,  # CC_END
        154: _UNKNOWN_KDC,  # REALM_UNKNOWN
        156: (AuthorityError, "no KDC of the realm answers"),
        181: _NO_KEY,  # KT_NOTFOUND
        184: _NO_KEY,  # KT_IOERR
        193: _DAMAGED,  # CC_IO
        194: (NoCredentialError, "{credential} may not be read"),
        195: _NO_TICKET,  # FCC_NOFILE
        199: _DAMAGED,  # CC_FORMAT
        210: _WRONG_KEY,  # KRB5_PREAUTH_FAILED
        212: _DAMAGED,  # CCACHE_BADVNO
        220: _UNKNOWN_KDC,  # REALM_CANT_RESOLVE
        224: (ConfigError, "libkrb5 has no default realm"),
    }
)

_NOT_ITS_KEY: _Cause = (
    KeyVersionError,
    "{target} cannot read our ticket: its keys are not those of the KDC",
)

# What a server says; RFC 4120 section 7.5.9.
_ANSWERS: Mapping[int, _Cause] = MappingProxyType(
    {
        14: (EncryptionTypeError, "{target} does not know our ticket's encryption type"),
        31: _NOT_ITS_KEY,
        32: (TicketExpiredError, "{target} says that our ticket has expired"),
        33: (TicketExpiredError, "{target} says that our ticket is not valid yet"),
        34: (ReplayError, "{target} has seen our authenticator before"),
        35: (WrongServiceError, "{target} says that our ticket is for another service"),
        36: (LogonDeniedError, "{target} says that ticket and authenticator do not match"),
        37: (ClockSkewError, "our clock differs from that of {target} by more than is allowed"),
        41: _NOT_ITS_KEY,
        44: _NOT_ITS_KEY,
        45: _NOT_ITS_KEY,
    }
)


def diagnose_beginning(major: int, minor: int, *, credential: str, target: str) -> AuthsrvError:
    """Name the cause why there is no initial token.

    Args:
        major: The major code.
        minor: The minor code, of the mechanism Kerberos: that of SPNEGO means nothing.
        credential: What we have in words, such as "the credential cache /tmp/krb5cc_1000".
        target: The service that we wanted to talk to.

    Returns:
        The error, not raised, with no text of a library.
    """
    code = (minor & 0xFFFFFFFF) - (1 << 32) - _BASE
    error = _of_table(_BEGINNINGS, code, credential=credential, target=target)
    if error is None:
        error = _by_major(major, code, credential)
    error.native = GSSCode(major & 0xFFFFFFFF, minor & 0xFFFFFFFF)
    return error


def diagnose_answer(token: bytes, *, target: str, mutual: bool) -> AuthsrvError:
    """Name the cause why a server's token, untrusted, was not accepted.

    `mutual` says whether the server had to prove itself. The error is not raised, and holds no byte
    of the token.
    """
    return _told(token, target) or (
        MutualAuthenticationError(f"the token does not prove that the server is {target}")
        if mutual
        else InvalidTokenError(f"the token of {target} is malformed or altered")
    )


def _of_table(table: Mapping[int, _Cause], code: int, **words: str) -> AuthsrvError | None:
    if code not in table:
        return None
    kind, text = table[code]
    return kind(text.format_map(words))


def _by_major(major: int, code: int, credential: str) -> AuthsrvError:
    if 0 < code < _OWN_CODES:
        text = f"the KDC refuses with the Kerberos error {code}"
        return LogonDeniedError(text, status=from_kerberos(code))
    routine = major >> 16 & 0xFF
    if routine == _EXPIRED_CREDENTIALS:
        return NoCredentialError(f"the ticket in {credential} has expired")
    if routine == _NO_CRED:
        return NoCredentialError(f"libgssapi cannot use {credential}")
    return UnavailableError("libgssapi made no token, and gives no cause that is known here")


def _told(token: bytes, target: str) -> AuthsrvError | None:
    """What the server itself says, if anything."""
    try:
        answer = parse_spnego(token) if is_spnego(token) else None
        inner = answer.response_token if isinstance(answer, NegTokenResp) else token
        if inner and (said := _told_by_kerberos(inner, target)):
            return said
    except InvalidTokenError:
        return None
    if not isinstance(answer, NegTokenResp):
        return None
    if answer.neg_state is NegState.REJECT:
        return LogonDeniedError(f"{target} refuses us")
    chosen = answer.supported_mech or KERBEROS
    if chosen in KERBEROS_OIDS:
        return None
    return MechanismError(f"{target} wants {mechanism_name(chosen)}; only Kerberos is spoken here")


def _told_by_kerberos(token: bytes, target: str) -> AuthsrvError | None:
    try:
        code = parse_krb_error(token).error_code
    except InvalidTokenError:
        return None
    known = _of_table(_ANSWERS, code, target=target)
    status = from_kerberos(code)
    return known or LogonDeniedError(
        f"{target} refuses us with the Kerberos error {code}", status=status
    )
