"""Handles in wrong hands: freed, foreign, of a wrong type, used at the same time, and forgotten."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
import warnings
from collections.abc import Callable
from typing import Any

import pytest
from backends import tokens
from calling import World, a_world, begun, delete, nothing_is_left, person, turns
from waiting import until

from authsrv.core.limits import Limits
from authsrv.core.results import Continue
from authsrv.errors import HandshakeExpiredError, StateError
from authsrv.providers.scripted import ScriptedProvider
from authsrv.sspi import (
    AsyncContext,
    CallResult,
    ContextAttribute,
    ContextHandle,
    CredentialHandle,
    CredentialUse,
    SecBufferDesc,
    SecurityStatus,
    ServerContext,
    accept_security_context_async,
    acquire_credentials,
    acquire_credentials_handle_async,
    complete_auth_token,
    delete_security_context_async,
    free_credentials_handle_async,
    get_async_call_status,
    initialize_security_context_async,
    query_context_attributes,
)

S = SecurityStatus
Function = Callable[[Any, World], SecurityStatus]


def accept(
    world: World,
    context: ContextHandle | None = None,
    token: bytes = b"bob:",
    *,
    new: ContextHandle | None = None,
    call: AsyncContext | None = None,
) -> tuple[AsyncContext, SecurityStatus]:
    call = call or AsyncContext()
    credential = world.credential if context is None else None
    return call, accept_security_context_async(
        call, credential, context, tokens(token), new_context=new
    )


async def finish(call: AsyncContext, status: SecurityStatus) -> CallResult:
    assert status is S.SEC_E_OK, status.name
    return await call


# Wrong types.

CREDENTIALS: dict[str, Function] = {
    "accept": lambda handle, _: accept_security_context_async(
        AsyncContext(), handle, None, tokens(b"bob:")
    ),
    "initialize": lambda handle, _: initialize_security_context_async(
        AsyncContext(), handle, None, "HTTP/localhost"
    ),
    "accept-next": lambda handle, world: accept_security_context_async(
        AsyncContext(), handle, world.partial, tokens(b"alice:")
    ),
    "free": lambda handle, _: free_credentials_handle_async(AsyncContext(), handle),
}
CONTEXTS: dict[str, Function] = {
    "accept": lambda handle, _: accept_security_context_async(
        AsyncContext(), None, handle, tokens(b"bob:")
    ),
    "accept-with-credential": lambda handle, world: accept_security_context_async(
        AsyncContext(), world.credential, handle, tokens(b"bob:")
    ),
    "initialize": lambda handle, _: initialize_security_context_async(
        AsyncContext(), None, handle, None, input=tokens(b"bob:")
    ),
    "delete": lambda handle, _: delete_security_context_async(AsyncContext(), handle),
    "accept-new": lambda handle, world: accept_security_context_async(
        AsyncContext(), world.credential, None, tokens(b"bob:"), new_context=handle
    ),
    "initialize-new": lambda handle, world: initialize_security_context_async(
        AsyncContext(), world.credential, None, "HTTP/localhost", new_context=handle
    ),
}
WRONG: dict[str, Callable[[World], object]] = {
    "int": lambda _: 5,
    "str": lambda _: "a handle",
    "bytes": lambda _: b"\x00" * 16,
    "class": lambda _: ContextHandle,
    "call": lambda _: AsyncContext(),
    "buffers": lambda _: SecBufferDesc(),
}


@pytest.mark.parametrize("wrong", [*WRONG, "context", "empty"])
@pytest.mark.parametrize("function", CREDENTIALS)
async def test_what_is_no_credential_is_an_invalid_handle(function: str, wrong: str) -> None:
    kinds = WRONG | {"context": lambda w: w.established, "empty": lambda w: w.empty}
    async with a_world() as world:
        status = CREDENTIALS[function](kinds[wrong](world), world)
        assert status is S.SEC_E_INVALID_HANDLE
        assert not world.partial.is_busy


@pytest.mark.parametrize("function", sorted(CREDENTIALS.keys() - {"accept-next"}))
async def test_no_credential_is_an_invalid_handle(function: str) -> None:
    async with a_world() as world:
        assert CREDENTIALS[function](None, world) is S.SEC_E_INVALID_HANDLE


@pytest.mark.parametrize("function", CREDENTIALS)
async def test_a_freed_credential_is_an_invalid_handle(function: str) -> None:
    async with a_world() as world:
        call = AsyncContext()
        await finish(call, free_credentials_handle_async(call, world.spare))
        assert CREDENTIALS[function](world.spare, world) is S.SEC_E_INVALID_HANDLE


@pytest.mark.parametrize("wrong", [*WRONG, "credential"])
@pytest.mark.parametrize("function", CONTEXTS)
async def test_what_is_no_context_is_an_invalid_handle(function: str, wrong: str) -> None:
    kinds = WRONG | {"credential": lambda w: w.credential}
    async with a_world() as world:
        assert CONTEXTS[function](kinds[wrong](world), world) is S.SEC_E_INVALID_HANDLE


@pytest.mark.parametrize("function", ["accept", "accept-with-credential", "initialize", "delete"])
async def test_a_context_that_was_never_filled_is_an_invalid_handle(function: str) -> None:
    async with a_world() as world:
        assert CONTEXTS[function](world.fresh, world) is S.SEC_E_INVALID_HANDLE


@pytest.mark.parametrize("function", ["accept", "accept-with-credential", "initialize"])
async def test_a_deleted_context_is_an_invalid_handle(function: str) -> None:
    async with a_world() as world:
        await delete(world.partial)
        assert CONTEXTS[function](world.partial, world) is S.SEC_E_INVALID_HANDLE


@pytest.mark.parametrize("wrong", [*WRONG, "none", "credential", "fresh", "deleted"])
async def test_complete_and_query_answer_the_same(wrong: str) -> None:
    kinds = WRONG | {
        "none": lambda _: None,
        "credential": lambda w: w.credential,
        "fresh": lambda w: w.fresh,
        "deleted": lambda w: w.established,
    }
    async with a_world() as world:
        await delete(world.established)
        handle: Any = kinds[wrong](world)
        assert await complete_auth_token(handle) is S.SEC_E_INVALID_HANDLE
        answer = await query_context_attributes(handle, ContextAttribute.NAMES)
        assert (answer.status, answer.value) == (S.SEC_E_INVALID_HANDLE, None)


@pytest.mark.parametrize("wrong", [*WRONG, "none", "filled"])
async def test_a_credential_is_acquired_into_an_empty_handle_alone(wrong: str) -> None:
    kinds = WRONG | {"none": lambda _: None, "filled": lambda w: w.credential}
    async with a_world() as world:
        handle: Any = kinds[wrong](world)
        status = acquire_credentials_handle_async(
            AsyncContext(), None, world.provider, CredentialUse.INBOUND, None, handle
        )
        assert status is S.SEC_E_INVALID_HANDLE
        assert world.credential.is_valid


@pytest.mark.parametrize("wrong", [5, "buffers", SecBufferDesc()])
async def test_what_are_no_buffers_is_refused_at_once(wrong: Any) -> None:
    async with a_world() as world:
        call = AsyncContext()
        args = call, world.credential, None
        assert accept_security_context_async(*args, wrong) is S.SEC_E_INVALID_TOKEN
        status = accept_security_context_async(*args, tokens(b"bob:"), output=wrong)
        assert status is S.SEC_E_BUFFER_TOO_SMALL
        await begun(world, b"bob:complete", world.fresh)
        assert await complete_auth_token(world.fresh, wrong) is S.SEC_E_BUFFER_TOO_SMALL
        assert await complete_auth_token(world.fresh) is S.SEC_E_OK


# Credentials that do not fit.


async def test_a_credential_of_the_wrong_direction_has_no_credentials() -> None:
    provider = ScriptedProvider([Continue(b"next")])
    async with a_world() as world, acquire_credentials(provider, use=CredentialUse.OUTBOUND) as out:
        assert CREDENTIALS["accept"](out, world) is S.SEC_E_NO_CREDENTIALS
        assert CREDENTIALS["accept-next"](out, world) is S.SEC_E_NO_CREDENTIALS
        assert CREDENTIALS["initialize"](world.spare, world) is S.SEC_E_NO_CREDENTIALS
        assert not world.partial.is_busy


async def test_another_credentials_context_is_a_wrong_credential_handle() -> None:
    async with a_world() as world:
        status = CREDENTIALS["accept-next"](world.spare, world)
        assert status is S.SEC_E_WRONG_CREDENTIAL_HANDLE
        # Nothing has happened to it.
        call, status = accept(world, world.partial, b"alice:")
        assert (await finish(call, status)).status is S.SEC_E_OK


async def test_a_servers_context_is_no_context_of_a_client_and_the_other_way_round() -> None:
    async with a_world() as world:
        assert CONTEXTS["initialize"](world.partial, world) is S.SEC_E_INVALID_HANDLE
        call = AsyncContext()
        status = initialize_security_context_async(
            call, world.credential, None, "HTTP/localhost", new_context=world.fresh
        )
        await finish(call, status)
        assert CONTEXTS["accept"](world.fresh, world) is S.SEC_E_INVALID_HANDLE


# The same handle, or a new one.


async def test_the_same_handle_stays_valid() -> None:
    async with a_world() as world:
        call, status = accept(world, world.partial, b"alice:", new=world.partial)
        assert (await finish(call, status)).context is world.partial
        assert await person(world.partial) == "alice"


async def test_after_a_new_handle_the_old_one_refers_to_nothing() -> None:
    async with a_world() as world:
        call, status = accept(world, world.partial, b"alice:continue", new=world.fresh)
        result = await finish(call, status)
        assert (result.status, result.context) == (S.SEC_I_CONTINUE_NEEDED, world.fresh)
        assert not world.partial.is_valid
        assert not world.partial.is_busy
        assert accept(world, world.partial)[1] is S.SEC_E_INVALID_HANDLE
        assert await complete_auth_token(world.partial) is S.SEC_E_INVALID_HANDLE
        # Deleting it is as good as deleting it twice; the new one knows nothing of it.
        await delete(world.partial)
        call, status = accept(world, world.fresh, b"alice:")
        assert (await finish(call, status)).status is S.SEC_E_OK
        assert await person(world.fresh) == "alice"


async def test_a_new_handle_that_refers_to_another_context_is_refused() -> None:
    async with a_world() as world:
        assert accept(world, new=world.established)[1] is S.SEC_E_INVALID_HANDLE
        assert accept(world, world.partial, new=world.established)[1] is S.SEC_E_INVALID_HANDLE
        assert await person(world.established) == "alice"
        assert not world.partial.is_busy


async def test_a_new_handle_stays_empty_where_the_step_fails() -> None:
    async with a_world() as world:
        call, status = accept(world, world.partial, b"x" * 70_000, new=world.fresh)
        assert (await finish(call, status)).status is S.SEC_E_INVALID_TOKEN
        for handle in (world.partial, world.fresh):
            assert not handle.is_valid
            assert not handle.is_busy


async def test_a_deleted_handle_can_be_filled_again() -> None:
    async with a_world() as world:
        await delete(world.established)
        assert await begun(world, b"bob:", world.established) is S.SEC_E_OK
        assert await person(world.established) == "bob"


# At the same time.


async def test_of_two_steps_queued_in_the_same_turn_the_second_is_out_of_sequence() -> None:
    async with a_world() as world:
        call, status = accept(world, world.partial, b"alice:")
        other, refused = accept(world, world.partial, b"mallory:")
        assert refused is S.SEC_E_OUT_OF_SEQUENCE
        assert get_async_call_status(other) is S.SEC_E_OUT_OF_SEQUENCE
        assert (await finish(call, status)).status is S.SEC_E_OK
        assert await person(world.partial) == "alice"


async def test_two_first_steps_queued_in_the_same_turn_never_share_a_handle() -> None:
    """One client would be known by the other's name."""
    async with a_world() as world:
        call, status = accept(world, None, b"alice:", new=world.fresh)
        assert accept(world, None, b"mallory:", new=world.fresh)[1] is S.SEC_E_OUT_OF_SEQUENCE
        assert (await finish(call, status)).context is world.fresh
        assert await person(world.fresh) == "alice"


