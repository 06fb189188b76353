"""What a provider may answer to one token: six frozen results, and no flag beside them.

There is no `complete` boolean that could be true with nobody authenticated: the one result that
means "done", Established, holds an Identity, and an Identity cannot be empty.

In all of them `token` is the output token for the client, empty where there is none, and `unused`
the number of bytes at the end of the input that were not used (SECBUFFER_EXTRA). `status` is what
AcceptSecurityContext would return.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from authsrv.core.claims import Claim
from authsrv.core.identity import Identity
from authsrv.core.status import SecurityStatus
from authsrv.errors import AuthsrvError, ProviderFaultError

__all__ = [
    "CompleteAndContinue",
    "CompleteNeeded",
    "Continue",
    "Established",
    "Incomplete",
    "Refused",
    "Result",
]


@dataclass(frozen=True, slots=True)
class Established:
    """The context is established. An output token must still be sent.

    Args:
        identity: Whom it authenticated.
        token: See above.
        unused: See above.
        claims: What was used, and must not have been used before: the handshake asks its store, and
            where that says otherwise, nobody is let in. A provider that remembers by itself has
            none.

    Raises:
        ProviderFaultError: The identity is not an Identity.
    """

    status: ClassVar[SecurityStatus] = SecurityStatus.SEC_E_OK
    identity: Identity
    token: bytes = field(default=b"", repr=False)
    unused: int = 0
    claims: tuple[Claim, ...] = ()

    def __post_init__(self) -> None:
        if not isinstance(self.identity, Identity):
            raise ProviderFaultError("the provider reported success without an identity")


@dataclass(frozen=True, slots=True)
class Continue:
    """The token must be sent, and the client's answer given to the next step."""

    status: ClassVar[SecurityStatus] = SecurityStatus.SEC_I_CONTINUE_NEEDED
    token: bytes = field(default=b"", repr=False)
    unused: int = 0


@dataclass(frozen=True, slots=True)
class CompleteNeeded:
    """CompleteAuthToken must be called, and it decides: it may still deny the logon."""

    status: ClassVar[SecurityStatus] = SecurityStatus.SEC_I_COMPLETE_NEEDED
    token: bytes = field(default=b"", repr=False)
    unused: int = 0


@dataclass(frozen=True, slots=True)
class CompleteAndContinue:
    """CompleteAuthToken must be called, then the token sent and the client's answer awaited."""

    status: ClassVar[SecurityStatus] = SecurityStatus.SEC_I_COMPLETE_AND_CONTINUE
    token: bytes = field(default=b"", repr=False)
    unused: int = 0


@dataclass(frozen=True, slots=True)
class Incomplete:
    """The token is not whole: more bytes must be appended to it, and the step repeated.

    Args:
        missing: How many bytes are missing at least (SECBUFFER_MISSING), or None if that is
            unknown.
    """

    status: ClassVar[SecurityStatus] = SecurityStatus.SEC_E_INCOMPLETE_MESSAGE
    missing: int | None = None


@dataclass(frozen=True, slots=True)
class Refused:
    """The handshake failed, and the context must be deleted; the token tells the client of it."""

    error: AuthsrvError
    token: bytes = field(default=b"", repr=False)

    @property
    def status(self) -> SecurityStatus:
        """The SSPI code nearest to the cause."""
        return self.error.status


Result = Established | Continue | CompleteNeeded | CompleteAndContinue | Incomplete | Refused
"""One of the six answers of a provider."""
