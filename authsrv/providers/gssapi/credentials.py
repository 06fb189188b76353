"""From the description of a client's credential to one that MIT's initiator takes.

No environment variable is ever set: a credential store names the cache and the keytab, so clients
with different credentials live in one process. Tickets that we log in for, or are handed, lie in a
credential cache in memory, which is destroyed with the last context that uses it.

Every credential is for Kerberos, raw or inside SPNEGO, and nothing else.
"""

from __future__ import annotations

import os
import threading
import time
from typing import Any, Protocol

import gssapi.raw as gss

from authsrv.core.credentials import ClientCredential, ClientKeytab, TicketCache
from authsrv.core.identity import DelegatedCredential
from authsrv.errors import AuthsrvError, ConfigError, NoCredentialError
from authsrv.providers.gssapi.cache_choice import choose_identity
from authsrv.providers.gssapi.initiator_diagnosis import diagnose_beginning
from authsrv.providers.gssapi.mechanisms import KERBEROS, SPNEGO
from authsrv.providers.kerberos.memory_cache import MemoryCache

__all__ = ["CredentialSource", "HeldCredential", "source_of"]


# python-gssapi takes bytes alone, whatever its types say.
_Store = dict[bytes | str, bytes | str]

_NOBODY = "a service"

# A ticket is renewed when this is left of its life, or a tenth of it, whichever is less.
_RENEW_BEFORE_S = 600.0
_RENEW_PART = 0.1
# How long a renewal that failed is not tried again, while the old ticket is still good.
_RETRY_S = 30.0


class HeldCredential:
    """A credential in use; whoever uses `native` keeps a reference to this.

    Args:
        native: A gssapi.raw.Creds.
        lifetime: How long it is good, in seconds; None for ever.
        keeps: What has to live as long as it, such as the cache that its tickets lie in.
    """

    __slots__ = ("_keeps", "lifetime", "native")

    def __init__(self, native: Any, lifetime: float | None = None, keeps: object = None) -> None:
        self.native = native
        self.lifetime = lifetime
        self._keeps = keeps


class CredentialSource(Protocol):
    """Where a client's credential comes from."""

    @property
    def label(self) -> str:
        """What it is in words, such as "the credential cache /tmp/krb5cc_1000"."""
        ...

    def credential(self, target: str) -> HeldCredential:
        """The credential as it is now, for a service such as "HTTP/web.example.org".

        It may block: a KDC may be asked.

        Raises:
            NoCredentialError: There is no ticket, and none to be had; or it has expired.
            AuthorityError: No KDC answers.
            AuthsrvError: Another cause of authsrv.providers.gssapi.initiator_diagnosis.
        """
        ...


def source_of(credential: ClientCredential | None) -> CredentialSource:
    """Find the source for a description, or for what the environment holds.

    Raises:
        ConfigError: The credential is of a type that is not known here, was delegated through
            another provider, or names a principal that cannot be encoded.
    """
    match credential:
        case None:
            return _Environment()
        case TicketCache(name):
            shown = os.fspath(name)
            return _Stored(f"the credential cache {shown}", {b"ccache": _named(name)})
        case ClientKeytab():
            return _LoggedIn(credential)
        case DelegatedCredential(provider="gssapi", native=native) if native is not None:
            return _HandedOver(native)
        case _:
            raise ConfigError("the provider 'gssapi' cannot use a credential of this kind")


def _named(name: str | os.PathLike[str]) -> bytes:
    # In a bare path libkrb5 would take a colon for the end of the type.
    shown = os.fspath(name)
    is_file = isinstance(name, os.PathLike) or shown.startswith("/")
    return os.fsencode(f"FILE:{shown}" if is_file else shown)


class _Stored:
    """Tickets that lie somewhere; whoever put them there renews them, so they are read anew."""

    def __init__(self, label: str, store: _Store) -> None:
        self.label = label
        self._store = store

    def credential(self, target: str) -> HeldCredential:
        return _acquire(self.label, self._store)


