"""Faults: providers that break, loops that end, tasks that are cancelled at any moment."""

from __future__ import annotations

import asyncio
import gc
import importlib.util
import struct
import threading
import warnings
from collections.abc import AsyncGenerator, Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

import pytest
from backends import tokens
from calling import QUEUEING, World, a_world, begun, delete, make_world, nothing_is_left, turns
from hypothesis import given
from hypothesis import strategies as st
from waiting import until, wait_until

from authsrv.core.bindings import ChannelBindings
from authsrv.core.buffers import BufferType, SecBuffer, SecBufferDesc
from authsrv.core.limits import DEFAULT_LIMITS, Limits
from authsrv.core.results import (
    CompleteAndContinue,
    CompleteNeeded,
    Continue,
    Established,
    Incomplete,
    Refused,
)
from authsrv.core.status import WindowsCode, from_windows
from authsrv.errors import (
    AuthsrvError,
    BadBindingsError,
    DeadlineError,
    InvalidTokenError,
    LogonDeniedError,
    MechanismError,
    OverloadedError,
    ProviderFaultError,
)
from authsrv.providers.base import ContextRequest
from authsrv.providers.scripted import ALICE, Act, Delay, ScriptedContext, ScriptedProvider
from authsrv.sspi import (
    AsyncContext,
    CallResult,
    ContextAttribute,
    ContextHandle,
    CredentialHandle,
    CredentialUse,
    SecurityStatus,
    ServerContext,
    accept_security_context_async,
    acquire_credentials,
    acquire_credentials_handle_async,
    complete_auth_token,
    delete_security_context_async,
    free_async_context,
    get_async_call_status,
    pack_channel_bindings,
    query_context_attributes,
    set_async_notify_callback,
    unpack_channel_bindings,
)
from authsrv.sspi.buffers import read_token

S = SecurityStatus
SECRET = "a token of somebody"
FAULTS = (ValueError, OSError, StopIteration, SystemExit, KeyboardInterrupt, GeneratorExit)


async def accept(
    provider: ScriptedProvider, *, legs: int = 1, limits: Limits = DEFAULT_LIMITS
) -> CallResult:
    """What the last of some legs answers; nothing is left open."""
    async with acquire_credentials(provider, limits=limits) as credential:
        handle = ContextHandle()
        for leg in range(legs):
            call = AsyncContext()
            status = accept_security_context_async(
                call, credential, handle if leg else None, tokens(b"x"), new_context=handle
            )
            assert status is S.SEC_E_OK
            result = await call
        assert not handle.is_busy
        if handle.is_valid:
            await delete(handle)
        provider.release()
        await nothing_is_left(provider)
    return result


def check_fault(result: CallResult) -> None:
    assert result.status is S.SEC_E_INTERNAL_ERROR
    assert isinstance(result.error, ProviderFaultError)
    assert SECRET not in str(result.error)
    assert SECRET not in repr(result)
    assert result.context is None


# Packages that there are not, that raise, hang, and talk nonsense.


@pytest.mark.parametrize("use", [CredentialUse.INBOUND, CredentialUse.OUTBOUND])
@pytest.mark.parametrize("name", ["Schannel", "negotiate ", "", "Kerberos\0", "N\N{KELVIN SIGN}"])
async def test_a_package_that_nobody_knows_is_secpkg_not_found(
    name: str, use: CredentialUse
) -> None:
    before = threading.active_count()
    call, credential = AsyncContext(), CredentialHandle()
    status = acquire_credentials_handle_async(call, None, name, use, None, credential)
    assert status is S.SEC_E_OK
    result = await call
    assert result.status is S.SEC_E_SECPKG_NOT_FOUND
    assert isinstance(result.error, MechanismError)
    assert not credential.is_valid
    # The thread of a credential that is none ends.
    await until(lambda: threading.active_count() <= before)


@pytest.mark.parametrize("fault", [ValueError, OSError, StopIteration, ModuleNotFoundError])
async def test_a_package_whose_check_raises_gives_no_credential(fault: type[Exception]) -> None:
    call, credential = AsyncContext(), CredentialHandle()
    provider = ScriptedProvider(fault=fault(SECRET))
    acquire_credentials_handle_async(call, None, provider, CredentialUse.INBOUND, None, credential)
    check_fault(await call)
    assert get_async_call_status(call) is S.SEC_E_INTERNAL_ERROR
    assert not credential.is_valid


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_step_that_raises_is_a_fault(fault: type[BaseException]) -> None:
    def act(token: bytes) -> Act:
        raise fault(SECRET)

    check_fault(await accept(ScriptedProvider([act])))
    check_fault(await accept(ScriptedProvider([Continue(), act]), legs=2))


