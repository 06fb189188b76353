"""A password checked against the KDC, so that a false KDC cannot let anybody in.

How it works. With the password we ask the KDC for a ticket straight for our own service. That alone
proves nothing: a false KDC, which knows the password that it made up, answers whatever it likes. So
the ticket goes the way of every client's: an AP-REQ is made of it, and our own acceptor opens that
with the key in the keytab, which the false KDC does not have. The acceptor tells who the client is,
and until when. The ticket lies in a MEMORY cache, which is destroyed on every way out.

What is told to the client. Of an account that is disabled, locked out or expired MIT's KDC says so
to everybody, whatever the password, and so does Active Directory of some. Only an expired password
can be told from a wrong one: the KDC gives a ticket for changing it, for the right password. All
other causes are for the log.

All of this blocks, and libkrb5 waits for a silent KDC as long as the connection lasts. So it runs
on threads of a pool of its own, and whoever waits for it has a deadline.
"""

from __future__ import annotations

import enum
import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, Final

import krb5

from authsrv.core.account_names import HomeDomain, encode_password, parse_account_name
from authsrv.core.credentials import TicketCache
from authsrv.core.flags import AscRet, IscReq
from authsrv.core.identity import Identity, split_principal
from authsrv.core.results import Established, Refused, Result
from authsrv.core.settings import as_instance, as_optional, as_texts
from authsrv.core.status import SecurityStatus
from authsrv.errors import (
    AuthsrvError,
    ConfigError,
    DeniedError,
    KeytabError,
    LogonDeniedError,
    ProviderFaultError,
    UnavailableError,
)
from authsrv.providers.base import ContextRequest, InitiatorRequest
from authsrv.providers.gssapi.acceptor import GssapiProvider
from authsrv.providers.gssapi.initiator import GssapiInitiatorProvider, InitiatorMechanism
from authsrv.providers.kerberos.initial_ticket import Armour, PasswordExchange, fetch_ticket
from authsrv.providers.kerberos.memory_cache import MemoryCache
from authsrv.providers.kerberos.profile import clock_skew

__all__ = ["MECHANISM", "PasswordChecker", "PasswordRefusal", "Told"]

MECHANISM: Final = "password"
"""The mechanism of an identity that typed its password."""


class Told(enum.Enum):
    """What a refusal may tell the client beside that it is one."""

    NOTHING = "nothing"
    """Nothing: that the password is right was not proved, so the one text has to do."""
    MUST_CHANGE = "must-change"
    """The password is right, and has expired or must be changed."""


@dataclass(frozen=True, slots=True)
class PasswordRefusal:
    """A password that lets nobody in.

    Args:
        error: The cause, for the log.
        told: What the client may be told.
    """

    error: DeniedError
    told: Told = Told.NOTHING