class _Environment:
    """What nobody named: MIT chooses, as it would for its own client."""

    label = "the environment's credential cache"

    def credential(self, target: str) -> HeldCredential:
        choice = choose_identity(target)
        if choice is None:
            return _acquire(self.label, {})
        if choice.cache:
            label = f"the credential cache {choice.cache.decode(errors='backslashreplace')}"
            return _acquire(label, {b"ccache": choice.cache})
        # It may log in with the keytab of the environment (KRB5_CLIENT_KTNAME).
        return _acquire(self.label, {}, _import_principal(choice.principal))


class _HandedOver:
    """A delegated credential, which is good for Kerberos alone.

    MIT's SPNEGO finds nothing in it and takes the process's own credential in its place, silently.
    So its tickets are copied into a cache, of which a credential for SPNEGO can be made.
    """

    label = "the delegated credential"

    def __init__(self, native: Any) -> None:
        self._native = native
        self._guard = threading.Lock()
        self._held: HeldCredential | None = None

    def credential(self, target: str) -> HeldCredential:
        with self._guard:
            if self._held is None:
                self._held = self._copy()
            return self._held

    def _copy(self) -> HeldCredential:
        cache = MemoryCache()
        store: _Store = {b"ccache": cache.name}
        try:
            gss.store_cred_into(
                store, self._native, usage="initiate", mech=KERBEROS, overwrite=True
            )
        except gss.GSSError as failed:
            raise _diagnosed(failed, self.label) from None
        return _acquire(self.label, store, keeps=cache)


class _LoggedIn:
    """The tickets of a principal whose keys we have: we log in ourselves, and again in time."""

    def __init__(self, described: ClientKeytab) -> None:
        keytab, principal = described.keytab, described.principal
        self.label = f"the keytab {os.fspath(keytab)} for {principal}"
        self._keytab: _Store = {b"client_keytab": _named(keytab)}
        self._name = _import_principal(_encoded(principal))
        self._guard = threading.Lock()
        self._held: HeldCredential | None = None
        self._renew_at = self._ends_at = 0.0

    def credential(self, target: str) -> HeldCredential:
        with self._guard:
            # Tickets end by the clock on the wall, also while the machine sleeps.
            now = time.time()
            if self._held is None or now >= self._renew_at:
                self._held = self._renew(now)
            return self._held

    def _renew(self, now: float) -> HeldCredential:
        try:
            held = self._log_in()
        except AuthsrvError:
            if self._held is None or now >= self._ends_at:
                raise
            self._renew_at = now + _RETRY_S
            return self._held
        life = float("inf") if held.lifetime is None else held.lifetime
        self._ends_at = now + life
        self._renew_at = self._ends_at - min(_RENEW_BEFORE_S, life * _RENEW_PART)
        return held

    def _log_in(self) -> HeldCredential:
        # A new cache each time: contexts that are under way go on with the old one.
        cache = MemoryCache()
        store = self._keytab | {b"ccache": cache.name}
        return _acquire(self.label, store, self._name, keeps=cache)


def _acquire(label: str, store: _Store, name: Any = None, keeps: object = None) -> HeldCredential:
    mechs = [KERBEROS, SPNEGO]
    try:
        if store:
            answer = gss.acquire_cred_from(store, name, mechs=mechs, usage="initiate")
        else:
            answer = gss.acquire_cred(name, mechs=mechs, usage="initiate")
        gss.set_neg_mechs(answer.creds, [KERBEROS])
    except gss.GSSError as failed:
        raise _diagnosed(failed, label) from None
    if answer.lifetime == 0:
        raise NoCredentialError(f"the ticket in {label} has expired")
    return HeldCredential(answer.creds, answer.lifetime, keeps)


def _diagnosed(failed: gss.GSSError, label: str) -> AuthsrvError:
    return diagnose_beginning(failed.maj_code, failed.min_code, credential=label, target=_NOBODY)


def _encoded(principal: str) -> bytes:
    try:
        return principal.encode()
    except UnicodeEncodeError:
        raise ConfigError("the principal to log in as is no Kerberos name") from None


def _import_principal(principal: bytes) -> Any:
    # It is understood when it is used: krb5.conf may name another default realm by then.
    return gss.import_name(principal, gss.NameType.kerberos_principal)