@pytest.mark.parametrize("fault", FAULTS)
async def test_complete_query_and_delete_that_raise(
    fault: type[BaseException], caplog: pytest.LogCaptureFixture
) -> None:
    class Context(ScriptedContext):
        def complete(self) -> Any:
            raise fault(SECRET)

        def query(self, attribute: ContextAttribute) -> object:
            raise fault(SECRET)

        def delete(self) -> None:
            super().delete()
            raise fault(SECRET)

    class Package(ScriptedProvider):
        def create_context(self, request: ContextRequest) -> ScriptedContext:
            super().create_context(request)
            return Context(self, self._script)

    provider = Package([Established(ALICE)])
    async with acquire_credentials(provider) as credential:
        handle, call = ContextHandle(), AsyncContext()
        accept_security_context_async(call, credential, None, tokens(b"x"), new_context=handle)
        await call
        answer = await query_context_attributes(handle, ContextAttribute.NAMES)
        assert (answer.status, answer.value) == (S.SEC_E_INTERNAL_ERROR, None)
        await delete(handle)
    await nothing_is_left(provider)
    assert caplog.text.count("in delete") == 1
    provider = Package([CompleteNeeded()])
    async with acquire_credentials(provider) as credential:
        handle, call = ContextHandle(), AsyncContext()
        accept_security_context_async(call, credential, None, tokens(b"x"), new_context=handle)
        await call
        assert await complete_auth_token(handle) is S.SEC_E_INTERNAL_ERROR
        assert not handle.is_valid
    await nothing_is_left(provider)
    assert SECRET not in caplog.text


@pytest.mark.parametrize("made", [None, 5, "context"])
async def test_a_package_that_makes_no_context(made: Any) -> None:
    class Package(ScriptedProvider):
        def create_context(self, request: ContextRequest) -> ScriptedContext:
            context: ScriptedContext = made
            return context

    check_fault(await accept(Package()))


@pytest.mark.parametrize("fault", [ValueError, OSError, LogonDeniedError])
async def test_a_package_that_raises_for_a_new_context(fault: type[Exception]) -> None:
    class Package(ScriptedProvider):
        def create_context(self, request: ContextRequest) -> ScriptedContext:
            raise fault(SECRET)

    check_fault(await accept(Package()))


def success(status: SecurityStatus) -> AuthsrvError:
    return InvalidTokenError("it is refused", status=status)


class OfNoStatus(Continue):
    status: Any = "nonsense"


class EstablishedWithNobody(Continue):
    status = S.SEC_E_OK


NONSENSE: dict[str, Any] = {
    "no-status": OfNoStatus(b"next"),
    "nobody": EstablishedWithNobody(b"next"),
    "none": None,
    "zero": 0,
    "text": "SEC_E_OK",
    "true": True,
    "class": Established,
    "refused-without-cause": Refused("no"),  # type: ignore[arg-type]
    "text-token": Continue("token"),  # type: ignore[arg-type]
    "no-token": Continue(None),  # type: ignore[arg-type]
    "unused-text": Continue(b"", "all"),  # type: ignore[arg-type]
    "unused-negative": Continue(b"", -1),
    "unused-nan": Established(ALICE, b"", float("nan")),  # type: ignore[arg-type]
    "missing-negative": Incomplete(-1),
    "missing-text": Incomplete("more"),  # type: ignore[arg-type]
    "missing-fraction": Incomplete(1.5),  # type: ignore[arg-type]
}


@pytest.mark.parametrize("answer", NONSENSE)
async def test_a_package_that_answers_nonsense_is_a_fault(answer: str) -> None:
    def act(token: bytes) -> Any:
        return NONSENSE[answer]

    check_fault(await accept(ScriptedProvider([act])))
    check_fault(await accept(ScriptedProvider([Continue(), act]), legs=2))


async def test_more_left_over_than_there_was_is_no_more_than_all_of_it() -> None:
    result = await accept(ScriptedProvider([Continue(b"next", 10**9)]))
    assert [(buffer.type, buffer.data) for buffer in result.output] == [
        (BufferType.TOKEN, b"next"),
        (BufferType.EXTRA, b"x"),
    ]


