"""The client's side of Kerberos and SPNEGO by MIT's own initiator, through `gssapi.raw`.

The service is taken as it is named: no DNS is asked, so nobody who can forge its answers can
choose another service for us. Its realm is found by the KDC's referrals; name it in the target
("HTTP/web.example.org@EXAMPLE.ORG") where only the table [domain_realm] of krb5.conf knows it.

Mutual authentication. Where it is asked for, the first leg ends in Continue, and the context is
established by nothing but the server's proof. Without it, Kerberos alone is established by the
first leg; SPNEGO waits for an answer all the same, which HTTP servers may leave out.

Delegation. DELEGATE forwards the ticket-granting ticket itself, if it is forwardable, to whatever
service is named: who asks for it has to trust that service with everything that the user may do.
"""

from __future__ import annotations

import datetime
import enum
from typing import Any

from authsrv.codecs.spnego import KERBEROS, SPNEGO
from authsrv.core.attributes import ContextAttribute
from authsrv.core.credentials import ClientCredential
from authsrv.core.flags import AscRet, IscReq, asc_ret_from_gss
from authsrv.core.identity import Identity
from authsrv.core.results import Continue, Established, Refused, Result
from authsrv.core.settings import as_member
from authsrv.errors import (
    AuthsrvError,
    ConfigError,
    InvalidTokenError,
    MechanismError,
    MutualAuthenticationError,
    PeerError,
    StateError,
    UnexpectedTokenError,
)
from authsrv.providers.base import InitiatorRequest

try:
    import gssapi.raw as gss

    from authsrv.providers.gssapi.attributes import query_context
    from authsrv.providers.gssapi.credentials import HeldCredential, source_of
    from authsrv.providers.gssapi.spnego import read_next
except ImportError as missing:
    raise ConfigError(
        f"a client of Kerberos needs the extra authsrv[kerberos]: {missing.name} is not installed"
    ) from missing

from authsrv.providers.gssapi.initiator_diagnosis import diagnose_answer, diagnose_beginning

__all__ = ["GssapiInitiatorProvider", "InitiatorMechanism"]

_KERBEROS = gss.OID.from_int_seq(KERBEROS)
_SPNEGO = gss.OID.from_int_seq(SPNEGO)

# RFC 2744 section 5.1 and MIT krb5's gssapi_ext.h.
_TO_GSS = {
    IscReq.DELEGATE: 0x0001,
    IscReq.MUTUAL_AUTH: 0x0002,
    IscReq.REPLAY_DETECT: 0x0004,
    IscReq.SEQUENCE_DETECT: 0x0008,
    IscReq.CONFIDENTIALITY: 0x0010,
    IscReq.INTEGRITY: 0x0020,
    IscReq.USE_DCE_STYLE: 0x1000,
    IscReq.IDENTIFY: 0x2000,
    IscReq.EXTENDED_ERROR: 0x4000,
}
_MUTUAL = 0x0002
# It asks for nothing. python-gssapi takes "no flags" for "mutual authentication".
_PROTECTION_READY = 0x0080


class InitiatorMechanism(enum.Enum):
    """What the tokens are wrapped in.

    Source: RFC 4178; RFC 4121 section 4.1.
    """

    SPNEGO = "spnego"
    """Kerberos inside SPNEGO, as RFC 4559 has it."""
    KERBEROS = "kerberos"
    """Kerberos by itself."""


class GssapiInitiatorProvider:
    """Begins Kerberos handshakes, raw or in SPNEGO, with the credential of a client.

    Args:
        credential: What to authenticate with; None for what the environment holds (KRB5CCNAME).
        mechanism: What the tokens are wrapped in.

    Raises:
        ConfigError: The credential is of a kind that this provider cannot use, or there is no such
            mechanism.

    Source: RFC 2744 section 5.19; RFC 4178; RFC 4559.
    """

    name = "gssapi"

    def __init__(
        self,
        credential: ClientCredential | None = None,
        *,
        mechanism: InitiatorMechanism = InitiatorMechanism.SPNEGO,
    ) -> None:
        self.mechanism = as_member(InitiatorMechanism, mechanism, "mechanism")
        self.source = source_of(credential)

    def __repr__(self) -> str:
        return f"<GssapiInitiatorProvider {self.mechanism.value} with {self.source.label}>"

    def create_initiator(self, request: InitiatorRequest) -> _Context:
        """Begin a context; see InitiatorProvider.

        Raises:
            ConfigError: The target is not of the form "HTTP/host" or "HTTP/host@REALM".

        Source: RFC 2744 section 5.19.
        """
        return _Context(self, request)


