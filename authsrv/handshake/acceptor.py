"""Who begins handshakes: the acceptor of a server, and the initiator of a client.

Both bound what a peer can make us keep. Handshakes that wait for their peer are counted, and one
too many is refused when it would have to wait; so clients that begin handshakes and leave keep
nobody out whose handshake takes one leg. Handshakes that are worked on are bounded by the pool.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection
from types import TracebackType
from typing import Self

from authsrv.handshake.driver import SecurityHandshake
from authsrv.errors import (
    AuthsrvError,
    ConfigError,
    HandshakeExpiredError,
    OverloadedError,
    PackageFaultError,
)
from authsrv.core.identity import Identity
from authsrv.handshake.context_guard import ContextLease, Retention, fault_of
from authsrv.core.limits import DEFAULT_LIMITS, Limits
from authsrv.providers.base import (
    ContextRequest,
    InitiatorPackage,
    InitiatorRequest,
    SecurityPackage,
)
from authsrv.core.realms import RealmPolicy
from authsrv.core.results import Established, Incomplete, Refused
from authsrv.core.role import Role
from authsrv.core.settings import as_instance, as_optional
from authsrv.handshake.pool import WorkerPool

__all__ = ["Acceptor", "Initiator"]

_LOG = logging.getLogger("authsrv")
_NO_REQUEST = ContextRequest()


class _Handshakes:
    """The handshakes that were begun here and have not ended."""

    def __init__(self, limits: Limits, pool: WorkerPool | None) -> None:
        self.limits = as_instance(Limits, limits, "limits")
        self.pool = as_optional(WorkerPool, pool, "pool") or WorkerPool(limits)
        self._open: set[SecurityHandshake] = set()
        self._waiting: set[SecurityHandshake] = set()
        # Those that wait for their peer are bounded by put_aside, and those that are worked on by
        # the pool; this is for a caller who begins handshakes and does nothing with them.
        self._most = limits.max_pending + limits.max_queued + limits.max_workers

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def pending(self) -> int:
        """How many handshakes are begun and not ended.

        Source: authsrv design decision 4.
        """
        return len(self._open)

    def take_up(self, handshake: SecurityHandshake) -> None:
        """Note that a handshake is worked on; the handshake calls it.

        Args:
            handshake: The handshake.

        Source: authsrv design decision 4.
        """
        self._waiting.discard(handshake)

    def put_aside(self, handshake: SecurityHandshake) -> None:
        """Note that a handshake waits for its peer; the handshake calls it.

        Args:
            handshake: The handshake.

        Raises:
            OverloadedError: max_pending handshakes wait already.

        Source: authsrv design decision 4.
        """
        if len(self._waiting) >= self.limits.max_pending:
            raise OverloadedError(f"{len(self._waiting)} handshakes wait for their clients")
        self._waiting.add(handshake)

    def forget(self, handshake: SecurityHandshake) -> None:
        """Note that a handshake has ended; the handshake calls it.

        Args:
            handshake: The handshake.

        Source: authsrv design decision 4.
        """
        self._open.discard(handshake)
        self._waiting.discard(handshake)

    def close(self) -> None:
        """End all handshakes and let the threads go. Nothing can be begun any more.

        Source: SSPI FreeCredentialsHandle.
        """
        for handshake in tuple(self._open):
            handshake.close()
        self.pool.close()

    def _demand_room(self) -> None:
        if len(self._open) >= self._most:
            raise OverloadedError(f"{len(self._open)} handshakes are pending")

    def _begin(self, lease: ContextLease, role: Role) -> SecurityHandshake:
        handshake = SecurityHandshake(self, lease, role)
        self._open.add(handshake)
        return handshake


class Acceptor(_Handshakes):
    """Accepts handshakes through one security package; the heart of every integration.

    Args:
        package: The security package.
        request: What is asked of each context.
        limits: The bounds for one handshake and for all.
        pool: The threads to run the package on, or None for a pool of its own.
        realms: The realms whose clients are let in, or "*" for all that trust leads to. If it is
            not given, those of the package's own keys; where it has none, all, and the log says so.

    Raises:
        ConfigError: A setting is of a wrong type.

    Source: SSPI AcceptSecurityContext; RFC 4120 section 1.2.
    """

    def __init__(
        self,
        package: SecurityPackage,
        *,
        request: ContextRequest = _NO_REQUEST,
        limits: Limits = DEFAULT_LIMITS,
        pool: WorkerPool | None = None,
        realms: str | Collection[str] | None = None,
    ) -> None:
        self.realms = RealmPolicy.of_setting(realms, package)
        super().__init__(limits, pool)
        if not callable(getattr(package, "create_context", None)):
            raise ConfigError("package must be a security package that accepts clients")
        self.package = package
        self.request = as_instance(ContextRequest, request, "request")
        self._has_to_warn = self.realms.is_unsettled

    def __repr__(self) -> str:
        return f"<Acceptor {self.package.name}, {self.pending} pending>"

    def begin(
        self,
        request: ContextRequest | None = None,
        *,
        retention: Retention = Retention.RELEASE,
    ) -> SecurityHandshake:
        """Begin a handshake.

        Args:
            request: What is asked of this context, if it differs from the acceptor's.
            retention: What becomes of the context once it is established.

        Returns:
            The handshake. It must be given a token or closed; once it waits for a second token,
            it ends by itself when handshake_seconds have passed since its beginning.

        Raises:
            OverloadedError: More handshakes are pending than the limits allow in all, or memory
                ran out.
            ConfigError: The package cannot do what is asked of its contexts.
            PackageFaultError: The package could not make a context.

        Source: SSPI AcceptSecurityContext, first call.
        """
        if self._has_to_warn:
            self._warn_of_all_realms()
        asked = self.request if request is None else request
        self._demand_room()
        try:
            context = self.package.create_context(asked)
            lease = ContextLease(context, asked.required, retention, self.realms.check)
        except Exception as error:
            raise _refusal_to_begin(error) from None
        return self._begin(lease, Role.ACCEPTOR)

    def _warn_of_all_realms(self) -> None:
        self._has_to_warn = False
        _LOG.warning(
            "users of all realms are let in: the security package %s has no keytab that tells "
            "which; name them in realms=[...], or give realms='*' if that is meant",
            self.package.name,
        )

    async def accept(
        self,
        receive: Callable[[], Awaitable[bytes]],
        send: Callable[[bytes], Awaitable[object]],
    ) -> Identity:
        """Take a whole handshake over a transport of messages.

        Args:
            receive: Awaits the next token, or the rest of one, from the client.
            send: Sends a token to the client.

        Returns:
            The authenticated client; the last token has been sent.

        Raises:
            AuthsrvError: The handshake was refused, and why; an error token has been sent if the
                package made one.
            HandshakeExpiredError: It took longer than handshake_seconds.
            OverloadedError: max_pending handshakes wait for their clients already.
            BaseException: Whatever receive and send raise; the context is deleted.

        Source: SSPI AcceptSecurityContext, remarks; MS-NNS section 3.1.5.
        """
        handshake = self.begin()
        try:
            self.put_aside(handshake)
            async with asyncio.timeout(self.limits.handshake_seconds) as scope:
                while True:
                    leg = await handshake.advance(await receive())
                    token = b"" if isinstance(leg.result, Incomplete) else leg.result.token
                    if token:
                        await send(token)
                    if isinstance(leg.result, Established):
                        return leg.result.identity
                    if isinstance(leg.result, Refused):
                        raise leg.result.error
        except TimeoutError:
            if not scope.expired():
                raise
            raise HandshakeExpiredError(
                f"the handshake took longer than {self.limits.handshake_seconds:g} s"
            ) from None
        finally:
            handshake.close()


class Initiator(_Handshakes):
    """Begins handshakes with servers through one security package.

    Args:
        package: The security package, with the credential of the client.
        limits: The bounds for one handshake and for all.
        pool: The threads to run the package on, or None for a pool of its own.

    Raises:
        ConfigError: A setting is of a wrong type.

    Source: SSPI InitializeSecurityContext.
    """

    def __init__(
        self,
        package: InitiatorPackage,
        *,
        limits: Limits = DEFAULT_LIMITS,
        pool: WorkerPool | None = None,
    ) -> None:
        super().__init__(limits, pool)
        if not callable(getattr(package, "create_initiator", None)):
            raise ConfigError("package must be a security package that begins handshakes")
        self.package = package

    def __repr__(self) -> str:
        return f"<Initiator {self.package.name}, {self.pending} pending>"

    def begin(
        self, request: InitiatorRequest, *, retention: Retention = Retention.RELEASE
    ) -> SecurityHandshake:
        """Begin a handshake. Its first leg takes an empty token.

        Args:
            request: Whom to talk to, and what is asked of the context.
            retention: What becomes of the context once it is established.

        Returns:
            The handshake, as of Acceptor.begin; the identity that ends it is the server's.

        Raises:
            OverloadedError: More handshakes are pending than the limits allow in all, or memory
                ran out.
            ConfigError: The package cannot do what is asked of its contexts.
            PackageFaultError: The package could not make a context.

        Source: SSPI InitializeSecurityContext, first call.
        """
        self._demand_room()
        try:
            context = self.package.create_initiator(request)
            lease = ContextLease(context, request.required, retention)
        except Exception as error:
            raise _refusal_to_begin(error) from None
        return self._begin(lease, Role.INITIATOR)


def _refusal_to_begin(error: Exception) -> AuthsrvError:
    if isinstance(error, ConfigError | PackageFaultError):
        return error
    return fault_of(error, doing="for a new context")