@pytest.mark.parametrize("status", [status for status in S if not status.is_failure])
async def test_a_refusal_is_a_failure_whatever_code_it_carries(status: SecurityStatus) -> None:
    """Whoever looks at the status alone must not let anybody in."""
    for act in (Refused(success(status)), success(status)):
        result = await accept(ScriptedProvider([act]))
        assert result.status is S.SEC_E_INTERNAL_ERROR
        assert isinstance(result.error, InvalidTokenError)
    provider = ScriptedProvider([CompleteNeeded(), Refused(success(status))])
    async with acquire_credentials(provider) as credential:
        handle, call = ContextHandle(), AsyncContext()
        accept_security_context_async(call, credential, None, tokens(b"x"), new_context=handle)
        await call
        assert await complete_auth_token(handle) is S.SEC_E_INTERNAL_ERROR
    call, empty = AsyncContext(), CredentialHandle()
    provider = ScriptedProvider(fault=success(status))
    acquire_credentials_handle_async(call, None, provider, CredentialUse.INBOUND, None, empty)
    assert (await call).status is S.SEC_E_INTERNAL_ERROR
    assert not empty.is_valid


@pytest.mark.parametrize("code", [0x8009_03FF, 0x0009_03FF, 0xDEAD_BEEF, 1, 0x7FFF_FFFF])
async def test_a_code_that_nobody_knows_is_an_internal_error_and_is_kept(code: int) -> None:
    report = from_windows(code)
    error = ProviderFaultError("an unknown code", status=report.status, native=report.native)
    result = await accept(ScriptedProvider([Refused(error)]))
    assert result.status is S.SEC_E_INTERNAL_ERROR
    assert result.error is error
    assert isinstance(error.native, WindowsCode)
    assert error.native.value == code


async def test_a_package_that_hangs_is_given_up_and_its_context_deleted_when_it_returns() -> None:
    hasty = Limits(step_seconds=0.05)
    for before in ([], [Continue()]):
        script: list[Act] = [*before, Delay(60, Established(ALICE))]
        result = await accept(ScriptedProvider(script), legs=len(script), limits=hasty)
        assert isinstance(result.error, DeadlineError)
        assert result.status is S.SEC_E_NO_AUTHENTICATING_AUTHORITY


async def test_a_completion_that_hangs_is_given_up_and_establishes_nobody() -> None:
    provider = ScriptedProvider([CompleteNeeded(), Delay(60, Established(ALICE))])
    async with acquire_credentials(provider, limits=Limits(step_seconds=0.05)) as credential:
        handle, call = ContextHandle(), AsyncContext()
        accept_security_context_async(call, credential, None, tokens(b"x"), new_context=handle)
        await call
        assert await complete_auth_token(handle) is S.SEC_E_NO_AUTHENTICATING_AUTHORITY
        provider.release()
        await nothing_is_left(provider)
        assert not handle.is_valid


async def test_a_query_that_hangs_is_given_up_and_the_context_is_in_use_until_it_returns() -> None:
    gate = threading.Event()

    class Context(ScriptedContext):
        def query(self, attribute: ContextAttribute) -> object:
            gate.wait(60)
            return super().query(attribute)

    class Package(ScriptedProvider):
        def create_context(self, request: ContextRequest) -> ScriptedContext:
            super().create_context(request)
            return Context(self, self._script)

    provider = Package([Established(ALICE)])
    async with acquire_credentials(provider, limits=Limits(step_seconds=0.05)) as credential:
        handle, call = ContextHandle(), AsyncContext()
        accept_security_context_async(call, credential, None, tokens(b"x"), new_context=handle)
        await call
        first = await query_context_attributes(handle, ContextAttribute.NAMES)
        assert first.status is S.SEC_E_NO_AUTHENTICATING_AUTHORITY
        second = await query_context_attributes(handle, ContextAttribute.NAMES)
        assert second.status is S.SEC_E_OUT_OF_SEQUENCE
        gate.set()
        last = await _ask_until_told(handle)
        assert last == ALICE.principal
        await delete(handle)
    await nothing_is_left(provider)


async def _ask_until_told(handle: ContextHandle) -> object:
    while True:
        answer = await query_context_attributes(handle, ContextAttribute.NAMES)
        if answer.status is S.SEC_E_OK:
            return answer.value
        assert answer.status is S.SEC_E_OUT_OF_SEQUENCE


