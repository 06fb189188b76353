"""One asynchronous call: what it is doing, how it ended, and whom to tell.

An AsyncContext is SSPI's handle for one call. It is idle, then pending from the moment that an
`...Async` function has queued something on it, then complete; `reinit_async_context` makes it idle
again. The functions are those of sspi.h and answer a status; Python's own way to wait is to await
the AsyncContext.

What sspi.h leaves open is settled like this: whatever is asked of a call in the wrong state (two
operations at once, freeing or re-using a pending one) is SEC_E_OUT_OF_SEQUENCE and changes nothing;
whatever is asked of a freed one, or of something else, is SEC_E_INVALID_HANDLE.
"""

from __future__ import annotations

import asyncio
import contextlib
import enum
from collections.abc import Callable, Coroutine, Generator
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any

from authsrv.buffers import SecBufferDesc
from authsrv.errors import AuthsrvError, PackageFaultError, StateError
from authsrv.flags import AscRet, IscRet
from authsrv.sspi.handles import ContextHandle
from authsrv.status import SecurityStatus

__all__ = [
    "ALLOWED",
    "REFUSED",
    "AsyncContext",
    "CallResult",
    "NotifyCallback",
    "Operation",
    "async_context_requires_notify",
    "check_idle",
    "create_async_context",
    "failed",
    "free_async_context",
    "get_async_call_status",
    "queue",
    "reinit_async_context",
    "set_async_notify_callback",
]

_S = SecurityStatus
_NO_BUFFERS = SecBufferDesc()
_NO_FLAGS = AscRet(0)


@dataclass(frozen=True, slots=True)
class CallResult:
    """How an operation ended.

    Args:
        status: The operation's own status.
        context: The security context to go on with, where there is one.
        output: The output buffers, with the token for the peer.
        context_attr: What the context has; nothing until the status is SEC_E_OK.
        expiry: When the context ends, in UTC, or None for never; None until the status is
            SEC_E_OK.
        error: The cause of a failure, with the native code if there is one.

    Source: SSPI AcceptSecurityContext, phNewContext, pOutput, pfContextAttr and ptsExpiry.
    """

    status: SecurityStatus
    context: ContextHandle | None = None
    output: SecBufferDesc = _NO_BUFFERS
    context_attr: AscRet | IscRet = _NO_FLAGS
    expiry: datetime | None = None
    error: AuthsrvError | None = field(default=None, repr=False)


def failed(error: AuthsrvError, output: SecBufferDesc = _NO_BUFFERS) -> CallResult:
    """Make the result of an operation that failed.

    Args:
        error: The cause.
        output: The output buffers.

    Returns:
        A result whose status is a failure even where a package refused with a code of success.

    Source: SSPI AcceptSecurityContext, return values.
    """
    status = error.status if error.status.is_failure else _S.SEC_E_INTERNAL_ERROR
    return CallResult(status, output=output, error=error)


class _Phase(enum.Enum):
    IDLE = "idle"
    PENDING = "pending"
    COMPLETE = "complete"
    FREED = "freed"


class _FreeWhilePending(enum.Enum):
    """Whether an operation may be forgotten before it is complete."""

    REFUSED = "refused"
    ALLOWED = "allowed"


REFUSED, ALLOWED = _FreeWhilePending.REFUSED, _FreeWhilePending.ALLOWED

Operation = Callable[[], Coroutine[Any, Any, CallResult]]


class _End:
    """The end of one operation, and those who wait for it."""

    __slots__ = ("has_come", "waiters")

    def __init__(self) -> None:
        self.has_come = False
        self.waiters: list[asyncio.Future[CallResult]] = []

    def come(self, result: CallResult) -> None:
        self.has_come = True
        for waiter in self.waiters:
            if not waiter.done():
                waiter.set_result(result)


