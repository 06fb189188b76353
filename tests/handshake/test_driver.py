"""The coroutine around the table: every outcome of a leg, every fault of a provider, every end."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import logging
import threading
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest
from waiting import until

import authsrv.errors
from authsrv.core.limits import Limits
from authsrv.core.outcome import Outcome, outcome_of
from authsrv.core.results import (
    CompleteAndContinue,
    CompleteNeeded,
    Continue,
    Established,
    Incomplete,
    Refused,
    Result,
)
from authsrv.core.status import SecurityStatus
from authsrv.errors import (
    AuthsrvError,
    ConfigError,
    DeadlineError,
    HandshakeExpiredError,
    InvalidTokenError,
    KeytabError,
    LogonDeniedError,
    OverloadedError,
    ProviderFaultError,
    StateError,
    TokenTooLargeError,
    TooManyRoundsError,
    UnexpectedTokenError,
)
from authsrv.handshake.acceptor import Acceptor
from authsrv.handshake.context_guard import ContextGuard, Retention
from authsrv.handshake.driver import Handshake, Leg
from authsrv.handshake.machine import State
from authsrv.handshake.pool import WorkerPool
from authsrv.providers.base import ContextRequest, SecurityContext
from authsrv.providers.scripted import ALICE, Act, Delay, ScriptedContext, ScriptedProvider

SECRET = "SECRETSECRET"
FATAL = (Outcome.PROTOCOL_ERROR, Outcome.DENIED, Outcome.UNAVAILABLE, Outcome.INTERNAL_ERROR)
ERRORS = [
    kind
    for _, kind in inspect.getmembers(authsrv.errors, inspect.isclass)
    if kind.__module__ == AuthsrvError.__module__ and issubclass(kind, AuthsrvError)
]
S, Status = State, SecurityStatus


def acceptor_of(*script: Act, **bounds: Any) -> tuple[Acceptor, ScriptedProvider]:
    provider = ScriptedProvider(script)
    return Acceptor(provider, limits=Limits(**bounds)), provider


async def ended(acceptor: Acceptor, provider: ScriptedProvider, *, contexts: int = 1) -> None:
    """Nothing is pending, and each context was deleted."""
    assert acceptor.pending == 0
    await until(lambda: provider.deleted == contexts)
    assert provider.created == contexts
    acceptor.close()


async def what_was_spawned(acceptor: Acceptor) -> None:
    """Let the threads come to what was handed to them before."""
    await acceptor.pool.run(lambda: None)


def error_of(leg: Leg) -> AuthsrvError:
    assert isinstance(leg.result, Refused), leg.result
    return leg.result.error


# Every outcome of a leg.


async def test_ok_establishes_the_client_and_deletes_the_context() -> None:
    acceptor, provider = acceptor_of(Established(ALICE, b"proof"))
    handshake = acceptor.create_handshake()
    leg = await handshake.advance(b"token")
    assert leg.result == Established(ALICE, b"proof")
    assert leg.status is Status.SEC_E_OK
    assert leg.states == (S.AWAIT_TOKEN, S.ACCEPTING, S.ESTABLISHED)
    assert leg.token_bytes == 5
    assert leg.seconds > 0
    assert handshake.state is S.ESTABLISHED
    assert not handshake.is_open
    await ended(acceptor, provider)


async def test_continue_waits_for_the_next_token_with_the_context_alive() -> None:
    acceptor, provider = acceptor_of(Continue(b"next"), Established(ALICE))
    handshake = acceptor.create_handshake()
    leg = await handshake.advance(b"one")
    assert leg.result == Continue(b"next")
    assert leg.status is Status.SEC_I_CONTINUE_NEEDED
    assert leg.states == (S.AWAIT_TOKEN, S.ACCEPTING, S.AWAIT_TOKEN)
    assert handshake.is_open
    assert (acceptor.pending, provider.open_contexts) == (1, 1)
    leg = await handshake.advance(b"two")
    assert isinstance(leg.result, Established)
    await ended(acceptor, provider)


async def test_complete_needed_calls_complete_and_then_the_client_is_known() -> None:
    acceptor, provider = acceptor_of(CompleteNeeded(b"out"), Established(ALICE, b"proof"))
    leg = await acceptor.create_handshake().advance(b"token")
    assert leg.result == Established(ALICE, b"proof")
    assert leg.status is Status.SEC_I_COMPLETE_NEEDED
    assert leg.states == (S.AWAIT_TOKEN, S.ACCEPTING, S.COMPLETING, S.ESTABLISHED)
    await ended(acceptor, provider)


async def test_complete_needed_may_still_deny_the_logon() -> None:
    acceptor, provider = acceptor_of(CompleteNeeded(b"out"), Refused(LogonDeniedError("no")))
    handshake = acceptor.create_handshake()
    leg = await handshake.advance(b"token")
    assert error_of(leg).status is Status.SEC_E_LOGON_DENIED
    assert leg.status is Status.SEC_I_COMPLETE_NEEDED
    assert leg.states == (S.AWAIT_TOKEN, S.ACCEPTING, S.COMPLETING, S.FAILED)
    assert handshake.state is S.FAILED
    await ended(acceptor, provider)


async def test_complete_and_continue_completes_and_waits_for_the_next_token() -> None:
    script = (CompleteAndContinue(b"out"), Continue(b"completed"), Established(ALICE))
    acceptor, provider = acceptor_of(*script)
    handshake = acceptor.create_handshake()
    leg = await handshake.advance(b"one")
    assert leg.result == Continue(b"completed")
    assert leg.status is Status.SEC_I_COMPLETE_AND_CONTINUE
    assert leg.states == (S.AWAIT_TOKEN, S.ACCEPTING, S.COMPLETING_LEG, S.AWAIT_TOKEN)
    assert isinstance((await handshake.advance(b"two")).result, Established)
    await ended(acceptor, provider)


async def test_an_incomplete_token_is_stepped_again_as_a_whole() -> None:
    seen: list[bytes] = []

    def look(token: bytes) -> Result:
        seen.append(token)
        return Incomplete(missing=3) if len(token) < 6 else Established(ALICE)

    acceptor, provider = acceptor_of(look, look)
    handshake = acceptor.create_handshake()
    leg = await handshake.advance(b"abc")
    assert leg.result == Incomplete(missing=3)
    assert leg.status is Status.SEC_E_INCOMPLETE_MESSAGE
    assert leg.states == (S.AWAIT_TOKEN, S.ACCEPTING, S.AWAIT_MORE)
    leg = await handshake.advance(b"def")
    assert leg.states == (S.AWAIT_MORE, S.ACCEPTING, S.ESTABLISHED)
    assert leg.token_bytes == 3
    assert seen == [b"abc", b"abcdef"]
    await ended(acceptor, provider)


@pytest.mark.parametrize(
    "status", [s for s in Status if outcome_of(s) in FATAL], ids=lambda s: s.name
)
async def test_every_fatal_code_fails_the_handshake(status: SecurityStatus) -> None:
    error = AuthsrvError("no", status=status)
    acceptor, provider = acceptor_of(Refused(error, b"error token"))
    handshake = acceptor.create_handshake()
    leg = await handshake.advance(b"token")
    assert leg.result == Refused(error, b"error token")
    assert leg.status is status
    assert leg.states == (S.AWAIT_TOKEN, S.ACCEPTING, S.FAILED)
    assert not handshake.is_open
    await ended(acceptor, provider)


@pytest.mark.parametrize("kind", ERRORS)
async def test_every_error_comes_through_as_it_is(kind: type[AuthsrvError]) -> None:
    error = kind("no")
    acceptor, provider = acceptor_of(Refused(error))
    leg = await acceptor.create_handshake().advance(b"token")
    assert error_of(leg) is error
    assert leg.status is kind.status
    await ended(acceptor, provider)


# What a client may do wrong.


@pytest.mark.parametrize(
    ("tokens", "kind"),
    [
        ([b""], InvalidTokenError),
        ([b"x" * 9], TokenTooLargeError),
        ([b"1", b"2", b"3"], TooManyRoundsError),
    ],
)
async def test_a_token_over_a_limit_is_refused_without_asking_the_package(
    tokens: Sequence[bytes], kind: type[AuthsrvError]
) -> None:
    acceptor, provider = acceptor_of(*[Continue(b"next")] * 9, max_rounds=2, max_token_bytes=8)
    handshake = acceptor.create_handshake()
    for token in tokens:
        leg = await handshake.advance(token)
    assert isinstance(error_of(leg), kind)
    assert leg.status is kind.status
    assert leg.states == (S.AWAIT_TOKEN, S.FAILED)
    await ended(acceptor, provider)


async def test_a_token_after_the_end_is_refused() -> None:
    acceptor, provider = acceptor_of(Established(ALICE), Established(ALICE))
    handshake = acceptor.create_handshake()
    await handshake.advance(b"token")
    leg = await handshake.advance(b"token")
    assert isinstance(error_of(leg), UnexpectedTokenError)
    assert leg.states == (S.ESTABLISHED, S.FAILED)
    await ended(acceptor, provider)


async def test_a_token_after_the_time_of_the_handshake_is_refused() -> None:
    acceptor, provider = acceptor_of(Established(ALICE), handshake_seconds=0.001)
    handshake = acceptor.create_handshake()
    await asyncio.sleep(0.01)
    assert isinstance(error_of(await handshake.advance(b"token")), HandshakeExpiredError)
    await ended(acceptor, provider)


# What a provider may do wrong.


def raising(error: BaseException) -> Callable[[bytes], Act]:
    def act(token: bytes) -> Act:
        raise error

    return act


@pytest.mark.parametrize(
    "error",
    [
        ValueError(SECRET),
        StopIteration(SECRET),
        TimeoutError(SECRET),
        SystemExit(SECRET),
        KeyboardInterrupt(SECRET),
        GeneratorExit(SECRET),
        asyncio.CancelledError(SECRET),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_whatever_a_package_raises_is_its_fault_and_its_text_is_dropped(
    error: BaseException,
) -> None:
    acceptor, provider = acceptor_of(raising(error))
    leg = await acceptor.create_handshake().advance(b"token")
    fault = error_of(leg)
    assert type(fault) is ProviderFaultError
    assert fault.detail == f"the provider raised {type(error).__name__}"
    assert fault.__context__ is None
    assert leg.status is Status.SEC_E_INTERNAL_ERROR
    assert leg.states == (S.AWAIT_TOKEN, S.ACCEPTING, S.FAILED)
    await ended(acceptor, provider)


async def test_memory_that_runs_out_is_an_overloaded_server_and_no_fault() -> None:
    acceptor, provider = acceptor_of(raising(MemoryError(SECRET)))
    leg = await acceptor.create_handshake().advance(b"token")
    error = error_of(leg)
    assert type(error) is OverloadedError
    assert error.detail == "the provider raised MemoryError"
    assert leg.status is Status.SEC_E_INSUFFICIENT_MEMORY
    await ended(acceptor, provider)


async def test_an_exception_in_complete_is_the_packages_fault_too() -> None:
    acceptor, provider = acceptor_of(CompleteNeeded(), ValueError(SECRET))
    leg = await acceptor.create_handshake().advance(b"token")
    assert isinstance(error_of(leg), ProviderFaultError)
    assert leg.states == (S.AWAIT_TOKEN, S.ACCEPTING, S.COMPLETING, S.FAILED)
    await ended(acceptor, provider)


async def test_an_error_of_ours_that_a_package_raises_keeps_its_cause() -> None:
    error = KeytabError("the keytab is missing")
    acceptor, provider = acceptor_of(error)
    assert error_of(await acceptor.create_handshake().advance(b"token")) is error
    await ended(acceptor, provider)


@pytest.mark.parametrize(
    "nonsense",
    [
        None,
        True,
        0,
        "established",
        b"token",
        ALICE,
        Status.SEC_E_OK,
        Continue(None),  # type: ignore[arg-type]
        Established(ALICE, SECRET),  # type: ignore[arg-type]
        Refused("because"),  # type: ignore[arg-type]
        Refused(ValueError(SECRET)),  # type: ignore[arg-type]
    ],
    ids=repr,
)
@pytest.mark.parametrize("call", ["step", "complete"])
async def test_an_answer_that_is_none_is_the_packages_fault(nonsense: Any, call: str) -> None:
    script = (nonsense,) if call == "step" else (CompleteNeeded(), nonsense)
    acceptor, provider = acceptor_of(*script)
    leg = await acceptor.create_handshake().advance(b"token")
    assert isinstance(error_of(leg), ProviderFaultError)
    assert SECRET not in error_of(leg).detail
    assert leg.states[-1] is S.FAILED
    await ended(acceptor, provider)


async def test_a_package_that_says_ok_and_names_nobody_lets_nobody_in() -> None:
    acceptor, provider = acceptor_of(lambda _: Established(None))  # type: ignore[arg-type]
    leg = await acceptor.create_handshake().advance(b"token")
    assert error_of(leg).detail == "the provider reported success without an identity"
    await ended(acceptor, provider)


@pytest.mark.parametrize("again", [CompleteNeeded(), CompleteAndContinue()])
@pytest.mark.parametrize("first", [CompleteNeeded(), CompleteAndContinue()])
async def test_a_complete_that_asks_for_complete_is_a_fault(first: Result, again: Result) -> None:
    acceptor, provider = acceptor_of(first, again, Established(ALICE))
    leg = await acceptor.create_handshake().advance(b"token")
    assert isinstance(error_of(leg), ProviderFaultError)
    completing = S.COMPLETING if isinstance(first, CompleteNeeded) else S.COMPLETING_LEG
    assert leg.states == (S.AWAIT_TOKEN, S.ACCEPTING, completing, S.FAILED)
    await ended(acceptor, provider)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (CompleteNeeded(), Continue(b"next")),
        (CompleteNeeded(), Incomplete()),
        (CompleteAndContinue(), Established(ALICE)),
        (CompleteAndContinue(), Incomplete()),
    ],
)
async def test_a_complete_that_answers_out_of_turn_is_a_fault(
    first: Result, second: Result
) -> None:
    acceptor, provider = acceptor_of(first, second)
    leg = await acceptor.create_handshake().advance(b"token")
    assert isinstance(error_of(leg), ProviderFaultError)
    assert leg.states[-1] is S.FAILED
    await ended(acceptor, provider)


class BrokenProvider:
    """A provider that cannot even make a context."""

    name = "broken"

    def __init__(self, error: Exception) -> None:
        self.error = error

    def create_context(self, request: ContextRequest) -> SecurityContext:
        raise self.error

    def check(self) -> None:
        """Find nothing wrong."""


async def test_a_package_that_cannot_make_a_context_is_at_fault_and_nothing_is_pending() -> None:
    acceptor = Acceptor(BrokenProvider(ValueError(SECRET)))
    with pytest.raises(ProviderFaultError, match="ValueError for a new context") as caught:
        acceptor.create_handshake()
    assert SECRET not in str(caught.value)
    assert caught.value.__suppress_context__
    assert acceptor.pending == 0
    acceptor.close()


async def test_a_package_that_cannot_do_what_is_asked_says_so_itself() -> None:
    error = ConfigError("no bindings here")
    acceptor = Acceptor(BrokenProvider(error))
    with pytest.raises(ConfigError) as caught:
        acceptor.create_handshake()
    assert caught.value is error
    assert acceptor.pending == 0
    acceptor.close()


class Stubborn(ScriptedContext):
    """A context whose deletion raises, against the contract."""

    def delete(self) -> None:
        super().delete()
        raise ValueError(SECRET)


class StubbornProvider(ScriptedProvider):
    """Makes such contexts."""

    def create_context(self, request: ContextRequest) -> ScriptedContext:
        super().create_context(request)
        return Stubborn(self, self._script)


@pytest.mark.parametrize("act", [Established(ALICE), Continue(b"next")])
async def test_a_deletion_that_raises_changes_nothing_and_is_logged_without_its_text(
    act: Result, caplog: pytest.LogCaptureFixture
) -> None:
    provider = StubbornProvider([act])
    acceptor = Acceptor(provider, realms="*")
    handshake = acceptor.create_handshake()
    leg = await handshake.advance(b"token")
    assert leg.result is act
    handshake.close()
    await ended(acceptor, provider)
    await until(lambda: bool(caplog.records))
    assert caplog.messages == ["the provider raised ValueError in delete"]
    assert caplog.records[0].levelno == logging.ERROR
    assert SECRET not in caplog.text


class Watched(ScriptedContext):
    """A context that notes where it is deleted."""

    def delete(self) -> None:
        super().delete()
        assert isinstance(self._provider, WatchedProvider)
        self._provider.deleted_on.append(threading.get_ident())


class WatchedProvider(ScriptedProvider):
    """Makes such contexts."""

    def __init__(self, *script: Act) -> None:
        super().__init__(script)
        self.deleted_on: list[int] = []

    def create_context(self, request: ContextRequest) -> ScriptedContext:
        super().create_context(request)
        return Watched(self, self._script)


async def by_closing(handshake: Handshake) -> None:
    handshake.close()


async def by_deleting(handshake: Handshake) -> None:
    done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    handshake.submit_delete(done)
    await done


@pytest.mark.parametrize("delete", [by_closing, by_deleting])
@pytest.mark.parametrize("act", [Established(ALICE), Continue(b"next")])
@pytest.mark.parametrize("closed", [False, True], ids=["", "acceptor-closed"])
async def test_a_context_is_deleted_once_and_on_a_thread(
    closed: bool, act: Result, delete: Callable[..., Awaitable[None]]
) -> None:
    provider = WatchedProvider(act)
    acceptor = Acceptor(provider)
    handshake = acceptor.create_handshake(retention=Retention.KEEP)
    await handshake.advance(b"token")
    if closed:
        acceptor.close()
    for _ in range(2):
        with contextlib.suppress(StateError):
            await delete(handshake)
    await ended(acceptor, provider)
    (thread,) = provider.deleted_on
    assert thread != threading.get_ident()


# Deadlines and limits.


async def test_a_package_that_hangs_is_given_up_and_its_context_deleted_when_it_returns() -> None:
    acceptor, provider = acceptor_of(Delay(60, Established(ALICE)), step_seconds=0.1)
    handshake = acceptor.create_handshake()
    leg = await handshake.advance(b"token")
    assert isinstance(error_of(leg), DeadlineError)
    assert leg.states == (S.AWAIT_TOKEN, S.ACCEPTING, S.FAILED)
    assert acceptor.pending == 0
    # Its thread is still inside: deleting the context under it would crash a native provider.
    await what_was_spawned(acceptor)
    assert provider.open_contexts == 1
    provider.release()
    await ended(acceptor, provider)


async def test_a_step_gets_no_more_time_than_the_handshake_has_left() -> None:
    acceptor, provider = acceptor_of(
        Delay(60, Established(ALICE)), step_seconds=60, handshake_seconds=0.3
    )
    leg = await asyncio.wait_for(acceptor.create_handshake().advance(b"token"), 5)
    assert isinstance(error_of(leg), DeadlineError)
    provider.release()
    await ended(acceptor, provider)


@pytest.mark.parametrize("act", [Continue(b"next"), Incomplete()])
async def test_a_handshake_that_is_abandoned_ends_by_itself(act: Result) -> None:
    acceptor, provider = acceptor_of(act, Established(ALICE), handshake_seconds=0.3)
    handshake = acceptor.create_handshake()
    await handshake.advance(b"token")
    assert handshake.is_open
    await until(lambda: not handshake.is_open)
    assert handshake.state is S.FAILED
    assert isinstance(error_of(await handshake.advance(b"late")), UnexpectedTokenError)
    await ended(acceptor, provider)


async def test_a_second_leg_that_hangs_past_the_time_of_the_handshake_is_the_packages_fault() -> (
    None
):
    acceptor, provider = acceptor_of(
        Continue(b"next"), Delay(60, Established(ALICE)), handshake_seconds=0.3
    )
    handshake = acceptor.create_handshake()
    await handshake.advance(b"one")
    leg = await handshake.advance(b"two")
    assert isinstance(error_of(leg), DeadlineError)
    assert leg.states == (S.AWAIT_TOKEN, S.ACCEPTING, S.FAILED)
    provider.release()
    await ended(acceptor, provider)


async def test_a_handshake_that_would_wait_beside_too_many_others_is_refused() -> None:
    acceptor, provider = acceptor_of(Continue(b"next"), Established(ALICE), max_pending=2)
    first, second, third = (
        acceptor.create_handshake(),
        acceptor.create_handshake(),
        acceptor.create_handshake(),
    )
    for handshake in (first, second):
        assert isinstance((await handshake.advance(b"one")).result, Continue)
    leg = await third.advance(b"one")
    assert isinstance(error_of(leg), OverloadedError)
    assert error_of(leg).detail == "2 handshakes wait for their clients"
    assert not third.is_open
    # Who gives up or goes on makes room.
    first.close()
    assert isinstance((await second.advance(b"two")).result, Established)
    others = [acceptor.create_handshake(), acceptor.create_handshake()]
    for handshake in others:
        assert isinstance((await handshake.advance(b"one")).result, Continue)
        handshake.close()
    await ended(acceptor, provider, contexts=5)


async def test_handshakes_of_one_leg_pass_however_many_wait() -> None:
    def one_or_two(token: bytes) -> Result:
        return Continue(b"next") if token == b"one of two" else Established(ALICE)

    acceptor, provider = acceptor_of(one_or_two, max_pending=1)
    waits = acceptor.create_handshake()
    await waits.advance(b"one of two")
    leg = await acceptor.create_handshake().advance(b"whole")
    assert isinstance(leg.result, Established)
    waits.close()
    await ended(acceptor, provider, contexts=2)


async def test_handshakes_that_nobody_drives_are_bounded() -> None:
    acceptor, provider = acceptor_of(max_pending=1, max_queued=1, max_workers=1)
    handshakes = [acceptor.create_handshake() for _ in range(3)]
    with pytest.raises(OverloadedError, match="3 handshakes are pending"):
        acceptor.create_handshake()
    for handshake in handshakes:
        handshake.close()
    await ended(acceptor, provider, contexts=3)


async def test_a_full_queue_refuses_the_leg_and_deletes_the_context() -> None:
    hang = Delay(60, Established(ALICE))
    acceptor, provider = acceptor_of(hang, max_workers=1, max_queued=1)
    first = asyncio.ensure_future(acceptor.create_handshake().advance(b"token"))
    await until(lambda: acceptor.pool.occupied == 1 and "0 calls wait" in repr(acceptor.pool))
    second = asyncio.ensure_future(acceptor.create_handshake().advance(b"token"))
    await asyncio.sleep(0)
    leg = await acceptor.create_handshake().advance(b"token")
    assert isinstance(error_of(leg), OverloadedError)
    assert not first.done()
    provider.release()
    assert isinstance((await first).result, Established)
    assert isinstance((await second).result, Established)
    await ended(acceptor, provider, contexts=3)


async def test_ten_thousand_handshakes_begun_and_abandoned_leave_nothing() -> None:
    acceptor, provider = acceptor_of(Continue(b"next"), handshake_seconds=60)
    handshakes = [acceptor.create_handshake() for _ in range(10_000)]
    for handshake in handshakes:
        handshake.close()
    await ended(acceptor, provider, contexts=10_000)


# Two at once, and closing.


async def test_two_tokens_at_once_fail_the_handshake_and_let_neither_in() -> None:
    acceptor, provider = acceptor_of(Delay(60, Established(ALICE)), Established(ALICE))
    handshake = acceptor.create_handshake()
    first = asyncio.ensure_future(handshake.advance(b"one"))
    await until(lambda: acceptor.pool.occupied == 1)
    second = await handshake.advance(b"two")
    assert isinstance(error_of(second), UnexpectedTokenError)
    assert second.states == (S.ACCEPTING, S.FAILED)
    provider.release()
    leg = await first
    assert isinstance(error_of(leg), UnexpectedTokenError)
    assert leg.states[-1] is S.FAILED
    assert handshake.state is S.FAILED
    await ended(acceptor, provider)


async def test_two_tokens_at_once_fail_even_where_the_answer_is_on_its_way() -> None:
    acceptor, provider = acceptor_of(Established(ALICE), Established(ALICE))
    handshake = acceptor.create_handshake()
    legs = await asyncio.gather(handshake.advance(b"one"), handshake.advance(b"two"))
    assert all(isinstance(error_of(leg), UnexpectedTokenError) for leg in legs)
    await ended(acceptor, provider)


async def test_closing_twice_deletes_the_context_once() -> None:
    acceptor, provider = acceptor_of(Continue(b"next"))
    handshake = acceptor.create_handshake()
    await handshake.advance(b"token")
    handshake.close()
    handshake.close()
    await ended(acceptor, provider)


async def test_closing_before_the_first_token_deletes_the_context() -> None:
    acceptor, provider = acceptor_of()
    handshake = acceptor.create_handshake()
    handshake.close()
    assert not handshake.is_open
    await ended(acceptor, provider)


async def test_closing_an_established_handshake_takes_its_state_away_from_nobody() -> None:
    acceptor, provider = acceptor_of(Established(ALICE))
    handshake = acceptor.create_handshake()
    await handshake.advance(b"token")
    handshake.close()
    assert handshake.state is S.ESTABLISHED
    await ended(acceptor, provider)


async def test_closing_while_the_package_works_fails_the_leg_and_deletes_afterwards() -> None:
    acceptor, provider = acceptor_of(Delay(60, Continue(b"next")), Established(ALICE))
    handshake = acceptor.create_handshake()
    task = asyncio.ensure_future(handshake.advance(b"token"))
    await until(lambda: acceptor.pool.occupied == 1)
    await asyncio.sleep(0.01)
    handshake.close()
    await what_was_spawned(acceptor)
    assert provider.deleted == 0
    provider.release()
    assert isinstance(error_of(await task), UnexpectedTokenError)
    await ended(acceptor, provider)


async def test_closing_before_a_thread_takes_the_token_spares_the_package() -> None:
    steps: list[bytes] = []
    gate = threading.Event()
    acceptor, provider = acceptor_of(lambda token: steps.append(token) or Established(ALICE))  # type: ignore[func-returns-value]
    blocker = asyncio.ensure_future(acceptor.pool.run(gate.wait))
    await until(lambda: acceptor.pool.occupied == 1)
    handshake = acceptor.create_handshake()
    task = asyncio.ensure_future(handshake.advance(b"token"))
    await asyncio.sleep(0)
    handshake.close()
    gate.set()
    assert isinstance(error_of(await task), UnexpectedTokenError)
    await blocker
    assert steps == []
    await ended(acceptor, provider)


async def test_a_cancelled_leg_fails_the_handshake_and_deletes_when_the_package_returns() -> None:
    acceptor, provider = acceptor_of(Delay(60, Established(ALICE)))
    handshake = acceptor.create_handshake()
    task = asyncio.ensure_future(handshake.advance(b"token"))
    await until(lambda: acceptor.pool.occupied == 1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert handshake.state is S.FAILED
    assert not handshake.is_open
    provider.release()
    await ended(acceptor, provider)


async def test_a_leg_that_is_cancelled_at_any_turn_establishes_nobody() -> None:
    """Not even between the provider's answer and the next step of the task that waits for it."""
    for turns in range(1_000):
        acceptor, provider = acceptor_of(Established(ALICE))
        handshake = acceptor.create_handshake(retention=Retention.KEEP)
        task = asyncio.create_task(handshake.advance(b"token"))
        for _ in range(turns):
            await asyncio.sleep(0)
        if task.done():
            handshake.close()
            await ended(acceptor, provider)
            return
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        assert handshake.state in (S.FAILED, S.AWAIT_TOKEN)
        handshake.close()
        assert handshake.state is S.FAILED
        await ended(acceptor, provider)
    pytest.fail("it never ended by itself")


