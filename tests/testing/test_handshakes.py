"""Playing handshakes in memory: how each can end, and what a recorder notes."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from authsrv.core.results import CompleteNeeded, Continue, Established, Incomplete, Refused
from authsrv.errors import LogonDeniedError
from authsrv.providers.base import ContextRequest
from authsrv.providers.scripted import ALICE, Act, ScriptedProvider
from authsrv.testing.handshakes import (
    Case,
    ClientGaveUpError,
    Recorder,
    count_legs,
    establish,
    open_context,
    play,
    take_step,
)


class Counting:
    """A client that numbers its tokens, and may give up."""

    def __init__(self, last: int = 100, error: Exception | None = None) -> None:
        self.last = last
        self.error = error
        self.heard: list[bytes | None] = []

    def step(self, token: bytes | None) -> bytes | None:
        self.heard.append(token)
        if len(self.heard) <= self.last:
            return b"token %d" % len(self.heard)
        if self.error is not None:
            raise self.error
        return None


def play_script(*script: Act, client: Counting | Recorder | None = None) -> object:
    with open_context(ScriptedProvider(script)) as context:
        return play(context, client or Counting())


@pytest.mark.parametrize(
    "end", [Established(ALICE), Refused(LogonDeniedError("no")), Incomplete(3)]
)
def test_a_handshake_ends_with_the_first_answer_that_is_no_continue(end: Act) -> None:
    client = Counting()
    assert play_script(Continue(b"one"), Continue(b"two"), end, client=client) is end
    assert client.heard == [None, b"one", b"two"]


def test_a_handshake_that_does_not_end_is_a_failure() -> None:
    with pytest.raises(AssertionError, match="does not end"):
        play_script(*[Continue(b"again")] * 20)


@pytest.mark.parametrize(("error", "told"), [(None, "nothing to say"), (OSError("no"), "OSError")])
def test_a_client_that_gives_up_is_told_from_a_package_that_fails(
    error: Exception | None, told: str
) -> None:
    with pytest.raises(ClientGaveUpError, match=told):
        play_script(Continue(b"one"), Established(ALICE), client=Counting(1, error))


@pytest.mark.parametrize(
    ("act", "told"),
    [
        (LogonDeniedError("no"), "where a Refused belongs"),
        (KeyError("no"), "raised KeyError"),
        (lambda token: 7, "a int is no result"),
    ],
)
def test_a_package_that_raises_or_answers_nonsense_fails(act: Act, told: str) -> None:
    with (
        open_context(ScriptedProvider([act])) as context,
        pytest.raises(AssertionError, match=told),
    ):
        take_step(context, b"token")


def test_a_step_completes_the_token_where_that_is_asked_for() -> None:
    with open_context(ScriptedProvider([CompleteNeeded(), Established(ALICE)])) as context:
        assert isinstance(take_step(context, b"token"), Established)


def test_a_context_is_deleted_at_the_end_of_its_block_whatever_happens() -> None:
    provider = ScriptedProvider()
    with pytest.raises(KeyError), open_context(provider):
        raise KeyError
    assert (provider.created, provider.deleted) == (1, 1)


def establish_script(*script: Act, client: Counting | None = None) -> Established:
    return establish(
        ScriptedProvider(script).create_context(ContextRequest()), client or Counting()
    )


def test_the_clients_is_given_the_last_token() -> None:
    client = Counting(1)
    establish_script(Established(ALICE, b"proof"), client=client)
    assert client.heard == [None, b"proof"]


def test_without_a_last_token_the_client_is_left_alone() -> None:
    client = Counting()
    establish_script(Established(ALICE), client=client)
    assert client.heard == [None]


@pytest.mark.parametrize(
    ("script", "client", "told"),
    [
        ([Refused(LogonDeniedError("no"))], Counting, "refused: LogonDeniedError"),
        ([Incomplete()], Counting, "unexpected Incomplete"),
        (
            [Established(ALICE, b"bad proof")],
            lambda: Counting(1, ValueError("bad")),
            "does not take the server's proof",
        ),
    ],
)
def test_what_is_not_established_to_both_sides_is_a_failure(
    script: list[Act], client: Callable[[], Counting], told: str
) -> None:
    with pytest.raises(AssertionError, match=told):
        establish_script(*script, client=client())


def test_a_recorder_notes_what_was_sent_and_may_change_it() -> None:
    recorder = Recorder(Counting(2), lambda leg, token: b"%d:%s" % (leg, token))
    received: list[bytes] = []

    def hear(token: bytes) -> Act:
        received.append(token)
        return Continue(b"more") if len(received) < 2 else Established(ALICE)

    play_script(hear, hear, client=recorder)
    assert recorder.tokens == received == [b"0:token 1", b"1:token 2"]
    assert recorder.step(b"more") is None
    assert "token 1" not in repr(recorder)


def test_legs_are_counted_by_an_honest_run() -> None:
    script = [Continue(b"one"), Continue(b"two"), Established(ALICE)]
    case = Case(lambda: ScriptedProvider(script), Counting, Counting, ALICE.principal)
    assert count_legs(case) == 3