class AsyncContext:
    """One asynchronous call. `await call` waits for its end and gives its CallResult.

    A task that is cancelled while it awaits cancels the operation: the native call finishes off
    the loop, its security context is deleted, and the call ends with
    SEC_E_UNFINISHED_CONTEXT_DELETED. Where several tasks await one call, the operation is that of
    the first of them; the others may come and go.

    Source: sspi.h, SspiAsyncContext.
    """

    __slots__ = (
        "_callback",
        "_data",
        "_end",
        "_free_while_pending",
        "_fresh",
        "_must_notify",
        "_phase",
        "_result",
        "_task",
    )

    def __init__(self) -> None:
        self._phase = _Phase.IDLE
        self._result: CallResult | None = None
        self._task: asyncio.Task[None] | None = None
        self._end: _End | None = None
        self._callback: NotifyCallback | None = None
        self._data: object = None
        self._must_notify = False
        self._free_while_pending = REFUSED
        self._fresh: tuple[Operation, _End] | None = None

    def __repr__(self) -> str:
        return f"<AsyncContext {self._phase.value}>"

    def __await__(self) -> Generator[Any, None, CallResult]:
        return self._wait().__await__()

    @property
    def status(self) -> SecurityStatus:
        """What get_async_call_status answers.

        Source: SspiGetAsyncCallStatus.
        """
        if self._phase is _Phase.PENDING:
            return _S.SEC_I_ASYNC_CALL_PENDING
        if self._result is not None:
            return self._result.status
        freed = self._phase is _Phase.FREED
        return _S.SEC_E_INVALID_HANDLE if freed else _S.SEC_E_OUT_OF_SEQUENCE

    async def _wait(self) -> CallResult:
        fresh, self._fresh = self._fresh, None
        if fresh is not None:
            return await self._run(*fresh)
        # The call may be used again before whoever waits here runs on: then these are others.
        task, end = self._task, self._end
        if end is None:
            raise StateError("nothing was queued on this call")
        if self._result is not None:
            return self._result
        # asyncio.shield would do, and costs two more turns of the loop.
        waiter: asyncio.Future[CallResult] = asyncio.get_running_loop().create_future()
        end.waiters.append(waiter)
        try:
            return await waiter
        except asyncio.CancelledError:
            if task is not None and waiter is end.waiters[0]:
                task.cancel()
            raise

    def _start(
        self,
        operation: Operation,
        abandon: Callable[[], None],
        free_while_pending: _FreeWhilePending,
    ) -> None:
        loop = asyncio.get_running_loop()
        end = _End()
        # All this comes first: an eager task may be complete as soon as it is made.
        self._phase, self._end = _Phase.PENDING, end
        self._free_while_pending = free_while_pending
        self._must_notify = self._callback is not None
        self._fresh = operation, end
        if self._must_notify or asyncio.current_task() is None:
            # Nobody will await it at once; and a loop that is closing ends its tasks, but not
            # what a callback has left for its next turn.
            self._begin(abandon, end)
        else:
            # Whoever awaits the call by then performs it in its own task: that saves a task and
            # three turns of the loop, a tenth of a Kerberos handshake.
            loop.call_soon(self._begin, abandon, end)

    def _begin(self, abandon: Callable[[], None], end: _End) -> None:
        """Give the operation a task of its own, unless somebody performs it."""
        if self._fresh is None or self._fresh[1] is not end:
            return
        operation, self._fresh = self._fresh[0], None
        self._task = asyncio.get_running_loop().create_task(self._perform(operation, end))
        self._task.add_done_callback(partial(self._see_to, abandon, end))

    async def _perform(self, operation: Operation, end: _End) -> None:
        # Whoever waits is gone or is told so itself; the call has an end all the same.
        with contextlib.suppress(asyncio.CancelledError):
            await self._run(operation, end)

    async def _run(self, operation: Operation, end: _End) -> CallResult:
        try:
            result = await operation()
        except AuthsrvError as error:
            result = failed(error)
        except asyncio.CancelledError:
            self._complete(CallResult(_S.SEC_E_UNFINISHED_CONTEXT_DELETED), end)
            raise
        except Exception as broken:
            # Its type is a name from somebody's code; its text could hold anything, a token too.
            result = failed(PackageFaultError(f"the operation raised {type(broken).__name__}"))
        self._complete(result, end)
        return result

    def _see_to(
        self,
        abandon: Callable[[], None],
        end: _End,
        task: asyncio.Task[None],
    ) -> None:
        """See to a task that was cancelled before it began, or that something else ended."""
        if end.has_come:
            return
        abandon()
        ended = not task.cancelled() and task.exception() is not None
        status = _S.SEC_E_INTERNAL_ERROR if ended else _S.SEC_E_UNFINISHED_CONTEXT_DELETED
        self._complete(CallResult(status), end)

    def _complete(self, result: CallResult, end: _End) -> None:
        if self._phase is not _Phase.FREED:
            self._phase, self._result = _Phase.COMPLETE, result
            if self._must_notify:
                # Before those who wait: they may free the call, which has to be called back first.
                asyncio.get_running_loop().call_soon(self._notify)
        end.come(result)

    def _notify(self) -> None:
        self._must_notify = False
        if self._callback is not None:
            # What it raises goes to the loop's exception handler, as of every callback.
            self._callback(self, self._data)


NotifyCallback = Callable[[AsyncContext, object], object]
"""Is called on the event loop, once, when a call is complete: with the call, and the data that was
registered with it."""


def _leave() -> None:
    """There is nothing to do."""


