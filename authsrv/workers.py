"""Where blocking calls run: a few threads beside the event loop, fed in batches.

The problem. One Kerberos accept takes some 60 to 100 microseconds. `asyncio.to_thread` adds as much
again: a new context copy, a lock and a wake-up of a thread for every call, and a wake-up of the
loop for every answer. On the other side, a package that hangs for a minute must not stop those
that do not.

The way. Calls go into one queue. A thread that is awake takes call after call from it, so that a
burst costs one wake-up; answers are collected and the loop is woken once for all that are there.
Another thread is woken only where the ones awake make no progress: a timer on the loop looks every
few milliseconds while calls wait, and doubles the threads when nothing was finished since its last
look. So quick packages share one warm thread, and slow ones spread out to `max_workers`. When
`max_queued` calls wait, the next is refused at once.

A call whose caller has gone (deadline, cancellation) is dropped if it has not begun. If it has,
nobody can stop it: its thread stays occupied until it returns, and what it leaves behind is the
business of whoever handed it in.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from authsrv.errors import DeadlineError, OverloadedError, StateError
from authsrv.limits import DEFAULT_LIMITS, Limits

__all__ = ["WorkerPool"]

_T = TypeVar("_T")

# How often the loop looks whether waiting calls make progress. It bounds what a quick call waits
# behind a slow one, and it is far above what a quick call takes.
_LOOK_EVERY_S = 0.005


class _Call(Generic[_T]):
    """One call on its way through the pool, and its answer on the way back."""

    __slots__ = ("answer", "error", "function", "future")

    def __init__(self, function: Callable[[], _T], future: asyncio.Future[_T] | None) -> None:
        self.function = function
        self.future = future
        self.answer: _T | None = None
        self.error: BaseException | None = None

    def perform(self) -> None:
        try:
            self.answer = self.function()
        except StopIteration:
            # A future refuses to carry it: it would end whatever generator awaits.
            self.error = RuntimeError("the call raised StopIteration")
        except BaseException as error:  # the waiting task must hear of everything
            self.error = error

    def deliver(self) -> None:
        future = self.future
        if future is None or future.done():
            return
        if self.error is not None:
            future.set_exception(self.error)
        else:
            future.set_result(self.answer)  # type: ignore[arg-type]  # set where no error is

    def expire(self, seconds: float) -> None:
        if self.future is not None and not self.future.done():
            self.future.set_exception(
                DeadlineError(f"the security package did not answer within {seconds:g} s")
            )


class WorkerPool:
    """Runs blocking calls on a few threads, in batches, with a limit and a deadline.

    A pool belongs to the event loop on which it is first used. Its threads are daemons: a call that
    never returns does not keep the process alive.

    Args:
        limits: max_workers, max_queued and step_seconds are read.
        name: The beginning of the threads' names.

    Source: authsrv design decision 4.
    """

    def __init__(self, limits: Limits = DEFAULT_LIMITS, *, name: str = "authsrv") -> None:
        self._limits = limits
        self._name = name
        self._loop: asyncio.AbstractEventLoop | None = None
        self._guard = threading.Lock()
        self._queue: deque[_Call[Any]] = deque()
        self._done: deque[_Call[Any]] = deque()
        self._parked: list[threading.Lock] = []
        self._threads = 0
        self._finished = 0
        self._finished_at_look = 0
        self._looking = False
        self._waking_loop = False
        self._closed = False

    def __repr__(self) -> str:
        state = "closed" if self._closed else f"{self.occupied} of {self._threads} threads occupied"
        return f"<WorkerPool {state}, {len(self._queue)} calls wait>"

    @property
    def occupied(self) -> int:
        """How many threads are at work or about to be.

        Source: authsrv design decision 4.
        """
        return self._threads - len(self._parked)

    async def run(self, function: Callable[[], _T], *, seconds: float | None = None) -> _T:
        """Run a blocking call beside the loop and wait for its answer.

        Args:
            function: The call; it takes no argument. It may go on after this coroutine has ended.
            seconds: Its deadline, or None for the limits' step_seconds.

        Returns:
            What the call returns.

        Raises:
            OverloadedError: max_queued calls wait already; the call is not begun.
            DeadlineError: The call did not return in time; it may still be running.
            StateError: The pool is closed, or belongs to another event loop.
            BaseException: Whatever the call raises.

        Source: authsrv design decision 4.
        """
        loop = self._own_loop()
        if len(self._queue) >= self._limits.max_queued:
            raise OverloadedError(f"{len(self._queue)} calls wait for a thread")
        seconds = self._limits.step_seconds if seconds is None else seconds
        call: _Call[_T] = _Call(function, loop.create_future())
        self._submit(call)
        timer = loop.call_later(seconds, call.expire, seconds)
        try:
            return await call.future  # type: ignore[misc]  # set two lines above
        finally:
            timer.cancel()

    def spawn(self, function: Callable[[], object]) -> None:
        """Run a call that nobody waits for, such as deleting a context; it is never refused.

        Args:
            function: The call; what it raises is dropped. On a closed pool it runs here and now.

        Source: authsrv design decision 4.
        """
        if self._closed or self._loop is None or self._loop.is_closed():
            _Call(function, None).perform()
            return
        self._submit(_Call(function, None))

    def close(self) -> None:
        """Let the threads end when the waiting calls are done; nothing is accepted any more.

        Source: authsrv design decision 4.
        """
        with self._guard:
            self._closed = True
            parked, self._parked = self._parked, []
        for bell in parked:
            bell.release()

    def _own_loop(self) -> asyncio.AbstractEventLoop:
        loop = asyncio.get_running_loop()
        if self._closed:
            raise StateError("the worker pool is closed")
        if self._loop is None:
            self._loop = loop
        if self._loop is not loop:
            raise StateError("the worker pool belongs to another event loop")
        return loop

    def _submit(self, call: _Call[Any]) -> None:
        with self._guard:
            self._queue.append(call)
            idle = self.occupied == 0
        if idle:
            self._wake_one()
        elif not self._looking:
            self._look_later()

    def _wake_one(self) -> bool:
        with self._guard:
            if self._parked:
                self._parked.pop().release()
                return True
            if self._threads >= self._limits.max_workers:
                return False
            self._threads += 1
            number = self._threads
        threading.Thread(target=self._work, name=f"{self._name}-{number}", daemon=True).start()
        return True

    def _look_later(self) -> None:
        if self._loop is not None:
            self._looking = True
            self._finished_at_look = self._finished
            self._loop.call_later(_LOOK_EVERY_S, self._look)

    def _look(self) -> None:
        """Wake more threads where the ones awake got nothing done since the last look."""
        self._looking = False
        if not self._queue:
            return
        if self._finished == self._finished_at_look:
            for _ in range(max(1, self.occupied)):
                if not self._wake_one():
                    break
        self._look_later()

    def _work(self) -> None:
        bell = threading.Lock()
        bell.acquire()
        while (call := self._next(bell)) is not None:
            if call.future is None or not call.future.done():
                call.perform()
            self._finish(call)
            del call

    def _next(self, bell: threading.Lock) -> _Call[Any] | None:
        while True:
            with self._guard:
                if self._queue:
                    return self._queue.popleft()
                if self._closed:
                    self._threads -= 1
                    return None
                self._parked.append(bell)
            bell.acquire()

    def _finish(self, call: _Call[Any]) -> None:
        with self._guard:
            self._finished += 1
            if call.future is None:
                return
            self._done.append(call)
            if self._waking_loop:
                return
            self._waking_loop = True
        try:
            self._loop.call_soon_threadsafe(self._deliver)  # type: ignore[union-attr]
        except RuntimeError:
            # The loop was closed while the call ran; nobody waits any more.
            self._done.clear()

    def _deliver(self) -> None:
        self._waking_loop = False
        done = self._done
        while done:
            done.popleft().deliver()