async def test_more_calls_than_may_wait_are_insufficient_memory_and_the_others_go_on() -> None:
    provider = ScriptedProvider([Delay(60, Established(ALICE))])
    limits = Limits(max_workers=1, max_queued=3)
    async with acquire_credentials(provider, limits=limits) as credential:
        calls = [AsyncContext() for _ in range(10)]
        for call in calls:
            status = accept_security_context_async(call, credential, None, tokens(b"x"))
            assert status is S.SEC_E_OK
        await turns(3)
        provider.release()
        results = [await call for call in calls]
        refused = [result for result in results if result.status is not S.SEC_E_OK]
        assert {result.status for result in refused} == {S.SEC_E_INSUFFICIENT_MEMORY}
        assert all(isinstance(result.error, OverloadedError) for result in refused)
        assert 3 <= 10 - len(refused) <= 4
        for result in results:
            if result.context is not None:
                await delete(result.context)
    await nothing_is_left(provider)


# Threads.


async def test_a_thousand_pending_calls_cost_no_thread_each() -> None:
    provider = ScriptedProvider([Delay(60, Established(ALICE))])
    limits = Limits(max_workers=4, max_queued=2_000)
    before = threading.active_count()
    async with acquire_credentials(provider, limits=limits) as credential:
        calls = [AsyncContext() for _ in range(1_000)]
        for call in calls:
            status = accept_security_context_async(call, credential, None, tokens(b"x"))
            assert status is S.SEC_E_OK
        await asyncio.sleep(0.1)
        pending = [get_async_call_status(call) for call in calls]
        assert pending == [S.SEC_I_ASYNC_CALL_PENDING] * 1_000
        assert threading.active_count() - before <= 4
        provider.release()
        results = [await call for call in calls]
        assert {result.status for result in results} == {S.SEC_E_OK}
        await asyncio.gather(*(delete(result.context) for result in results))
        assert threading.active_count() - before <= 4
    await nothing_is_left(provider)


# The loop ends.

LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {"asyncio": asyncio.new_event_loop}
if importlib.util.find_spec("uvloop"):
    import uvloop

    LOOPS["uvloop"] = uvloop.new_event_loop


@dataclass
class Noise:
    """What a loop that ends has to say, through its exception handler or as a warning."""

    heard: list[str] = field(default_factory=list)

    def run(self, main: Coroutine[Any, Any, object], loop: str = "asyncio") -> None:
        async def listen() -> None:
            loop = asyncio.get_running_loop()
            loop.set_exception_handler(lambda _, found: self.heard.append(str(found)))
            await main

        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
                runner.run(listen())
            gc.collect()
        self.heard += [str(warning.message) for warning in caught]


def all_is_deleted(provider: ScriptedProvider) -> None:
    provider.release()
    wait_until(lambda: not provider.open_contexts)


@pytest.mark.parametrize("later", [0, 1, 2, 3, 5, 50])
@pytest.mark.parametrize("function", [*QUEUEING, "slow"])
@pytest.mark.parametrize("loop", LOOPS)
def test_a_loop_that_ends_with_calls_pending_leaves_no_context_and_makes_no_noise(
    loop: str, function: str, later: int
) -> None:
    noise, call, worlds = Noise(), AsyncContext(), []

    async def main() -> None:
        world = await make_world()
        worlds.append(world)
        if function == "slow":
            accept_security_context_async(
                call, world.credential, None, tokens(b"bob:slow"), new_context=world.fresh
            )
        else:
            QUEUEING[function](call, world)
        await turns(later)

    noise.run(main(), loop)
    (world,) = worlds
    assert get_async_call_status(call) is not S.SEC_I_ASYNC_CALL_PENDING
    world.provider.release()
    for handle in world.contexts:
        assert not handle.is_busy
        handle.discard()
    world.free()
    all_is_deleted(world.provider)
    assert noise.heard == []


