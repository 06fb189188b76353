"""The pool of threads: batches, spreading, limits, deadlines, and what goes wrong."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from waiting import until

from authsrv.core.limits import Limits
from authsrv.errors import DeadlineError, OverloadedError, StateError
from authsrv.handshake.pool import WorkerPool


async def test_a_call_runs_on_another_thread_and_its_answer_comes_back() -> None:
    pool = WorkerPool()
    assert await pool.run(threading.get_ident) != threading.get_ident()
    pool.close()


async def test_an_exception_comes_back_as_it_was_raised() -> None:
    pool = WorkerPool()
    error = LookupError("mine")

    def fail() -> None:
        raise error

    with pytest.raises(LookupError) as caught:
        await pool.run(fail)
    assert caught.value is error
    pool.close()


async def test_stop_iteration_comes_back_as_an_error_that_a_future_can_carry() -> None:
    pool = WorkerPool()
    with pytest.raises(RuntimeError, match="StopIteration"):
        await pool.run(lambda: next(iter(())))
    pool.close()


async def test_quick_calls_share_one_thread() -> None:
    pool = WorkerPool(Limits(max_workers=8))
    threads = await asyncio.gather(*(pool.run(threading.get_ident) for _ in range(200)))
    assert len(set(threads)) == 1
    pool.close()


async def test_calls_that_block_spread_over_threads() -> None:
    pool = WorkerPool(Limits(max_workers=8))
    meeting = threading.Barrier(8, timeout=5)
    # Each call waits until all eight run at the same time.
    await asyncio.gather(*(pool.run(meeting.wait) for _ in range(8)))
    assert pool.occupied <= 8
    pool.close()


async def test_a_call_that_hangs_does_not_stop_the_others() -> None:
    pool = WorkerPool(Limits(max_workers=2))
    release = threading.Event()
    stuck = asyncio.ensure_future(pool.run(release.wait))
    await asyncio.sleep(0)
    assert await pool.run(lambda: "done") == "done"
    release.set()
    assert await stuck
    pool.close()


async def test_an_answer_does_not_wait_for_a_later_call_on_its_thread_that_hangs() -> None:
    pool = WorkerPool(Limits(max_workers=1))
    release = threading.Event()
    quick = asyncio.ensure_future(pool.run(lambda: "quick"))
    stuck = asyncio.ensure_future(pool.run(release.wait))
    assert await asyncio.wait_for(quick, 5) == "quick"
    assert not stuck.done()
    release.set()
    assert await stuck
    pool.close()


async def test_a_call_over_its_deadline_is_given_up() -> None:
    pool = WorkerPool()
    release = threading.Event()
    with pytest.raises(DeadlineError, match=r"0\.02 s"):
        await pool.run(release.wait, seconds=0.02)
    release.set()
    pool.close()


async def test_a_call_over_its_deadline_is_forgotten_although_it_hangs_on() -> None:
    pool, gate = WorkerPool(), threading.Event()
    with pytest.raises(DeadlineError):
        await pool.run(gate.wait, seconds=0.01)
    assert len(pool._pending) == 0
    gate.set()
    pool.close()


async def test_an_answer_that_is_there_when_its_deadline_comes_is_taken(
    caplog: pytest.LogCaptureFixture,
) -> None:
    pool = WorkerPool()
    task = asyncio.ensure_future(pool.run(lambda: "done", seconds=0.02))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    # The loop is held up until both the answer and the deadline wait for it.
    time.sleep(0.1)  # noqa: ASYNC251
    assert await task == "done"
    assert [each for each in caplog.records if each.levelno >= logging.ERROR] == []
    pool.close()


async def test_a_call_that_waited_past_its_deadline_is_never_begun() -> None:
    pool = WorkerPool(Limits(max_workers=1))
    release, begun = threading.Event(), threading.Event()
    stuck = asyncio.ensure_future(pool.run(release.wait))
    await asyncio.sleep(0)
    with pytest.raises(DeadlineError):
        await pool.run(begun.set, seconds=0.02)
    release.set()
    await stuck
    await pool.run(lambda: None)
    assert not begun.is_set()
    pool.close()


async def test_more_waiting_calls_than_allowed_are_refused_at_once() -> None:
    pool = WorkerPool(Limits(max_workers=1, max_queued=2))
    release, running = threading.Event(), threading.Event()

    def hang() -> None:
        running.set()
        release.wait()

    stuck = asyncio.ensure_future(pool.run(hang))
    while not running.is_set():
        await asyncio.sleep(0.001)
    waiting = [asyncio.ensure_future(pool.run(lambda: None)) for _ in range(2)]
    await asyncio.sleep(0)
    began = time.monotonic()
    with pytest.raises(OverloadedError):
        await pool.run(lambda: None)
    assert time.monotonic() - began < 1
    release.set()
    await asyncio.gather(stuck, *waiting)
    pool.close()


async def test_a_cancelled_caller_leaves_the_pool_usable() -> None:
    pool = WorkerPool(Limits(max_workers=1))
    release = threading.Event()
    task = asyncio.ensure_future(pool.run(release.wait))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    release.set()
    assert await pool.run(lambda: 1) == 1
    pool.close()


async def test_a_spawned_call_runs_although_the_queue_is_full_and_its_error_is_dropped() -> None:
    pool = WorkerPool(Limits(max_workers=1, max_queued=1))
    release, spawned = threading.Event(), threading.Event()
    stuck = asyncio.ensure_future(pool.run(release.wait))
    await asyncio.sleep(0)
    for _ in range(5):
        pool.spawn(lambda: 1 // 0)
    pool.spawn(spawned.set)
    release.set()
    await stuck
    while not spawned.is_set():
        await asyncio.sleep(0.001)
    pool.close()


async def test_a_closed_pool_refuses_calls_and_spawns_on_a_thread() -> None:
    pool = WorkerPool()
    await pool.run(lambda: None)
    pool.close()
    with pytest.raises(StateError):
        await pool.run(lambda: None)
    where = await _spawned(pool)
    assert where != threading.get_ident()


async def _spawned(pool: WorkerPool) -> int:
    """Which thread a spawned call runs on."""
    threads: list[int] = []
    pool.spawn(lambda: threads.append(threading.get_ident()))
    await until(lambda: bool(threads))
    return threads[0]


async def test_a_pool_that_was_never_used_spawns_on_a_thread() -> None:
    pool = WorkerPool()
    assert await _spawned(pool) != threading.get_ident()
    pool.close()


async def test_what_is_spawned_on_another_thread_runs_on_one_of_the_pool() -> None:
    pool = WorkerPool()
    await pool.run(lambda: None)
    told: list[int] = []
    await asyncio.to_thread(pool.spawn, lambda: told.append(threading.get_ident()))
    await asyncio.sleep(0.05)
    assert len(told) == 1
    assert told[0] != threading.get_ident()
    pool.close()


def test_what_is_spawned_while_the_loop_does_not_run_needs_no_loop() -> None:
    pool, ended = WorkerPool(), threading.Event()
    loop = asyncio.new_event_loop()
    loop.run_until_complete(pool.run(lambda: None))
    pool.spawn(ended.set)
    assert ended.wait(5)
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.close()
    here: list[int] = []
    pool.spawn(lambda: here.append(threading.get_ident()))
    assert here == [threading.get_ident()]
    pool.close()


async def test_a_hand_over_that_fails_once_stops_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    pool, loop = WorkerPool(), asyncio.get_running_loop()
    assert await pool.run(lambda: 1) == 1

    def refuse(*arguments: object, **named: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(loop, "call_soon", refuse)
        with pytest.raises(KeyboardInterrupt):
            pool.submit(lambda: 2, Listener())
    assert await asyncio.wait_for(pool.run(lambda: 3), 5) == 3
    pool.close()


async def test_a_receiver_that_raises_holds_nobody_up() -> None:
    loop, heard = asyncio.get_running_loop(), []
    loop.set_exception_handler(lambda _, found: heard.append(found["exception"]))
    pool, fault = WorkerPool(), ValueError("it must not")

    class Broken(Listener):
        def set_result(self, result: object, /) -> None:
            raise fault

    other = Listener()
    pool.submit(lambda: 1, Broken())
    pool.submit(lambda: 2, other)
    await asyncio.sleep(0.05)
    assert [result for result, _ in other.told] == [2]
    assert heard == [fault]
    pool.close()


def test_who_hears_of_the_end_may_close_the_pool() -> None:
    pool, gate = WorkerPool(), threading.Event()
    heard: list[int] = []

    class Owner(Listener):
        def end_with_loop(self) -> None:
            heard.append(1)
            pool.close()
            self.is_over = True

    loop = asyncio.new_event_loop()
    loop.call_soon(pool.submit, gate.wait, Owner())
    loop.call_later(0.02, loop.stop)
    loop.run_forever()
    loop.close()
    pool.close()
    gate.set()
    assert heard == [1]


async def test_where_no_thread_is_to_be_had_what_is_spawned_runs_in_place(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pool, here = WorkerPool(), list[int]()
    pool.close()
    monkeypatch.setattr(pool, "_wake_one", lambda: False)
    pool.spawn(lambda: here.append(threading.get_ident()))
    assert here == [threading.get_ident()]
    assert pool.waiting == 0


def test_a_closed_loop_ends_who_waits_without_a_task() -> None:
    for closes in ("while it runs", "before it begins"):
        pool, gate, listener = WorkerPool(), threading.Event(), Listener()
        loop = asyncio.new_event_loop()
        loop.call_soon(pool.submit, gate.wait, listener)
        if closes == "while it runs":
            loop.call_later(0.02, loop.stop)
        else:
            loop.call_soon(loop.stop)
        loop.run_forever()
        loop.close()
        gate.set()
        end = time.monotonic() + (5 if closes == "while it runs" else 0)
        while not listener.told and time.monotonic() < end:
            time.sleep(0.001)
        pool.close()
        assert [result for result, _ in listener.told] == ["the end"]


async def test_closing_lets_the_threads_end() -> None:
    pool = WorkerPool(name="ending")
    await pool.run(lambda: None)
    pool.close()
    for _ in range(1000):
        if not any(thread.name.startswith("ending") for thread in threading.enumerate()):
            return
        await asyncio.sleep(0.005)
    pytest.fail("a thread is left")


def test_a_pool_belongs_to_one_loop() -> None:
    pool = WorkerPool()
    asyncio.run(pool.run(lambda: None))
    with pytest.raises(StateError):
        asyncio.run(pool.run(lambda: None))
    pool.close()


def test_a_loop_that_closes_under_a_running_call_does_no_harm() -> None:
    pool = WorkerPool()
    release, ended = threading.Event(), threading.Event()

    def hang() -> None:
        release.wait()

    async def abandon() -> None:
        task = asyncio.ensure_future(pool.run(hang))
        await asyncio.sleep(0.01)
        task.cancel()

    asyncio.run(abandon())
    release.set()
    pool.spawn(ended.set)
    assert ended.wait(5)
    pool.close()


# Receivers that are no futures, and the end of the loop.


class Listener:
    """It notes what it is told, and on which thread; with the first of it, it is done."""

    def __init__(self, at_end: Callable[[], object] = list) -> None:
        self.told: list[tuple[object, int]] = []
        self.at_end = at_end
        self.is_over = False

    def done(self) -> bool:
        return self.is_over

    def set_result(self, result: object, /) -> None:
        self.is_over = True
        self.told.append((result, threading.get_ident()))

    def set_exception(self, exception: BaseException, /) -> None:
        self.set_result(type(exception))

    def end_with_loop(self) -> None:
        self.set_result("the end")
        self.at_end()


async def test_a_receiver_is_told_once_and_on_the_loop() -> None:
    pool, listeners = WorkerPool(), [Listener() for _ in range(3)]

    def fail() -> None:
        raise LookupError

    pool.submit(lambda: 5, listeners[0])
    pool.submit(fail, listeners[1])
    pool.submit(lambda: time.sleep(0.1), listeners[2], seconds=0.05)
    await asyncio.sleep(0.2)
    here = threading.get_ident()
    told = [listener.told for listener in listeners]
    assert told == [[(5, here)], [(LookupError, here)], [(DeadlineError, here)]]
    pool.close()


async def test_a_receiver_that_is_done_is_told_nothing_and_its_call_is_not_begun() -> None:
    pool, listener, begun = WorkerPool(), Listener(), []
    listener.is_over = True
    pool.submit(lambda: begun.append(1), listener)
    await asyncio.sleep(0.02)
    assert (begun, listener.told) == ([], [])
    pool.close()


async def test_a_refused_call_tells_its_receiver_nothing() -> None:
    pool, listener = WorkerPool(), Listener()
    pool.close()
    with pytest.raises(StateError):
        pool.submit(lambda: 5, listener)
    await asyncio.sleep(0.01)
    assert listener.told == []


@pytest.mark.parametrize("closes", ["before", "never"])
def test_who_waits_without_a_task_hears_of_the_end_of_the_loop(closes: str) -> None:
    gate, left = threading.Event(), threading.Event()
    pool = WorkerPool()
    listener = Listener(at_end=lambda: pool.spawn(left.set))

    async def main() -> None:
        pool.submit(gate.wait, listener)
        await asyncio.sleep(0.01)
        if closes == "before":
            pool.close()

    asyncio.run(main())
    assert listener.told == [("the end", threading.get_ident())]
    gate.set()
    assert left.wait(5)
    pool.close()


async def test_a_pool_that_is_closed_and_done_lets_go_of_the_loop() -> None:
    loop: Any = asyncio.get_running_loop()
    before = len(loop._asyncgens)
    pool, listener, gate = WorkerPool(), Listener(), threading.Event()
    pool.submit(gate.wait, listener)
    assert len(loop._asyncgens) == before + 1
    pool.close()
    assert len(loop._asyncgens) == before + 1
    gate.set()
    while not listener.told:
        await asyncio.sleep(0.001)
    assert len(loop._asyncgens) == before
    idle = WorkerPool()
    await idle.run(time.monotonic)
    idle.close()
    assert len(loop._asyncgens) == before


def test_the_repr_counts_threads_and_calls() -> None:
    pool = WorkerPool()
    assert repr(pool) == "<WorkerPool 0 of 0 threads occupied, 0 calls wait>"
    pool.close()
    assert "closed" in repr(pool)
