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
import contextvars
import enum
from collections.abc import Callable, Generator
from typing import Any

from authsrv.core.status import SecurityStatus
from authsrv.errors import StateError
from authsrv.sspi.operations import CallResult, Operation

__all__ = [
    "ALLOWED",
    "REFUSED",
    "AsyncContext",
    "NotifyCallback",
    "async_context_requires_notify",
    "check_idle",
    "create_async_context",
    "free_async_context",
    "get_async_call_status",
    "queue",
    "reinit_async_context",
    "set_async_notify_callback",
]

_S = SecurityStatus


class _Phase(enum.Enum):
    IDLE = "idle"
    PENDING = "pending"
    COMPLETE = "complete"
    FREED = "freed"


# An attribute of an enum is looked up by a function in Python, each time.
_OK = _S.SEC_E_OK
_IDLE, _PENDING, _COMPLETE, _FREED = _Phase


class _FreeWhilePending(enum.Enum):
    """Whether an operation may be forgotten before it is complete."""

    REFUSED = "refused"
    ALLOWED = "allowed"


REFUSED, ALLOWED = _FreeWhilePending.REFUSED, _FreeWhilePending.ALLOWED


class AsyncContext:
    """One asynchronous call. `await call` waits for its end and gives its CallResult.

    A task that is cancelled while it awaits cancels the operation: the native call finishes off
    the loop, its security context is deleted, and the call ends with
    SEC_E_UNFINISHED_CONTEXT_DELETED. Where several tasks await one call, the operation is that of
    the first of them; the others may come and go.
    """

    __slots__ = (
        "_callback",
        "_data",
        "_free_while_pending",
        "_is_told",
        "_notify_in",
        "_operation",
        "_phase",
        "_result",
    )

    def __init__(self) -> None:
        self._phase = _IDLE
        self._result: CallResult | None = None
        self._operation: Operation[Any] | None = None
        self._callback: NotifyCallback | None = None
        self._data: object = None
        self._notify_in: contextvars.Context | None = None
        self._free_while_pending = REFUSED
        self._is_told = False

    def __repr__(self) -> str:
        return f"<AsyncContext {self._phase.value}>"

    def __await__(self) -> Generator[Any, None, CallResult]:
        # The call may be used again before the waiter runs: then it has another operation.
        operation = self._operation
        if operation is None:
            raise StateError("nothing was queued on this call")
        while operation.result is None:
            waiter = operation.wait()
            try:
                yield from waiter
            except (asyncio.CancelledError, GeneratorExit):
                self._forsake(operation, waiter)
                raise
        return operation.result

    @property
    def status(self) -> SecurityStatus:
        """What get_async_call_status answers."""
        if self._phase is _PENDING:
            return _S.SEC_I_ASYNC_CALL_PENDING
        if self._result is not None:
            self._is_told = True
            return self._result.status
        freed = self._phase is _FREED
        return _S.SEC_E_INVALID_HANDLE if freed else _S.SEC_E_OUT_OF_SEQUENCE

    @property
    def result(self) -> CallResult | None:
        """What `await call` gives, for callbacks and for those who poll.

        It is there as soon as the status is not SEC_I_ASYNC_CALL_PENDING any more, with the cause
        of a failure in its `error`, and until the call is used again or freed; None otherwise.
        """
        if self._result is not None:
            self._is_told = True
        return self._result

    def _forsake(self, operation: Operation[Any], waiter: asyncio.Future[None]) -> None:
        nobody_waits = operation.detach(waiter)
        unheard = nobody_waits and not self._is_told and self._callback is None
        if unheard and self._operation is operation:
            # It may have completed in this same turn of the loop.
            self._result = operation.rollback() or self._result

    def _complete(self, result: CallResult) -> None:
        if self._phase is _FREED:
            return
        self._phase, self._result = _COMPLETE, result
        if self._notify_in is not None:
            self._call_back_soon(self._notify_in)

    def _call_back_soon(self, context: contextvars.Context) -> None:
        # Before the waiters: they may free the call, whose callback has to come first.
        try:
            asyncio.get_running_loop().call_soon(self._notify, context=context)
        except RuntimeError:
            # The loop is closed: no callback will ever run.
            self._notify_in = None

    def _notify(self) -> None:
        self._notify_in = None
        if self._callback is not None:
            # What it raises goes to the loop's exception handler, as with every callback.
            self._callback(self, self._data)


