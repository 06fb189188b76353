"""What a provider claims with its yes: nobody is let in before the store has called it new."""

from __future__ import annotations

import asyncio
import gc
import hashlib
import logging
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import pytest
from old_stores import old_store
from waiting import until

from authsrv import sspi
from authsrv.core.claims import Claim, Purpose
from authsrv.core.limits import Limits
from authsrv.core.results import CompleteNeeded, Established, Refused, Result
from authsrv.errors import (
    AuthsrvError,
    ConfigError,
    ProviderFaultError,
    ReplayError,
    StoreError,
    UnexpectedTokenError,
)
from authsrv.handshake.acceptor import Acceptor
from authsrv.handshake.context_guard import Retention
from authsrv.handshake.machine import State
from authsrv.providers.scripted import ALICE, Act, ScriptedProvider
from authsrv.stores.base import Store
from authsrv.stores.memory import MemoryStore


def claim(name: str = "token") -> Claim:
    return Claim(Purpose.REPLAY, hashlib.sha256(name.encode()).digest(), 2e9)


YES = Established(ALICE, b"proof", claims=(claim(),))


class Waiting(MemoryStore):
    """Answers when it is let go, as a store on another machine would, or as it is told."""

    def __init__(self, answer: Any = None) -> None:
        super().__init__()
        self.go_on = asyncio.Event()
        self.answer = answer
        self.asked: list[Claim] = []
        self.is_waited_for = False

    def check_at_once(self, claim: Claim) -> None:  # type: ignore[override]
        """Never."""

    async def check_and_store(self, claim: Claim) -> bool:
        self.asked.append(claim)
        self.is_waited_for = True
        await self.go_on.wait()
        self.is_waited_for = False
        if isinstance(self.answer, BaseException):
            raise self.answer
        if self.answer is not None:
            answer: bool = self.answer
            return answer
        return super().check_at_once(claim)


class AtOnce(MemoryStore):
    """Answers at once, what it is told."""

    def __init__(self, answer: Any) -> None:
        super().__init__()
        self.answer = answer

    def check_at_once(self, claim: Claim) -> bool:
        if isinstance(self.answer, BaseException):
            raise self.answer
        answer: bool = self.answer
        return answer


class Collecting:
    """A handler of an answer."""

    def __init__(self) -> None:
        self.answer: asyncio.Future[Result] = asyncio.get_running_loop().create_future()

    def done(self) -> bool:
        return self.answer.done()

    def set_result(self, result: Result) -> None:
        self.answer.set_result(result)

    def set_exception(self, exception: BaseException) -> None:
        self.answer.set_exception(exception)


async def by_advance(acceptor: Acceptor, retention: Retention = Retention.KEEP) -> Result:
    return (await acceptor.create_handshake(retention=retention).advance(b"token")).result


async def by_calls(acceptor: Acceptor, retention: Retention = Retention.KEEP) -> Result:
    handler = Collecting()
    acceptor.create_handshake(retention=retention).submit_step(b"token", handler)
    return await handler.answer


WAYS = {"advance": by_advance, "calls": by_calls}
Way = Callable[..., Awaitable[Result]]
each_way = pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)


def acceptor_of(store: Store | None, *script: Act, **bounds: Any) -> Acceptor:
    return Acceptor(ScriptedProvider(script or [YES]), limits=Limits(**bounds), store=store)


async def refusal(way: Way, acceptor: Acceptor) -> AuthsrvError:
    """Why nobody is let in; the context is deleted."""
    result = await way(acceptor)
    assert isinstance(result, Refused), result
    assert result.token == b""
    provider = acceptor.provider
    assert isinstance(provider, ScriptedProvider)
    assert acceptor.pending == 0
    await until(lambda: provider.open_contexts == 0)
    return result.error


@each_way
async def test_of_two_handshakes_with_one_token_the_second_is_refused(way: Way) -> None:
    async with acceptor_of(MemoryStore()) as acceptor:
        assert await way(acceptor, Retention.RELEASE) == YES
        error = await refusal(way, acceptor)
    assert isinstance(error, ReplayError)
    assert error.detail == "the token was used before"


@each_way
async def test_a_store_that_has_to_be_awaited_is(way: Way) -> None:
    store = Waiting()
    async with acceptor_of(store) as acceptor:
        first = asyncio.ensure_future(way(acceptor, Retention.RELEASE))
        await until(lambda: store.is_waited_for)
        await asyncio.sleep(0.05)
        assert not first.done(), "somebody is let in before the store has answered"
        store.go_on.set()
        assert await first == YES
        assert isinstance(await refusal(way, acceptor), ReplayError)