async def test_a_later_step_and_a_first_one_never_share_a_new_handle() -> None:
    async with a_world() as world:
        call, status = accept(world, world.partial, b"alice:", new=world.fresh)
        assert accept(world, None, b"mallory:", new=world.fresh)[1] is S.SEC_E_OUT_OF_SEQUENCE
        await finish(call, status)
        assert await person(world.fresh) == "alice"


@pytest.mark.parametrize("later", [0, 1, 3])
async def test_a_context_in_use_takes_no_other_operation(later: int) -> None:
    async with a_world() as world:
        call, status = accept(world, world.partial, b"alice:slow")
        await turns(later)
        busy = S.SEC_E_OUT_OF_SEQUENCE
        assert delete_security_context_async(AsyncContext(), world.partial) is busy
        assert await complete_auth_token(world.partial) is busy
        assert accept(world, world.partial)[1] is busy
        query = await query_context_attributes(world.partial, ContextAttribute.NAMES)
        assert query.status is S.SEC_E_INVALID_HANDLE
        world.provider.release()
        assert (await finish(call, status)).status is S.SEC_E_OK
        assert await person(world.partial) == "alice"


async def test_a_new_handle_in_use_cannot_be_deleted() -> None:
    async with a_world() as world:
        await begun(world, b"bob:", world.fresh)
        await delete(world.fresh)
        call, status = accept(world, None, b"alice:", new=world.fresh)
        refused = delete_security_context_async(AsyncContext(), world.fresh)
        assert refused is S.SEC_E_OUT_OF_SEQUENCE
        await finish(call, status)
        assert await person(world.fresh) == "alice"


