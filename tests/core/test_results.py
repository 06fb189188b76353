"""The six answers of a provider: frozen, silent about tokens, and none says "done" of nobody."""

from __future__ import annotations

import dataclasses
from typing import Any, get_args

import pytest

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
from authsrv.errors import ClockSkewError, LogonDeniedError, ProviderFaultError
from authsrv.providers.scripted import ALICE

RESULTS: list[Result] = [
    Established(ALICE, b"SECRET"),
    Continue(b"SECRET"),
    CompleteNeeded(b"SECRET"),
    CompleteAndContinue(b"SECRET"),
    Incomplete(3),
    Refused(LogonDeniedError("no"), b"SECRET"),
]


def test_these_are_all_the_results() -> None:
    assert {type(result) for result in RESULTS} == set(get_args(Result))


def test_only_established_has_the_status_that_lets_somebody_in() -> None:
    let_in = [r for r in RESULTS if outcome_of(r.status) is Outcome.ESTABLISHED]
    assert [type(result) for result in let_in] == [Established]


def test_no_two_results_share_a_status() -> None:
    assert len({result.status for result in RESULTS}) == len(RESULTS)


@pytest.mark.parametrize("nobody", [None, "", "alice", True, {"principal": "alice"}, Established])
def test_established_cannot_be_built_without_an_identity(nobody: Any) -> None:
    with pytest.raises(ProviderFaultError, match="without an identity"):
        Established(nobody)


def test_established_cannot_be_built_from_nothing() -> None:
    with pytest.raises(TypeError):
        Established()  # type: ignore[call-arg]


def test_a_refusal_has_the_code_of_its_cause() -> None:
    assert Refused(ClockSkewError("late")).status is SecurityStatus.SEC_E_TIME_SKEW
    error = LogonDeniedError("no", status=SecurityStatus.SEC_E_NO_KERB_KEY)
    assert Refused(error).status is SecurityStatus.SEC_E_NO_KERB_KEY


@pytest.mark.parametrize("result", RESULTS, ids=lambda result: type(result).__name__)
def test_a_result_cannot_be_changed_and_shows_no_token(result: Result) -> None:
    name = dataclasses.fields(result)[0].name
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(result, name, None)
    assert "SECRET" not in repr(result)
