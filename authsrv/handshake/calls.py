"""A blocking call on its way to a thread and back, and who waits for its answer until when."""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections.abc import Callable, Iterable
from typing import Any, Generic, Protocol, TypeVar, runtime_checkable

from authsrv.errors import DeadlineError

__all__ = ["BlockingCall", "CompletionHandler", "EndsWithLoop", "PendingCalls", "end_with_loop"]

_T = TypeVar("_T")
_Taken = TypeVar("_Taken", contravariant=True)


class CompletionHandler(Protocol[_Taken]):
    """Who is given the answer of a call; an asyncio.Future is one."""

    def done(self) -> bool:
        """Whether nobody wants the answer any more; asked on the loop and on threads."""
        ...

    def set_result(self, result: _Taken, /) -> None:
        """Take the answer, on the loop. It must not raise."""
        ...

    def set_exception(self, exception: BaseException, /) -> None:
        """Take the error, or a DeadlineError, on the loop. It must not raise."""
        ...


@runtime_checkable
class EndsWithLoop(Protocol):
    """A handler that is told of the end of the loop, as no task is there to be cancelled."""

    def end_with_loop(self) -> None:
        """Learn that no answer may come: the loop ends, or is closed.

        This may be called on a thread.
        """
        ...


def end_with_loop(handler: object) -> None:
    """Tell a handler of the end of the loop, if it is one that wants to be told."""
    if isinstance(handler, EndsWithLoop):
        # The loop may be closed: then nobody is left to be told.
        with contextlib.suppress(RuntimeError):
            handler.end_with_loop()


class BlockingCall(Generic[_T]):
    """One call on its way through the pool, and its answer on the way back.

    Args:
        function: The call; it takes no argument.
        handler: Who is given the answer, or None for nobody.
    """

    __slots__ = ("_answer", "_error", "_function", "handler")

    def __init__(self, function: Callable[[], _T], handler: CompletionHandler[_T] | None) -> None:
        self._function = function
        self.handler = handler
        self._answer: _T | None = None
        self._error: BaseException | None = None

    @property
    def is_wanted(self) -> bool:
        """Whether it is to be performed."""
        return self.handler is None or not self.handler.done()

    def perform(self) -> None:
        """Make the call, on a thread."""
        try:
            self._answer = self._function()
        except StopIteration:
            # A future refuses to carry it: it would end whatever generator awaits.
            self._error = RuntimeError("the call raised StopIteration")
        except BaseException as error:  # the waiting task must hear of everything
            self._error = error

    def deliver(self) -> None:
        """Give the answer to the handler, on the loop."""
        handler = self.handler
        if handler is None or handler.done():
            return
        if self._error is not None:
            handler.set_exception(self._error)
        else:
            handler.set_result(self._answer)  # type: ignore[arg-type]  # set where no error is


class PendingCalls:
    """The calls whose answers are waited for, each with a deadline, and one timer for all."""

    __slots__ = ("_calls", "_earliest", "_timer")

    def __init__(self) -> None:
        self._calls: dict[BlockingCall[Any], tuple[float, float]] = {}
        self._earliest = math.inf
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        """Count the calls."""
        return len(self._calls)

    def add(self, call: BlockingCall[Any], seconds: float) -> None:
        """Note a call, whose handler is given a DeadlineError after so many seconds."""
        deadline = time.monotonic() + seconds
        self._calls[call] = deadline, seconds
        if deadline < self._earliest:
            self._arm(deadline, seconds)

    def remove(self, call: BlockingCall[Any]) -> None:
        """Let go of a call whose answer is there; one that was never noted is fine."""
        self._calls.pop(call, None)

    def end_with_loop(self) -> None:
        """Tell the handlers that no task waits for of the end of the loop."""
        _end_with_loop(tuple(self._calls))

    def forget(self) -> None:
        """Let go of the calls of a loop that is closed, and with them of their tasks."""
        calls = tuple(self._calls)
        # First: who hears of the end may close the pool, and that comes here again.
        self._calls.clear()
        _end_with_loop(calls)

    def _arm(self, deadline: float, seconds: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._earliest = deadline
        self._timer = asyncio.get_running_loop().call_later(seconds, self._sweep)

    def _sweep(self) -> None:
        now = time.monotonic()
        self._timer, self._earliest = None, math.inf
        for call, (deadline, seconds) in tuple(self._calls.items()):
            if deadline <= now:
                self.remove(call)
                _expire(call, seconds)
        left = [deadline for deadline, _ in self._calls.values()]
        if left:
            self._arm(min(left), min(left) - now)


def _end_with_loop(calls: Iterable[BlockingCall[Any]]) -> None:
    for call in calls:
        if call.is_wanted:
            end_with_loop(call.handler)


def _expire(call: BlockingCall[Any], seconds: float) -> None:
    if call.handler is not None and not call.handler.done():
        call.handler.set_exception(
            DeadlineError(f"the provider did not answer within {seconds:g} s")
        )