async def test_a_step_queued_after_a_deletion_finds_no_context() -> None:
    async with a_world() as world:
        call = AsyncContext()
        deleted = delete_security_context_async(call, world.partial)
        assert accept(world, world.partial)[1] is S.SEC_E_INVALID_HANDLE
        assert (await finish(call, deleted)).status is S.SEC_E_OK


async def test_two_deletions_in_the_same_turn_are_both_ok_and_it_is_deleted_once() -> None:
    async with a_world() as world:
        before = world.provider.deleted
        calls = AsyncContext(), AsyncContext()
        for call in calls:
            assert delete_security_context_async(call, world.established) is S.SEC_E_OK
        assert [(await call).status for call in calls] == [S.SEC_E_OK, S.SEC_E_OK]
        assert world.provider.deleted == before + 1


async def test_a_second_completion_at_the_same_time_is_out_of_sequence() -> None:
    async with a_world() as world:
        await begun(world, b"bob:complete", world.fresh)
        first, second = await asyncio.gather(
            complete_auth_token(world.fresh), complete_auth_token(world.fresh)
        )
        assert (first, second) == (S.SEC_E_OK, S.SEC_E_OUT_OF_SEQUENCE)
        assert not world.fresh.is_busy


async def test_two_acquisitions_into_one_handle_fill_it_once() -> None:
    async with a_world() as world:
        calls = [AsyncContext(), AsyncContext()]
        for call in calls:
            status = acquire_credentials_handle_async(
                call, None, world.provider, CredentialUse.INBOUND, None, world.empty
            )
            assert status is S.SEC_E_OK
        statuses = sorted([(await call).status for call in calls])
        assert statuses == [S.SEC_E_OK, S.SEC_E_INVALID_HANDLE]
        assert world.empty.is_valid