@each_way
async def test_every_claim_is_made_and_each_once(way: Way) -> None:
    claims = tuple(claim(name) for name in ("one", "two", "three"))
    store = Waiting()
    store.go_on.set()
    async with acceptor_of(store, Established(ALICE, claims=claims)) as acceptor:
        assert isinstance(await way(acceptor, Retention.RELEASE), Established)
        assert store.asked == list(claims)
    known = old_store()
    known.check_at_once(claims[2])
    async with acceptor_of(known, Established(ALICE, claims=claims)) as acceptor:
        assert isinstance(await refusal(way, acceptor), ReplayError)


@each_way
@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (StoreError("it is full"), "it is full"),
        (OSError("secret"), "the store raised OSError"),
        (RuntimeError("secret"), "the store raised RuntimeError"),
        (1, "the store answered int, which is no answer"),
        ("fresh", "the store answered str, which is no answer"),
        (b"", "the store answered bytes, which is no answer"),
    ],
)
@pytest.mark.parametrize("kind", [AtOnce, Waiting])
async def test_a_store_that_does_not_answer_lets_nobody_in(
    way: Way, kind: Callable[[Any], AtOnce | Waiting], answer: Any, words: str
) -> None:
    store = kind(answer)
    if isinstance(store, Waiting):
        store.go_on.set()
    async with acceptor_of(store) as acceptor:
        error = await refusal(way, acceptor)
    assert isinstance(error, StoreError)
    assert error.detail == words


@each_way
@pytest.mark.parametrize("bounds", [{"step_seconds": 0.5}, {"handshake_seconds": 0.5}])
async def test_a_store_that_hangs_lets_nobody_in_within_the_deadline(
    way: Way, bounds: dict[str, float]
) -> None:
    async with acceptor_of(Waiting(), **bounds) as acceptor:
        async with asyncio.timeout(5):
            error = await refusal(way, acceptor)
    assert isinstance(error, StoreError)
    assert "the store did not answer within 0." in error.detail


@each_way
async def test_without_a_store_nobody_is_let_in_who_claims(way: Way) -> None:
    async with acceptor_of(None) as acceptor:
        error = await refusal(way, acceptor)
        assert isinstance(error, StoreError)
        assert "no store" in error.detail
    async with acceptor_of(None, Established(ALICE)) as acceptor:
        assert isinstance(await way(acceptor, Retention.RELEASE), Established)


@each_way
@pytest.mark.parametrize("wrong", [[claim()], ("claim",), None, claim()])
async def test_what_is_no_claim_is_the_providers_fault(way: Way, wrong: Any) -> None:
    async with acceptor_of(MemoryStore(), Established(ALICE, claims=wrong)) as acceptor:
        assert isinstance(await refusal(way, acceptor), ProviderFaultError)


async def test_a_claim_comes_after_complete_auth_token() -> None:
    store = MemoryStore()
    async with acceptor_of(store, CompleteNeeded(b"out"), YES) as acceptor:
        first = await acceptor.create_handshake().advance(b"token")
        second = await acceptor.create_handshake().advance(b"token")
    assert first.result == YES
    assert isinstance(second.result, Refused)
    assert second.states[-2:] == (State.COMPLETING, State.FAILED)
    async with acceptor_of(store, CompleteNeeded(b"out"), YES) as acceptor:
        handshake = acceptor.create_handshake(retention=Retention.KEEP)
        handler = Collecting()
        handshake.submit_step(b"token", handler)
        assert await handler.answer == CompleteNeeded(b"out")
        assert isinstance((await handshake.complete()).result, Refused)


@each_way
async def test_a_handshake_that_is_closed_meanwhile_is_not_established(way: Way) -> None:
    store = Waiting()
    async with acceptor_of(store) as acceptor:
        asking = asyncio.ensure_future(refusal(way, acceptor))
        await until(lambda: store.is_waited_for)
        acceptor.close()
        store.go_on.set()
        assert isinstance(await asking, UnexpectedTokenError)


async def test_a_handshake_whose_task_is_cancelled_meanwhile_deletes_its_context() -> None:
    store = Waiting()
    async with acceptor_of(store) as acceptor:
        asking = asyncio.ensure_future(by_advance(acceptor))
        await until(lambda: store.is_waited_for)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        provider = acceptor.provider
        assert isinstance(provider, ScriptedProvider)
        await until(lambda: provider.open_contexts == 0)
        assert acceptor.pending == 0


