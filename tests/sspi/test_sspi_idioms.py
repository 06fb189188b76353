"""What callers from C do: they poll, hand in the whole buffer again, join bits to its type."""

from __future__ import annotations

import asyncio
import mmap
import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from backends import COMPLETING, Backend, token_of, tokens
from calling import QUEUEING, a_world, begun, delete, nothing_is_left

from authsrv.core.buffers import BufferAttribute
from authsrv.core.identity import Identity
from authsrv.core.results import CompleteNeeded, Established, Incomplete
from authsrv.errors import ConfigError, OverloadedError
from authsrv.providers.scripted import ALICE, Act, ScriptedProvider
from authsrv.sspi import (
    AscReq,
    AscRet,
    AsyncContext,
    BufferType,
    CallResult,
    ClientContext,
    ContextAttribute,
    ContextHandle,
    CredentialHandle,
    CredentialUse,
    IscReq,
    Keytab,
    Password,
    SecBuffer,
    SecBufferDesc,
    SecurityStatus,
    ServerContext,
    TargetDataRep,
    accept_security_context_async,
    acquire_credentials,
    acquire_credentials_handle_async,
    complete,
    complete_auth_token,
    free_async_context,
    get_async_call_status,
    initialize_security_context_async,
    query_context_attributes,
    reinit_async_context,
    set_async_notify_callback,
)

S = SecurityStatus
READ_ONLY, CHECKSUM = BufferAttribute.READONLY, BufferAttribute.READONLY_WITH_CHECKSUM
TOKEN, EMPTY = BufferType.TOKEN, BufferType.EMPTY
SERVER = Identity("HTTP/localhost", "scripted", attributes=AscRet.MUTUAL_AUTH)


# How a call ended, whoever asks and however.


async def by_callback(call: AsyncContext, queue: Callable[[], SecurityStatus]) -> CallResult | None:
    told: asyncio.Future[CallResult | None] = asyncio.get_running_loop().create_future()
    set_async_notify_callback(call, lambda ended, _: told.set_result(ended.result))
    assert queue() is S.SEC_E_OK
    return await told


async def by_polling(call: AsyncContext, queue: Callable[[], SecurityStatus]) -> CallResult | None:
    assert queue() is S.SEC_E_OK
    while get_async_call_status(call) is S.SEC_I_ASYNC_CALL_PENDING:
        assert call.result is None
        await asyncio.sleep(0.001)
    return call.result


async def by_waiting(call: AsyncContext, queue: Callable[[], SecurityStatus]) -> CallResult | None:
    assert queue() is S.SEC_E_OK
    return await call


HEARING: dict[str, Callable[..., Awaitable[CallResult | None]]] = {
    "callback": by_callback,
    "polling": by_polling,
    "waiting": by_waiting,
}


@pytest.mark.parametrize("hear", HEARING.values(), ids=HEARING)
async def test_who_is_refused_and_why_is_told_in_every_way(
    backend: Backend, hear: Callable[..., Awaitable[CallResult | None]]
) -> None:
    async with acquire_credentials(backend.make_provider()) as credential:
        call, context, client = AsyncContext(), ContextHandle(), backend.make_stranger()
        result: CallResult | None = None
        while result is None or result.error is None:
            answer = None if result is None else token_of(result)
            earlier = context if result is not None else None
            queue = partial(
                accept_security_context_async,
                *(call, credential, earlier, tokens(client.step(answer) or b"")),
                new_context=context,
            )
            reinit_async_context(call)
            result = await hear(call, queue)
            assert result is not None
            assert call.result is result
            assert result.status is get_async_call_status(call)
            if result.status in COMPLETING:
                output = result.output
                result = replace(await complete(context, output), output=output)
        assert result.error.detail
        assert not context.is_valid


async def test_a_result_is_there_as_long_as_its_call_is_complete() -> None:
    async with a_world() as world:
        call = AsyncContext()
        assert call.result is None
        QUEUEING["accept"](call, world)
        assert call.result is None
        result = await call
        assert call.result is result
        assert result.context is world.fresh
        assert reinit_async_context(call) is S.SEC_E_OK
        assert call.result is None
        QUEUEING["delete"](call, world)
        await call
        assert free_async_context(call) is S.SEC_E_OK
        assert call.result is None