def queue(
    call: AsyncContext,
    operation: Operation,
    *,
    abandon: Callable[[], None] = _leave,
    free_while_pending: _FreeWhilePending = REFUSED,
) -> SecurityStatus:
    """Queue an operation on a call; the `...Async` functions end with it.

    Args:
        call: An idle call.
        operation: Makes the coroutine to run. What it raises of AuthsrvError is its status.
        abandon: What to do where the operation could not even begin: the loop was closing.
        free_while_pending: Whether the call may be freed before its end.

    Returns:
        SEC_E_OK, or why it was not queued.

    Raises:
        RuntimeError: No event loop is running.

    Source: SspiAcceptSecurityContextAsync, return value.
    """
    status = check_idle(call)
    if status is _S.SEC_E_OK:
        call._start(operation, abandon, free_while_pending)
    return status


def check_idle(call: AsyncContext) -> SecurityStatus:
    """Tell whether something can be queued on a call.

    Args:
        call: The call.

    Returns:
        SEC_E_OK, or why not.

    Source: SspiReinitAsyncContext, remarks.
    """
    if not isinstance(call, AsyncContext) or call._phase is _Phase.FREED:
        return _S.SEC_E_INVALID_HANDLE
    return _S.SEC_E_OK if call._phase is _Phase.IDLE else _S.SEC_E_OUT_OF_SEQUENCE


def create_async_context() -> AsyncContext:
    """Make a call.

    Returns:
        An idle one.

    Source: SspiCreateAsyncContext.
    """
    return AsyncContext()


def set_async_notify_callback(
    call: AsyncContext, callback: NotifyCallback | None, data: object = None
) -> SecurityStatus:
    """Say whom to tell when the call is complete.

    Args:
        call: An idle call. The callback stays when it is used again.
        callback: What to call on the event loop, once for each operation; None for nobody. What
            it raises goes to the loop's exception handler and changes nothing.
        data: What to call it with, beside the call.

    Returns:
        SEC_E_OK; SEC_E_OUT_OF_SEQUENCE if the call is not idle; SEC_E_INVALID_HANDLE.

    Source: SspiSetAsyncNotifyCallback.
    """
    status = check_idle(call)
    if status is _S.SEC_E_OK:
        call._callback, call._data = callback, data
    return status


def async_context_requires_notify(call: AsyncContext) -> bool:
    """Tell whether a callback is registered.

    Args:
        call: The call.

    Returns:
        True if completion calls somebody.

    Source: SspiAsyncContextRequiresNotify.
    """
    return isinstance(call, AsyncContext) and call._callback is not None


def get_async_call_status(call: AsyncContext) -> SecurityStatus:
    """Tell how far the operation is.

    Args:
        call: The call.

    Returns:
        SEC_I_ASYNC_CALL_PENDING until it is complete, and then its own status. If nothing was
        queued SEC_E_OUT_OF_SEQUENCE; SEC_E_INVALID_HANDLE if it is no call any more.

    Source: SspiGetAsyncCallStatus.
    """
    if not isinstance(call, AsyncContext):
        return _S.SEC_E_INVALID_HANDLE  # type: ignore[unreachable]  # not typed by all
    return call.status


def reinit_async_context(call: AsyncContext) -> SecurityStatus:
    """Make a complete call idle again. The callback and its data stay.

    Args:
        call: The call.

    Returns:
        SEC_E_OK; SEC_E_OUT_OF_SEQUENCE while it is pending or its callback was not called yet;
        SEC_E_INVALID_HANDLE.

    Source: SspiReinitAsyncContext.
    """
    if not isinstance(call, AsyncContext) or call._phase is _Phase.FREED:
        return _S.SEC_E_INVALID_HANDLE
    if call._phase is _Phase.PENDING or call._must_notify:
        return _S.SEC_E_OUT_OF_SEQUENCE
    call._phase, call._result, call._task, call._end = _Phase.IDLE, None, None, None
    return _S.SEC_E_OK


def free_async_context(call: AsyncContext) -> SecurityStatus:
    """Free a call.

    Args:
        call: A call that is idle, or complete with its callback called. A pending one can be freed
            only if it deletes a security context and has no callback.

    Returns:
        SEC_E_OK; SEC_E_OUT_OF_SEQUENCE if it is too early; SEC_E_INVALID_HANDLE if it was freed
        before.

    Source: SspiFreeAsyncContext; SspiSetAsyncNotifyCallback, remarks.
    """
    if not isinstance(call, AsyncContext) or call._phase is _Phase.FREED:
        return _S.SEC_E_INVALID_HANDLE
    forgettable = call._free_while_pending is ALLOWED and call._callback is None
    if call._must_notify or (call._phase is _Phase.PENDING and not forgettable):
        return _S.SEC_E_OUT_OF_SEQUENCE
    if call._phase is not _Phase.PENDING:
        call._task = call._end = None
    call._phase, call._result = _Phase.FREED, None
    call._callback = call._data = None
    return _S.SEC_E_OK