NotifyCallback = Callable[[AsyncContext, object], object]
"""Called on the event loop, once, when a call is complete: with the call, whose `result` is there
then, and the data that was registered with it."""


def queue(
    call: AsyncContext,
    operation: Operation[Any],
    *,
    free_while_pending: _FreeWhilePending = REFUSED,
) -> SecurityStatus:
    """Queue an operation on a call; the `...Async` functions end with it.

    Args:
        call: An idle call; check_idle has to be asked before.
        operation: What to do. It ends in any case, perhaps before this returns.
        free_while_pending: Whether the call may be freed before that.

    Raises:
        RuntimeError: No event loop is running; nothing has changed.
    """
    asyncio.get_running_loop()  # raises before anything is changed
    call._phase, call._operation = _PENDING, operation
    call._free_while_pending, call._is_told = free_while_pending, False
    if call._callback is not None:
        call._notify_in = contextvars.copy_context()
    operation.start(call._complete)
    return _OK


def check_idle(call: AsyncContext) -> SecurityStatus:
    """Tell whether something can be queued on a call.

    Returns:
        SEC_E_OK; SEC_E_OUT_OF_SEQUENCE for a call in use; SEC_E_INVALID_HANDLE.
    """
    if not isinstance(call, AsyncContext) or call._phase is _FREED:
        return _S.SEC_E_INVALID_HANDLE
    return _OK if call._phase is _IDLE else _S.SEC_E_OUT_OF_SEQUENCE


def create_async_context() -> AsyncContext:
    """Make an idle call."""
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
        SEC_E_OK; SEC_E_OUT_OF_SEQUENCE if the call is not idle; SEC_E_INVALID_HANDLE;
        SEC_E_INVALID_PARAMETER for a callback that cannot be called.
    """
    status = check_idle(call)
    if status is _OK and not (callback is None or callable(callback)):
        return _S.SEC_E_INVALID_PARAMETER  # type: ignore[unreachable]  # not typed by all
    if status is _OK:
        call._callback, call._data = callback, data
    return status


def async_context_requires_notify(call: AsyncContext) -> bool:
    """Tell whether a callback is registered."""
    return isinstance(call, AsyncContext) and call._callback is not None


def get_async_call_status(call: AsyncContext) -> SecurityStatus:
    """Tell how far the operation is. What it led to, or why it failed, is in `call.result`.

    Returns:
        SEC_I_ASYNC_CALL_PENDING until it is complete, and then its own status.
        SEC_E_OUT_OF_SEQUENCE if nothing was queued; SEC_E_INVALID_HANDLE if it was freed.
    """
    if not isinstance(call, AsyncContext):
        return _S.SEC_E_INVALID_HANDLE  # type: ignore[unreachable]  # not typed by all
    return call.status


def reinit_async_context(call: AsyncContext) -> SecurityStatus:
    """Make a complete call idle again. The callback and its data stay.

    Returns:
        SEC_E_OK; SEC_E_OUT_OF_SEQUENCE while it is pending or its callback was not called yet;
        SEC_E_INVALID_HANDLE.
    """
    if not isinstance(call, AsyncContext) or call._phase is _FREED:
        return _S.SEC_E_INVALID_HANDLE
    if call._phase is _PENDING or call._notify_in is not None:
        return _S.SEC_E_OUT_OF_SEQUENCE
    call._phase, call._result, call._operation = _IDLE, None, None
    return _OK


def free_async_context(call: AsyncContext) -> SecurityStatus:
    """Free a call.

    Args:
        call: A call that is idle, or complete with its callback called. A pending one can be freed
            only if it deletes a security context and has no callback.

    Returns:
        SEC_E_OK; SEC_E_OUT_OF_SEQUENCE if it is too early; SEC_E_INVALID_HANDLE if it was freed
        before.
    """
    if not isinstance(call, AsyncContext) or call._phase is _FREED:
        return _S.SEC_E_INVALID_HANDLE
    # SspiSetAsyncNotifyCallback, remarks: a deletion without a callback may be forgotten.
    forgettable = call._free_while_pending is ALLOWED and call._callback is None
    pending = call._phase is _PENDING
    if call._notify_in is not None or (pending and not forgettable):
        return _S.SEC_E_OUT_OF_SEQUENCE
    call._phase, call._result, call._operation = _FREED, None, None
    call._callback = call._data = None
    return _OK