@pytest.mark.parametrize("function", ["accept", "accept-next", "delete", "delete-freed"])
def test_what_was_queued_in_the_last_turn_of_the_loop_leaves_no_context(function: str) -> None:
    provider = ScriptedProvider([Continue(b"next"), Continue(b"next")])
    noise, call, handle, told = Noise(), AsyncContext(), ContextHandle(), []

    async def main() -> None:
        held = CredentialHandle()
        acquiring = AsyncContext()
        acquire_credentials_handle_async(
            acquiring, None, provider, CredentialUse.INBOUND, None, held
        )
        await acquiring
        first = AsyncContext()
        accept_security_context_async(first, held, None, tokens(b"x"), new_context=handle)
        await first

        def queue() -> None:
            if function == "accept":
                accept_security_context_async(call, held, None, tokens(b"x"))
            elif function == "accept-next":
                accept_security_context_async(call, held, handle, tokens(b"x"))
            else:
                delete_security_context_async(call, handle)
            if function == "delete-freed":
                assert free_async_context(call) is S.SEC_E_OK
            else:
                told.append(get_async_call_status(call))

        # It runs in the turn that stops the loop, so a thread would hear of it after that.
        asyncio.get_running_loop().call_soon(queue)

    if function != "delete-freed":
        set_async_notify_callback(call, lambda call, _: told.append(get_async_call_status(call)))
    noise.run(main())
    if function == "accept":
        handle.discard()
    all_is_deleted(provider)
    assert noise.heard == []
    if function == "delete-freed":
        assert get_async_call_status(call) is S.SEC_E_INVALID_HANDLE
    else:
        assert told == [S.SEC_I_ASYNC_CALL_PENDING, S.SEC_E_UNFINISHED_CONTEXT_DELETED]
    assert not handle.is_valid
    assert not handle.is_busy


@pytest.mark.parametrize("loop", LOOPS)
def test_a_handshake_in_the_finalizer_of_a_generator_goes_on_as_its_loop_ends(loop: str) -> None:
    """A loop closes all generators at once, ours among them, and in no order."""
    noise, statuses = Noise(), []

    async def generator(world: World) -> AsyncGenerator[None, None]:
        try:
            yield
        finally:
            statuses.append(await begun(world, b"bob:continue", world.fresh))
            async with ServerContext(world.credential) as context:
                statuses.append((await context.accept(b"bob:continue")).status)
            await delete(world.fresh)

    async def main() -> None:
        world = await make_world()
        worlds.append(world)
        generators.append(generator(world))
        await anext(generators[-1])

    for _ in range(10):
        worlds: list[World] = []
        generators: list[AsyncGenerator[None, None]] = []
        noise.run(main(), loop)
        (world,) = worlds
        for handle in world.contexts:
            handle.discard()
        world.free()
        all_is_deleted(world.provider)
    assert statuses == [S.SEC_I_CONTINUE_NEEDED] * 20
    assert noise.heard == []


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("function", ["accept", "accept-next", "delete", "initialize"])
def test_what_a_callback_queues_as_the_loop_ends_has_an_end(function: str, loop: str) -> None:
    noise, calls, worlds = Noise(), [AsyncContext(), AsyncContext()], []

    async def main() -> None:
        world = await make_world()
        worlds.append(world)

        def queue(call: AsyncContext, data: object) -> None:
            QUEUEING[function](calls[1], world)

        set_async_notify_callback(calls[0], queue)
        accept_security_context_async(
            calls[0], world.credential, None, tokens(b"bob:slow"), new_context=world.another
        )
        await turns(3)

    noise.run(main(), loop)
    (world,) = worlds
    assert get_async_call_status(calls[0]) is S.SEC_E_UNFINISHED_CONTEXT_DELETED
    world.provider.release()
    world.free()
    for handle in world.contexts:
        assert not handle.is_busy
        handle.discard()
    assert get_async_call_status(calls[1]) is not S.SEC_I_ASYNC_CALL_PENDING
    all_is_deleted(world.provider)
    assert noise.heard == []


def test_a_loop_that_is_only_closed_ends_its_calls_with_the_credential() -> None:
    loop, call, worlds = asyncio.new_event_loop(), AsyncContext(), []

    async def main() -> None:
        worlds.append(await make_world())
        QUEUEING["accept"](call, worlds[0])

    loop.run_until_complete(main())
    loop.close()
    (world,) = worlds
    world.free()
    assert get_async_call_status(call) is S.SEC_E_UNFINISHED_CONTEXT_DELETED
    for handle in world.contexts:
        assert not handle.is_busy
        handle.discard()
    all_is_deleted(world.provider)


# A cancel at each turn.

