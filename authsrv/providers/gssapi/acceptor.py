"""Kerberos and SPNEGO by MIT's own acceptor, through `gssapi.raw`.

How it works. One acceptor credential is shared by all contexts. It is made from a credential store
that names the keytab and the replay cache, so several providers with several keytabs live in one
process and no environment variable matters. It is limited to Kerberos, raw or inside SPNEGO:
whatever other mechanism plug-ins are installed (NTLM, IAKERB, which would let a client choose a
server for us to talk to) are not offered. When the keytab file changes, a new credential is made;
contexts that are under way keep the old one.

MIT completes in one leg, also for the mechanism list that Windows sends, and releases the GIL while
it works. Its acceptor takes a client that sent no channel bindings although we gave some; only the
channel-bound flag tells, and it is looked at here.

`gssapi.raw` is used and not the friendly layer: that one defers errors to the next attribute access
and costs as much again.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Collection, Iterable
from typing import Any

import gssapi.raw as gss

from authsrv.codecs.inspect import Mechanism, peek
from authsrv.codecs.kerberos.messages import parse_asked_service
from authsrv.codecs.spnego import is_spnego
from authsrv.core.attributes import ContextAttribute
from authsrv.core.bindings import BindingPolicy, ChannelBindings
from authsrv.core.flags import asc_ret_from_gss
from authsrv.core.identity import Identity, split_principal
from authsrv.core.results import Continue, Established, Refused, Result
from authsrv.core.settings import as_texts
from authsrv.errors import (
    AuthsrvError,
    BadBindingsError,
    ConfigError,
    InvalidTokenError,
    KeytabError,
    MechanismError,
    ReplayCacheError,
    StateError,
    UnexpectedTokenError,
)
from authsrv.providers.base import ContextRequest
from authsrv.providers.gssapi.attributes import query_context
from authsrv.providers.gssapi.claims import RequestsSeen
from authsrv.providers.gssapi.diagnosis import Failure, diagnose
from authsrv.providers.gssapi.identity import (
    client_name,
    delegated_credential,
    end_of_ticket,
    read_name_attributes,
)
from authsrv.providers.gssapi.mechanisms import KERBEROS, SPNEGO
from authsrv.providers.gssapi.spnego import ReadToken, read_first, read_next
from authsrv.providers.kerberos.keytab import KeytabFile, KeytabSnapshot
from authsrv.providers.kerberos.pac_signature import is_signed_for_us
from authsrv.providers.kerberos.profile import clock_skew
from authsrv.providers.kerberos.service_names import ServiceNames
from authsrv.providers.replay import (
    MITReplayCache,
    ReplayProtection,
    default_replay_protection,
    find_cache_fault,
)
from authsrv.stores.base import Store

__all__ = ["GssapiProvider"]


# How often the keytab file is looked at, unless a change of it settles even sooner.
_LOOK_EVERY_S = 0.1

# MIT krb5's gssapi_ext.h.
_CHANNEL_BOUND = 0x800


class GssapiProvider:
    """Accepts Kerberos, raw or in SPNEGO, with the keys of one keytab.

    Args:
        keytab: The keytab file, or a KeytabFile. It may be missing now and come later.
        service: The service principal name that clients must ask for, such as
            "HTTP/web.example.org", or several; None accepts a ticket for any key in the keytab,
            one for "host/web.example.org" too. It separates services only where they have keys of
            their own: what a ticket says that it is for is not authenticated.
        replay: Where used authenticators are remembered: a store, which the acceptor asks, or MIT's
            own replay cache. If it is not given, the store of this machine.
        name_attributes: The name attributes to read into the identity (RFC 6680), such as
            "urn:mspac:logon-info"; none by default. Those of a PAC are read only where it is signed
            with the service's key, which is checked here: libkrb5 1.21 to 1.22 do not.

    Raises:
        ConfigError: A service is not of the form "HTTP/host", or a setting is of a wrong type.
    """

    name = "gssapi"

    def __init__(
        self,
        keytab: str | os.PathLike[str] | KeytabFile,
        *,
        service: str | Collection[str] | None = None,
        replay: ReplayProtection | None = None,
        name_attributes: Iterable[str] = (),
    ) -> None:
        self.keytab = keytab if isinstance(keytab, KeytabFile) else KeytabFile(keytab)
        self.services = ServiceNames.of_setting(service)
        protection = default_replay_protection() if replay is None else replay
        self.store: Store | None = None
        self._rcache_name = b"none:"
        if isinstance(protection, MITReplayCache):
            self._rcache_name = protection.name.encode()
        elif isinstance(protection, type) or not hasattr(protection, "check_at_once"):
            raise ConfigError("replay must be a store, such as MachineStore, or a MITReplayCache")
        else:
            self.store = protection
        self.name_attributes = frozenset(as_texts(name_attributes, "name_attributes"))
        self._guard = threading.Lock()
        self._credential: tuple[KeytabSnapshot, Any] | None = None
        self._made_from: KeytabSnapshot | None = None
        self._look_at = 0.0

    def __repr__(self) -> str:
        return f"<GssapiProvider {self.services} in {self.keytab.path}>"

    def create_context(self, request: ContextRequest) -> _Context:
        """See SecurityProvider.create_context."""
        return _Context(self, request.bindings)

    def check(self) -> None:
        """See SecurityProvider.check: keytab, where replays are remembered, and clock skew."""
        clock_skew()
        self.credential()
        fault = find_cache_fault(self._rcache_name)
        if fault is not None:
            raise ReplayCacheError(fault)
        if self.store is not None:
            # That opens it.
            _ = self.store.born_at

    def credential(self) -> tuple[KeytabSnapshot, Any]:
        """The keys of the keytab, and the shared gssapi.raw.Creds made from them. It may block.

        Raises:
            KeytabError: The keytab cannot be read, or has no key for the service.
        """
        held, now = self._credential, time.monotonic()
        if held is not None and now < self._look_at:
            return held
        snapshot = self.keytab.snapshot()
        self._look_at = now + min(_LOOK_EVERY_S, self.keytab.settle_seconds)
        with self._guard:
            if self._credential is None or self._made_from is not snapshot:
                self._credential = self._acquire(snapshot)
                self._made_from = snapshot
            return self._credential

    def realms(self) -> frozenset[str]:
        """See KnowsRealms.realms."""
        return self.credential()[0].realms

    def diagnose(self, failure: Failure, snapshot: KeytabSnapshot) -> AuthsrvError:
        """Tell why libgssapi refused a token."""
        return diagnose(failure, snapshot, self.services, self._rcache_name)

    def _acquire(self, snapshot: KeytabSnapshot) -> tuple[KeytabSnapshot, Any]:
        usable = snapshot.restricted_to(self.services)
        if not usable.entries:
            raise KeytabError(f"the keytab {self.keytab.path} has no key for {self.services}")
        store: dict[bytes | str, bytes | str] = {
            b"keytab": usable.name.encode(),
            b"rcache": self._rcache_name,
        }
        try:
            # By itself first: together with SPNEGO it is enough if any mechanism has a credential,
            # that of a plug-in too.
            gss.acquire_cred_from(store, None, mechs=[KERBEROS], usage="accept")
            credential = gss.acquire_cred_from(
                store, None, mechs=[KERBEROS, SPNEGO], usage="accept"
            ).creds
            gss.set_neg_mechs(credential, [KERBEROS])
        except gss.GSSError:
            raise KeytabError(
                f"libgssapi makes no credential of the keytab {self.keytab.path}"
            ) from None
        return usable, credential


class _Context:
    """One security context of MIT's acceptor."""

    __slots__ = (
        "_bindings",
        "_context",
        "_credential",
        "_ended",
        "_identity",
        "_is_spnego",
        "_kerberos",
        "_native_bindings",
        "_provider",
        "_requests",
    )

    def __init__(self, provider: GssapiProvider, bindings: ChannelBindings | None) -> None:
        self._provider = provider
        self._bindings = bindings
        self._native_bindings = (
            None
            if bindings is None
            else gss.ChannelBindings(application_data=bindings.application_data)
        )
        self._context: Any = None
        self._credential: tuple[KeytabSnapshot, Any] | None = None
        self._ended = False
        self._identity: Identity | None = None
        self._is_spnego = False
        # The tokens of Kerberos that libgssapi has looked at, in the order of the legs.
        self._kerberos: list[bytes] = []
        self._requests: RequestsSeen | None = None

    def step(self, token: bytes) -> Result:
        if self._ended:
            return Refused(UnexpectedTokenError("a token came after the end of the context"))
        # Whatever happens now ends it, unless it is to go on.
        self._ended = True
        try:
            leg = self._read(token)
            if self._credential is None:
                self._credential = self._provider.credential()
            snapshot, credential = self._credential
            skew, asked_at = clock_skew(), time.time()
            try:
                answer = gss.accept_sec_context(
                    leg.token, credential, self._context, self._native_bindings
                )
            except gss.GSSError as failed:
                return Refused(self._diagnose(failed, token, snapshot), failed.token or b"")
            self._context = answer.context
            if leg.kerberos is not None:
                self._kerberos.append(leg.kerberos)
            if answer.more_steps:
                going_on = _go_on(answer.token, token)
                self._ended = False
                return going_on
            self._identity = self._identify(answer, asked_at, skew)
            requests, store = self._requests, self._provider.store
            if requests is None or store is None:
                return Established(self._identity, answer.token or b"")
            claims = requests.claim(store.born_at, asked_at, skew)
            return Established(self._identity, answer.token or b"", claims=claims)
        except AuthsrvError as error:
            return Refused(error)

    def complete(self) -> Result:
        return Refused(StateError("GSS-API has no CompleteAuthToken"))

    def query(self, attribute: ContextAttribute) -> object:
        if self._identity is None or self._context is None:
            raise StateError("only an established context has attributes")
        return query_context(self._context, self._identity, attribute)

    def delete(self) -> None:
        self._ended = True
        # gss_delete_sec_context is called when the last reference goes.
        self._context = None

    def _read(self, token: bytes) -> ReadToken:
        """Read a token strictly: nothing malformed may reach libgssapi's parser of SPNEGO."""
        try:
            if self._context is None:
                self._is_spnego = is_spnego(token)
                return read_first(token)
            return read_next(token) if self._is_spnego else ReadToken(token, token)
        except InvalidTokenError as error:
            raise InvalidTokenError(f"the token is malformed: {error.detail}") from None

    def _diagnose(
        self, failed: gss.GSSError, token: bytes, snapshot: KeytabSnapshot
    ) -> AuthsrvError:
        failure = Failure(failed.maj_code, failed.min_code, token, failed.token or b"")
        return self._provider.diagnose(failure, snapshot)

    def _identify(self, answer: Any, asked_at: float, skew: int) -> Identity:
        flags = int(answer.flags)
        if answer.mech != KERBEROS:
            raise MechanismError("the handshake ended in a mechanism that is not accepted here")
        principal = client_name(answer)
        bound = bool(flags & _CHANNEL_BOUND)
        self._check_bindings(bound)
        asked = self._asked_service()
        self._provider.services.check_claim(asked)
        return Identity(
            principal=principal,
            mechanism="kerberos",
            service=split_principal(asked)[0],
            attributes=asc_ret_from_gss(flags),
            expires_at=end_of_ticket(answer.lifetime, asked_at, skew),
            channel_bound=bound,
            delegated=delegated_credential(answer.delegated_creds),
            name_attributes=read_name_attributes(
                answer.initiator_name, self._provider.name_attributes, self._is_signed
            ),
        )

    def _is_signed(self, pac: bytes) -> bool:
        if self._credential is None:
            return False
        return is_signed_for_us(pac, self._kerberos[0], self._credential[0])

    def _asked_service(self) -> str:
        if not self._kerberos:
            raise InvalidTokenError("no ticket was read, so its service is not known")
        if self._provider.store is None or self._credential is None:
            return parse_asked_service(self._kerberos[0])
        self._requests = RequestsSeen(self._kerberos, self._credential[0])
        return self._requests.asked_service

    def _check_bindings(self, bound: bool) -> None:
        bindings = self._bindings
        if bindings is None or bound or bindings.policy is not BindingPolicy.REQUIRE:
            return
        raise BadBindingsError("the client sent no channel bindings, and they are required")


def _go_on(answer: bytes | None, token: bytes) -> Continue:
    # MIT says "continue" to an AP-REP or a KRB-ERROR, and has nothing to continue with.
    seen = peek(token)
    if not answer or (seen.mechanism is Mechanism.KERBEROS and seen.ap_req is None):
        raise InvalidTokenError("the token is not an initial token")
    return Continue(answer)
