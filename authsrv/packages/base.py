"""What a security package is: the interface that every one keeps, and where it is written down.

The contract is stated here once; the packages carry no second copy of it, and
`authsrv.testing.conformance` checks it against each of them.

Rules of threads: the methods below may block, and are therefore never called on the event loop.
One context is used by one thread at a time, but not always by the same one. Different contexts of
one package are used at the same time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from authsrv.bindings import ChannelBindings
from authsrv.results import Result

__all__ = ["AcceptorContext", "ContextRequest", "SecurityPackage"]


@dataclass(frozen=True, slots=True)
class ContextRequest:
    """What the acceptor asks of a new context.

    Args:
        bindings: The channel that the client must speak over, or None to not look at it.

    Source: SSPI AcceptSecurityContext, fContextReq and SECBUFFER_CHANNEL_BINDINGS.
    """

    bindings: ChannelBindings | None = None


class AcceptorContext(Protocol):
    """A security context that is being established with one client.

    Source: SSPI AcceptSecurityContext, phContext.
    """

    def step(self, token: bytes) -> Result:
        """Work on one token from the client.

        Args:
            token: The token, from the client, untrusted; at least one byte. After an Incomplete
                it begins with the bytes given before.

        Returns:
            One of the six results. A cause that lies with the client is a Refused, never an
            exception. Whatever is raised all the same is taken as a fault of the package.

        Source: SSPI AcceptSecurityContext.
        """
        ...

    def complete(self) -> Result:
        """Complete the token after CompleteNeeded or CompleteAndContinue.

        Returns:
            After CompleteNeeded: Established or Refused. After CompleteAndContinue: Continue
            with the token to send, or Refused.

        Source: SSPI CompleteAuthToken.
        """
        ...

    def delete(self) -> None:
        """Free all that the context holds; a second call does nothing. It does not raise.

        Source: SSPI DeleteSecurityContext.
        """
        ...


class SecurityPackage(Protocol):
    """A factory of acceptor contexts: Kerberos through MIT's GSS-API, a script, and so on.

    Source: SSPI security packages, AcquireCredentialsHandle.
    """

    @property
    def name(self) -> str:
        """The package's name for logs, such as "gssapi".

        Source: SSPI SecPkgInfo, Name.
        """
        ...

    def create_context(self, request: ContextRequest) -> AcceptorContext:
        """Begin a context. It is cheap; what may block belongs into the first step.

        Args:
            request: What is asked of the context.

        Returns:
            A new context, to be deleted by the caller on every way out.

        Source: SSPI AcceptSecurityContext, first call.
        """
        ...

    def check(self) -> None:
        """Look at start whether the package could work: is its keytab there, can it be read?

        Raises:
            UnavailableError: It could not answer now, and the cause; it may come right later.
            ConfigError: It will never work with these settings.

        Source: authsrv design decision 7.
        """
        ...
