"""The table, alone: every pair of state and event, every limit, and the picture in the README."""

from __future__ import annotations

from pathlib import Path

import pytest

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
from authsrv.core.role import Role
from authsrv.core.status import SecurityStatus
from authsrv.errors import (
    AuthsrvError,
    HandshakeExpiredError,
    InvalidTokenError,
    LogonDeniedError,
    ProviderFaultError,
    TokenTooLargeError,
    TooManyRoundsError,
    UnexpectedTokenError,
)
from authsrv.handshake.machine import (
    TRANSITIONS,
    Event,
    HandshakeMachine,
    State,
    event_of,
)
from authsrv.providers.scripted import ALICE

REFUSED = Refused(LogonDeniedError("no"))

RESULTS: dict[Event, Result] = {
    Event.OK: Established(ALICE, b"proof"),
    Event.CONTINUE: Continue(b"next"),
    Event.COMPLETE: CompleteNeeded(b"out"),
    Event.COMPLETE_AND_CONTINUE: CompleteAndContinue(b"out"),
    Event.INCOMPLETE: Incomplete(missing=3),
    Event.FATAL: REFUSED,
}

# How a handshake gets into each state, told apart from TRANSITIONS on purpose.
PATHS: dict[State, tuple[Event, ...]] = {
    State.AWAIT_TOKEN: (),
    State.ACCEPTING: (Event.TOKEN,),
    State.AWAIT_MORE: (Event.TOKEN, Event.INCOMPLETE),
    State.COMPLETING: (Event.TOKEN, Event.COMPLETE),
    State.COMPLETING_LEG: (Event.TOKEN, Event.COMPLETE_AND_CONTINUE),
    State.ESTABLISHED: (Event.TOKEN, Event.OK),
    State.FAILED: (Event.ABANDON,),
}

# The whole contract once more, by hand: what is not here must fail.
LEGAL: dict[tuple[State, Event], State] = {
    (State.AWAIT_TOKEN, Event.TOKEN): State.ACCEPTING,
    (State.AWAIT_MORE, Event.TOKEN): State.ACCEPTING,
    (State.ACCEPTING, Event.OK): State.ESTABLISHED,
    (State.ACCEPTING, Event.CONTINUE): State.AWAIT_TOKEN,
    (State.ACCEPTING, Event.COMPLETE): State.COMPLETING,
    (State.ACCEPTING, Event.COMPLETE_AND_CONTINUE): State.COMPLETING_LEG,
    (State.ACCEPTING, Event.INCOMPLETE): State.AWAIT_MORE,
    (State.ACCEPTING, Event.FATAL): State.FAILED,
    (State.COMPLETING, Event.OK): State.ESTABLISHED,
    (State.COMPLETING, Event.FATAL): State.FAILED,
    (State.COMPLETING_LEG, Event.CONTINUE): State.AWAIT_TOKEN,
    (State.COMPLETING_LEG, Event.FATAL): State.FAILED,
}


def fire(handshake: HandshakeMachine, event: Event) -> None:
    if event is Event.TOKEN:
        handshake.receive_token(b"token")
    elif event is Event.ABANDON:
        handshake.abandon()
    else:
        handshake.receive_result(RESULTS[event])


def brought_to(state: State, limits: Limits | None = None) -> HandshakeMachine:
    handshake = HandshakeMachine(limits or Limits())
    for event in PATHS[state]:
        fire(handshake, event)
    assert handshake.state is state
    return handshake


@pytest.mark.parametrize("event", Event)
@pytest.mark.parametrize("state", State)
def test_every_pair_of_state_and_event_goes_where_the_contract_says(
    state: State, event: Event
) -> None:
    handshake = brought_to(state)
    if event is Event.ABANDON:
        fire(handshake, event)
        ended = state in (State.ESTABLISHED, State.FAILED)
        assert handshake.state is (state if ended else State.FAILED)
    elif (state, event) in LEGAL:
        fire(handshake, event)
        assert handshake.state is LEGAL[state, event]
    else:
        expected = UnexpectedTokenError if event is Event.TOKEN else ProviderFaultError
        with pytest.raises(expected):
            fire(handshake, event)
        assert handshake.state is State.FAILED


def test_every_result_is_the_event_of_its_status() -> None:
    for event, result in RESULTS.items():
        assert event_of(result) is event
        fatal = outcome_of(result.status) not in {
            Outcome.ESTABLISHED,
            Outcome.CONTINUE,
            Outcome.COMPLETE,
            Outcome.COMPLETE_AND_CONTINUE,
            Outcome.INCOMPLETE,
        }
        assert fatal == (event is Event.FATAL)


def test_a_refusal_that_carries_a_success_code_is_fatal() -> None:
    error = AuthsrvError("odd", status=SecurityStatus.SEC_E_OK)
    assert event_of(Refused(error)) is Event.FATAL


def test_the_transitions_know_every_state() -> None:
    assert set(TRANSITIONS) == set(State)


