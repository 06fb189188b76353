"""Kerberos and SPNEGO by MIT's own acceptor, through `gssapi.raw`.

How it works. One acceptor credential is shared by all contexts. It is made from a credential store
that names the keytab and the replay cache, so several packages with several keytabs live in one
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

import datetime
import os
import threading
import time
from collections.abc import Iterable
from typing import Any

from authsrv.attributes import ContextAttribute
from authsrv.bindings import BindingPolicy, ChannelBindings
from authsrv.errors import (
    AuthsrvError,
    BadBindingsError,
    ConfigError,
    InvalidTokenError,
    KeytabError,
    LogonDeniedError,
    MechanismError,
    StateError,
    UnexpectedTokenError,
)
from authsrv.flags import asc_ret_from_gss
from authsrv.identity import DelegatedCredential, Identity
from authsrv.packages.base import ContextRequest, Deletion
from authsrv.results import Continue, Established, Refused, Result
from authsrv.tokens.kerberos import parse_ap_req
from authsrv.tokens.peek import Mechanism, peek

try:
    import gssapi.raw as gss

    from authsrv.packages.diagnosis import Failure, diagnose
    from authsrv.packages.gss_attributes import query_context
    from authsrv.packages.keytab import KeytabFile, KeytabSnapshot
except ImportError as missing:
    raise ConfigError(
        f"the package 'gssapi' needs the extra authsrv[kerberos]: {missing.name} is not installed"
    ) from missing

from authsrv.packages.replay import MITReplayCache, ReplayProtection, kerberos_part

__all__ = ["GssapiPackage"]

_KERBEROS = gss.OID.from_int_seq("1.2.840.113554.1.2.2")
_SPNEGO = gss.OID.from_int_seq("1.3.6.1.5.5.2")

# How often the keytab file is looked at, unless a change of it settles even sooner.
_LOOK_EVERY_S = 0.1

# RFC 2744 section 5.1 and MIT krb5's gssapi_ext.h.
_ANONYMOUS = 0x40
_CHANNEL_BOUND = 0x800


class GssapiPackage:
    """Accepts Kerberos, raw or in SPNEGO, with the keys of one keytab.

    Args:
        keytab: The keytab file, or a KeytabFile. It may be missing now and come later.
        service: The service principal name that clients must ask for, such as
            "HTTP/web.example.org"; None accepts a ticket for any key in the keytab.
        replay: Where used authenticators are remembered.
        name_attributes: The name attributes to read into the identity (RFC 6680), such as
            "urn:mspac:logon-info"; none by default.

    Raises:
        ConfigError: The service is not of the form "HTTP/host".

    Source: RFC 2744 section 5.1; RFC 4178; MIT krb5, credential store extension.
    """

    name = "gssapi"

    def __init__(
        self,
        keytab: str | os.PathLike[str] | KeytabFile,
        *,
        service: str | None = None,
        replay: ReplayProtection | None = None,
        name_attributes: Iterable[str] = (),
    ) -> None:
        self.keytab = keytab if isinstance(keytab, KeytabFile) else KeytabFile(keytab)
        self.service = service
        # An empty cache is false, as everything with a length is.
        self.replay: ReplayProtection = MITReplayCache() if replay is None else replay
        self.name_attributes = frozenset(name_attributes)
        self.claims_replays = self.replay.residual == b"none:"
        self._guard = threading.Lock()
        self._credential: tuple[KeytabSnapshot, Any] | None = None
        self._look_at = 0.0
        self._name = None if service is None else _service_name(service)

    def __repr__(self) -> str:
        return f"<GssapiPackage {self.service or 'any service'} in {self.keytab.path}>"

    def create_context(self, request: ContextRequest) -> _Context:
        """Begin a context; see SecurityPackage.

        Source: RFC 2744 section 5.1.
        """
        return _Context(self, request.bindings)

    def check(self) -> None:
        """Look whether the keytab can be read and gives a credential; see SecurityPackage.

        Raises:
            KeytabError: It cannot, and why.

        Source: RFC 2744 section 5.2.
        """
        self.credential()

    def credential(self) -> tuple[KeytabSnapshot, Any]:
        """The shared credential, and the keys that it was made from. It may block.

        Returns:
            The snapshot of the keytab, and a gssapi.raw.Creds for accepting.

        Raises:
            KeytabError: The keytab cannot be read, or has no key for the service.

        Source: RFC 2744 section 5.2 (GSS_Acquire_cred); MIT krb5, gss_acquire_cred_from.
        """
        held, now = self._credential, time.monotonic()
        if held is not None and now < self._look_at:
            return held
        snapshot = self.keytab.snapshot()
        self._look_at = now + min(_LOOK_EVERY_S, self.keytab.settle_seconds)
        with self._guard:
            if self._credential is None or self._credential[0] is not snapshot:
                self._credential = snapshot, self._acquire(snapshot)
            return self._credential

    def _acquire(self, snapshot: KeytabSnapshot) -> Any:
        if self.service is not None and not any(
            entry.principal.rpartition("@")[0] == self.service for entry in snapshot.entries
        ):
            raise KeytabError(f"the keytab {self.keytab.path} has no key for {self.service}")
        store: dict[bytes | str, bytes | str] = {
            b"keytab": snapshot.name.encode(),
            b"rcache": self.replay.residual,
        }
        try:
            credential = gss.acquire_cred_from(
                store, self._name, mechs=[_KERBEROS, _SPNEGO], usage="accept"
            ).creds
            gss.set_neg_mechs(credential, [_KERBEROS])
        except gss.GSSError:
            raise KeytabError(
                f"libgssapi makes no credential of the keytab {self.keytab.path}"
            ) from None
        return credential


class _Context:
    """One security context of MIT's acceptor."""

    # An acceptor's context is memory, in gssproxy's interposer too, whose daemon keeps none of it.
    deletion = Deletion.AT_ONCE

    __slots__ = (
        "_authenticators",
        "_bindings",
        "_context",
        "_credential",
        "_ended",
        "_identity",
        "_native_bindings",
        "_package",
    )

    def __init__(self, package: GssapiPackage, bindings: ChannelBindings | None) -> None:
        self._package = package
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
        self._authenticators: list[bytes] = []

    def step(self, token: bytes) -> Result:
        if self._ended:
            return Refused(UnexpectedTokenError("a token came after the end of the context"))
        # Whatever happens now ends it, unless it is to go on.
        self._ended = True
        error_token = b""
        try:
            if self._credential is None:
                self._credential = self._package.credential()
            snapshot, credential = self._credential
            try:
                answer = gss.accept_sec_context(
                    token, credential, self._context, self._native_bindings
                )
            except gss.GSSError as failed:
                error_token = failed.token or b""
                raise self._diagnose(failed, token, snapshot) from None
            self._context = answer.context
            self._note_authenticator(token)
            if answer.more_steps:
                going_on = _go_on(answer.token, token)
                self._ended = False
                return going_on
            self._identity = self._identify(answer, snapshot)
            return Established(self._identity, answer.token or b"")
        except AuthsrvError as error:
            return Refused(error, error_token)

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

    def _diagnose(
        self, failed: gss.GSSError, token: bytes, snapshot: KeytabSnapshot
    ) -> AuthsrvError:
        failure = Failure(failed.maj_code, failed.min_code, token, failed.token or b"")
        return diagnose(failure, snapshot, self._package.service)

    def _note_authenticator(self, token: bytes) -> None:
        """Collect what our own replay cache is keyed on; the AP-REQ may come in any leg."""
        if not self._package.claims_replays:
            return
        part = kerberos_part(token)
        if part is not None:
            self._authenticators.append(parse_ap_req(part).authenticator_cipher)

    def _identify(self, answer: Any, snapshot: KeytabSnapshot) -> Identity:
        flags = int(answer.flags)
        if answer.mech != _KERBEROS:
            raise MechanismError("the handshake ended in a mechanism that is not accepted here")
        if flags & _ANONYMOUS or answer.initiator_name is None:
            raise LogonDeniedError("the client is anonymous")
        bound = bool(flags & _CHANNEL_BOUND)
        self._check_bindings(bound)
        self._claim()
        return Identity(
            principal=_display(answer.initiator_name),
            mechanism="kerberos",
            service=self._package.service or _asked_service(answer.context, snapshot),
            attributes=asc_ret_from_gss(flags),
            expires_at=_expiry(answer.lifetime),
            channel_bound=bound,
            delegated=_delegated(answer.delegated_creds),
            name_attributes=self._read_attributes(answer.initiator_name),
        )

    def _check_bindings(self, bound: bool) -> None:
        bindings = self._bindings
        if bindings is None or bound or bindings.policy is not BindingPolicy.REQUIRE:
            return
        raise BadBindingsError("the client sent no channel bindings, and they are required")

    def _claim(self) -> None:
        if not self._package.claims_replays:
            return
        replay = self._package.replay
        if not self._authenticators:
            raise InvalidTokenError("no authenticator was read, so a replay could not be noticed")
        for authenticator in self._authenticators:
            replay.claim(authenticator)

    def _read_attributes(self, name: Any) -> dict[str, tuple[bytes, ...]]:
        values: dict[str, tuple[bytes, ...]] = {}
        for attribute in self._package.name_attributes:
            try:
                told = gss.get_name_attribute(name, attribute.encode())
            except gss.GSSError:
                continue  # this issuer does not say it
            # RFC 6680 section 4: what is not authenticated, anybody may have claimed.
            if told.authenticated:
                values[attribute] = tuple(told.values)
        return values


