"""The table of outcomes: total, never open by mistake, and of one mind with the error classes."""

from __future__ import annotations

import ast
import inspect
from collections import Counter

import pytest

import authsrv.core.outcome
import authsrv.errors
from authsrv.core.outcome import OUTCOMES, Outcome, outcome_of
from authsrv.core.status import SecurityStatus
from authsrv.errors import (
    AuthsrvError,
    DeniedError,
    LocalError,
    PeerError,
    UnavailableError,
)

S = SecurityStatus
D = Outcome

# The outcomes that the status of an error may have, by whose fault it is.
FITTING: dict[type[AuthsrvError], set[Outcome]] = {
    LocalError: {D.INTERNAL_ERROR},
    UnavailableError: {D.UNAVAILABLE},
    PeerError: {D.PROTOCOL_ERROR},
    DeniedError: {D.DENIED},
}

ERRORS = [getattr(authsrv.errors, name) for name in authsrv.errors.__all__]


def test_every_status_has_a_disposition() -> None:
    assert set(OUTCOMES) == set(S)


def test_no_status_has_two_rows_in_the_table() -> None:
    tree = ast.parse(inspect.getsource(authsrv.core.outcome))
    rows = Counter(
        key.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Dict)
        for key in node.keys
        if isinstance(key, ast.Attribute)
    )

    assert rows == dict.fromkeys((status.name for status in S), 1)


def test_the_table_cannot_be_changed() -> None:
    with pytest.raises(TypeError):
        OUTCOMES[S.SEC_E_LOGON_DENIED] = D.ESTABLISHED  # type: ignore[index]


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (S.SEC_E_OK, D.ESTABLISHED),
        (S.SEC_I_CONTINUE_NEEDED, D.CONTINUE),
        (S.SEC_I_COMPLETE_NEEDED, D.COMPLETE),
        (S.SEC_I_COMPLETE_AND_CONTINUE, D.COMPLETE_AND_CONTINUE),
        (S.SEC_E_INCOMPLETE_MESSAGE, D.INCOMPLETE),
        (S.SEC_E_INVALID_TOKEN, D.PROTOCOL_ERROR),
        (S.SEC_E_LOGON_DENIED, D.DENIED),
        (S.SEC_E_CONTEXT_EXPIRED, D.DENIED),
        (S.SEC_E_TIME_SKEW, D.DENIED),
        (S.SEC_E_NO_KERB_KEY, D.DENIED),
        (S.SEC_E_MESSAGE_ALTERED, D.DENIED),
        (S.SEC_E_SECPKG_NOT_FOUND, D.DENIED),
        (S.SEC_E_BAD_BINDINGS, D.DENIED),
        (S.SEC_E_NO_CREDENTIALS, D.UNAVAILABLE),
        (S.SEC_E_INSUFFICIENT_MEMORY, D.UNAVAILABLE),
        (S.SEC_E_NO_AUTHENTICATING_AUTHORITY, D.UNAVAILABLE),
        (S.SEC_E_INTERNAL_ERROR, D.INTERNAL_ERROR),
        (S.SEC_E_INVALID_HANDLE, D.INTERNAL_ERROR),
        (S.SEC_E_UNSUPPORTED_FUNCTION, D.INTERNAL_ERROR),
        (S.SEC_E_SECURITY_QOS_FAILED, D.DENIED),
    ],
)
def test_codes_of_accept_security_context_are_disposed_of_as_documented(
    status: SecurityStatus, expected: Outcome
) -> None:
    assert outcome_of(status) is expected


@pytest.mark.parametrize(
    ("wanted", "status"),
    [
        (D.ESTABLISHED, S.SEC_E_OK),
        (D.CONTINUE, S.SEC_I_CONTINUE_NEEDED),
        (D.COMPLETE, S.SEC_I_COMPLETE_NEEDED),
        (D.COMPLETE_AND_CONTINUE, S.SEC_I_COMPLETE_AND_CONTINUE),
        (D.INCOMPLETE, S.SEC_E_INCOMPLETE_MESSAGE),
    ],
)
def test_only_one_status_lets_a_handshake_go_on_or_end_in_each_way(
    wanted: Outcome, status: SecurityStatus
) -> None:
    assert [each for each in S if outcome_of(each) is wanted] == [status]


def test_every_other_status_of_success_severity_is_a_fault() -> None:
    legal = {
        S.SEC_E_OK,
        S.SEC_I_CONTINUE_NEEDED,
        S.SEC_I_COMPLETE_NEEDED,
        S.SEC_I_COMPLETE_AND_CONTINUE,
    }
    others = [status for status in S if not status.is_failure and status not in legal]

    assert len(others) == 11
    assert {outcome_of(status) for status in others} == {D.INTERNAL_ERROR}


def test_every_disposition_is_used() -> None:
    assert set(OUTCOMES.values()) == set(D)


@pytest.mark.parametrize("error", [each for each in ERRORS if each is not AuthsrvError])
def test_the_status_of_every_error_fits_whose_fault_it_is(error: type[AuthsrvError]) -> None:
    family = next(each for each in error.__mro__ if each in FITTING)
    assert outcome_of(error.status) in FITTING[family]