def test_no_transition_leads_out_of_an_end() -> None:
    assert not TRANSITIONS[State.ESTABLISHED]
    assert not TRANSITIONS[State.FAILED]


def test_too_many_rounds_fail() -> None:
    handshake = HandshakeMachine(Limits(max_rounds=2))
    for _ in range(2):
        handshake.receive_token(b"token")
        handshake.receive_result(Continue(b"next"))
    with pytest.raises(TooManyRoundsError):
        handshake.receive_token(b"token")
    assert handshake.state is State.FAILED
    assert "round 2" in repr(handshake)


def test_a_token_at_the_limit_passes_and_one_above_fails() -> None:
    limits = Limits(max_token_bytes=4)
    assert HandshakeMachine(limits).receive_token(b"1234") == b"1234"
    with pytest.raises(TokenTooLargeError, match="5 bytes"):
        HandshakeMachine(limits).receive_token(b"12345")


def test_an_empty_token_fails() -> None:
    with pytest.raises(InvalidTokenError):
        HandshakeMachine().receive_token(b"")


def test_a_handshake_ends_when_its_time_is_over() -> None:
    limits = Limits(handshake_seconds=30)
    handshake = HandshakeMachine(limits, started_at=100.0)
    assert handshake.deadline == 130.0
    handshake.receive_token(b"token", now=130.0)
    late = HandshakeMachine(limits, started_at=100.0)
    with pytest.raises(HandshakeExpiredError):
        late.receive_token(b"token", now=130.1)


@pytest.mark.parametrize("state", State)
def test_complete_auth_token_comes_next_only_where_it_was_asked_for(state: State) -> None:
    handshake = brought_to(state)
    if state in (State.COMPLETING, State.COMPLETING_LEG):
        handshake.await_completion()
        assert handshake.state is state
        return
    with pytest.raises(UnexpectedTokenError, match="CompleteAuthToken"):
        handshake.await_completion()
    assert handshake.state is State.FAILED


def test_complete_auth_token_comes_too_late() -> None:
    handshake = brought_to(State.COMPLETING, Limits(handshake_seconds=10))
    with pytest.raises(HandshakeExpiredError):
        handshake.await_completion(now=10.1)
    assert handshake.state is State.FAILED


def test_only_an_initiator_begins_with_an_empty_token_and_only_begins() -> None:
    handshake = HandshakeMachine(role=Role.INITIATOR)
    assert handshake.receive_token(b"") == b""
    handshake.receive_result(Continue(b"next"))
    with pytest.raises(InvalidTokenError):
        handshake.receive_token(b"")


def test_an_incomplete_token_is_kept_and_put_before_the_rest() -> None:
    handshake = HandshakeMachine()
    handshake.receive_token(b"abc")
    handshake.receive_result(Incomplete())
    assert handshake.receive_token(b"def") == b"abcdef"
    handshake.receive_result(Incomplete(missing=1))
    assert handshake.receive_token(b"g") == b"abcdefg"
    handshake.receive_result(Continue(b"next"))
    assert handshake.receive_token(b"new") == b"new"


def test_an_incomplete_token_over_its_limit_fails() -> None:
    handshake = HandshakeMachine(Limits(max_incomplete_bytes=5))
    handshake.receive_token(b"abc")
    handshake.receive_result(Incomplete())
    with pytest.raises(TokenTooLargeError):
        handshake.receive_token(b"def")


def test_an_incomplete_token_that_could_never_fit_fails_at_once() -> None:
    handshake = HandshakeMachine(Limits(max_incomplete_bytes=5))
    handshake.receive_token(b"abc")
    with pytest.raises(TokenTooLargeError):
        handshake.receive_result(Incomplete(missing=3))
    assert handshake.state is State.FAILED


def test_the_repr_shows_state_and_round_and_no_token() -> None:
    handshake = brought_to(State.AWAIT_MORE)
    assert repr(handshake) == "<HandshakeMachine await-more, round 1>"


def draw_transitions() -> str:
    """TRANSITIONS as a Mermaid state diagram, one line a transition, without a fence."""
    lines = ["stateDiagram-v2", f"    [*] --> {State.AWAIT_TOKEN.name}"]
    for state, row in TRANSITIONS.items():
        lines += [
            f"    {state.name} --> {after.name}: {event.name}" for event, after in row.items()
        ]
        if not row:
            lines.append(f"    {state.name} --> [*]")
    return "\n".join(lines)


def test_the_picture_in_the_readme_is_the_table() -> None:
    readme = (Path(__file__).parents[2] / "README.md").read_text()
    assert f"```mermaid\n{draw_transitions()}\n```" in readme


def test_the_picture_has_a_line_for_every_transition() -> None:
    picture = draw_transitions()
    arrows = sum(len(row) for row in TRANSITIONS.values())
    assert picture.count("-->") == arrows + 1 + 2