async def test_a_call_that_is_cancelled_meanwhile_is_told_nothing() -> None:
    store, provider = Waiting(), ScriptedProvider([YES])
    provider.store = store  # type: ignore[attr-defined]
    async with sspi.acquire_credentials(provider) as credential:
        call = sspi.AsyncContext()
        token = sspi.SecBufferDesc((sspi.SecBuffer(sspi.BufferType.TOKEN, b"token"),))
        sspi.accept_security_context_async(call, credential, None, token)
        await until(lambda: store.is_waited_for)
        waiting = asyncio.ensure_future(waiting_for(call))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        result = call.result
        assert result is not None
        assert result.status is sspi.SecurityStatus.SEC_E_UNFINISHED_CONTEXT_DELETED
        store.go_on.set()
        await until(lambda: provider.open_contexts == 0)
        await asyncio.sleep(0.05)
        assert call.result is result


async def test_a_handler_that_is_done_meanwhile_is_told_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    store = Waiting()
    async with acceptor_of(store) as acceptor:
        handshake, handler = acceptor.create_handshake(), Collecting()
        handshake.submit_step(b"token", handler)
        await until(lambda: store.is_waited_for)
        handler.answer.cancel()
        handshake.close()
        store.go_on.set()
        await until(lambda: not store.is_waited_for)
        await asyncio.sleep(0.05)
        gc.collect()
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


async def waiting_for(call: sspi.AsyncContext) -> None:
    await call


def test_a_call_that_no_task_awaits_ends_with_its_loop(caplog: pytest.LogCaptureFixture) -> None:
    provider = ScriptedProvider([YES])
    call = sspi.AsyncContext()

    async def begin() -> None:
        store = Waiting()
        provider.store = store  # type: ignore[attr-defined]
        credential, acquired = sspi.CredentialHandle(), sspi.AsyncContext()
        inbound = sspi.CredentialUse.INBOUND
        sspi.acquire_credentials_handle_async(acquired, None, provider, inbound, None, credential)
        await acquired
        token = sspi.SecBufferDesc((sspi.SecBuffer(sspi.BufferType.TOKEN, b"token"),))
        sspi.accept_security_context_async(call, credential, None, token)
        await until(lambda: store.is_waited_for)

    asyncio.run(begin())
    assert call.result is not None
    assert call.result.status is sspi.SecurityStatus.SEC_E_UNFINISHED_CONTEXT_DELETED
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


async def test_a_store_that_answers_at_once_costs_the_calls_no_task() -> None:
    async with acceptor_of(MemoryStore()) as acceptor:
        handler = Collecting()
        tasks: set[asyncio.Task[Any]] = set()
        handler.answer.add_done_callback(lambda _: tasks.update(asyncio.all_tasks()))
        acceptor.create_handshake().submit_step(b"token", handler)
        await handler.answer
        await asyncio.sleep(0)
        assert tasks == {asyncio.current_task()}


class TestWhichStore:
    def test_it_is_the_providers_own_where_none_is_given(self) -> None:
        provider, store = ScriptedProvider(), MemoryStore()
        assert Acceptor(provider).store is None
        assert Acceptor(provider, store=store).store is store
        provider.store = store  # type: ignore[attr-defined]
        assert Acceptor(provider).store is store
        assert Acceptor(provider, store=store).store is store

    def test_it_is_not_another_one_than_the_providers_own(self) -> None:
        provider = ScriptedProvider()
        provider.store = MemoryStore()  # type: ignore[attr-defined]
        with pytest.raises(ConfigError, match="the provider has another one"):
            Acceptor(provider, store=MemoryStore())

    @pytest.mark.parametrize("wrong", ["memory", 7, MemoryStore, [], False])
    def test_it_is_a_store(self, wrong: Any) -> None:
        with pytest.raises(ConfigError, match="store must be a store"):
            Acceptor(ScriptedProvider(), store=wrong)


@pytest.mark.parametrize(
    "given",
    [
        {"purpose": "replay"},
        {"key": b"short"},
        {"key": bytearray(32)},
        {"key": "k" * 32},
        {"expires_at": "soon"},
        {"expires_at": float("nan")},
        {"expires_at": True},
    ],
)
def test_a_claim_is_what_it_says(given: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="of a claim must be"):
        Claim(**{"purpose": Purpose.REPLAY, "key": bytes(32), "expires_at": 1.0, **given})


def test_a_claim_shows_no_key() -> None:
    shown: Iterable[str] = (repr(claim()), repr(YES))
    assert not any(repr(claim().key) in text for text in shown)
