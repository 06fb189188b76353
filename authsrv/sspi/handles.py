"""The two handles: a credential, and a security context.

A handle is an object that functions fill and empty, as in C. It is valid from the moment that an
operation has filled it until it is freed; then it refers to nothing, and every function answers
SEC_E_INVALID_HANDLE.
"""

from __future__ import annotations

import asyncio
import contextlib
import warnings
from types import TracebackType

from authsrv.core.role import Role
from authsrv.core.status import SecurityStatus
from authsrv.errors import StateError
from authsrv.handshake.acceptor import Acceptor
from authsrv.handshake.driver import Handshake
from authsrv.handshake.initiator import Initiator
from authsrv.handshake.machine import State

_ACCEPTOR, _INITIATOR = Role.ACCEPTOR, Role.INITIATOR

__all__ = ["ContextHandle", "CredentialHandle", "check_context"]


class CredentialHandle:
    """What a server accepts with, or a client initiates with. acquire_credentials fills it."""

    __slots__ = ("_acceptor", "_initiator")

    def __init__(self) -> None:
        self._acceptor: Acceptor | None = None
        self._initiator: Initiator | None = None

    def __repr__(self) -> str:
        parties = [
            repr(registry) for registry in (self._acceptor, self._initiator) if registry is not None
        ]
        return f"<CredentialHandle {' '.join(parties) or 'of nothing'}>"

    async def __aenter__(self) -> CredentialHandle:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.free()

    @property
    def is_valid(self) -> bool:
        """Whether it refers to a credential."""
        return self._acceptor is not None or self._initiator is not None

    def fill(self, acceptor: Acceptor | None, initiator: Initiator | None) -> None:
        """Make it refer to a credential, which it closes when it is freed.

        Raises:
            StateError: It refers to another one already; the new one is closed.
        """
        if self.is_valid:
            # Two acquisitions were queued for it, and the other one was first.
            _close_all(acceptor, initiator)
            raise StateError("the handle refers to a credential already")
        self._acceptor, self._initiator = acceptor, initiator

    def free(self) -> None:
        """Free the credential, and end the contexts that are being established with it."""
        parties = self._acceptor, self._initiator
        self._acceptor = self._initiator = None
        _close_all(*parties)

    def acceptor(self) -> Acceptor | None:
        """The acceptor of a SECPKG_CRED_INBOUND credential, or None."""
        return self._acceptor

    def initiator(self) -> Initiator | None:
        """The initiator of a SECPKG_CRED_OUTBOUND credential, or None."""
        return self._initiator


def _close_all(*parties: Acceptor | Initiator | None) -> None:
    for registry in parties:
        if registry is not None:
            registry.close()


class ContextHandle:
    """A security context. The first call of accept or initialize fills it.

    Its owner must delete it. One that is forgotten warns (ResourceWarning) and deletes its context.

    Attributes:
        is_busy: Whether an operation works on it; no other one may be queued then.
    """

    __slots__ = ("__weakref__", "_handshake", "_loop", "_registry_of", "is_busy")

    def __init__(self) -> None:
        self._handshake: Handshake | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._registry_of: Acceptor | Initiator | None = None
        self.is_busy = False

    def __repr__(self) -> str:
        if self._handshake is None:
            return "<ContextHandle of nothing>"
        return f"<ContextHandle {self.role.value} {self._handshake.state.value}>"

    def __del__(self) -> None:
        handshake, loop = self._handshake, self._loop
        if handshake is None or loop is None or handshake.state is State.FAILED:
            return
        try:
            # This raises where warnings are errors.
            warnings.warn(f"{self!r} was never deleted", ResourceWarning, stacklevel=1, source=self)
        finally:
            _close_anywhere(handshake, loop)

    @property
    def is_valid(self) -> bool:
        """Whether it refers to a context."""
        return self._handshake is not None and self._handshake.state is not State.FAILED

    @property
    def was_used(self) -> bool:
        """Whether it ever referred to a context."""
        # The registry stays after a release: SSPI's DeleteSecurityContext may be called twice.
        return self._registry_of is not None

    @property
    def role(self) -> Role:
        """Which side of the handshake it is."""
        return _INITIATOR if isinstance(self._registry_of, Initiator) else _ACCEPTOR

    @property
    def handshake(self) -> Handshake | None:
        """The handshake that it refers to."""
        return self._handshake

    @property
    def registry(self) -> Acceptor | Initiator | None:
        """The credential that the context was begun with."""
        return self._registry_of

    def fill(self, handshake: Handshake, registry: Acceptor | Initiator) -> None:
        """Make it refer to a context, begun by `registry`, on the running event loop."""
        self._handshake, self._registry_of = handshake, registry
        self._loop = asyncio.get_running_loop()

    def take_from(self, old: ContextHandle) -> None:
        """Refer to what another handle referred to, which then refers to nothing.

        If both are the same handle, nothing happens.
        """
        registry, handshake = old.registry, old.release()
        if handshake is not None and registry is not None:
            self.fill(handshake, registry)

    def drop_failed(self) -> None:
        """Refer to nothing if the handshake has failed: its context is deleted already."""
        if self._handshake is not None and self._handshake.state is State.FAILED:
            self._handshake = None

    def release(self) -> Handshake | None:
        """Refer to nothing; the caller owns the handshake that is returned."""
        handshake, self._handshake = self._handshake, None
        return handshake

    def discard(self) -> None:
        """Refer to nothing, and delete the context."""
        handshake = self.release()
        if handshake is not None:
            handshake.close()


def _close_anywhere(handshake: Handshake, loop: asyncio.AbstractEventLoop) -> None:
    # This may be any thread. Where the loop is closed, only the context is left to end.
    try:
        loop.call_soon_threadsafe(handshake.close)
    except RuntimeError:
        with contextlib.suppress(RuntimeError):
            handshake.close()


def check_context(context: ContextHandle) -> SecurityStatus:
    """Tell whether an operation may be begun on a context.

    Returns:
        SEC_E_OK; SEC_E_OUT_OF_SEQUENCE if an operation works on it; SEC_E_INVALID_HANDLE if it
        refers to nothing, or is not a handle.
    """
    if not isinstance(context, ContextHandle):
        return SecurityStatus.SEC_E_INVALID_HANDLE  # type: ignore[unreachable]  # not typed by all
    if context.is_busy:
        return SecurityStatus.SEC_E_OUT_OF_SEQUENCE
    # It may have expired meanwhile.
    context.drop_failed()
    return SecurityStatus.SEC_E_OK if context.is_valid else SecurityStatus.SEC_E_INVALID_HANDLE