RELEASED_AT = 6
PATIENCE = 2_000
SCRIPTS: dict[str, tuple[Act, ...]] = {
    "established": (Established(ALICE, b"proof"),),
    "refused": (Refused(LogonDeniedError("no")),),
    "two-legs": (Continue(b"next"), Established(ALICE)),
    "in-pieces": (Incomplete(), Established(ALICE)),
    "completed": (CompleteAndContinue(), Continue(b"next"), CompleteNeeded(), Established(ALICE)),
    "raises": (ValueError("broken"),),
    "slow": (Delay(60, Established(ALICE)),),
    "slow-second-leg": (Continue(b"next"), Delay(60, Established(ALICE))),
    "slow-completion": (CompleteNeeded(), Delay(60, Established(ALICE))),
}
GOING_ON = (S.SEC_I_CONTINUE_NEEDED, S.SEC_I_COMPLETE_AND_CONTINUE, S.SEC_E_INCOMPLETE_MESSAGE)
COMPLETING = (S.SEC_I_COMPLETE_NEEDED, S.SEC_I_COMPLETE_AND_CONTINUE)
Work = Callable[[CredentialHandle, list[AsyncContext]], Coroutine[Any, Any, None]]


async def like_in_c(credential: CredentialHandle, calls: list[AsyncContext]) -> None:
    """All legs on one call, the deletion awaited; whoever is cancelled deletes, too."""
    handle, call, status = ContextHandle(), AsyncContext(), S.SEC_I_CONTINUE_NEEDED
    calls.append(call)
    try:
        while status in GOING_ON:
            call = AsyncContext()
            calls.append(call)
            queued = accept_security_context_async(
                call,
                credential,
                handle if handle.was_used else None,
                tokens(b"x"),
                new_context=handle,
            )
            assert queued is S.SEC_E_OK
            status = (await call).status
            if status in COMPLETING:
                await complete_auth_token(handle)
        if handle.is_valid:
            await query_context_attributes(handle, ContextAttribute.NAMES)
    finally:
        if handle.is_valid and not handle.is_busy:
            call = AsyncContext()
            calls.append(call)
            assert delete_security_context_async(call, handle) is S.SEC_E_OK
            await call


async def short_form(credential: CredentialHandle, calls: list[AsyncContext]) -> None:
    async with ServerContext(credential) as context:
        status = S.SEC_I_CONTINUE_NEEDED
        while status in GOING_ON:
            status = (await context.accept(b"x")).status
        await context.query(ContextAttribute.NAMES)


async def _cancelled_after(
    count: int, provider: ScriptedProvider, task: asyncio.Task[None]
) -> bool:
    """Cancel it after some turns of the loop; tells whether it ended by itself before."""
    for done in range(count):
        if task.done():
            break
        if done == RELEASED_AT:
            provider.release()
        await asyncio.sleep(0)
    ended_by_itself = task.done()
    task.cancel()
    await asyncio.wait([task])
    if not task.cancelled():
        task.exception()
    provider.release()
    return ended_by_itself


@pytest.mark.parametrize("script", SCRIPTS.values(), ids=SCRIPTS)
@pytest.mark.parametrize("work", [like_in_c, short_form])
async def test_a_cancel_at_each_turn_leaves_no_context_and_warns_of_nothing(
    work: Work, script: tuple[Act, ...]
) -> None:
    for count in range(PATIENCE):
        provider = ScriptedProvider(script)
        calls: list[AsyncContext] = []
        async with acquire_credentials(provider) as credential:
            task = asyncio.create_task(work(credential, calls))
            ended_by_itself = await _cancelled_after(count, provider, task)
            del task
            await turns(5)
            await nothing_is_left(provider)
            pending = [call for call in calls if call.status is S.SEC_I_ASYNC_CALL_PENDING]
            assert pending == []
        if ended_by_itself:
            assert count > 0
            return
    pytest.fail("the work never ended by itself")


@pytest.mark.parametrize("later", [*range(12), 30])
async def test_a_step_whose_task_is_cancelled_is_unfinished_and_its_context_deleted(
    later: int,
) -> None:
    async with a_world() as world:
        opened = world.provider.open_contexts
        call = AsyncContext()
        accept_security_context_async(
            call, world.credential, None, tokens(b"bob:slow"), new_context=world.fresh
        )

        async def wait() -> None:
            await call

        task = asyncio.create_task(wait())
        await turns(1 + later)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        await turns(2)
        assert get_async_call_status(call) is S.SEC_E_UNFINISHED_CONTEXT_DELETED
        assert not world.fresh.is_valid
        assert not world.fresh.is_busy
        world.provider.release()
        await until(lambda: world.provider.open_contexts <= opened)