async def test_many_tasks_on_one_context_let_one_through_each_time() -> None:
    """Whatever they try, the statuses tell what happened."""
    async with a_world() as world:
        done: list[SecurityStatus] = []

        async def attack(name: str) -> None:
            while world.partial.is_valid:
                call, status = accept(world, world.partial, f"{name}:continue".encode())
                if status is S.SEC_E_OK:
                    done.append((await call).status)
                await asyncio.sleep(0)

        await asyncio.gather(*(attack(f"task-{number}") for number in range(5)))
        going_on = [status for status in done if status is S.SEC_I_CONTINUE_NEEDED]
        # Eight rounds is the limit, and one of them was taken before.
        assert len(going_on) == 7
        # The eighth is refused at once; the seventh's task may hear of its own success after that.
        assert [status for status in done if status not in going_on] == [S.SEC_E_OUT_OF_SEQUENCE]
        assert not world.partial.is_valid


# Credentials freed too early.


@pytest.mark.parametrize("later", [0, 1, 2, 3, 5, 10])
async def test_a_credential_freed_while_a_step_is_under_way_ends_it(later: int) -> None:
    async with a_world() as world:
        call, status = accept(world, None, b"bob:slow", new=world.fresh)
        await turns(later)
        world.credential.free()
        world.provider.release()
        result = await finish(call, status)
        assert result.status in (S.SEC_E_INVALID_HANDLE, S.SEC_E_OUT_OF_SEQUENCE)
        assert result.error is not None
        assert result.context is None
        assert not world.fresh.is_valid


async def test_a_credential_is_free_as_soon_as_that_was_queued() -> None:
    async with a_world() as world:
        free = AsyncContext()
        freed = free_credentials_handle_async(free, world.credential)
        _, status = accept(world, None, b"bob:", new=world.fresh)
        assert status is S.SEC_E_INVALID_HANDLE
        assert not world.fresh.is_busy
        assert (await finish(free, freed)).status is S.SEC_E_OK


