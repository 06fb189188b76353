"""The coroutine around the handshake table: one token in, the package off the loop, one leg out.

HTTP calls `advance` once a request, a stream calls it in a loop (`Acceptor.accept`). Whatever
happens in between, the security context is deleted: at the end of the leg that establishes or
refuses, when the client is too slow, when the task is cancelled, when the package hangs. A package
that is still running cannot be stopped; its context is deleted by the thread that runs it, as soon
as it returns.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from types import TracebackType

from authsrv.errors import (
    AuthsrvError,
    ConfigError,
    HandshakeExpiredError,
    OverloadedError,
    PackageFaultError,
    UnexpectedTokenError,
)
from authsrv.handshake import Handshake, State
from authsrv.identity import Identity
from authsrv.limits import DEFAULT_LIMITS, Limits
from authsrv.packages.base import AcceptorContext, ContextRequest, SecurityPackage
from authsrv.results import (
    CompleteAndContinue,
    CompleteNeeded,
    Continue,
    Established,
    Incomplete,
    Refused,
    Result,
)
from authsrv.status import SecurityStatus
from authsrv.workers import WorkerPool

__all__ = ["Acceptor", "AcceptorHandshake", "Leg"]

_LOG = logging.getLogger("authsrv")

_Ending = Established | Continue | Incomplete | Refused

_ENDS = (Established, Refused)
_ASKS = (CompleteNeeded, CompleteAndContinue)
_RESULT_TYPES = (
    Established,
    Continue,
    CompleteNeeded,
    CompleteAndContinue,
    Incomplete,
    Refused,
)


@dataclass(frozen=True, slots=True)
class Leg:
    """What one token led to.

    Args:
        result: How the leg ended: Established, Continue, Incomplete or Refused.
        status: The SSPI code that the package answered to the token. It differs from the result's
            where CompleteAuthToken was called: then it is SEC_I_COMPLETE_NEEDED or
            SEC_I_COMPLETE_AND_CONTINUE.
        states: The states that the handshake went through, the one before the token first.
        round: The number of the leg in its handshake, from 1; 0 where the token was not taken.
        token_bytes: The length of the token.
        seconds: The time that the leg took, waiting for a thread included.

    Source: authsrv design decision 3.
    """

    result: _Ending
    status: SecurityStatus
    states: tuple[State, ...]
    round: int
    token_bytes: int
    seconds: float


class _Lease:
    """A security context, used by one thread at a time and deleted exactly once.

    The loop's side and the thread's side meet here: `revoke` is called on the loop at any moment,
    `work` on a thread. Whoever comes last deletes.
    """

    __slots__ = ("_busy", "_context", "_guard", "_revoked")

    def __init__(self, context: AcceptorContext) -> None:
        self._context: AcceptorContext | None = context
        self._guard = threading.Lock()
        self._busy = False
        self._revoked = False

    def work(self, token: bytes) -> list[Result]:
        """Take one token through the package; runs on a thread."""
        with self._guard:
            context = self._context
            if self._revoked or context is None:
                return []
            self._busy = True
        results: list[Result] = []
        try:
            results = _step(context, token)
            return results
        finally:
            with self._guard:
                self._busy = False
                ended = not results or isinstance(results[-1], _ENDS)
                self._revoked = self._revoked or ended
                delete = self._revoked
            if delete:
                self.delete()

    def revoke(self) -> bool:
        """Forbid further work; true if the caller has to see to the deletion."""
        with self._guard:
            self._revoked = True
            return self._context is not None and not self._busy

    def delete(self) -> None:
        with self._guard:
            context, self._context = self._context, None
        if context is None:
            return
        try:
            context.delete()
        except BaseException as error:
            # Nobody could do anything about it: the leg is over, and its client is not at fault.
            _LOG.error("the security package raised %s in delete", type(error).__name__)


def _step(context: AcceptorContext, token: bytes) -> list[Result]:
    """Ask the package, and again where it wants CompleteAuthToken; any exception is its fault."""
    results: list[Result] = []
    try:
        results.append(_checked(context.step(token)))
        if isinstance(results[0], _ASKS):
            results.append(_checked(context.complete()))
    except AuthsrvError as error:
        results.append(Refused(error))
    except BaseException as error:
        # On this thread even a SystemExit is no more than a package that broke.
        # Its type is a name from somebody's code; its text could hold anything, a token included.
        fault = PackageFaultError(f"the security package raised {type(error).__name__}")
        results.append(Refused(fault))
    return results


def _checked(result: object) -> Result:
    if not isinstance(result, _RESULT_TYPES):
        raise PackageFaultError(f"the security package answered a {type(result).__name__}")
    if not isinstance(getattr(result, "token", b""), bytes):
        raise PackageFaultError("the security package made a token that is no bytes")
    if isinstance(result, Refused) and not isinstance(result.error, AuthsrvError):
        raise PackageFaultError("the security package refused without a cause")
    return result


class AcceptorHandshake:
    """One handshake with one client, driven token by token. Acceptor.begin makes it.

    Args:
        acceptor: Whose limits and threads it keeps to.
        lease: Its security context.

    Source: SSPI AcceptSecurityContext; authsrv design decision 3.
    """

    __slots__ = ("_acceptor", "_handshake", "_lease", "_open", "_timer")

    def __init__(self, acceptor: Acceptor, lease: _Lease) -> None:
        self._acceptor = acceptor
        self._handshake = Handshake(acceptor.limits, started_at=time.monotonic())
        self._lease = lease
        self._open = True
        self._timer: asyncio.TimerHandle | None = None

    def __repr__(self) -> str:
        return f"<AcceptorHandshake {self._handshake.state.value}>"

    @property
    def state(self) -> State:
        """What the handshake waits for, or how it ended.

        Source: authsrv design decision 3.
        """
        return self._handshake.state

    @property
    def is_open(self) -> bool:
        """Whether a further token can be taken.

        Source: authsrv design decision 3.
        """
        return self._open

    async def advance(self, token: bytes) -> Leg:
        """Take one token from the client through the security package.

        Args:
            token: The token, from the client, untrusted; 1 to max_token_bytes bytes.

        Returns:
            What it led to. Every failure is a Leg whose result is Refused: wrong tokens, limits,
            deadlines, an overloaded server and faults of the package alike.

        Raises:
            asyncio.CancelledError: The task was cancelled; the handshake has failed and its
                context is deleted.

        Source: SSPI AcceptSecurityContext, SspiAcceptSecurityContextAsync.
        """
        began = time.monotonic()
        self._disarm()
        handshake, already = self._handshake, len(self._handshake.path) - 1
        answers: list[Result] = []
        try:
            ending = await self._take(token, answers)
        except AuthsrvError as error:
            ending = Refused(error)
        except BaseException:
            self.close()
            raise
        if isinstance(ending, _ENDS):
            self.close()
        else:
            self._arm()
        return Leg(
            result=ending,
            status=answers[0].status if answers else ending.status,
            states=handshake.path[already:],
            round=handshake.rounds,
            token_bytes=len(token),
            seconds=time.monotonic() - began,
        )

    async def _take(self, token: bytes, answers: list[Result]) -> _Ending:
        handshake, limits = self._handshake, self._acceptor.limits
        now = time.monotonic()
        whole = handshake.receive_token(token, now=now)
        seconds = min(limits.step_seconds, max(0.0, handshake.deadline - now))
        answers += await self._acceptor.pool.run(partial(self._lease.work, whole), seconds=seconds)
        if handshake.state is State.FAILED or not answers:
            raise UnexpectedTokenError("the handshake ended while its token was worked on")
        ending = answers[-1]
        if isinstance(ending, _ASKS):
            raise PackageFaultError("the package's CompleteAuthToken asked for CompleteAuthToken")
        for answer in answers:
            handshake.receive_result(answer)
        return ending

    def close(self) -> None:
        """End the handshake and delete its context; a second call does nothing.

        Source: SSPI DeleteSecurityContext.
        """
        if not self._open:
            return
        self._open = False
        self._disarm()
        self._handshake.abandon()
        if self._lease.revoke():
            self._acceptor.pool.spawn(self._lease.delete)
        self._acceptor.forget(self)

    def _arm(self) -> None:
        loop = asyncio.get_running_loop()
        left = max(0.0, self._handshake.deadline - time.monotonic())
        self._timer = loop.call_later(left, self.close)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class Acceptor:
    """Accepts handshakes through one security package; the heart of every integration.

    Args:
        package: The security package.
        request: What is asked of each context.
        limits: The bounds for one handshake and for all.
        pool: The threads to run the package on, or None for a pool of its own.

    Source: SSPI AcceptSecurityContext; authsrv design decisions 3 and 4.
    """

    def __init__(
        self,
        package: SecurityPackage,
        *,
        request: ContextRequest | None = None,
        limits: Limits = DEFAULT_LIMITS,
        pool: WorkerPool | None = None,
    ) -> None:
        self.package = package
        self.limits = limits
        self.pool = pool or WorkerPool(limits)
        self._request = request or ContextRequest()
        self._open: set[AcceptorHandshake] = set()

    def __repr__(self) -> str:
        return f"<Acceptor {self.package.name}, {self.pending} pending>"

    async def __aenter__(self) -> Acceptor:
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

    def begin(self) -> AcceptorHandshake:
        """Begin a handshake.

        Returns:
            The handshake. It must be given a token or closed; once it waits for a second token,
            it ends by itself when handshake_seconds have passed since its beginning.

        Raises:
            OverloadedError: max_pending handshakes are pending already.
            ConfigError: The package cannot do what is asked of its contexts.
            PackageFaultError: The package could not make a context.

        Source: SSPI AcceptSecurityContext, first call.
        """
        if len(self._open) >= self.limits.max_pending:
            raise OverloadedError(f"{len(self._open)} handshakes are pending")
        try:
            context = self.package.create_context(self._request)
        except ConfigError:
            raise
        except Exception as error:
            raise PackageFaultError(
                f"the security package raised {type(error).__name__} for a new context"
            ) from None
        handshake = AcceptorHandshake(self, _Lease(context))
        self._open.add(handshake)
        return handshake

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
            BaseException: Whatever receive and send raise; the context is deleted.

        Source: SSPI AcceptSecurityContext, remarks; MS-NNS section 3.1.5.
        """
        handshake = self.begin()
        try:
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

    def forget(self, handshake: AcceptorHandshake) -> None:
        """Take an ended handshake off the list of pending ones; AcceptorHandshake calls it.

        Args:
            handshake: The handshake that has ended.

        Source: authsrv design decision 4.
        """
        self._open.discard(handshake)

    def close(self) -> None:
        """End all handshakes and let the threads go. The acceptor cannot be used again.

        Source: SSPI FreeCredentialsHandle.
        """
        for handshake in tuple(self._open):
            handshake.close()
        self.pool.close()
