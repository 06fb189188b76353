"""The pool of threads: batches, spreading, limits, deadlines, and what goes wrong."""

from __future__ import annotations

import asyncio
import logging
import threading
import time

import pytest

from authsrv.errors import DeadlineError, OverloadedError, StateError
from authsrv.limits import Limits
from authsrv.workers import WorkerPool


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


async def test_a_closed_pool_refuses_calls_and_spawns_in_place() -> None:
    pool = WorkerPool()
    await pool.run(lambda: None)
    pool.close()
    with pytest.raises(StateError):
        await pool.run(lambda: None)
    here: list[int] = []
    pool.spawn(lambda: here.append(threading.get_ident()))
    assert here == [threading.get_ident()]


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


def test_the_repr_counts_threads_and_calls() -> None:
    pool = WorkerPool()
    assert repr(pool) == "<WorkerPool 0 of 0 threads occupied, 0 calls wait>"
    pool.close()
    assert "closed" in repr(pool)
