"""The shipped fake: every act, every delay, and the count of what is open."""

from __future__ import annotations

import threading
import time

import pytest
from answers import error_of

from authsrv.core.results import (
    CompleteAndContinue,
    CompleteNeeded,
    Continue,
    Established,
    Incomplete,
    Refused,
    Result,
)
from authsrv.errors import InvalidTokenError, KeytabError, LogonDeniedError, StateError
from authsrv.providers.base import ContextRequest
from authsrv.providers.scripted import ALICE, Act, Delay, ScriptedContext, ScriptedProvider

REFUSED = Refused(LogonDeniedError("no"), b"error token")
RESULTS: list[Result] = [
    Established(ALICE, b"proof"),
    Continue(b"challenge"),
    CompleteNeeded(b"out"),
    CompleteAndContinue(b"out"),
    Incomplete(missing=3),
    REFUSED,
]


def begin(*script: Act) -> ScriptedContext:
    return ScriptedProvider(script).create_context(ContextRequest())


@pytest.mark.parametrize("result", RESULTS, ids=lambda result: type(result).__name__)
def test_an_act_that_is_a_result_is_answered(result: Result) -> None:
    assert begin(result).step(b"token") is result


@pytest.mark.parametrize("result", RESULTS, ids=lambda result: type(result).__name__)
def test_an_act_that_is_a_function_is_given_the_token(result: Result) -> None:
    seen: list[bytes] = []

    def act(token: bytes) -> Act:
        seen.append(token)
        return result

    assert begin(act).step(b"token") is result
    assert seen == [b"token"]


@pytest.mark.parametrize("error", [ValueError("odd"), LogonDeniedError("no"), KeyError(1)])
def test_an_act_that_is_an_exception_is_raised(error: Exception) -> None:
    with pytest.raises(type(error)) as caught:
        begin(error).step(b"token")
    assert caught.value is error


def test_a_function_may_answer_what_is_played_then() -> None:
    assert begin(lambda token: lambda token: REFUSED).step(b"token") is REFUSED
    with pytest.raises(ValueError, match="odd"):
        begin(lambda token: ValueError("odd")).step(b"token")


def test_without_a_script_alice_gets_in() -> None:
    result = ScriptedProvider().create_context(ContextRequest()).step(b"token")
    assert isinstance(result, Established)
    assert result.identity is ALICE


def test_every_context_plays_the_script_from_its_beginning() -> None:
    provider = ScriptedProvider([Continue(b"1"), Established(ALICE)])
    one, other = (provider.create_context(ContextRequest()) for _ in range(2))
    answers = [context.step(b"token") for context in (one, other, one, other)]
    kinds = [type(answer) for answer in answers]
    assert kinds == [Continue, Continue, Established, Established]


def test_after_its_last_act_a_script_refuses() -> None:
    context = begin(Established(ALICE))
    context.step(b"token")
    assert isinstance(error_of(context.step(b"token")), InvalidTokenError)


def test_an_empty_token_is_refused_and_plays_nothing() -> None:
    context = begin(Established(ALICE))
    assert isinstance(error_of(context.step(b"")), InvalidTokenError)
    assert isinstance(context.step(b"token"), Established)


class TestCompletion:
    def test_plays_the_act_behind_the_one_that_asked(self) -> None:
        context = begin(CompleteNeeded(b"out"), Established(ALICE))
        context.step(b"token")
        assert isinstance(context.complete(), Established)

    def test_may_go_on(self) -> None:
        context = begin(CompleteAndContinue(), Continue(b"next"), Established(ALICE))
        context.step(b"token")
        assert context.complete() == Continue(b"next")
        assert isinstance(error_of(context.complete()), StateError)
        assert isinstance(context.step(b"token"), Established)

    @pytest.mark.parametrize("asked", [None, Continue(b""), Established(ALICE), REFUSED])
    def test_is_refused_where_nothing_asked_for_it(self, asked: Result | None) -> None:
        context = begin(*([asked] if asked else []), Established(ALICE))
        if asked:
            context.step(b"token")
        assert isinstance(error_of(context.complete()), StateError)


class TestDeletion:
    def test_is_counted_once(self) -> None:
        provider = ScriptedProvider()
        contexts = [provider.create_context(ContextRequest()) for _ in range(3)]
        assert (provider.created, provider.open_contexts) == (3, 3)
        for _ in range(2):
            contexts[0].delete()
        assert (provider.deleted, provider.open_contexts) == (1, 2)
        assert repr(provider) == "<ScriptedProvider 2 contexts open>"

    def test_ends_the_script(self) -> None:
        context = begin(Established(ALICE))
        context.delete()
        assert isinstance(error_of(context.step(b"token")), InvalidTokenError)

    def test_is_counted_right_by_many_threads(self) -> None:
        provider = ScriptedProvider()

        def work() -> None:
            for _ in range(500):
                provider.create_context(ContextRequest()).delete()

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert (provider.created, provider.open_contexts) == (2000, 0)


class TestDelay:
    def test_blocks_its_thread_and_plays_what_comes_then(self) -> None:
        before = time.monotonic()
        assert begin(Delay(0.02, REFUSED)).step(b"token") is REFUSED
        assert time.monotonic() - before >= 0.02

    def test_may_lie_before_another_one_or_an_exception(self) -> None:
        with pytest.raises(ValueError, match="odd"):
            begin(Delay(0.001, Delay(0.001, ValueError("odd")))).step(b"token")

    def test_ends_when_the_package_is_released(self) -> None:
        provider = ScriptedProvider([Delay(3600, REFUSED)])
        answers: list[Result] = []
        context = provider.create_context(ContextRequest())
        thread = threading.Thread(target=lambda: answers.append(context.step(b"token")))
        thread.start()
        provider.release()
        thread.join(10)
        assert answers == [REFUSED]
        # And those to come do not begin.
        assert provider.create_context(ContextRequest()).step(b"token") is REFUSED


class TestCheck:
    def test_finds_nothing_where_no_fault_is_given(self) -> None:
        ScriptedProvider().check()

    def test_raises_the_fault_that_is_given(self) -> None:
        with pytest.raises(KeytabError, match="gone"):
            ScriptedProvider(fault=KeytabError("gone")).check()
