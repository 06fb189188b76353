"""What a request needs and what a leg means, decided without a server."""

from __future__ import annotations

import base64
from collections.abc import Sequence

import pytest

from authsrv.core.limits import Limits
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
    InvalidHeaderError,
    InvalidTokenError,
    LogonDeniedError,
    OverloadedError,
    TokenTooLargeError,
)
from authsrv.handshake.driver import Leg
from authsrv.handshake.machine import State
from authsrv.http.exchange import (
    Accepted,
    Anonymous,
    Challenge,
    Negotiate,
    Requirement,
    conclude,
    decide,
)
from authsrv.http.reply import ErrorResponse
from authsrv.providers.scripted import ALICE

R = Requirement


def field(token: bytes) -> str:
    return "Negotiate " + base64.b64encode(token).decode()


def leg_of(result: Result) -> Leg:
    states = (State.AWAIT_TOKEN, State.ACCEPTING)
    return Leg(result, SecurityStatus.SEC_E_OK, states, 5, 0.001)


@pytest.mark.parametrize(
    ("fields", "requirement", "expected"),
    [
        ([], R.OPEN, Anonymous()),
        ([], R.OPTIONAL, Anonymous()),
        ([], R.REQUIRED, Challenge()),
        (["Basic YTpi"], R.OPEN, Anonymous()),
        (["Basic YTpi"], R.OPTIONAL, Anonymous()),
        (["Basic YTpi"], R.REQUIRED, Challenge()),
        ([field(b"token")], R.OPEN, Anonymous()),
        ([field(b"token")], R.OPTIONAL, Negotiate(b"token")),
        ([field(b"token")], R.REQUIRED, Negotiate(b"token")),
        (["negotiate dG9rZW4="], R.REQUIRED, Negotiate(b"token")),
    ],
)
def test_a_request_passes_is_asked_or_is_stepped(
    fields: Sequence[str], requirement: Requirement, expected: Anonymous | Challenge | Negotiate
) -> None:
    assert decide(fields, requirement) == expected


MALFORMED = [
    ["Negotiate"],
    ["Negotiate ???"],
    [""],
    [field(b"one"), field(b"two")],
    ["Basic YTpi", field(b"token")],
]


@pytest.mark.parametrize("requirement", [R.OPTIONAL, R.REQUIRED])
@pytest.mark.parametrize("fields", MALFORMED)
def test_a_malformed_field_is_an_error_even_where_none_is_needed(
    fields: Sequence[str], requirement: Requirement
) -> None:
    with pytest.raises((InvalidHeaderError, InvalidTokenError)):
        decide(fields, requirement)


@pytest.mark.parametrize("fields", MALFORMED)
def test_an_open_request_is_not_looked_at(fields: Sequence[str]) -> None:
    assert decide(fields, R.OPEN) == Anonymous()


def test_a_token_at_the_limit_is_stepped_and_one_above_is_an_error() -> None:
    limits = Limits(max_token_bytes=9)
    assert decide([field(b"123456789")], R.REQUIRED, limits=limits) == Negotiate(b"123456789")
    with pytest.raises(TokenTooLargeError):
        decide([field(b"1234567890")], R.REQUIRED, limits=limits)


def test_a_step_does_not_show_its_token() -> None:
    assert "SECRET" not in repr(Negotiate(b"SECRET"))


def test_an_established_leg_is_accepted_with_the_servers_proof() -> None:
    answer = conclude(Established(ALICE, b"proof"))
    assert answer == Accepted(ALICE, "Negotiate cHJvb2Y=")


def test_an_established_leg_without_token_has_no_proof() -> None:
    assert conclude(Established(ALICE)) == Accepted(ALICE, None)


def test_a_leg_that_continues_is_answered_with_its_token() -> None:
    reply = conclude(Continue(b"next"))
    assert isinstance(reply, ErrorResponse)
    assert reply.status == 401
    assert dict(reply.headers)["WWW-Authenticate"] == "Negotiate bmV4dA=="


def test_an_incomplete_leg_is_answered_with_a_bare_challenge() -> None:
    reply = conclude(Incomplete(missing=5))
    assert isinstance(reply, ErrorResponse)
    assert reply.status == 401
    assert dict(reply.headers)["WWW-Authenticate"] == "Negotiate"


def test_a_refused_leg_has_the_answer_of_its_error_and_the_error_token() -> None:
    reply = conclude(Refused(LogonDeniedError("no"), b"why"))
    assert isinstance(reply, ErrorResponse)
    assert reply.status == 401
    assert dict(reply.headers)["WWW-Authenticate"] == "Negotiate d2h5"
    assert reply.reference


def test_an_overloaded_leg_tells_when_to_come_back_by_the_limits() -> None:
    limits = Limits(retry_after_seconds=9)
    reply = conclude(Refused(OverloadedError("full")), limits=limits)
    assert isinstance(reply, ErrorResponse)
    assert reply.status == 503
    assert dict(reply.headers)["Retry-After"] == "9"


@pytest.mark.parametrize("result", [CompleteNeeded(b"half"), CompleteAndContinue(b"half")])
def test_a_leg_whose_complete_auth_token_was_left_out_lets_nobody_in(result: Result) -> None:
    answer = conclude(result)
    assert isinstance(answer, ErrorResponse)
    assert answer.status == 500
    assert not any(name == "WWW-Authenticate" for name, _ in answer.headers)