async def test_a_freed_credential_ends_partial_contexts_and_leaves_the_others() -> None:
    async with a_world() as world:
        call = AsyncContext()
        await finish(call, free_credentials_handle_async(call, world.credential))
        assert not world.partial.is_valid
        assert accept(world, world.partial)[1] is S.SEC_E_INVALID_HANDLE
        answer = await query_context_attributes(world.established, ContextAttribute.NAMES)
        assert answer.status is S.SEC_E_INVALID_HANDLE
        await delete(world.established)
        # The partial one is deleted by a thread that nobody waits for.
        await until(lambda: world.provider.open_contexts == 0)


async def test_freeing_twice_is_an_invalid_handle_and_within_one_turn_ok() -> None:
    async with a_world() as world:
        calls = AsyncContext(), AsyncContext()
        for call in calls:
            await finish(call, free_credentials_handle_async(call, world.spare))
            break
        again = free_credentials_handle_async(calls[1], world.spare)
        assert again is S.SEC_E_INVALID_HANDLE


# Deadlines.

HASTY = Limits(handshake_seconds=0.1)


async def test_a_handle_whose_time_is_over_refers_to_nothing_and_its_context_is_deleted() -> None:
    provider = ScriptedProvider([Continue(b"next")])
    async with acquire_credentials(provider, limits=HASTY) as credential:
        call, handle = AsyncContext(), ContextHandle()
        status = accept_security_context_async(
            call, credential, None, tokens(b"x"), new_context=handle
        )
        assert (await finish(call, status)).status is S.SEC_I_CONTINUE_NEEDED
        await nothing_is_left(provider)
        assert not handle.is_valid
        late = accept_security_context_async(AsyncContext(), None, handle, tokens(b"y"))
        assert late is S.SEC_E_INVALID_HANDLE
        assert await complete_auth_token(handle) is S.SEC_E_INVALID_HANDLE
        await delete(handle)
        # It can be filled again, and warns nobody when it is forgotten.
        del handle, call


async def test_nobody_is_authenticated_where_the_time_ran_out_before_complete_auth_token() -> None:
    """The provider has asked for CompleteAuthToken; the deadline passes before it is called."""

    async with a_world(Limits(handshake_seconds=0.2)) as world:
        context = ServerContext(world.credential)

        class Late(AsyncContext):
            """A loop that is busy just then."""

            def _complete(self, *arguments: Any) -> None:
                end = time.monotonic() + 0.3
                while time.monotonic() < end:
                    pass
                super()._complete(*arguments)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("authsrv.sspi.objects.AsyncContext", Late)
            with pytest.raises((StateError, HandshakeExpiredError)):
                await context.accept(b"mallory:complete")
        assert not context.is_established
        with pytest.raises(StateError):
            await context.query(ContextAttribute.NAMES)


async def test_nobody_is_authenticated_where_the_credential_is_freed_before_completion() -> None:
    async with a_world() as world:
        context = ServerContext(world.credential)

        class Freeing(AsyncContext):
            """Somebody frees the credential just then."""

            def _complete(self, *arguments: Any) -> None:
                super()._complete(*arguments)
                world.credential.free()

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("authsrv.sspi.objects.AsyncContext", Freeing)
            with pytest.raises(StateError):
                await context.accept(b"mallory:complete")
        assert not context.is_established


# Forgetting.


async def forget(world: World, token: bytes) -> None:
    """Lose a handle; without the garbage collector, so that no cycle keeps it alive."""
    gc.collect()
    gc.disable()
    try:
        handle = ContextHandle()
        call, status = accept(world, None, token, new=handle)
        await finish(call, status)
        await turns(3)
        with pytest.warns(ResourceWarning, match="was never deleted"):
            del handle, call
    finally:
        gc.enable()


@pytest.mark.parametrize("token", [b"bob:", b"bob:continue", b"bob:complete"])
async def test_a_forgotten_handle_warns_at_once_and_its_context_is_deleted(token: bytes) -> None:
    async with a_world() as world:
        await delete(world.partial)
        await delete(world.established)
        await forget(world, token)
        await nothing_is_left(world.provider)


async def test_a_forgotten_handle_is_deleted_even_where_warnings_are_errors() -> None:
    unraisable: list[object] = []
    async with a_world() as world:
        await delete(world.partial)
        await delete(world.established)
        handle = ContextHandle()
        await begun(world, b"bob:", handle)
        await turns(3)
        with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
            warnings.simplefilter("error")
            patch.setattr("sys.unraisablehook", lambda found: unraisable.append(found.exc_type))
            del handle
        assert unraisable == [ResourceWarning]
        await nothing_is_left(world.provider)


