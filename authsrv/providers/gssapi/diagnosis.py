"""Why MIT's acceptor said no: from its codes to a cause in words.

What can be trusted. The major code is RFC 2744's. The minor code is not libkrb5's: MIT's mechanism
glue hands out numbers of its own (100001, 100002, ...) in the order in which errors first occur.
The text of an error depends on the locale and may quote the client. What is stable is the KRB-ERROR
that the acceptor makes for the client: RFC 4120's error code. Where there is none, or one that says
nothing, libkrb5 is asked itself (see request_probe). The code is combined with what the token
shows in the clear (service, key version, encryption type), what the keytab holds, and, where the
key is ours, with what stands inside the ticket. What nothing shows is told as unknown.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable
from dataclasses import dataclass, replace
from types import MappingProxyType

from authsrv.codecs.inspect import Mechanism, TokenPeek, peek
from authsrv.codecs.kerberos.messages import ApReq, KrbError, enctype_name, parse_krb_error
from authsrv.codecs.spnego import (
    KERBEROS_OIDS,
    NegTokenResp,
    mechanism_name,
    parse_spnego,
    unwrap_spnego,
)
from authsrv.core.status import GSSCode
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
    ReplayCacheError,
    ReplayError,
    TicketExpiredError,
    UnknownCauseError,
    WrongServiceError,
)
from authsrv.providers.kerberos.decryption import TicketTimes, read_times
from authsrv.providers.kerberos.keytab import KeytabSnapshot
from authsrv.providers.kerberos.profile import process_replay_cache
from authsrv.providers.kerberos.request_probe import (
    CacheVerdict,
    ask_libkrb5,
    can_read_pac,
    compare_caches,
    frame_bare_request,
    permitted_enctypes,
)
from authsrv.providers.kerberos.service_names import ServiceNames
from authsrv.providers.replay import find_cache_fault

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
_BAD_MATCH = 36
_UNTRUSTED_PATH = 43
_UNREADABLE_CODES = frozenset({3, 39, 40})  # BAD_PVNO, BADVERSION, MSG_TYPE
_KEY_CODES = frozenset({14, 31, 35, 36, 41, 44, 45, 181, 230})  # and MIT's KT_NOTFOUND, KT_KVNO...

# MIT krb5's krb5.h, counted from RFC 4120's 0; and its asn1_err.h, another table altogether.
_TABLE = -1765328384
_INVALID = 145
_NOT_PERMITTED = 236
_CANNOT_OPEN = frozenset({31, 41, 188, 189, 190})  # ... and BAD_ENCTYPE, BAD_KEYSIZE, BAD_MSIZE
_ASN1_CODES = 1859794432

_MAX_SIGNED = 2**31 - 1
# RFC 4121 section 4.1.1: the channel bindings and the flags.
_CHECKSUM_BYTES = 24

_KERBEROS_NAMES = frozenset(map(mechanism_name, KERBEROS_OIDS))


_MAX_NAME = 256


@dataclass(frozen=True, slots=True)
class Failure:
    """A failed call of gss_accept_sec_context.

    Args:
        major: The major status of RFC 2744.
        minor: The minor status, as the mechanism glue gave it.
        token: The token that was refused, from the client, untrusted.
        error_token: What the acceptor made for the client, or empty.
    """

    major: int
    minor: int
    token: bytes
    error_token: bytes

    @property
    def routine(self) -> int:
        """The routine error, 1 to 18."""
        return self.major >> 16 & 0xFF

    @property
    def native(self) -> GSSCode:
        """Both codes, for the log."""
        return GSSCode(self.major, self.minor)


@dataclass(frozen=True, slots=True)
class _Case:
    """A refusal, and all that was there when it came to it."""

    failure: Failure
    snapshot: KeytabSnapshot
    services: ServiceNames
    cache: bytes | None

    @property
    def kerberos(self) -> bytes:
        return unwrap_spnego(self.failure.token)


def diagnose(
    failure: Failure, snapshot: KeytabSnapshot, services: ServiceNames, cache: bytes | None = None
) -> AuthsrvError:
    """Name the cause of a refusal.

    Args:
        failure: The failed call.
        snapshot: The keytab that it used.
        services: The services that tickets may be for.
        cache: The replay cache as the credential store named it; None for the process's own.

    Returns:
        The error, not raised. It holds no byte of a token and no text of a library.
    """
    failure = replace(failure, token=frame_bare_request(failure.token))
    seen = peek(failure.token)
    error = _by_major(failure, seen, snapshot)
    if error is None:
        error = _by_ticket(_Case(failure, snapshot, services, cache), seen)
    error.native = failure.native
    return error


def _by_major(failure: Failure, seen: TokenPeek, snapshot: KeytabSnapshot) -> AuthsrvError | None:
    routine = failure.routine
    if routine == _BAD_MECH:
        return _refuse_mechanism(seen)
    if routine == _BAD_BINDINGS:
        return _bindings_cause(seen, snapshot)
    if routine in (_NO_CRED, _DEFECTIVE_CREDENTIAL):
        if not snapshot.entries:
            return KeytabError("libgssapi finds no usable key in the keytab")
        # The keytab has given a credential, so what has none is a mechanism that only the client
        # knows, in its list or in the frame of its token.
        return _refuse_mechanism(seen)
    if routine == _DEFECTIVE_TOKEN:
        if seen.mechanism in (Mechanism.NTLM, Mechanism.NEGOEX):
            return _refuse_mechanism(seen)
        return InvalidTokenError("the token is no valid SPNEGO or Kerberos token")
    return None


def _bindings_cause(seen: TokenPeek, snapshot: KeytabSnapshot) -> AuthsrvError:
    times = None if seen.ap_req is None else read_times(seen.ap_req, snapshot)
    size = None if times is None else times.checksum_bytes
    if size is not None and size < _CHECKSUM_BYTES:
        return InvalidTokenError("the authenticator's checksum has no room for channel bindings")
    return BadBindingsError("the client's channel bindings name another channel")


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


def _by_ticket(case: _Case, seen: TokenPeek) -> AuthsrvError:
    ap_req = seen.ap_req
    if ap_req is None:
        return InvalidTokenError("the token is truncated or malformed")
    if (ap_req.ticket_kvno or 0) > _MAX_SIGNED:
        # MIT holds the key version for a signed number, and could not even read it.
        return InvalidTokenError("the Kerberos token is malformed")
    if not case.services.covers(ap_req.service):
        return _key_cause(ap_req, case)
    answer = _krb_error(case.failure.error_token)
    code = None if answer is None else answer.error_code
    if code == _REPEAT:
        return ReplayError("the ticket's authenticator was used before")
    if code in (None, _GENERIC):
        # There is no answer where the client asked for none, and 60 is whatever has no number.
        code = ask_libkrb5(case.kerberos, case.snapshot.name)
    return _by_code(code, case, ap_req)


def _by_code(code: int | None, case: _Case, ap_req: ApReq) -> AuthsrvError:
    if code == 0:
        return _by_cache(case)
    times = read_times(ap_req, case.snapshot)
    if code is not None and code in _TIMED:
        return _TIMED[code](times)
    if code in _UNREADABLE_CODES or (code is not None and code >= _ASN1_CODES):
        return InvalidTokenError("the Kerberos token is malformed")
    if times is None and code in _KEY_CODES:
        return _key_cause(ap_req, case)
    if times is None:
        return _unknown(code, "the ticket could not be opened")
    return _by_content(code, ap_req, times)


def _by_content(code: int | None, ap_req: ApReq, times: TicketTimes) -> AuthsrvError:
    """The ticket opens with our key, so it is something inside that does not fit."""
    if code == _INVALID:
        return LogonDeniedError(
            "the ticket is flagged invalid: it was postdated, and the KDC has not validated it"
        )
    if code == _BAD_MATCH:
        return LogonDeniedError("the authenticator names another client than its ticket")
    if code == _UNTRUSTED_PATH:
        return LogonDeniedError(
            f"the path of realms from {_shortened(times.client)} to {_shortened(ap_req.realm)} "
            "is not trusted: capaths in krb5.conf say which are"
        )
    if times.client_time is None:
        if code in _CANNOT_OPEN:
            return LogonDeniedError("the ticket's authenticator was altered")
        return _unknown(code, "the ticket opens with our key, and the authenticator was not read")
    if code is None:
        return _unknown(code, "ticket and authenticator open with our key")
    refused = _not_permitted(ap_req, times)
    if refused and (code == _NOT_PERMITTED or code in _KEY_CODES):
        return EncryptionTypeError(
            "krb5.conf (permitted_enctypes, allow_rc4) does not permit "
            f"{' or '.join(map(enctype_name, refused))}, which the request needs"
        )
    if times.pac and not can_read_pac(times.pac):
        return LogonDeniedError("the ticket's PAC is broken: libkrb5 cannot read it")
    return _unknown(code, "ticket and authenticator open with our key, and no PAC is broken")


def _not_permitted(ap_req: ApReq, times: TicketTimes) -> list[int]:
    """The encryption types of ticket, session key and proposed key that krb5.conf excludes."""
    permitted = permitted_enctypes()
    if permitted is None:
        return []
    kinds = {ap_req.ticket_enctype, times.session_enctype, times.subkey_enctype}
    return sorted(kind for kind in kinds if kind is not None and kind not in permitted)


def _by_cache(case: _Case) -> AuthsrvError:
    """What is left where libkrb5 finds no fault in the request: the replay cache, or libgssapi."""
    verdict = compare_caches(case.kerberos, case.snapshot.name, case.cache)
    if verdict is CacheVerdict.REPLAY:
        return ReplayError("the ticket's authenticator was used before")
    fault = find_cache_fault(case.cache or process_replay_cache().encode())
    if verdict is CacheVerdict.BROKEN or (verdict is CacheVerdict.UNTOLD and fault):
        return ReplayCacheError(
            fault
            or "libkrb5 accepts the ticket without its replay cache and cannot with it: "
            "is the cache's folder writable, and its disk not full?"
        )
    if verdict is CacheVerdict.UNTOLD:
        return UnknownCauseError(
            "libkrb5 accepts the ticket without its replay cache only, whose file can be written: "
            "the authenticator was used before, or the cache is full"
        )
    ruled_out = "key, times, signatures and encryption types are good"
    if verdict is CacheVerdict.GOOD:
        return UnknownCauseError(f"the ticket was refused once, and is good now: {ruled_out}")
    return UnknownCauseError(
        f"libgssapi refuses what libkrb5 finds no fault in ({case.failure.native}): {ruled_out}, "
        "and it is no replay"
    )


def _unknown(code: int | None, ruled_out: str) -> AuthsrvError:
    told = "libkrb5 could not be asked" if code is None else f"libkrb5's code is {_TABLE + code}"
    return UnknownCauseError(f"{told}; {ruled_out}")


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


_TIMED: MappingProxyType[int, Callable[[TicketTimes | None], AuthsrvError]] = MappingProxyType(
    {_TKT_EXPIRED: _expired, _TKT_NYV: _not_yet, _AP_SKEW: _skewed}
)


def _key_cause(ap_req: ApReq, case: _Case) -> AuthsrvError:
    """Say which of service, key version and encryption type the keytab does not have."""
    snapshot, services = case.snapshot, case.services
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
