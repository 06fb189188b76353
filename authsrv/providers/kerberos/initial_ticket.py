"""The exchange of a name and a password for a ticket (AS-REQ), armoured where it can be.

FAST (RFC 6113). Where the keytab's own key can log in and the KDC offers FAST, the exchange is
armoured with our own ticket, and as long as the process lives it is never done without FAST again:
nobody on the way can then try passwords at leisure against what was sent.

All of this blocks. libkrb5 has no deadline of its own before 1.22 (`request_timeout`).
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final

import krb5

from authsrv.core.account_names import AccountName
from authsrv.core.identity import split_principal
from authsrv.core.status import from_kerberos
from authsrv.errors import (
    AuthorityError,
    AuthsrvError,
    ConfigError,
    KeytabError,
    LogonDeniedError,
    UnavailableError,
)
from authsrv.providers.kerberos.keytab import KeytabFile
from authsrv.providers.kerberos.memory_cache import MemoryCache

__all__ = ["Armour", "PasswordExchange", "fetch_ticket"]

# RFC 3962 section 7 and RFC 8009 section 7: AES with 256 bits and with 128.
_AES: Final = (18, 17, 20, 19)
# RFC 3244 section 2; MIT and Active Directory give a ticket for it with an expired password too.
_CHANGE_SERVICE: Final = "kadmin/changepw"

# krb5.h: the codes of RFC 4120 section 7.5.9 stand above this base, and libkrb5's own from 128 on.
_BASE: Final = -1765328384
_OWN_CODES: Final = 128

_NO_SUCH_SERVICE: Final = 7
_KEY_EXPIRED: Final = 23

_Cause = tuple[type[AuthsrvError], str]

_WRONG: Final = "the password is wrong"
_NO_WAY: Final = "the KDC asks for another proof than a password"
_BAD_CONF: Final[_Cause] = (ConfigError, "libkrb5 cannot use its configuration file")
_NO_KDC: Final[_Cause] = (AuthorityError, "no KDC is known for the realm")
_SKEW: Final[_Cause] = (
    UnavailableError,
    "our clock differs from the KDC's by more than is allowed",
)

_DENIALS: Mapping[int, str] = MappingProxyType(
    {
        1: "the account has expired",
        6: "the KDC does not know the account",
        9: "the account has no key",
        12: "the KDC's policy denies the log-in",
        14: "the account has no AES key, or its KDC does not use AES",
        16: _NO_WAY,  # PADATA_TYPE_NOSUPP
        18: "the account is disabled or locked out, or may not log in at this hour",
        21: "the account is not valid yet",
        _KEY_EXPIRED: "the password has expired or must be changed, and another one was typed",
        24: _WRONG,
        25: _NO_WAY,  # PREAUTH_REQUIRED
        31: _WRONG,  # BAD_INTEGRITY, of an account that needs no pre-authentication
        68: "the KDC refers the name to another realm",
        130: _NO_WAY,  # LIBOS_CANTREADPWD
        132: _NO_WAY,  # LIBOS_PWDINTR
        208: _NO_WAY,  # PREAUTH_BAD_TYPE
        209: _NO_WAY,  # PREAUTH_NO_KEY
        210: _NO_WAY,  # PREAUTH_FAILED of libkrb5 itself
        223: _NO_WAY,  # GET_IN_TKT_LOOP
    }
)

_FAULTS: Mapping[int, _Cause] = MappingProxyType(
    {
        _NO_SUCH_SERVICE: (KeytabError, "the KDC does not know the service of our keytab"),
        29: (AuthorityError, "the KDC says that it is not available"),
        37: _SKEW,
        60: (AuthorityError, "the KDC failed"),
        135: _BAD_CONF,  # CONFIG_CANTOPEN
        136: _BAD_CONF,  # CONFIG_BADFORMAT
        147: (AuthorityError, "the KDC's answer is not one to what was asked"),
        148: _SKEW,  # KDCREP_SKEW
        154: _NO_KDC,  # REALM_UNKNOWN
        156: (AuthorityError, "no KDC of the realm answers"),
        220: _NO_KDC,  # REALM_CANT_RESOLVE
        252: (AuthorityError, "the KDC offered FAST, and answered without it"),
    }
)

# Said of our own armour: it has expired, or the KDC has another key by now. Code 31 is a wrong
# password too, of accounts without pre-authentication; they are asked once more.
_STALE_ARMOUR: Final = frozenset({31, 32, 41, 44, 45})
# How long a keytab that cannot log in by itself is not tried again, and what is left of an armour's
# life when it is renewed.
_RETRY_ARMOUR_S: Final = 300.0
_RENEW_ARMOUR_S: Final = 600.0
# How many principals of a keytab are tried.
_MAX_ARMOURERS: Final = 4


@dataclass(frozen=True, slots=True)
class PasswordExchange:
    """One question to the KDC: is this the password of this account?

    Args:
        account: The account.
        secret: The password, without NUL.
        realm: The home realm; what libkrb5 is given names no other one.
        service: The service that a ticket is asked for, without the realm, as libkrb5 escapes it.
    """

    account: AccountName
    secret: bytes = field(repr=False)
    realm: str
    service: str

    def fetch(self, context: Any, armour: MemoryCache | None, service: str | None = None) -> Any:
        """Get a ticket, a krb5.Creds, for the service, or for another one.

        Raises:
            krb5.Krb5Error: The KDC refuses, or does not answer.
        """
        options = krb5.get_init_creds_opt_alloc(context)
        # The canonical name comes back, however the name was typed.
        krb5.get_init_creds_opt_set_canonicalize(options, True)
        krb5.get_init_creds_opt_set_etype_list(options, _AES)
        krb5.get_init_creds_opt_set_forwardable(options, False)
        krb5.get_init_creds_opt_set_proxiable(options, False)
        if armour is not None:
            krb5.get_init_creds_opt_set_fast_ccache_name(context, options, armour.name)
            krb5.get_init_creds_opt_set_fast_flags(context, options, krb5.FastFlags.required)
        asked = (service or self.service).encode()
        return krb5.get_init_creds_password(
            context, self._client(context), options, self.secret, in_tkt_service=asked
        )

    def _client(self, context: Any) -> Any:
        realm, account = self.realm.encode(), self.account.account.encode()
        if self.account.upn_suffix is None:
            return krb5.build_principal(context, realm, [account])
        # With this flag the first "@" belongs to the name, and the second one ends it (RFC 6806
        # section 5); no part has one of its own, nor a backslash.
        name = account + b"@" + self.account.upn_suffix.encode() + b"@" + realm
        return krb5.parse_name_flags(context, name, krb5.PrincipalParseFlags.enterprise)


class Armour:
    """A ticket of our own for FAST, got with the keytab when it is needed; threads may share it.

    Args:
        keytab: Our keys. Those of an account come first: Active Directory lets no service name log
            in.
    """

    def __init__(self, keytab: KeytabFile) -> None:
        self._keytab = keytab
        self._held: MemoryCache | None = None
        self._look_at = 0.0
        self._was_offered = False

    def forget(self) -> None:
        """Drop the ticket: the KDC does not take it."""
        self._held, self._look_at = None, 0.0

    def get(self, context: Any, realm: str) -> MemoryCache | None:
        """A cache with the ticket; None where the KDC offers us no FAST. It may block.

        Args:
            context: A krb5.Context that no other thread uses.
            realm: That of the KDC that is to be asked, always the same.

        Raises:
            krb5.Krb5Error: No KDC answers.
            AuthorityError: There was a ticket, and the KDC gives us none any more.
            KeytabError: There is no keytab.
        """
        if time.time() >= self._look_at:
            # Several threads may get here at once: each gets a ticket of its own, and one stays.
            self._held, self._look_at = self._fetch(context, realm)
        return self._held

    def _fetch(self, context: Any, realm: str) -> tuple[MemoryCache | None, float]:
        snapshot = self._keytab.snapshot()
        keytab = krb5.kt_resolve(context, snapshot.name.encode())
        own = (each for each in snapshot.principals if split_principal(each)[1] == realm)
        accounts_first = sorted(own, key=lambda each: "/" in each)
        for principal in accounts_first[:_MAX_ARMOURERS]:
            try:
                found = _log_in(context, krb5.parse_name_flags(context, principal.encode()), keytab)
            except krb5.Krb5Error as failed:
                if _code(failed) in _FAULTS and _code(failed) != _NO_SUCH_SERVICE:
                    raise
                continue
            if found is not None:
                self._was_offered = True
                return found
        if self._was_offered:
            # Whoever can take the KDC's place could else have it done without.
            raise AuthorityError("the KDC offered FAST before, and now it does not take our key")
        return None, time.time() + _RETRY_ARMOUR_S


def _log_in(context: Any, client: Any, keytab: Any) -> tuple[MemoryCache, float] | None:
    """Get a ticket-granting ticket with a key of ours; None where the KDC offers no FAST."""
    scratch = krb5.cc_new_unique(context, b"MEMORY")
    try:
        options = krb5.get_init_creds_opt_alloc(context)
        krb5.get_init_creds_opt_set_out_ccache(context, options, scratch)
        ticket = krb5.get_init_creds_keytab(context, client, options, keytab)
        try:
            krb5.cc_get_config(context, scratch, ticket.server, b"fast_avail")
        except krb5.Krb5Error:
            return None
        return MemoryCache(ticket), ticket.times.endtime - _RENEW_ARMOUR_S
    finally:
        krb5.cc_destroy(context, scratch)


def fetch_ticket(exchange: PasswordExchange, context: Any, armour: Armour) -> Any | None:
    """Get a ticket for a password.

    Args:
        exchange: What is asked.
        context: A krb5.Context that no other thread uses.
        armour: What FAST is done with.

    Returns:
        The ticket, a krb5.Creds that is believed by nobody yet; or None: the password is right, and
        has expired or must be changed.

    Raises:
        LogonDeniedError: The KDC refuses, and the password is not proved; the cause is for the log.
        AuthorityError: No KDC answers.
        KeytabError: There is no keytab, or the KDC does not know its service.
        UnavailableError: Our clock is wrong, or libkrb5 fails in another way.
        ConfigError: libkrb5 cannot read its configuration.
    """
    held = None
    try:
        held = armour.get(context, exchange.realm)
        try:
            return exchange.fetch(context, held)
        except krb5.Krb5Error as failed:
            if held is None or _code(failed) not in _STALE_ARMOUR:
                raise
        armour.forget()
        held = armour.get(context, exchange.realm)
        return exchange.fetch(context, held)
    except krb5.Krb5Error as failed:
        if _code(failed) == _KEY_EXPIRED and _can_change_password(exchange, context, held):
            return None
        if _code(failed) == _NO_SUCH_SERVICE and exchange.account.upn_suffix is not None:
            # libkrb5 follows the referral of our own KDC, to where our service is not.
            raise LogonDeniedError("the name belongs to another realm than our service") from None
        raise _diagnose(_code(failed)) from None


def _can_change_password(
    exchange: PasswordExchange, context: Any, armour: MemoryCache | None
) -> bool:
    """Whether the KDC takes the password for changing it: then it is right, but expired."""
    try:
        exchange.fetch(context, armour, _CHANGE_SERVICE)
    except krb5.Krb5Error:
        return False
    return True


def _code(failed: krb5.Krb5Error) -> int:
    """The code without its base: that of RFC 4120 section 7.5.9, or libkrb5's own from 128 on."""
    return int(failed.err_code) - _BASE


def _diagnose(code: int) -> AuthsrvError:
    if code in _FAULTS:
        kind, cause = _FAULTS[code]
        return kind(cause)
    if code in _DENIALS:
        return LogonDeniedError(_DENIALS[code], status=from_kerberos(code))
    if 0 < code < _OWN_CODES:
        return LogonDeniedError(f"the KDC refuses with the error {code}")
    return UnavailableError(f"libkrb5 fails with the code {_BASE + code}")
