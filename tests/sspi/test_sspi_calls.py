"""AsyncContext: every function in every phase, callbacks, and all the ways to await."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import sys
import threading
import weakref
from collections.abc import Callable
from typing import Any

import pytest
from backends import tokens
from calling import (
    QUEUEING,
    World,
    a_world,
    begun,
    delete,
    nothing_is_left,
    person,
    turns,
)

from authsrv.core.results import Refused
from authsrv.errors import LogonDeniedError, StateError
from authsrv.providers.scripted import ScriptedProvider
from authsrv.sspi import (
    AsyncContext,
    CallResult,
    SecurityStatus,
    accept_security_context_async,
    acquire_credentials,
    async_context_requires_notify,
    create_async_context,
    delete_security_context_async,
    free_async_context,
    get_async_call_status,
    reinit_async_context,
    set_async_notify_callback,
)
from authsrv.sspi.operations import Operation

S = SecurityStatus
Ask = Callable[[AsyncContext], object]
HEARD = (
    "by nobody",
    "by a callback",
    "by asking",
    "by another task",
    "by another task, cancelled too",
)
REQUEST = contextvars.ContextVar("REQUEST", default="nobody's")


def accept(call: AsyncContext, world: World, token: bytes) -> SecurityStatus:
    return accept_security_context_async(
        call, world.credential, None, tokens(token), new_context=world.fresh
    )


def accept_another(call: AsyncContext, world: World, token: bytes) -> SecurityStatus:
    return accept_security_context_async(
        call, world.credential, None, tokens(token), new_context=world.another
    )


def ignore(call: AsyncContext, data: object) -> None:
    """A callback that does nothing."""


# Every function in every phase.


async def idle(world: World, ask: Ask) -> object:
    return ask(create_async_context())


async def pending(world: World, ask: Ask) -> object:
    call = create_async_context()
    assert accept_another(call, world, b"bob:slow") is S.SEC_E_OK
    answer = ask(call)
    world.provider.release()
    await call
    return answer


async def untold(world: World, ask: Ask) -> object:
    """Complete, and its callback is about to be called: seen from the callback of another call."""
    call, other = create_async_context(), create_async_context()
    answers: list[object] = []
    set_async_notify_callback(other, lambda *_: answers.append(ask(call)))
    set_async_notify_callback(call, ignore)
    await begun(world, b"bob:", world.another)
    await delete(world.another)
    # What was deleted before takes no time.
    assert delete_security_context_async(other, world.another) is S.SEC_E_OK
    assert delete_security_context_async(call, world.another) is S.SEC_E_OK
    await turns(5)
    return answers.pop()


async def complete(world: World, ask: Ask) -> object:
    call = create_async_context()
    assert accept_another(call, world, b"bob:") is S.SEC_E_OK
    await call
    return ask(call)


async def used_again(world: World, ask: Ask) -> object:
    call = create_async_context()
    assert accept_another(call, world, b"bob:") is S.SEC_E_OK
    await call
    assert reinit_async_context(call) is S.SEC_E_OK
    return ask(call)


async def freed(world: World, ask: Ask) -> object:
    call = create_async_context()
    assert free_async_context(call) is S.SEC_E_OK
    return ask(call)


async def nothing(world: World, ask: Ask) -> object:
    return ask(None)  # type: ignore[arg-type]


async def something_else(world: World, ask: Ask) -> object:
    return ask(world.established)  # type: ignore[arg-type]


PHASES = (idle, pending, untold, complete, used_again, freed, nothing, something_else)
BUSY = dict.fromkeys((pending, untold, complete), S.SEC_E_OUT_OF_SEQUENCE)
FREE = dict.fromkeys((idle, used_again), S.SEC_E_OK)
NONE = dict.fromkeys((freed, nothing, something_else), S.SEC_E_INVALID_HANDLE)
FUNCTIONS: dict[str, tuple[Any, dict[Any, Any]]] = {
    "set_callback": (lambda call: set_async_notify_callback(call, ignore), FREE | BUSY | NONE),
    "requires_notify": (
        async_context_requires_notify,
        dict.fromkeys(PHASES, False) | {untold: True},
    ),
    "status": (
        get_async_call_status,
        dict.fromkeys((idle, used_again), S.SEC_E_OUT_OF_SEQUENCE)
        | {pending: S.SEC_I_ASYNC_CALL_PENDING}
        | dict.fromkeys((untold, complete), S.SEC_E_OK)
        | NONE,
    ),
    "reinit": (reinit_async_context, FREE | BUSY | NONE | {complete: S.SEC_E_OK}),
    "free": (free_async_context, FREE | BUSY | NONE | {complete: S.SEC_E_OK}),
}


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("function", FUNCTIONS)
async def test_each_function_answers_in_each_phase(phase: Any, function: str) -> None:
    ask, expected = FUNCTIONS[function]
    async with a_world() as world:
        assert await phase(world, ask) == expected[phase]


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("function", QUEUEING)
async def test_each_operation_is_queued_on_an_idle_call_alone(phase: Any, function: str) -> None:
    async with a_world() as world:
        calls: list[AsyncContext] = []

        def ask(call: AsyncContext) -> SecurityStatus:
            calls.append(call)
            before = world.established.is_valid, world.partial.is_busy, world.empty.is_valid
            queued = QUEUEING[function](call, world)
            if queued is not S.SEC_E_OK:
                after = world.established.is_valid, world.partial.is_busy, world.empty.is_valid
                assert before == after, "a call that was refused has changed something"
            return queued

        assert await phase(world, ask) == (FREE | BUSY | NONE)[phase]
        if phase in FREE:
            assert (await calls[0]).status is S.SEC_E_OK


async def test_a_freed_call_answers_the_same_ever_after() -> None:
    async with a_world() as world:
        call = create_async_context()
        assert accept(call, world, b"bob:") is S.SEC_E_OK
        await call
        assert free_async_context(call) is S.SEC_E_OK
        assert free_async_context(call) is S.SEC_E_INVALID_HANDLE
        assert get_async_call_status(call) is S.SEC_E_INVALID_HANDLE
        with pytest.raises(StateError):
            await call


async def test_a_freed_call_keeps_nothing_alive() -> None:
    class Data:
        """Something to refer to."""

    async with a_world() as world:
        call, data = create_async_context(), Data()
        result = weakref.ref(data)
        set_async_notify_callback(call, ignore, data)
        accept(call, world, b"bob:")
        await call
        free_async_context(call)
        del data
        assert result() is None


@pytest.mark.parametrize("function", QUEUEING)
def test_where_no_loop_runs_nothing_is_queued_and_nothing_changed(function: str) -> None:
    with asyncio.Runner() as runner:
        context = a_world()
        world = runner.run(_enter(context))
        call = create_async_context()
        before = repr(vars_of(world))
        with pytest.raises(RuntimeError):
            QUEUEING[function](call, world)
        assert repr(vars_of(world)) == before
        assert get_async_call_status(call) is S.SEC_E_OUT_OF_SEQUENCE

        async def again() -> None:
            assert QUEUEING[function](call, world) is S.SEC_E_OK
            assert (await call).status is S.SEC_E_OK

        runner.run(again())
        runner.run(_leave(context))


async def _enter(context: Any) -> World:
    world: World = await context.__aenter__()
    return world


async def _leave(context: Any) -> None:
    await context.__aexit__(None, None, None)


def vars_of(world: World) -> list[object]:
    handles = world.established, world.partial, world.fresh
    flags = [(handle.is_valid, handle.is_busy) for handle in handles]
    return [*flags, world.spare.is_valid, world.empty.is_valid]


async def test_the_status_is_pending_until_it_is_that_of_the_operation() -> None:
    async with a_world() as world:
        call = create_async_context()
        accept(call, world, b"bob:slow-continue")
        for _ in range(20):
            assert get_async_call_status(call) is S.SEC_I_ASYNC_CALL_PENDING
            await asyncio.sleep(0)
        world.provider.release()
        while get_async_call_status(call) is S.SEC_I_ASYNC_CALL_PENDING:
            await asyncio.sleep(0)
        assert get_async_call_status(call) is S.SEC_I_CONTINUE_NEEDED
        assert world.fresh.is_valid


# Callbacks.


async def test_a_callback_is_called_once_on_the_loop_with_the_call_and_the_data() -> None:
    told: list[tuple[object, ...]] = []

    def tell(call: AsyncContext, data: object) -> None:
        loop = asyncio.get_running_loop()
        told.append((call, data, get_async_call_status(call), loop, threading.get_ident()))

    async with a_world() as world:
        call, data = create_async_context(), object()
        assert set_async_notify_callback(call, tell, data) is S.SEC_E_OK
        assert async_context_requires_notify(call)
        accept(call, world, b"bob:")
        assert told == []
        await call
        await turns(10)
    here = asyncio.get_running_loop(), threading.get_ident()
    assert told == [(call, data, S.SEC_E_OK, *here)]


@pytest.mark.parametrize("function", QUEUEING)
async def test_every_operation_tells_the_callback_once(function: str) -> None:
    told: list[object] = []
    async with a_world() as world:
        call = create_async_context()
        set_async_notify_callback(call, lambda _, data: told.append(data), function)
        assert QUEUEING[function](call, world) is S.SEC_E_OK
        await call
        await turns(10)
    assert told == [function]


async def test_a_callback_stays_when_the_call_is_used_again() -> None:
    told: list[str] = []
    async with a_world() as world:
        call = create_async_context()
        set_async_notify_callback(
            call, lambda call, data: told.append(f"{data} {get_async_call_status(call).name}"), "it"
        )
        for _ in range(3):
            accept(call, world, b"bob:continue")
            await call
            await turns(5)
            await delete(world.fresh)
            assert reinit_async_context(call) is S.SEC_E_OK
            assert async_context_requires_notify(call)
    assert told == ["it SEC_I_CONTINUE_NEEDED"] * 3


async def test_a_callback_can_be_taken_back() -> None:
    told: list[object] = []
    async with a_world() as world:
        call = create_async_context()
        set_async_notify_callback(call, lambda *arguments: told.append(arguments))
        assert set_async_notify_callback(call, None) is S.SEC_E_OK
        assert not async_context_requires_notify(call)
        accept(call, world, b"bob:")
        await call
        await turns(10)
    assert told == []


async def test_a_callback_that_raises_changes_nothing_and_the_loop_hears_of_it() -> None:
    heard: list[object] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: heard.append(context.get("exception")))
    fault = ValueError("a callback that is broken")

    def tell(call: AsyncContext, data: object) -> None:
        raise fault

    async with a_world() as world:
        call = create_async_context()
        set_async_notify_callback(call, tell)
        accept(call, world, b"bob:")
        result = await call
        await turns(10)
        assert get_async_call_status(call) is result.status is S.SEC_E_OK
        assert await person(world.fresh) == "bob"
        assert reinit_async_context(call) is S.SEC_E_OK
    assert heard == [fault]


async def test_a_callback_may_queue_the_next_step_on_the_same_call() -> None:
    """The way of a server in C: nobody awaits anything."""
    ended = asyncio.get_running_loop().create_future()
    seen: list[SecurityStatus] = []

    async with a_world() as world:

        def tell(call: AsyncContext, data: object) -> None:
            seen.append(get_async_call_status(call))
            if seen[-1] is not S.SEC_I_CONTINUE_NEEDED:
                ended.set_result(None)
                return
            token = tokens(b"bob:continue" if len(seen) < 4 else b"bob:")
            assert reinit_async_context(call) is S.SEC_E_OK
            assert accept_security_context_async(call, None, world.fresh, token) is S.SEC_E_OK

        call = create_async_context()
        set_async_notify_callback(call, tell)
        accept(call, world, b"bob:continue")
        await asyncio.wait_for(ended, 10)
        assert seen == [S.SEC_I_CONTINUE_NEEDED] * 4 + [S.SEC_E_OK]
        assert await person(world.fresh) == "bob"


async def test_a_callback_may_free_its_call() -> None:
    freed: list[SecurityStatus] = []
    async with a_world() as world:
        call = create_async_context()
        set_async_notify_callback(call, lambda call, _: freed.append(free_async_context(call)))
        accept(call, world, b"bob:")
        assert (await call).status is S.SEC_E_OK
        await turns(5)
    assert freed == [S.SEC_E_OK]
    assert get_async_call_status(call) is S.SEC_E_INVALID_HANDLE


# Freeing.

LASTING = sorted(QUEUEING.keys() - {"delete", "free"})
"""What may take its time and leaves something behind. A credential is freed at once."""


async def test_a_pending_deletion_without_a_callback_may_be_freed_and_deletes_all_the_same() -> (
    None
):
    async with a_world() as world:
        call = create_async_context()
        opened = world.provider.open_contexts
        assert delete_security_context_async(call, world.established) is S.SEC_E_OK
        assert free_async_context(call) is S.SEC_E_OK
        assert get_async_call_status(call) is S.SEC_E_INVALID_HANDLE
        while world.provider.open_contexts == opened:
            await asyncio.sleep(0.001)
        await turns(5)
        assert get_async_call_status(call) is S.SEC_E_INVALID_HANDLE


async def test_a_pending_deletion_with_a_callback_cannot_be_freed() -> None:
    async with a_world() as world:
        call = create_async_context()
        set_async_notify_callback(call, ignore)
        delete_security_context_async(call, world.established)
        assert free_async_context(call) is S.SEC_E_OUT_OF_SEQUENCE
        await call
        await turns(5)
        assert free_async_context(call) is S.SEC_E_OK


@pytest.mark.parametrize("function", LASTING)
async def test_no_other_pending_operation_may_be_freed(function: str) -> None:
    async with a_world() as world:
        call = create_async_context()
        QUEUEING[function](call, world)
        assert free_async_context(call) is S.SEC_E_OUT_OF_SEQUENCE
        assert (await call).status is S.SEC_E_OK


# Awaiting.


async def test_a_call_with_nothing_queued_cannot_be_awaited() -> None:
    with pytest.raises(StateError):
        await create_async_context()


async def test_a_call_can_be_awaited_again_and_by_several_tasks() -> None:
    async def wait(call: AsyncContext) -> CallResult:
        return await call

    async with a_world() as world:
        call = create_async_context()
        accept(call, world, b"bob:")
        results = await asyncio.gather(*(wait(call) for _ in range(5)))
        results.append(await call)
        results.append(await asyncio.wait_for(call, 1))
        assert all(result is results[0] for result in results)


async def wait(call: AsyncContext) -> CallResult:
    return await call


@pytest.mark.parametrize("told", [False, True], ids=["no callback", "callback"])
@pytest.mark.parametrize("later", [1, 2, 5])
async def test_the_first_of_several_waiting_tasks_is_cancelled_and_the_others_hear_of_it(
    later: int, told: bool
) -> None:
    async with a_world() as world:
        call = create_async_context()
        if told:
            set_async_notify_callback(call, ignore)
        waiting = [asyncio.create_task(wait(call)) for _ in range(3)]
        accept(call, world, b"bob:slow")
        await turns(later)
        waiting[0].cancel()
        first, second, third = await asyncio.gather(*waiting, return_exceptions=True)
        assert isinstance(first, asyncio.CancelledError)
        assert isinstance(second, CallResult)
        assert second is third
        assert second.status is S.SEC_E_UNFINISHED_CONTEXT_DELETED
        assert get_async_call_status(call) is S.SEC_E_UNFINISHED_CONTEXT_DELETED
        assert not world.fresh.is_valid


@pytest.mark.parametrize("told", [False, True], ids=["no callback", "callback"])
@pytest.mark.parametrize("later", [2, 5])
async def test_a_later_one_of_several_waiting_tasks_is_cancelled_and_the_operation_goes_on(
    later: int, told: bool
) -> None:
    async with a_world() as world:
        call = create_async_context()
        if told:
            set_async_notify_callback(call, ignore)
        waiting = [asyncio.create_task(wait(call)) for _ in range(3)]
        accept(call, world, b"bob:slow")
        await turns(later)
        waiting[1].cancel()
        await turns(3)
        world.provider.release()
        first, second, third = await asyncio.gather(*waiting, return_exceptions=True)
        assert isinstance(second, asyncio.CancelledError)
        assert isinstance(first, CallResult)
        assert first is third
        assert first.status is S.SEC_E_OK
        await delete(first.context)


async def test_who_waits_is_told_and_not_cancelled_when_the_operation_never_began() -> None:
    async with a_world() as world:
        call = create_async_context()
        accept(call, world, b"bob:")
        # Queued and not begun: whoever is cancelled now takes the operation along.
        waiting = call.__await__()
        waiting.send(None)
        with pytest.raises(asyncio.CancelledError):
            waiting.throw(asyncio.CancelledError())
        assert (await call).status is S.SEC_E_UNFINISHED_CONTEXT_DELETED
        assert not world.fresh.is_valid
        assert not world.fresh.is_busy


async def test_a_cancelled_task_leaves_alone_what_was_queued_on_its_call_afterwards() -> None:
    async with a_world() as world:
        call = create_async_context()
        accept(call, world, b"bob:continue")

        async def wait() -> CallResult:
            return await call

        waiting = asyncio.create_task(wait())

        def tell(call: AsyncContext, data: object) -> None:
            # The call is complete, and who waited for it has not run on yet.
            set_async_notify_callback(call, None)
            assert reinit_async_context(call) is S.SEC_E_OK
            queued = accept_security_context_async(call, None, world.fresh, tokens(b"bob:"))
            assert queued is S.SEC_E_OK
            waiting.cancel()

        await call
        await delete(world.fresh)
        reinit_async_context(call)
        set_async_notify_callback(call, tell)
        accept(call, world, b"bob:continue")
        waiting.cancel()
        await asyncio.wait([waiting])
        waiting = asyncio.create_task(wait())
        await asyncio.wait([waiting])
        while get_async_call_status(call) is S.SEC_I_ASYNC_CALL_PENDING:
            await asyncio.sleep(0)
        assert get_async_call_status(call) is S.SEC_E_OK
        assert await person(world.fresh) == "bob"


@pytest.mark.parametrize("heard", HEARD)
@pytest.mark.parametrize("token", [b"bob:", b"bob:continue"])
async def test_a_task_cancelled_between_the_end_and_its_next_step_takes_the_result_along(
    token: bytes, heard: str
) -> None:
    """Unless somebody else has it: nobody but them knows that there is a context to delete."""
    loop = asyncio.get_running_loop()
    async with a_world() as world:
        call = create_async_context()
        if heard == "by a callback":
            set_async_notify_callback(call, ignore)
        accept(call, world, token)
        waiting = asyncio.create_task(wait(call))
        another = asyncio.create_task(wait(call)) if "another task" in heard else None
        await turns(1)
        seen: list[SecurityStatus] = []

        def look() -> None:
            # To ask for the status would be to hear of it.
            if "pending" in repr(call):
                loop.call_soon(look)
                return
            if heard == "by asking":
                seen.append(get_async_call_status(call))
            waiting.cancel()
            if heard == "by another task, cancelled too":
                assert another is not None
                another.cancel()

        loop.call_soon(look)
        await asyncio.wait([waiting])
        assert waiting.cancelled()
        await turns(2)
        taken_back = heard in ("by nobody", "by another task, cancelled too")
        assert world.fresh.is_valid is not taken_back
        done = S.SEC_I_CONTINUE_NEEDED if token.endswith(b"continue") else S.SEC_E_OK
        last = S.SEC_E_UNFINISHED_CONTEXT_DELETED if taken_back else done
        assert get_async_call_status(call) is last
        assert (await call).status is last
        assert seen == ([done] if heard == "by asking" else [])


async def test_a_call_that_was_used_again_meanwhile_is_left_alone() -> None:
    async with a_world() as world:
        call = create_async_context()
        accept(call, world, b"bob:")

        def use_again() -> None:
            assert reinit_async_context(call) is S.SEC_E_OK

        await _cancelled_at_the_end(call, use_again)
        assert get_async_call_status(call) is S.SEC_E_OUT_OF_SEQUENCE
        assert world.fresh.is_valid


async def test_what_is_taken_back_is_the_context_wherever_it_has_gone() -> None:
    async with a_world() as world:
        call = create_async_context()
        accept_security_context_async(
            call, None, world.partial, tokens(b"alice:"), new_context=world.another
        )
        await _cancelled_at_the_end(call, lambda: None)
        assert not world.partial.is_valid
        assert not world.another.is_valid


async def test_a_context_that_is_in_use_again_is_not_taken_back() -> None:
    async with a_world() as world:
        first, second = create_async_context(), create_async_context()
        accept(first, world, b"bob:continue")

        def use() -> None:
            queued = accept_security_context_async(second, None, world.fresh, tokens(b"bob:"))
            assert queued is S.SEC_E_OK

        await _cancelled_at_the_end(first, use)
        assert (await second).status is S.SEC_E_OK
        assert await person(world.fresh) == "bob"


async def _cancelled_at_the_end(call: AsyncContext, do: Callable[[], None]) -> None:
    """Cancel a task that waits for a call in the turn in which that is complete."""
    loop, waiting = asyncio.get_running_loop(), asyncio.create_task(wait(call))
    await turns(1)

    def look() -> None:
        if "pending" in repr(call):
            loop.call_soon(look)
        else:
            do()
            waiting.cancel()

    loop.call_soon(look)
    await asyncio.wait([waiting])
    assert waiting.cancelled()


class Interrupted(Operation[None]):
    """An operation in whose midst somebody presses Ctrl-C."""

    def __init__(self, where: str) -> None:
        self.where = where
        self.abandoned = 0

    def begin(self) -> None:
        if self.where == "begin":
            raise KeyboardInterrupt
        self.set_result(None)

    def conclude(self, answer: None) -> CallResult:
        raise KeyboardInterrupt

    def abandon(self) -> None:
        self.abandoned += 1


@pytest.mark.parametrize("where", ["begin", "conclude"])
def test_an_interrupt_ends_the_operation_and_goes_on(where: str) -> None:
    told: list[CallResult] = []
    operation = Interrupted(where)
    with pytest.raises(KeyboardInterrupt):
        operation.start(told.append)
    assert [result.status for result in told] == [S.SEC_E_UNFINISHED_CONTEXT_DELETED]
    assert operation.abandoned == 1


async def test_who_waits_and_leaves_is_not_kept() -> None:
    async with a_world() as world:
        call = create_async_context()
        accept(call, world, b"bob:slow")
        first = asyncio.create_task(wait(call))
        await turns(1)
        for _ in range(5):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(wait(call), 0.001)
        assert call._operation is not None
        assert len(call._operation._waiters) == 1
        world.provider.release()
        assert (await first).status is S.SEC_E_OK


async def test_a_refusal_keeps_its_cause_although_its_task_is_cancelled() -> None:
    provider = ScriptedProvider([Refused(LogonDeniedError("no"))])
    async with acquire_credentials(provider) as credential:
        call = create_async_context()
        accept_security_context_async(call, credential, None, tokens(b"x"))
        await _cancelled_at_the_end(call, lambda: None)
        assert get_async_call_status(call) is S.SEC_E_LOGON_DENIED


async def test_a_task_that_waits_too_long_cancels_the_operation() -> None:
    async with a_world() as world:
        call = create_async_context()
        accept(call, world, b"bob:slow")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await call
        assert (await call).status is S.SEC_E_UNFINISHED_CONTEXT_DELETED
        assert not world.fresh.is_valid


async def test_a_call_and_its_result_are_gone_without_the_garbage_collector() -> None:
    class Call(AsyncContext):
        """One that can be watched."""

    async with a_world() as world:
        gc.disable()
        try:
            call = Call()
            watched = weakref.ref(call)
            accept(call, world, b"bob:")
            await call
            await turns(3)
            del call
            assert watched() is None
        finally:
            gc.enable()


@pytest.mark.skipif(sys.version_info < (3, 12), reason="eager tasks came with Python 3.12")
@pytest.mark.parametrize("function", QUEUEING)
async def test_a_loop_with_eager_tasks_sees_the_same(function: str) -> None:
    loop = asyncio.get_running_loop()
    async with a_world() as world:
        told: list[object] = []
        call = create_async_context()
        set_async_notify_callback(call, lambda *_: told.append(get_async_call_status(call)))
        loop.set_task_factory(getattr(asyncio, "eager_task_factory"))  # noqa: B009
        try:
            assert QUEUEING[function](call, world) is S.SEC_E_OK
            assert (await asyncio.wait_for(call, 5)).status is S.SEC_E_OK
            await turns(3)
        finally:
            loop.set_task_factory(None)
        assert told == [S.SEC_E_OK]


@pytest.mark.parametrize("function", [*LASTING, "delete"])
async def test_a_wait_that_is_thrown_away_is_cancelled(function: str) -> None:
    """A task that is destroyed closes its coroutine: nobody will hear of the operation."""
    async with a_world() as world:
        told: list[SecurityStatus] = []
        call = create_async_context()
        set_async_notify_callback(call, lambda call, _: told.append(get_async_call_status(call)))
        assert QUEUEING[function](call, world) is S.SEC_E_OK
        waiting = call.__await__()
        waiting.send(None)
        waiting.close()
        assert get_async_call_status(call) is S.SEC_E_UNFINISHED_CONTEXT_DELETED
        await turns(3)
        assert told == [S.SEC_E_UNFINISHED_CONTEXT_DELETED]
        assert (await call).status is S.SEC_E_UNFINISHED_CONTEXT_DELETED
        assert not world.fresh.is_valid
        provider = world.provider
    await nothing_is_left(provider)


@pytest.mark.parametrize("function", QUEUEING)
async def test_a_call_makes_no_task(function: str) -> None:
    async with a_world() as world:
        call = create_async_context()
        set_async_notify_callback(call, ignore)
        assert QUEUEING[function](call, world) is S.SEC_E_OK
        await turns(2)
        assert asyncio.all_tasks() == {asyncio.current_task()}
        await call


async def test_a_callback_runs_in_the_context_of_whoever_queued() -> None:
    told: list[str] = []
    async with a_world() as world:
        call = create_async_context()
        set_async_notify_callback(call, lambda *_: told.append(REQUEST.get()))
        for number in (1, 2):
            REQUEST.set(f"request {number}")
            accept(call, world, b"bob:")
            REQUEST.set("another")
            await call
            await turns(2)
            await delete(world.fresh)
            reinit_async_context(call)
    assert told == ["request 1", "request 2"]