@pytest.mark.parametrize("later", range(6))
async def test_a_deletion_whose_task_is_cancelled_deletes_all_the_same(later: int) -> None:
    """Behind slow calls it waits for a thread; what is cancelled there is never begun."""
    async with a_world(Limits(max_workers=1)) as world:
        slow = AsyncContext()
        accept_security_context_async(
            slow, world.credential, None, tokens(b"bob:slow"), new_context=world.fresh
        )
        await asyncio.sleep(0.01)
        opened = world.provider.open_contexts
        call = AsyncContext()
        assert delete_security_context_async(call, world.established) is S.SEC_E_OK

        async def wait() -> None:
            await call

        task = asyncio.create_task(wait())
        await turns(1 + later)
        task.cancel()
        await asyncio.wait([task])
        world.provider.release()
        await slow
        await until(lambda: world.provider.open_contexts != opened)


# Bytes of any kind.

HEADER = struct.Struct("<8L")


@given(st.binary(max_size=200))
def test_channel_bindings_of_any_bytes_are_read_or_bad(data: bytes) -> None:
    try:
        bindings = unpack_channel_bindings(data)
    except BadBindingsError:
        return
    assert bindings.application_data in data[HEADER.size :]


@given(
    st.binary(max_size=64),
    st.integers(0, 2**32 - 1) | st.integers(0, 100),
    st.integers(0, 2**32 - 1) | st.integers(0, 100),
)
def test_channel_bindings_never_reach_outside_of_their_buffer(
    rest: bytes, length: int, offset: int
) -> None:
    data = HEADER.pack(0, 0, 0, 0, 0, 0, length, offset) + rest
    inside = length > 0 and offset >= HEADER.size and offset + length <= len(data)
    try:
        bindings = unpack_channel_bindings(data)
    except BadBindingsError:
        assert not inside
        return
    assert inside
    assert bindings.application_data == data[offset : offset + length]


@given(st.binary(min_size=1, max_size=300))
def test_channel_bindings_come_back_as_they_were_packed(data: bytes) -> None:
    buffer = pack_channel_bindings(ChannelBindings(data))
    assert unpack_channel_bindings(buffer.data).application_data == data


BUFFERS = st.builds(
    SecBuffer,
    st.sampled_from(list(BufferType)) | st.integers(-1, 40),
    st.binary(max_size=20) | st.none() | st.text(max_size=5),
)


@given(
    st.none()
    | st.builds(SecBufferDesc, st.lists(BUFFERS, max_size=4).map(tuple))
    | st.integers()
    | st.text()
)
def test_input_of_any_kind_is_read_or_an_invalid_token(buffers: Any) -> None:
    try:
        token = read_token(buffers)
    except InvalidTokenError:
        return
    first, *_ = buffers
    assert first.kind is BufferType.TOKEN
    assert token == first.data


@pytest.mark.parametrize("kind", [bytearray, memoryview])
async def test_a_token_that_the_caller_changes_afterwards_is_taken_as_it_was(
    kind: Callable[[bytearray], Any],
) -> None:
    seen: list[bytes] = []

    def act(token: bytes) -> Act:
        seen.append(token)
        return Refused(LogonDeniedError("no"))

    provider = ScriptedProvider([act])
    async with acquire_credentials(provider) as credential:
        call, data = AsyncContext(), bytearray(b"alice")
        accept_security_context_async(call, credential, None, tokens(kind(data)))
        data[:] = b"m" * len(data)
        await call
    assert seen == [b"alice"]
    assert type(seen[0]) is bytes
    await nothing_is_left(provider)


async def test_output_that_breaks_afterwards_ends_the_context() -> None:
    """Nobody is told of the context, so nobody may go on with it."""
    async with a_world() as world:
        output = SecBufferDesc((SecBuffer(BufferType.TOKEN), SecBuffer(BufferType.EMPTY)))
        call = AsyncContext()
        assert await begun(world, b"bob:continue", world.fresh) is S.SEC_I_CONTINUE_NEEDED
        accept_security_context_async(call, None, world.fresh, tokens(b"bob:"), output=output)
        object.__setattr__(output, "buffers", (None,))
        check_fault(await call)
        assert not world.fresh.is_valid
        assert not world.fresh.is_busy