def _go_on(answer: bytes | None, token: bytes) -> Continue:
    # MIT says "continue" to an AP-REP or a KRB-ERROR, and has nothing to continue with.
    seen = peek(token)
    if not answer or (seen.mechanism is Mechanism.KERBEROS and seen.ap_req is None):
        raise InvalidTokenError("the token is none that a client begins with")
    return Continue(answer)


def _service_name(service: str) -> Any:
    kind, separator, host = service.partition("/")
    if not (kind and separator and host) or "@" in service:
        raise ConfigError("a service principal name has the form HTTP/host, without a realm")
    return gss.import_name(f"{kind}@{host}".encode(), gss.NameType.hostbased_service)


def _display(name: Any) -> str:
    shown: bytes = gss.display_name(name, False).name
    try:
        return shown.decode()
    except UnicodeDecodeError:
        # A replacement character would make two principals one.
        raise LogonDeniedError("the principal's name is not UTF-8") from None


def _asked_service(context: Any, snapshot: KeytabSnapshot) -> str | None:
    if len(snapshot.services) == 1:
        # The ticket was opened with the one service's key; asking costs a fifth of the accept.
        return snapshot.services[0]
    target = gss.inquire_context(
        context,
        initiator_name=False,
        target_name=True,
        lifetime=False,
        mech=False,
        flags=False,
        locally_init=False,
        complete=False,
    ).target_name
    return None if target is None else _display(target).rpartition("@")[0]


def _expiry(lifetime: int | None) -> datetime.datetime | None:
    if lifetime is None:
        return None
    now = datetime.datetime.now(datetime.UTC)
    return now + datetime.timedelta(seconds=lifetime)


def _delegated(credential: Any) -> DelegatedCredential | None:
    return None if credential is None else DelegatedCredential("gssapi", credential)
