"""Why MIT's acceptor said no: from its codes to a cause in words.

What can be trusted. The major code is RFC 2744's. The minor code is not libkrb5's: MIT's mechanism
glue hands out numbers of its own (100001, 100002, ...) in the order in which errors first occur.
The text of an error depends on the locale and may quote the client. What is stable is the KRB-ERROR
that the acceptor makes for the client: RFC 4120's error code. It is combined with what the token
shows in the clear (service, key version, encryption type), what the keytab holds, and, where the
key is ours, with the times inside the ticket.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable
from dataclasses import dataclass
from types import MappingProxyType

from authsrv.errors import (
    AuthsrvError,
    BadBindingsError,
    ClockSkewError,
    EncryptionTypeError,
    InvalidTokenError,
    KeytabError,
    KeyVersionError,
    LogonDeniedError,
    MechanismError,
    PackageFaultError,
    ReplayCacheError,
    ReplayError,
    TicketExpiredError,
    WrongServiceError,
)
from authsrv.packages.decryption import TicketTimes, read_times
from authsrv.packages.keytab import KeytabSnapshot
from authsrv.packages.service_names import ServiceNames
from authsrv.status import GSSCode, from_gss
from authsrv.tokens.kerberos import ApReq, KrbError, enctype_name, parse_krb_error
from authsrv.tokens.peek import Mechanism, TokenPeek, peek
from authsrv.tokens.spnego import (
    KERBEROS,
    MS_KERBEROS,
    NegTokenResp,
    mechanism_name,
    parse_spnego,
)

__all__ = ["Failure", "diagnose"]

# RFC 2744 section 3.9.1, routine errors.
_BAD_MECH = 1
_BAD_BINDINGS = 4
_NO_CRED = 7
_DEFECTIVE_TOKEN = 9
_DEFECTIVE_CREDENTIAL = 10

# RFC 4120 section 7.5.9.
_TKT_EXPIRED = 32
_TKT_NYV = 33
_REPEAT = 34
_AP_SKEW = 37
_GENERIC = 60
_UNREADABLE_CODES = frozenset({39, 40})  # BADVERSION, MSG_TYPE
_KEY_CODES = frozenset({14, 31, 35, 36, 41, 44, 45})

_MAX_SIGNED = 2**31 - 1

_KERBEROS_NAMES = frozenset(map(mechanism_name, (KERBEROS, MS_KERBEROS)))


# MIT's default; what a krb5.conf allows instead, no interface tells.
_SKEW = datetime.timedelta(seconds=300)
_MAX_NAME = 256


@dataclass(frozen=True, slots=True)
class Failure:
    """A failed call of gss_accept_sec_context.

    Args:
        major: The major status.
        minor: The minor status, as the mechanism glue gave it.
        token: The token that was refused, from the client, untrusted.
        error_token: What the acceptor made for the client, or empty.

    Source: RFC 2744 section 5.1.
    """

    major: int
    minor: int
    token: bytes
    error_token: bytes

    @property
    def routine(self) -> int:
        """The routine error, 1 to 18.

        Source: RFC 2744 section 3.9.1.
        """
        return self.major >> 16 & 0xFF

    @property
    def native(self) -> GSSCode:
        """Both codes, for the log.

        Source: RFC 2744 section 3.9.1.
        """
        return GSSCode(self.major, self.minor)


def diagnose(failure: Failure, snapshot: KeytabSnapshot, services: ServiceNames) -> AuthsrvError:
    """Name the cause of a refusal.

    Args:
        failure: The codes and tokens of the failed call.
        snapshot: The keytab that was used.
        services: The services that tickets may be for.

    Returns:
        The error, with its cause in words. It holds no byte of a token and no text of a library.

    Source: authsrv design decision 5.
    """
    seen = peek(failure.token)
    error = _by_major(failure, seen)
    if error is None:
        error = _by_ticket(failure, seen, snapshot, services)
    error.native = failure.native
    return error


def _by_major(failure: Failure, seen: TokenPeek) -> AuthsrvError | None:
    routine = failure.routine
    if routine == _BAD_MECH:
        return _refuse_mechanism(seen)
    if routine == _BAD_BINDINGS:
        return BadBindingsError("the client's channel bindings name another channel")
    if routine in (_NO_CRED, _DEFECTIVE_CREDENTIAL):
        if not _offers_kerberos(seen):
            # There is no key for a mechanism that only the client has heard of, such as IAKERB.
            return _refuse_mechanism(seen)
        return KeytabError("libgssapi finds no usable key in the keytab")
    if routine == _DEFECTIVE_TOKEN:
        if seen.mechanism in (Mechanism.NTLM, Mechanism.NEGOEX):
            return _refuse_mechanism(seen)
        return InvalidTokenError("the token is no valid SPNEGO or Kerberos token")
    return None


def _refuse_mechanism(seen: TokenPeek) -> AuthsrvError:
    if seen.mechanism is Mechanism.NTLM:
        return MechanismError(
            "the client sent NTLM, which is off here: it has no Kerberos ticket for this service"
        )
    if _offers_kerberos(seen):
        return InvalidTokenError("the Kerberos token is malformed")
    if not seen.wellformed and not seen.offered:
        return InvalidTokenError("the token is malformed")
    offered = ", ".join(seen.offered) or seen.mechanism.label
    return MechanismError(f"the client offers {offered}; only Kerberos is accepted here")


def _offers_kerberos(seen: TokenPeek) -> bool:
    offers = _KERBEROS_NAMES.intersection(seen.offered)
    return seen.mechanism is Mechanism.KERBEROS or bool(offers)


def _by_ticket(
    failure: Failure, seen: TokenPeek, snapshot: KeytabSnapshot, services: ServiceNames
) -> AuthsrvError:
    krb_error = _krb_error(failure.error_token)
    ap_req = seen.ap_req
    if ap_req is None:
        return InvalidTokenError("the token is truncated or malformed")
    if krb_error is None:
        return _without_answer(failure, ap_req, snapshot, services)
    code = krb_error.error_code
    if code in _TIMED:
        return _TIMED[code](read_times(ap_req, snapshot))
    if code == _REPEAT:
        return ReplayError("the ticket's authenticator was used before")
    if code in _KEY_CODES:
        return _key_cause(ap_req, snapshot, services)
    if code in _UNREADABLE_CODES:
        return InvalidTokenError("the Kerberos token is malformed")
    if code == _GENERIC:
        return _unchecked(read_times(ap_req, snapshot))
    return LogonDeniedError(f"Kerberos error {code}")


def _without_answer(
    failure: Failure, ap_req: ApReq, snapshot: KeytabSnapshot, services: ServiceNames
) -> AuthsrvError:
    if (ap_req.ticket_kvno or 0) > _MAX_SIGNED:
        # MIT holds the key version for a signed number, and could not even read it.
        return InvalidTokenError("the Kerberos token is malformed")
    if not ap_req.mutual_required:
        return _inferred(ap_req, snapshot, services)
    if failure.error_token:
        # An answer was made for the client, so the token was judged, and not the system.
        return InvalidTokenError("the Kerberos token is malformed")
    status = from_gss(failure.major, failure.minor).status
    return PackageFaultError("libgssapi failed without a cause", status=status)


def _inferred(ap_req: ApReq, snapshot: KeytabSnapshot, services: ServiceNames) -> AuthsrvError:
    """Find the cause as MIT did: it makes a KRB-ERROR only where the client asked for an answer."""
    times = read_times(ap_req, snapshot)
    if times is None or not services.covers(ap_req.service):
        return _key_cause(ap_req, snapshot, services)
    now = _now()
    if times.end_time + _SKEW < now:
        return _expired(times)
    if times.start_time is not None and times.start_time > now + _SKEW:
        return _not_yet(times)
    if times.client_time is None:
        return LogonDeniedError("the ticket's authenticator was altered")
    if abs(times.client_time - now) > _SKEW:
        return _skewed(times)
    return ReplayError(
        "the ticket's authenticator was used before, or the replay cache cannot be used"
    )


def _krb_error(error_token: bytes) -> KrbError | None:
    if not error_token:
        return None
    try:
        if error_token[0] == 0xA1:
            answer = parse_spnego(error_token)
            inner = answer.response_token if isinstance(answer, NegTokenResp) else None
            return parse_krb_error(inner) if inner else None
        return parse_krb_error(error_token)
    except InvalidTokenError:
        return None


def _expired(times: TicketTimes | None) -> AuthsrvError:
    if times is None:
        return TicketExpiredError("the ticket has expired")
    ago = _now() - times.end_time
    return TicketExpiredError(f"the ticket expired {_seconds(ago)} ago, at {times.end_time:%FT%TZ}")


def _not_yet(times: TicketTimes | None) -> AuthsrvError:
    if times is None or times.start_time is None:
        return TicketExpiredError("the ticket is not valid yet")
    return TicketExpiredError(f"the ticket is not valid before {times.start_time:%FT%TZ}")


def _skewed(times: TicketTimes | None) -> AuthsrvError:
    if times is None or times.client_time is None:
        return ClockSkewError("the client's clock differs from ours by more than is allowed")
    ahead = times.client_time - _now()
    direction = "ahead of" if ahead > datetime.timedelta(0) else "behind"
    return ClockSkewError(f"the client's clock is {_seconds(abs(ahead))} {direction} ours")


def _unchecked(times: TicketTimes | None) -> AuthsrvError:
    """Tell a token that libkrb5 could not read from a replay cache that it could not use."""
    if times is not None and times.client_time is None:
        return LogonDeniedError("the ticket's authenticator was altered")
    return ReplayCacheError(
        "libkrb5 could not check the ticket: is the replay cache's folder writable and not full?"
    )


_TIMED: MappingProxyType[int, Callable[[TicketTimes | None], AuthsrvError]] = MappingProxyType(
    {_TKT_EXPIRED: _expired, _TKT_NYV: _not_yet, _AP_SKEW: _skewed}
)


def _key_cause(ap_req: ApReq, snapshot: KeytabSnapshot, services: ServiceNames) -> AuthsrvError:
    """Say which of service, key version and encryption type the keytab does not have."""
    wanted = _shortened(ap_req.principal)
    if not services.covers(ap_req.service):
        return WrongServiceError(f"the ticket is for {wanted}; this service is {services}")
    ours = [entry for entry in snapshot.entries if entry.principal == ap_req.principal]
    if not ours:
        known = ", ".join(snapshot.principals[:4]) or "no service that is known here"
        return WrongServiceError(f"the ticket is for {wanted}; the keytab has keys for {known}")
    kvno, enctype = ap_req.ticket_kvno, ap_req.ticket_enctype
    versions = sorted({entry.kvno for entry in ours})
    if kvno is not None and kvno not in versions:
        held = ", ".join(map(str, versions))
        return KeyVersionError(
            f"the ticket for {wanted} has key version {kvno}; the keytab has {held}"
        )
    enctypes = {entry.enctype for entry in ours if kvno is None or entry.kvno == kvno}
    if enctype not in enctypes:
        held = ", ".join(enctype_name(held) for held in sorted(enctypes, reverse=True))
        return EncryptionTypeError(
            f"the ticket for {wanted} is encrypted with {enctype_name(enctype)}; "
            f"the keytab has only {held}"
        )
    return LogonDeniedError(
        f"the ticket for {wanted} was altered, "
        f"or the keytab's key (version {kvno}) is not the KDC's"
    )


def _shortened(name: str) -> str:
    """Bound what a client can write into the log."""
    return name if len(name) <= _MAX_NAME else f"{name[:_MAX_NAME]}..."


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


def _seconds(span: datetime.timedelta) -> str:
    return f"{round(span.total_seconds())} s"