class _Context:
    """One security context of MIT's initiator."""

    __slots__ = (
        "_bindings",
        "_context",
        "_ended",
        "_flags",
        "_held",
        "_identity",
        "_mutual",
        "_provider",
        "_request",
        "_target",
    )

    def __init__(self, provider: GssapiInitiatorProvider, request: InitiatorRequest) -> None:
        self._provider = provider
        self._request = request
        self._target = _service_name(request.target)
        self._mutual = bool(
            request.flags & IscReq.MUTUAL_AUTH or request.required & AscRet.MUTUAL_AUTH
        )
        self._flags = _gss_flags(request.flags) | (_MUTUAL if self._mutual else 0)
        self._bindings = (
            None
            if request.bindings is None
            else gss.ChannelBindings(application_data=request.bindings.application_data)
        )
        self._held: HeldCredential | None = None
        self._context: Any = None
        self._identity: Identity | None = None
        self._ended = False

    def step(self, token: bytes) -> Result:
        if self._ended:
            return Refused(UnexpectedTokenError("a token came after the end of the context"))
        # Whatever happens now ends it, unless it is to go on.
        self._ended = True
        try:
            if self._held is None:
                answer = self._begin(token)
            else:
                answer = self._go_on(token)
            self._context = answer.context
            if not answer.more_steps:
                self._identity = self._identify(answer)
                return Established(self._identity, answer.token or b"")
            if not answer.token:
                raise InvalidTokenError("the handshake goes on, and there is nothing to say")
        except AuthsrvError as error:
            return Refused(error)
        self._ended = False
        return Continue(answer.token)

    def complete(self) -> Result:
        return Refused(StateError("GSS-API has no CompleteAuthToken"))

    def query(self, attribute: ContextAttribute) -> object:
        if self._identity is None or self._context is None:
            raise StateError("only an established context has attributes")
        return query_context(self._context, self._identity, attribute)

    def delete(self) -> None:
        self._ended = True
        # gss_delete_sec_context is called when the last reference goes; the credential's tickets
        # may be destroyed only after that.
        self._context = None
        self._held = None

    def _begin(self, token: bytes) -> Any:
        if token:
            raise UnexpectedTokenError("the first step of an initiator takes no token")
        self._held = self._provider.source.credential(self._request.target)
        spnego = self._provider.mechanism is InitiatorMechanism.SPNEGO
        try:
            return self._call(_SPNEGO if spnego else _KERBEROS)
        except gss.GSSError as failed:
            raise (self._ask_again() if spnego else self._diagnose(failed)) from None

    def _ask_again(self) -> AuthsrvError:
        """SPNEGO's code is a number of no meaning: let Kerberos fail by itself, and read that."""
        try:
            self._call(_KERBEROS)
        except gss.GSSError as failed:
            return self._diagnose(failed)
        return MechanismError("libgssapi has Kerberos, and makes no SPNEGO of it")

    def _diagnose(self, failed: gss.GSSError) -> AuthsrvError:
        label, target = self._provider.source.label, self._request.target
        return diagnose_beginning(failed.maj_code, failed.min_code, credential=label, target=target)

    def _go_on(self, token: bytes) -> Any:
        try:
            if self._provider.mechanism is InitiatorMechanism.KERBEROS:
                return self._call(_KERBEROS, token)
            # Nothing malformed may reach libgssapi's parser of SPNEGO.
            return self._call(_SPNEGO, read_next(token).token)
        except (gss.GSSError, PeerError):
            raise diagnose_answer(token, target=self._request.target, mutual=self._mutual) from None

    def _call(self, mechanism: Any, token: bytes | None = None) -> Any:
        native = None if self._held is None else self._held.native
        return gss.init_sec_context(
            self._target,
            native,
            self._context,
            mech=mechanism,
            flags=self._flags,
            channel_bindings=self._bindings,
            input_token=token,
        )

    def _identify(self, answer: Any) -> Identity:
        if answer.mech != _KERBEROS:
            raise MechanismError("the handshake ended in a mechanism that is not spoken here")
        attributes = asc_ret_from_gss(int(answer.flags))
        if self._mutual and AscRet.MUTUAL_AUTH not in attributes:
            raise MutualAuthenticationError(
                f"the server did not prove that it is {self._request.target}"
            )
        return Identity(
            principal=self._request.target,
            mechanism="kerberos",
            service=self._request.target,
            attributes=attributes,
            expires_at=_expiry(answer.lifetime),
        )


def _gss_flags(flags: IscReq) -> int:
    return sum((twin for flag, twin in _TO_GSS.items() if flags & flag), _PROTECTION_READY)


def _service_name(target: str) -> Any:
    service, _, realm = target.partition("@")
    kind, _, host = service.partition("/")
    if not (kind and host and target.isprintable()) or "\\" in target or "@" in realm:
        raise ConfigError("a target has the form HTTP/host or HTTP/host@REALM")
    # RFC 6806 section 8: with an empty realm the KDC is asked to refer us to the right one.
    return gss.import_name(f"{service}@{realm}".encode(), gss.NameType.kerberos_principal)


def _expiry(lifetime: int | None) -> datetime.datetime | None:
    if lifetime is None:
        return None
    return datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=lifetime)