class PasswordChecker:
    """Checks passwords of one domain against its KDC; any number of threads may use it at once.

    Args:
        provider: The acceptor whose keytab has the key of our own service.
        service: The service to ask a ticket for, such as "HTTP/web.example.org", without a realm;
            None for the first one in the keytab that begins with "HTTP/".
        realm: The realm of the service, and so of the accounts; None for that of the first one.
        netbios_names: See HomeDomain, whose realm is that of the service.
        upn_suffixes: See HomeDomain.

    Raises:
        ConfigError: A setting is of a wrong type, or a name is none of a domain.
    """

    def __init__(
        self,
        provider: GssapiProvider,
        *,
        service: str | None = None,
        realm: str | None = None,
        netbios_names: Iterable[str] = (),
        upn_suffixes: Iterable[str] = (),
    ) -> None:
        self._provider = as_instance(GssapiProvider, provider, "provider")
        self._service = as_optional(str, service, "service")
        self._realm = as_optional(str, realm, "realm")
        self._domain = HomeDomain(
            "EXAMPLE.ORG",
            as_texts(netbios_names, "netbios_names"),
            as_texts(upn_suffixes, "upn_suffixes"),
        )
        self._armour = Armour(provider.keytab)

    def __repr__(self) -> str:
        return f"<PasswordChecker with {self._provider!r}>"

    def check(self, typed: str, password: str) -> Identity | PasswordRefusal:
        """Check a password. It blocks, for as long as the KDC is silent.

        Args:
            typed: The name as it was typed; see parse_account_name.
            password: The password as it was typed.

        Returns:
            The identity as our own acceptor tells it, with the mechanism "password", or a refusal.

        Raises:
            AuthorityError: No KDC answers.
            KeytabError: The keytab is missing or has no such service, or its key does not open the
                KDC's ticket: it is old, or the KDC is a false one.
            UnavailableError: Our clock is wrong, or something else keeps us from an answer.
            ConfigError: libkrb5 cannot read its configuration.
        """
        try:
            secret = encode_password(password)
            context = _new_context()
            principal = self._our_principal()
            service, realm = split_principal(principal)
            home = replace(self._domain, realm=realm or "")
            account = parse_account_name(typed, home)
            exchange = PasswordExchange(account, secret, home.realm, service)
            ticket = fetch_ticket(exchange, context, self._armour)
        except LogonDeniedError as error:
            return PasswordRefusal(error)
        if ticket is None:
            expired = LogonDeniedError("the password has expired or must be changed")
            return PasswordRefusal(expired, Told.MUST_CHANGE)
        _check_clock(ticket.times.authtime)
        return _as_password(self._accept(ticket, principal), home.realm)

    def _our_principal(self) -> str:
        """The principal of the service that tickets are asked for, with its realm."""
        for principal in self._provider.credential()[0].principals:
            service, realm = split_principal(principal)
            if self._realm not in (None, realm):
                continue
            if self._service is None and service.startswith("HTTP/"):
                return principal
            if self._service is not None and service.casefold() == self._service.casefold():
                return principal
        of_realm = "" if self._realm is None else f" in the realm {self._realm}"
        wanted = self._service or "a service HTTP/..."
        raise KeytabError(f"the keytab has no key for {wanted}{of_realm}")

    def _accept(self, ticket: Any, principal: str) -> Identity:
        """Let our own acceptor open the ticket: only whoever knows our key can have made it."""
        cache = MemoryCache(ticket)
        try:
            token = _make_request(cache, principal)
        finally:
            cache.destroy()
        context = self._provider.create_context(ContextRequest())
        try:
            result = context.step(token)
        finally:
            context.delete()
        if isinstance(result, Established):
            return result.identity
        raise _fault_of(result, principal)


def _new_context() -> Any:
    try:
        return krb5.init_context()
    except krb5.Krb5Error:
        raise ConfigError("libkrb5 cannot use its configuration file") from None


def _check_clock(kdc_time: int) -> None:
    """Compare our clock with the KDC's, as it stands in a ticket of this moment."""
    ahead = round(time.time() - kdc_time)
    if abs(ahead) > clock_skew():
        direction = "ahead of" if ahead > 0 else "behind"
        raise UnavailableError(
            f"our clock is {abs(ahead)} s {direction} the KDC's",
            status=SecurityStatus.SEC_E_TIME_SKEW,
        )


def _make_request(cache: MemoryCache, principal: str) -> bytes:
    """Make the AP-REQ of a client that has the ticket; nobody is asked for it."""
    initiator = GssapiInitiatorProvider(
        TicketCache(cache.name.decode()), mechanism=InitiatorMechanism.KERBEROS
    )
    context = initiator.create_initiator(InitiatorRequest(principal, flags=IscReq(0)))
    try:
        result = context.step(b"")
    finally:
        context.delete()
    if isinstance(result, Established):
        return result.token
    raise _fault_of(result, principal)


def _fault_of(result: Result, principal: str) -> AuthsrvError:
    """Why a ticket that the KDC has just given us is not good for our own acceptor."""
    if not isinstance(result, Refused):
        return ProviderFaultError("a ticket of Kerberos takes more than one token")
    error = result.error
    if isinstance(error, DeniedError):
        return KeytabError(
            f"the KDC's ticket for {principal} is not good here: "
            f"the keytab is old, or the KDC is not the realm's ({error.detail})",
            native=error.native,
        )
    return error


def _as_password(identity: Identity, realm: str) -> Identity:
    """The identity without what belongs to the context in which we talked to ourselves.

    Raises:
        KeytabError: It is of another realm than was asked.
    """
    if identity.realm != realm:
        raise KeytabError("the KDC's ticket is for a client of another realm than was asked")
    return replace(
        identity, mechanism=MECHANISM, attributes=AscRet(0), channel_bound=False, delegated=None
    )
