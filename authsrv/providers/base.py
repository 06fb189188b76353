"""The interface that every security support provider implements, and its contract.

The contract is stated here once, and `authsrv.testing.conformance` checks it against each provider.
The calls are those of SSPI: AcceptSecurityContext and InitializeSecurityContext (`step`),
CompleteAuthToken, QueryContextAttributes and DeleteSecurityContext.

Rules of threads: the methods below may block, and are therefore never called on the event loop. One
context is used by one thread at a time, but not always by the same one. Different contexts of one
provider are used at the same time.

Replays: a provider either remembers by itself what was used, or says with its Established what it
claims, and has the store that remembers it as `store` (core.claims, stores.base).

Which realms are let in: a provider whose keys belong to realms has `realms()` (core.realms,
KnowsRealms). Where it has none, and no setting names realms, the clients of all are let in, and the
log says so.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from authsrv.core.attributes import ContextAttribute
from authsrv.core.bindings import ChannelBindings
from authsrv.core.flags import AscReq, AscRet, DataRepresentation, IscReq
from authsrv.core.results import Result
from authsrv.core.settings import as_flags, as_instance, as_member, as_optional

__all__ = [
    "ContextRequest",
    "InitiatorProvider",
    "InitiatorRequest",
    "SecurityContext",
    "SecurityProvider",
]


_NOTHING_ASKED = AscReq(0)
_NOTHING_REQUIRED = AscRet(0)


@dataclass(frozen=True, slots=True)
class ContextRequest:
    """What the acceptor asks of a new context.

    Args:
        bindings: The channel that the client must speak over, or None to not look at it.
        flags: What is asked for; a provider may not be able to give it, and passes over what it
            does not know.
        required: What the established context must have; it is refused if it lacks one of these.
        representation: The byte order of the client; of the providers here, none looks at it.

    Raises:
        ConfigError: One of these is of a wrong type.
    """

    bindings: ChannelBindings | None = None
    flags: AscReq = _NOTHING_ASKED
    required: AscRet = _NOTHING_REQUIRED
    representation: DataRepresentation = DataRepresentation.NATIVE

    def __post_init__(self) -> None:
        as_optional(ChannelBindings, self.bindings, "bindings")
        _normalise(self, AscReq)


@dataclass(frozen=True, slots=True)
class InitiatorRequest:
    """What the initiator asks of a new context.

    Args:
        target: The service principal name to talk to, such as "HTTP/web.example.org".
        bindings: The channel that we speak over, or None to say nothing of it.
        flags: What is asked for, such as MUTUAL_AUTH or DELEGATE.
        required: What the established context must have; it fails if it lacks one of these. With
            MUTUAL_AUTH, a server that does not prove who it is ends the handshake.
        representation: The byte order of the server; of the providers here, none looks at it.

    Raises:
        ConfigError: One of these is of a wrong type.
    """

    target: str
    bindings: ChannelBindings | None = None
    flags: IscReq = IscReq.MUTUAL_AUTH
    required: AscRet = _NOTHING_REQUIRED
    representation: DataRepresentation = DataRepresentation.NATIVE

    def __post_init__(self) -> None:
        as_instance(str, self.target, "target")
        as_optional(ChannelBindings, self.bindings, "bindings")
        _normalise(self, IscReq)


def _normalise(request: ContextRequest | InitiatorRequest, kind: type[AscReq | IscReq]) -> None:
    """Turn numbers into flags, and refuse what is neither."""
    if type(request.flags) is not kind:
        object.__setattr__(request, "flags", as_flags(kind, request.flags, "flags"))
    if type(request.required) is not AscRet:
        object.__setattr__(request, "required", as_flags(AscRet, request.required, "required"))
    if type(request.representation) is not DataRepresentation:
        told = as_member(DataRepresentation, request.representation, "representation")
        object.__setattr__(request, "representation", told)


class SecurityContext(Protocol):
    """A security context that is being established with one peer.

    Of an acceptor, the peer is the client; of an initiator, the server, and the identity that
    establishes the context is the server's: its service principal name.
    """

    def step(self, token: bytes) -> Result:
        """Work on one token from the peer.

        Args:
            token: The token, from the peer, untrusted; at least one byte, but empty in the first
                step of an initiator. After an Incomplete it begins with the bytes given before.

        Returns:
            One of the six results. A cause that lies with the peer is a Refused, never an
            exception. Whatever is raised all the same is taken as a fault of the provider.
        """
        ...

    def complete(self) -> Result:
        """Complete the token after CompleteNeeded or CompleteAndContinue.

        Returns:
            After CompleteNeeded: Established or Refused. After CompleteAndContinue: Continue
            with the token to send, or Refused.
        """
        ...

    def query(self, attribute: ContextAttribute) -> object:
        """Tell an attribute of the established context.

        Returns:
            A value of the type that ContextAttribute states.

        Raises:
            StateError: The context is not established, or deleted.
            UnsupportedFunctionError: The provider does not know this attribute.
        """
        ...

    def delete(self) -> None:
        """Free all that the context holds; a second call does nothing. It does not raise."""
        ...


class SecurityProvider(Protocol):
    """A factory of acceptor contexts: Kerberos through MIT's GSS-API, a script, and so on."""

    @property
    def name(self) -> str:
        """The provider's name for logs, such as "gssapi"."""
        ...

    def create_context(self, request: ContextRequest) -> SecurityContext:
        """Begin a context. It is cheap; what may block belongs into the first step.

        Returns:
            A new context, to be deleted by the caller on every way out.

        Raises:
            ConfigError: The provider cannot keep what is asked of the context.
        """
        ...

    def check(self) -> None:
        """Look at start whether the provider could work: is its keytab there, can it be read?

        Raises:
            UnavailableError: It could not answer now, and the cause; it may come right later.
            ConfigError: It will never work with these settings.
        """
        ...


class InitiatorProvider(Protocol):
    """A factory of initiator contexts: the client's side of a provider."""

    @property
    def name(self) -> str:
        """The provider's name for logs, such as "gssapi"."""
        ...

    def create_initiator(self, request: InitiatorRequest) -> SecurityContext:
        """Begin a context. It is cheap; what may block belongs into the first step.

        Returns:
            A new context, to be deleted by the caller on every way out.

        Raises:
            ConfigError: The provider cannot keep what is asked of the context.
        """
        ...