async def test_a_context_whose_result_was_read_is_not_taken_back() -> None:
    """Whoever polls has the handle, and deletes it, although a task that waits is cancelled."""
    async with a_world() as world:
        call = AsyncContext()

        async def wait() -> None:
            await call

        QUEUEING["accept"](call, world)
        task = asyncio.create_task(wait())
        while call.result is None:
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert world.fresh.is_valid


# After SEC_E_INCOMPLETE_MESSAGE.

WHOLE = b"aab token"
PIECES = {
    "the rest": [b"aab", b" to", b"ken"],
    "the whole buffer again": [b"aab", b"aab to", b"aab token"],
    "the one and then the other": [b"aab", b"aab to", b"ken"],
    "the other and then the one": [b"aab", b" to", b"aab token"],
    "a rest that is as long as the beginning": [b"a", b"a", b"b token"],
    "a rest that begins as the whole does": [b"aa", b"b token"],
}


def wants_whole(answer: Identity, seen: list[bytes]) -> Callable[[bytes], Act]:
    def look(token: bytes) -> Act:
        seen.append(token)
        return Established(answer) if token == WHOLE else Incomplete()

    return look


@pytest.mark.parametrize("pieces", PIECES.values(), ids=PIECES)
async def test_a_server_takes_the_rest_and_the_whole_buffer_again(pieces: Sequence[bytes]) -> None:
    seen: list[bytes] = []
    provider = ScriptedProvider([wants_whole(ALICE, seen)] * 3)
    async with acquire_credentials(provider) as credential:
        context, call = ContextHandle(), AsyncContext()
        for number, piece in enumerate(pieces):
            earlier = context if number else None
            queued = accept_security_context_async(
                call, credential, earlier, tokens(piece), new_context=context
            )
            assert queued is S.SEC_E_OK
            result = await call
            reinit_async_context(call)
        assert result.status is S.SEC_E_OK
        assert seen[-1] == WHOLE
        await delete(context)


@pytest.mark.parametrize("pieces", PIECES.values(), ids=PIECES)
async def test_so_does_the_short_form_of_both_sides(pieces: Sequence[bytes]) -> None:
    server = ScriptedProvider([wants_whole(ALICE, [])] * 3)
    async with acquire_credentials(server) as credential, ServerContext(credential) as context:
        for piece in pieces:
            await context.accept(piece)
        assert context.is_established
    client = ScriptedProvider([Incomplete()] + [wants_whole(SERVER, [])] * 3)
    use = CredentialUse.OUTBOUND
    async with acquire_credentials(client, use=use) as credential:
        async with ClientContext(credential, "HTTP/localhost") as outward:
            await outward.initialize()
            for piece in pieces:
                await outward.initialize(piece)
            assert outward.is_established


async def test_a_token_that_is_whole_is_never_cut() -> None:
    """The next token of a handshake may begin as the one before."""
    seen: list[bytes] = []

    def look(token: bytes) -> Act:
        seen.append(token)
        return Established(ALICE)

    async with a_world() as world:
        await begun(world, b"alice:continue", world.fresh)
        call = AsyncContext()
        again = tokens(b"alice:continue:")
        accept_security_context_async(call, world.credential, world.fresh, again)
        await call
        name = await query_context_attributes(world.fresh, ContextAttribute.NAMES)
        assert name.value == "alice:continue"


# Memory that runs out, for real.


def exhaust(_: object = None) -> Any:
    return bytes(1 << 62)


async def last_of(provider: ScriptedProvider) -> CallResult:
    async with acquire_credentials(provider) as credential:
        call = AsyncContext()
        assert accept_security_context_async(call, credential, None, tokens(b"x")) is S.SEC_E_OK
        return await call


async def test_memory_that_runs_out_in_a_step_is_insufficient_memory() -> None:
    provider = ScriptedProvider([exhaust])
    result = await last_of(provider)
    assert result.status is S.SEC_E_INSUFFICIENT_MEMORY
    assert isinstance(result.error, OverloadedError)
    assert result.error.detail == "the provider raised MemoryError"
    await nothing_is_left(provider)


