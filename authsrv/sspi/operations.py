"""One operation of a call, from its queueing to its result, without a task of its own.

An operation is the handler of its answer, as a future would be. A coroutine in a task of its own
would do, and would cost a sixth of a Kerberos handshake.
"""

from __future__ import annotations

import asyncio
import contextlib
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Generic, TypeVar

from authsrv.core.buffers import SecBufferDesc
from authsrv.core.flags import AscRet, IscRet
from authsrv.core.status import SecurityStatus
from authsrv.errors import AuthsrvError
from authsrv.handshake.context_guard import fault_of
from authsrv.sspi.handles import ContextHandle

__all__ = ["UNFINISHED", "CallResult", "Operation", "failed"]

_T = TypeVar("_T")
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
        context_attr: What the context has; no flags until the status is SEC_E_OK.
        expiry: When the context ends, in UTC, or None for never; None until the status is
            SEC_E_OK.
        error: The cause of a failure, with the native code if there is one.
    """

    status: SecurityStatus
    context: ContextHandle | None = None
    output: SecBufferDesc = _NO_BUFFERS
    context_attr: AscRet | IscRet = _NO_FLAGS
    expiry: datetime | None = None
    error: AuthsrvError | None = field(default=None, repr=False)


UNFINISHED = CallResult(_S.SEC_E_UNFINISHED_CONTEXT_DELETED)
"""The result of an operation that was cancelled."""


def failed(error: AuthsrvError, output: SecBufferDesc = _NO_BUFFERS) -> CallResult:
    """Make the result of an operation that failed.

    Its status is a failure even where a provider refused with a code of success.
    """
    status = error.status if error.status.is_failure else _S.SEC_E_INTERNAL_ERROR
    return CallResult(status, output=output, error=error)


class Operation(ABC, Generic[_T]):
    """What is queued on a call: it begins at once, and ends when it is told an answer.

    It is used on the event loop alone.

    Attributes:
        result: How it ended, or None while it has not.
    """

    __slots__ = ("_tell", "_waiters", "result")

    # Set by `start`: before that there is nothing to ask, and `super().__init__()` costs time.
    result: CallResult | None
    _tell: Callable[[CallResult], None] | None
    _waiters: list[asyncio.Future[None]]

    @abstractmethod
    def begin(self) -> None:
        """Ask for the answer. Whatever is raised ends the operation."""

    @abstractmethod
    def conclude(self, answer: _T, /) -> CallResult:
        """Make the result of what `begin` has asked for. Whatever is raised ends the operation."""

    @abstractmethod
    def abandon(self) -> None:
        """Release all that it holds: it was cancelled, or has failed."""

    def done(self) -> bool:
        """Tell whether it has ended, and wants no answer any more."""
        return self.result is not None

    def set_result(self, answer: _T, /) -> None:
        """End it with the answer that `begin` has asked for."""
        try:
            result = self.conclude(answer)
        except Exception as error:
            self.set_exception(error)
        except BaseException:
            self.cancel()
            raise
        else:
            self._end(result)

    def set_exception(self, error: BaseException, /) -> None:
        """End it with an error; one that is not an AuthsrvError is taken as a fault."""
        self.abandon()
        if not isinstance(error, AuthsrvError):
            error = fault_of(error, "the operation")
        self._end(failed(error))

    def cancel(self) -> None:
        """End it with UNFINISHED, if it has not ended."""
        if self.result is None:
            self.abandon()
            self._end(UNFINISHED)

    def start(self, tell: Callable[[CallResult], None]) -> None:
        """Begin it.

        Args:
            tell: Is called with the result, before those who wait; perhaps before this returns.
        """
        self.result, self._tell, self._waiters = None, tell, []
        try:
            self.begin()
        except Exception as error:
            self.set_exception(error)
        except BaseException:
            self.cancel()
            raise

    def wait(self) -> asyncio.Future[None]:
        """Make a future that is done at the end."""
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        return waiter

    def detach(self, waiter: asyncio.Future[None]) -> bool:
        """Forget a waiter, made by `wait`, that was cancelled. The first of them cancels this, too.

        Returns:
            True if no waiter is left.
        """
        was_first = waiter is self._waiters[0]
        self._waiters.remove(waiter)
        if was_first:
            # The loop may be closed, and its tasks destroyed: then nobody is left to be told.
            with contextlib.suppress(RuntimeError):
                self.cancel()
        return not self._waiters

    def end_with_loop(self) -> None:
        """End it as its loop ends, unless a task waits for it: the end of that task ends it."""
        if all(waiter.done() for waiter in self._waiters):
            self.cancel()

    def rollback(self) -> CallResult | None:
        """Undo what it did: it ended in the turn of the loop in which its waiter was cancelled.

        Returns:
            The result that it has now, or None if there is nothing to undo.
        """
        return None

    def _end(self, result: CallResult) -> None:
        self.result = result
        tell, self._tell = self._tell, None
        if tell is not None:
            tell(result)
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)