def test_a_lease_deletes_once_where_thread_and_loop_come_to_it_together() -> None:
    provider = ScriptedProvider()
    lease = ContextGuard(provider.create_context(ContextRequest()))
    lease.delete()
    lease.delete()
    assert not lease.abandon()
    assert lease.work(b"token") == []
    assert provider.deleted == 1


async def test_closing_the_acceptor_ends_every_handshake() -> None:
    provider = ScriptedProvider([Continue(b"next")])
    async with Acceptor(provider) as acceptor:
        handshakes = [acceptor.create_handshake() for _ in range(3)]
        await handshakes[0].advance(b"token")
        assert acceptor.pending == 3
    assert not any(handshake.is_open for handshake in handshakes)
    await ended(acceptor, provider, contexts=3)


async def test_a_closed_acceptor_refuses_tokens() -> None:
    acceptor, provider = acceptor_of(Established(ALICE))
    acceptor.close()
    leg = await acceptor.create_handshake().advance(b"token")
    assert isinstance(error_of(leg), StateError)
    await ended(acceptor, provider)


async def test_acceptors_may_share_a_pool() -> None:
    pool = WorkerPool()
    acceptors = [Acceptor(ScriptedProvider(), pool=pool) for _ in range(2)]
    for acceptor in acceptors:
        assert acceptor.pool is pool
        leg = await acceptor.create_handshake().advance(b"token")
        assert isinstance(leg.result, Established)
    pool.close()


async def test_the_package_is_asked_for_contexts_with_the_acceptors_request() -> None:
    asked: list[ContextRequest] = []

    class Curious(ScriptedProvider):
        """Remembers what it was asked."""

        def create_context(self, request: ContextRequest) -> ScriptedContext:
            asked.append(request)
            return super().create_context(request)

    request = ContextRequest()
    async with Acceptor(Curious(), request=request) as acceptor:
        acceptor.create_handshake()
    assert asked[0] is request


async def test_reprs_say_what_is_pending_and_show_no_token() -> None:
    acceptor, provider = acceptor_of(Continue(SECRET.encode()))
    handshake = acceptor.create_handshake()
    leg = await handshake.advance(SECRET.encode())
    assert repr(acceptor) == "<Acceptor scripted, 1 pending>"
    assert repr(handshake) == "<Handshake await-token>"
    assert SECRET not in repr(leg)
    handshake.close()
    await ended(acceptor, provider)


# A whole handshake over a transport.