async def test_memory_that_runs_out_in_complete_auth_token_is_insufficient_memory() -> None:
    provider = ScriptedProvider([CompleteNeeded(), exhaust])
    async with acquire_credentials(provider) as credential:
        call, context = AsyncContext(), ContextHandle()
        accept_security_context_async(call, credential, None, tokens(b"x"), new_context=context)
        await call
        assert await complete_auth_token(context) is S.SEC_E_INSUFFICIENT_MEMORY
        assert not context.is_valid
    await nothing_is_left(provider)


@pytest.mark.parametrize("method", ["create_context", "check"])
async def test_memory_that_runs_out_around_a_step_is_insufficient_memory(
    monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    provider = ScriptedProvider()
    monkeypatch.setattr(provider, method, exhaust if method != "check" else lambda: exhaust())
    if method == "check":
        call = AsyncContext()
        acquire_credentials_handle_async(
            call, None, provider, CredentialUse.INBOUND, None, CredentialHandle()
        )
        result = await call
    else:
        result = await last_of(provider)
    assert result.status is S.SEC_E_INSUFFICIENT_MEMORY


@pytest.mark.skipif(sys.platform == "win32", reason="its files are not sparse unless they are told")
async def test_a_token_that_memory_has_no_room_for_is_refused_at_once(tmp_path: Path) -> None:
    room = tmp_path / "room"
    with room.open("wb+") as file:
        file.truncate(1 << 42)
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
            view: Any = memoryview(mapped)
            async with a_world() as world:
                given = tokens(view)
                call = AsyncContext()
                queued = accept_security_context_async(call, world.credential, None, given)
                assert queued is S.SEC_E_INSUFFICIENT_MEMORY
                assert get_async_call_status(call) is S.SEC_E_OUT_OF_SEQUENCE
                queued = initialize_security_context_async(
                    call, world.credential, None, "HTTP/localhost", new_context=world.fresh
                )
                assert queued is S.SEC_E_OK
            view.release()


# Types of buffers, as C writes them.

TYPES: dict[str, Any] = {
    "a number": 2,
    "read only": TOKEN | READ_ONLY,
    "read only, the other way round": READ_ONLY | TOKEN,
    "covered by a checksum": TOKEN | CHECKSUM,
    "all attributes": 2 | 0xF000_0000,
    "reserved": TOKEN | BufferAttribute.RESERVED,
}
NO_TYPES: dict[str, Any] = {
    "another one": 1,
    "unknown": 0x0FFF_FFFF,
    "negative": -2,
    "of 33 bits": (1 << 32) | 2,
    "a truth": True,
    "a text": "TOKEN",
    "nothing": None,
    "a fraction": 2.0,
}


@pytest.mark.parametrize("kind", TYPES.values(), ids=TYPES)
async def test_a_token_is_one_whatever_bits_are_joined_to_its_type(kind: Any) -> None:
    assert repr(SecBuffer(kind, b"secret")) == "SecBuffer(TOKEN, 6 bytes)"
    async with a_world() as world:
        call = AsyncContext()
        given = SecBufferDesc((SecBuffer(kind, b"bob:"), SecBuffer(0)))
        queued = accept_security_context_async(call, world.credential, None, given)
        assert queued is S.SEC_E_OK
        result = await call
        assert result.status is S.SEC_E_OK
        await delete(result.context)


@pytest.mark.parametrize("kind", NO_TYPES.values(), ids=NO_TYPES)
async def test_what_is_no_type_of_a_token_is_none(kind: Any) -> None:
    assert "secret" not in repr(SecBuffer(kind, b"secret"))
    async with a_world() as world:
        given = SecBufferDesc((SecBuffer(kind, b"bob:"),))
        call = AsyncContext()
        queued = accept_security_context_async(call, world.credential, None, given)
        assert queued is S.SEC_E_INVALID_TOKEN


@pytest.mark.parametrize("bits", [READ_ONLY, CHECKSUM, int(READ_ONLY)])
async def test_what_is_read_only_is_not_written_to(bits: int) -> None:
    async with a_world() as world:
        call = AsyncContext()
        arguments = call, world.credential, None
        kept = SecBufferDesc((SecBuffer(TOKEN | bits, b"as it was"),))
        queued = accept_security_context_async(*arguments, tokens(b"bob:"), output=kept)
        assert queued is S.SEC_E_BUFFER_TOO_SMALL
        both = SecBufferDesc((*kept, SecBuffer(2)))
        queued = accept_security_context_async(
            *arguments, tokens(b"bob:"), output=both, new_context=world.fresh
        )
        assert queued is S.SEC_E_OK
        await call
        assert [buffer.data for buffer in both] == [b"as it was", b"proof"]


async def test_an_empty_buffer_that_is_read_only_is_not_filled() -> None:
    provider = ScriptedProvider([Established(ALICE, unused=4)])
    given = SecBufferDesc((SecBuffer(2, b"tokenREST"), SecBuffer(EMPTY | READ_ONLY), SecBuffer(0)))
    async with acquire_credentials(provider) as credential:
        call = AsyncContext()
        accept_security_context_async(call, credential, None, given)
        await delete((await call).context)
    assert [buffer.data for buffer in given.buffers[1:]] == [b"", b"REST"]


# What is refused at once.


@pytest.mark.parametrize("version", [1, -1, 1 << 32, None, False, "0"])
async def test_buffers_of_an_unknown_version_are_refused(version: Any) -> None:
    async with a_world() as world:
        call = AsyncContext()
        given = SecBufferDesc((SecBuffer(TOKEN, b"bob:"),), version)
        place = SecBufferDesc((SecBuffer(TOKEN),), version)
        queued = [
            accept_security_context_async(call, world.credential, None, given),
            accept_security_context_async(
                call, world.credential, None, tokens(b"bob:"), output=place
            ),
            initialize_security_context_async(
                call, world.credential, None, "HTTP/localhost", input=given
            ),
        ]
        assert set(queued) == {S.SEC_E_INVALID_PARAMETER}
        assert await begun(world, b"bob:complete", world.fresh) is S.SEC_I_COMPLETE_NEEDED
        assert await complete_auth_token(world.fresh, place) is S.SEC_E_INVALID_PARAMETER
        assert await complete_auth_token(world.fresh) is S.SEC_E_OK


@pytest.mark.parametrize("wrong", [5, None, "buffers", (None,), (b"token",), [SecBuffer, 2]])
async def test_what_are_no_buffers_in_a_description_is_refused(wrong: Any) -> None:
    async with a_world() as world:
        call, given = AsyncContext(), SecBufferDesc(wrong)
        queued = [
            accept_security_context_async(call, world.credential, None, given),
            accept_security_context_async(
                call, world.credential, None, tokens(b"bob:"), output=given
            ),
            initialize_security_context_async(
                call, world.credential, None, "HTTP/localhost", input=given
            ),
        ]
        assert set(queued) == {S.SEC_E_INVALID_PARAMETER}


@pytest.mark.parametrize("wrong", [None, "bindings", 40, [0] * 40])
async def test_channel_bindings_that_are_no_bytes_are_bad_bindings(wrong: Any) -> None:
    async with a_world() as world:
        given = tokens(b"bob:", SecBuffer(BufferType.CHANNEL_BINDINGS, wrong))
        queued = accept_security_context_async(AsyncContext(), world.credential, None, given)
        assert queued is S.SEC_E_BAD_BINDINGS


@pytest.mark.parametrize("wrong", [5, b"HTTP/localhost", ["HTTP/localhost"]])
async def test_a_target_that_is_no_text_is_an_invalid_parameter(wrong: Any) -> None:
    async with a_world() as world:
        queued = initialize_security_context_async(AsyncContext(), world.credential, None, wrong)
        assert queued is S.SEC_E_INVALID_PARAMETER


WRONG: dict[str, Any] = {"text": "required", "bytes": b"2", "list": [], "nothing": None}


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
@pytest.mark.parametrize("argument", ["context_req", "target_data_rep", "required_attributes"])
async def test_flags_that_are_none_are_invalid_parameters(argument: str, wrong: Any) -> None:
    async with a_world() as world:
        call, more = AsyncContext(), {argument: wrong}
        queued = [
            accept_security_context_async(call, world.credential, None, tokens(b"bob:"), **more),
            initialize_security_context_async(
                call, world.credential, None, "HTTP/localhost", **more
            ),
        ]
        assert queued == [S.SEC_E_INVALID_PARAMETER] * 2


async def test_flags_may_be_numbers() -> None:
    async with a_world() as world:
        call = AsyncContext()
        numbers: list[Any] = [int(AscReq.MUTUAL_AUTH), int(TargetDataRep.NATIVE)]
        queued = accept_security_context_async(
            call, world.credential, None, tokens(b"bob:"), *numbers, new_context=world.fresh
        )
        assert queued is S.SEC_E_OK
        assert (await call).status is S.SEC_E_OK
        asked: Any = int(IscReq.MUTUAL_AUTH)
        queued = initialize_security_context_async(
            AsyncContext(), world.credential, None, "HTTP/x", asked, new_context=world.another
        )
        assert queued is S.SEC_E_OK


@pytest.mark.parametrize("wrong", [5, "call me", []])
async def test_a_callback_that_cannot_be_called_is_an_invalid_parameter(wrong: Any) -> None:
    call = AsyncContext()
    assert set_async_notify_callback(call, wrong) is S.SEC_E_INVALID_PARAMETER
    assert set_async_notify_callback(call, None) is S.SEC_E_OK


@pytest.mark.parametrize(
    ("attribute", "status"),
    [
        (1, S.SEC_E_OK),
        (4711, S.SEC_E_UNSUPPORTED_FUNCTION),
        ("NAMES", S.SEC_E_UNSUPPORTED_FUNCTION),
    ],
)
async def test_attributes_may_be_numbers(attribute: Any, status: SecurityStatus) -> None:
    async with a_world() as world:
        answer = await query_context_attributes(world.established, attribute)
        assert answer.status is status


SETTINGS: dict[str, dict[str, Any]] = {
    "use": {"use": "inbound"},
    "package": {"package": 5},
    "principal": {"package": "Kerberos", "principal": 5, "keytab": "/nowhere"},
    "principal of a provider": {"principal": "HTTP/localhost"},
    "keytab of a provider": {"keytab": "/nowhere"},
    "keytab": {"package": "Kerberos", "keytab": 5},
    "keytab and password": {
        "package": "Kerberos",
        "keytab": "/nowhere",
        "password": Password("alice", "secret"),
    },
    "limits": {"limits": 5},
    "password": {"package": "NTLM", "password": "secret"},
    "principal of ntlm": {
        "package": "NTLM",
        "principal": "HTTP/localhost",
        "password": Password("alice", "secret"),
    },
    "principal of a ticket": {
        "package": "Negotiate",
        "principal": "alice",
        "use": CredentialUse.OUTBOUND,
    },
}


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
async def test_wrong_settings_of_a_credential_are_told_by_both_forms(
    settings: dict[str, Any],
) -> None:
    settings = {"package": ScriptedProvider(), **settings}
    with pytest.raises(ConfigError) as caught:
        async with acquire_credentials(**settings):
            pass
    assert caught.value.status is S.SEC_E_INVALID_PARAMETER
    if {"keytab", "password"} <= settings.keys() or settings.get("keytab") == 5:
        return  # it cannot be told to the call
    given = settings.get("password")
    call, handle = AsyncContext(), CredentialHandle()
    queued = acquire_credentials_handle_async(
        call,
        settings.get("principal"),
        settings["package"],
        settings.get("use", CredentialUse.INBOUND),
        Keytab(settings["keytab"]) if "keytab" in settings else given,
        handle,
        **({"limits": settings["limits"]} if "limits" in settings else {}),
    )
    status = (await call).status if queued is S.SEC_E_OK else queued
    assert status is S.SEC_E_INVALID_PARAMETER
    assert not handle.is_valid