async def test_a_handle_forgotten_on_another_thread_is_deleted_from_the_loop() -> None:
    async with a_world() as world:
        await delete(world.partial)
        await delete(world.established)
        handles = [ContextHandle()]
        await begun(world, b"bob:", handles[0])
        await turns(3)
        thread = threading.Thread(target=handles.clear)
        with pytest.warns(ResourceWarning, match="was never deleted"):
            await _run(thread)
        await nothing_is_left(world.provider)


async def _run(thread: threading.Thread) -> None:
    thread.start()
    while thread.is_alive():
        await asyncio.sleep(0.001)


@pytest.mark.parametrize("credential", ["freed before", "never freed"])
def test_a_handle_forgotten_after_its_loop_was_closed_is_deleted(credential: str) -> None:
    provider, held, handles = ScriptedProvider(), CredentialHandle(), [ContextHandle()]

    async def main() -> None:
        call = AsyncContext()
        acquired = acquire_credentials_handle_async(
            call, None, provider, CredentialUse.INBOUND, None, held
        )
        await finish(call, acquired)
        call = AsyncContext()
        status = accept_security_context_async(
            call, held, None, tokens(b"x"), new_context=handles[0]
        )
        await finish(call, status)
        if credential == "freed before":
            held.free()

    asyncio.run(main())
    assert provider.open_contexts == 1
    with pytest.warns(ResourceWarning, match="was never deleted"):
        handles.clear()
    assert provider.open_contexts == 0
    held.free()


@pytest.mark.parametrize("fault", ["step", "deletion", "deadline"])
async def test_a_handle_that_refers_to_nothing_any_more_warns_nobody(fault: str) -> None:
    async with a_world(Limits(handshake_seconds=0.2)) as world:
        handle = ContextHandle()
        await begun(world, b"bob:continue", handle)
        match fault:
            case "step":
                call, status = accept(world, handle, b"x" * 70_000)
                await finish(call, status)
                del call
            case "deletion":
                await delete(handle)
            case "deadline":
                while handle.is_valid:
                    await asyncio.sleep(0.01)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            del handle
            gc.collect()
        assert caught == []


# The short form.


async def test_two_tasks_on_one_object_are_an_error_of_the_second() -> None:
    async with a_world() as world, ServerContext(world.credential) as context:
        first = asyncio.create_task(context.accept(b"alice:slow"))
        await turns(1)
        with pytest.raises(StateError) as caught:
            await context.accept(b"mallory:")
        assert caught.value.status is S.SEC_E_OUT_OF_SEQUENCE
        world.provider.release()
        assert (await first).status is S.SEC_E_OK
        assert await context.query(ContextAttribute.NAMES) == "alice"


@pytest.mark.parametrize("later", [0, 1, 2, 3, 10])
async def test_an_object_deleted_by_another_task_fails_the_step_that_is_under_way(
    later: int,
) -> None:
    async with a_world() as world:
        context = ServerContext(world.credential)
        step = asyncio.create_task(context.accept(b"alice:slow"))
        await turns(1 + later)
        await context.delete()
        world.provider.release()
        await asyncio.wait([step])
        assert isinstance(step.exception(), Exception)
        assert not context.is_established
        await delete(world.partial)
        await delete(world.established)
        await nothing_is_left(world.provider)


async def test_an_object_is_for_one_handshake() -> None:
    async with a_world() as world:
        context = ServerContext(world.credential)
        await context.accept(b"alice:")
        seen = [context.is_established]
        await context.delete()
        await context.delete()
        assert [*seen, context.is_established] == [True, False]
        with pytest.raises(StateError):
            await context.accept(b"mallory:")
        unused = ServerContext(world.credential)
        await unused.delete()
        created = world.provider.created
        with pytest.raises(StateError):
            await unused.accept(b"mallory:")
        assert world.provider.created == created
        failed = ServerContext(world.credential)
        with pytest.raises(Exception, match="the limit is"):
            await failed.accept(b"x" * 70_000)
        with pytest.raises(StateError):
            await failed.accept(b"mallory:")


async def test_an_empty_handle_of_a_credential_shows_what_it_is() -> None:
    assert repr(CredentialHandle()) == "<CredentialHandle of nothing>"
    assert repr(ContextHandle()) == "<ContextHandle of nothing>"
