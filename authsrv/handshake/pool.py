"""Where blocking calls run: a few threads beside the event loop, fed in batches.

The problem. One Kerberos accept takes some 60 to 100 microseconds. `asyncio.to_thread` adds as much
again: for every call a wake-up of a thread and one of the loop, and, dearer than both, two threads
that take the interpreter lock from each other at every step. On the other side, a provider that
hangs for a minute must not stop those that do not.

The way. Calls that are made in one turn of the loop are handed over together, at the end of that
turn, and wake one thread. It works them off, one after the other, while the loop sleeps, and hands
the answers back together too: when nothing waits any more, or after four milliseconds. So loop
and thread take turns rather than compete, and each finds its code and data still in the cache:
measured, this costs no more than calling the provider on the loop itself.

Deadlines are kept in one table with one timer, armed for the earliest of them: a timer for each
call would cost more than handing it over.

Another thread is woken only where the ones awake make no progress: a timer on the loop looks every
few milliseconds while calls wait, and doubles the threads when nothing was finished since its last
look. So quick providers share one warm thread, and slow ones spread out to `max_workers`. When
`max_queued` calls wait, the next is refused at once.

A coroutine awaits `run`. Whoever has none hands in a handler (`submit`), and hears of the end of
the loop from the pool, as no task of its own is cancelled then.

A call whose caller has gone (deadline, cancellation) is dropped if it has not begun. If it has,
nobody can stop it: its thread stays occupied until it returns, and what it leaves behind is the
business of whoever handed it in.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable
from typing import Any, TypeVar

from authsrv.core.limits import DEFAULT_LIMITS, Limits
from authsrv.core.settings import as_instance
from authsrv.errors import OverloadedError, StateError
from authsrv.handshake.calls import BlockingCall, CompletionHandler, PendingCalls

__all__ = ["WorkerPool"]

_T = TypeVar("_T")

# How often the loop looks whether waiting calls make progress. It bounds what a quick call waits
# behind a slow one, and it is far above what a quick call takes.
_CHECK_EVERY_S = 0.005

# How long a thread gathers answers before it hands them back: some forty Kerberos handshakes, and
# far below what a person or a deadline notices.
_GATHER_S = 0.004


class WorkerPool:
    """Runs blocking calls on a few threads, in batches, with a limit and a deadline.

    A pool belongs to the event loop on which it is first used. Its threads are daemons: a call that
    never returns does not keep the process alive.

    Args:
        limits: max_workers, max_queued and step_seconds are read.
        name: The beginning of the threads' names.

    Raises:
        ConfigError: The limits are of a wrong type.
    """

    def __init__(self, limits: Limits = DEFAULT_LIMITS, *, name: str = "authsrv") -> None:
        self._limits = as_instance(Limits, limits, "limits")
        self._name = name
        self._loop: asyncio.AbstractEventLoop | None = None
        self._guard = threading.Lock()
        self._submitted: list[BlockingCall[Any]] = []
        self._queue: deque[BlockingCall[Any]] = deque()
        self._done: deque[BlockingCall[Any]] = deque()
        self._parked: list[threading.Lock] = []
        self._threads = 0
        self._finished = 0
        self._finished_at_check = 0
        self._checking = False
        self._handing_over = False
        self._closed = False
        self._pending = PendingCalls()
        self._loop_end: AsyncGenerator[None, None] | None = None

    def __repr__(self) -> str:
        state = "closed" if self._closed else f"{self.occupied} of {self._threads} threads occupied"
        return f"<WorkerPool {state}, {self.waiting} calls wait>"

    @property
    def occupied(self) -> int:
        """How many threads are at work or about to be."""
        return self._threads - len(self._parked)

    @property
    def waiting(self) -> int:
        """How many calls wait for a thread."""
        return len(self._submitted) + len(self._queue)

    async def run(self, function: Callable[[], _T], *, seconds: float | None = None) -> _T:
        """Run a blocking call beside the loop and wait for its answer.

        Args:
            function: The call; it takes no argument. It may go on after this coroutine has ended.
            seconds: Its deadline, or None for the limits' step_seconds.

        Raises:
            OverloadedError: max_queued calls wait already; the call is not begun.
            DeadlineError: The call did not return in time; it may still be running.
            StateError: The pool is closed, or belongs to another event loop.
            BaseException: Whatever the call raises.
        """
        return await self.start(function, seconds=seconds)

    def start(
        self, function: Callable[[], _T], *, seconds: float | None = None
    ) -> asyncio.Future[_T]:
        """Begin a blocking call beside the loop; `function` and `seconds` are as of `run`.

        The future that awaits its answer drops the call, when it is cancelled, if it has not begun.

        Raises:
            OverloadedError: As of `run`.
            StateError: As of `run`.
        """
        loop = self._own_loop()
        future: asyncio.Future[_T] = loop.create_future()
        self._take(function, future, loop, seconds)
        return future

    def submit(
        self,
        function: Callable[[], _T],
        handler: CompletionHandler[_T],
        *,
        seconds: float | None = None,
    ) -> None:
        """Begin a blocking call beside the loop whose answer is told to a handler.

        Args:
            function: As of `run`.
            handler: Who is given the answer or the error. Once it is done, the call is dropped if
                it has not begun.
            seconds: As of `run`.

        Raises:
            OverloadedError: As of `run`; the handler is told nothing.
            StateError: As of `run`.
        """
        self._take(function, handler, self._own_loop(), seconds)

    def _take(
        self,
        function: Callable[[], _T],
        handler: CompletionHandler[_T],
        loop: asyncio.AbstractEventLoop,
        seconds: float | None,
    ) -> None:
        if len(self._submitted) + len(self._queue) >= self._limits.max_queued:
            raise OverloadedError(f"{self.waiting} calls wait for a thread")
        call = BlockingCall(function, handler)
        self._submit(call, loop)
        self._pending.add(call, self._limits.step_seconds if seconds is None else seconds)

    def spawn(self, function: Callable[[], object]) -> None:
        """Run a call that nobody waits for, such as deleting a context; it is never refused.

        It may be called on any thread, and while no loop runs. What the call raises is dropped. It
        runs here and now where the loop is closed, so that there is none to block, or where no
        thread can be had at all.
        """
        call = BlockingCall(function, None)
        if self._loop is not None and self._loop.is_closed():
            call.perform()
        elif self._closed or self._loop is None or _running_loop() is not self._loop:
            self._hand_over_now(call)
        else:
            self._submit(call, self._loop)

    def close(self) -> None:
        """Let the threads end when the waiting calls are done; nothing is accepted any more."""
        with self._guard:
            self._closed = True
            parked, self._parked = self._parked, []
        for wakeup in parked:
            wakeup.release()
        if self._loop is not None and self._loop.is_closed():
            self._pending.forget()
        self._leave_loop()

    def _own_loop(self) -> asyncio.AbstractEventLoop:
        loop = asyncio.get_running_loop()
        if self._closed:
            raise StateError("the worker pool is closed")
        if self._loop is None:
            self._loop = loop
            self._follow()
        if self._loop is not loop:
            raise StateError("the worker pool belongs to another event loop")
        return loop

    def _follow(self) -> None:
        """Learn of the end of the loop: it closes the asynchronous generators begun on it.

        A task would learn of it, too. But one would be needed for each call that nobody awaits.
        """
        self._loop_end = self._await_loop_end()
        with contextlib.suppress(StopIteration):
            self._loop_end.__anext__().send(None)

    def _leave_loop(self) -> None:
        """Close that generator when nothing can come any more."""
        if self._loop_end is None or self._pending or not self._closed:
            return
        loop_end, self._loop_end = self._loop_end, None
        with contextlib.suppress(StopIteration):
            loop_end.aclose().send(None)

    async def _await_loop_end(self) -> AsyncGenerator[None, None]:
        try:
            yield
        finally:
            self._loop_end = None
            # Tasks are cancelled by whoever ends the loop; this is for calls that no task awaits.
            self._pending.end_with_loop()

    def _submit(self, call: BlockingCall[Any], loop: asyncio.AbstractEventLoop) -> None:
        if not self._handing_over:
            loop.call_soon(self._hand_over)
            self._handing_over = True
        self._submitted.append(call)

    def _hand_over(self) -> None:
        """Give the threads what was submitted in this turn of the loop."""
        submitted, self._submitted = self._submitted, []
        self._handing_over = False
        with self._guard:
            self._queue.extend(submitted)
            idle = self.occupied == 0
        if idle:
            self._wake_one()
        if not self._checking:
            self._check_later()

    def _hand_over_now(self, call: BlockingCall[Any]) -> None:
        """Give the threads a call without the loop, which may not run, or be closed."""
        with self._guard:
            self._queue.append(call)
        if self._wake_one() or self.occupied:
            return
        # No thread is there, and none to be had.
        with contextlib.suppress(ValueError):
            self._queue.remove(call)
            call.perform()

    def _wake_one(self) -> bool:
        with self._guard:
            if self._parked:
                self._parked.pop().release()
                return True
            if self._threads >= self._limits.max_workers:
                return False
            self._threads += 1
            number = self._threads
        thread = threading.Thread(target=self._work, name=f"{self._name}-{number}", daemon=True)
        try:
            thread.start()
        except RuntimeError:
            # The system has no thread to give just now; the next look asks again.
            with self._guard:
                self._threads -= 1
            return False
        return True

    def _check_later(self) -> None:
        self._checking = True
        self._finished_at_check = self._finished
        asyncio.get_running_loop().call_later(_CHECK_EVERY_S, self._check_progress)

    def _check_progress(self) -> None:
        """Wake more threads where the ones awake got nothing done since the last look."""
        self._checking = False
        # Asked first: a thread that takes the last call has put its answers where they are found.
        waiting = bool(self._queue)
        # A thread that gathers answers may meet a call that hangs; they must not wait for its end.
        self._deliver()
        if not waiting:
            return
        if self._finished == self._finished_at_check:
            for _ in range(max(1, self.occupied)):
                if not self._wake_one():
                    break
        self._check_later()

    def _deliver(self) -> None:
        """Give the answers that are there to those who wait for them."""
        while self._done:
            call = self._done.popleft()
            self._finished += 1
            self._pending.remove(call)
            try:
                call.deliver()
            except BaseException:
                # An interrupt, for one. The others must not wait until somebody else has an answer.
                asyncio.get_running_loop().call_soon(self._deliver)
                raise
        if self._closed:
            self._leave_loop()

    def _work(self) -> None:
        wakeup = threading.Lock()
        wakeup.acquire()
        while self._await_calls(wakeup):
            self._run_calls()
            self._hand_back()

    def _await_calls(self, wakeup: threading.Lock) -> bool:
        """Sleep until calls wait; false where the pool is closed and none does."""
        while True:
            with self._guard:
                if self._queue:
                    return True
                if self._closed:
                    self._threads -= 1
                    return False
                self._parked.append(wakeup)
            wakeup.acquire()

    def _run_calls(self) -> None:
        hand_back_at = time.monotonic() + _GATHER_S
        while time.monotonic() < hand_back_at:
            try:
                call = self._queue.popleft()
            except IndexError:
                return
            if call.is_wanted:
                call.perform()
            self._done.append(call)

    def _hand_back(self) -> None:
        """Wake the loop for the answers that were gathered."""
        try:
            if self._loop is not None:
                self._loop.call_soon_threadsafe(self._deliver)
                return
        except RuntimeError:
            # The loop was closed while the calls ran: nobody waits any more.
            self._pending.forget()
        self._done.clear()


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
