"""The audit log: one line an event, no token, no line that a client could forge."""

from __future__ import annotations

import dataclasses
import logging
import re
from typing import Any, get_args

import pytest

from authsrv.drive import Leg
from authsrv.errors import (
    AuthsrvError,
    ClockSkewError,
    DeadlineError,
    InvalidHeaderError,
    InvalidTokenError,
    KeytabError,
    LogonDeniedError,
    PackageFaultError,
)
from authsrv.events import (
    AbandonedEvent,
    AuditEvent,
    ChallengedEvent,
    ConnectionIdentityEndedEvent,
    ContinuedEvent,
    EstablishedEvent,
    RecalledEvent,
    RefusedEvent,
    Request,
    describe,
    log_event,
    logs_routine,
)
from authsrv.handshake import State
from authsrv.identity import Identity
from authsrv.packages.scripted import ALICE
from authsrv.results import Continue, Established, Refused
from authsrv.status import GSSCode, SecurityStatus

REQUEST = Request("GET", "/", "192.0.2.1")
SECRET = b"SECRETSECRET"


def leg_of(result: Established | Continue | Refused, status: SecurityStatus, end: State) -> Leg:
    return Leg(result, status, (State.AWAIT_TOKEN, State.ACCEPTING, end), 1, 1234, 0.00125)


ESTABLISHED_LEG = leg_of(Established(ALICE, SECRET), SecurityStatus.SEC_E_OK, State.ESTABLISHED)
CONTINUED_LEG = leg_of(Continue(SECRET), SecurityStatus.SEC_I_CONTINUE_NEEDED, State.AWAIT_TOKEN)
REFUSED_LEG = leg_of(
    Refused(LogonDeniedError("no"), SECRET), SecurityStatus.SEC_E_LOGON_DENIED, State.FAILED
)


def refused(error: AuthsrvError, *, request: Request = REQUEST, **changes: Any) -> RefusedEvent:
    event = RefusedEvent(request, None, error, "", 401, "0123456789ab")
    return dataclasses.replace(event, **changes)


EVENTS: dict[str, AuditEvent] = {
    "challenged": ChallengedEvent(REQUEST),
    "continued": ContinuedEvent(REQUEST, CONTINUED_LEG, "SPNEGO/NTLM"),
    "established": EstablishedEvent(REQUEST, ESTABLISHED_LEG, ALICE),
    "recalled": RecalledEvent(REQUEST, ALICE),
    "refused": refused(LogonDeniedError("no"), leg=REFUSED_LEG, mechanism="Kerberos"),
    "abandoned": AbandonedEvent(REQUEST, "Kerberos", 1234),
    "connection-identity-ended": ConnectionIdentityEndedEvent(REQUEST, "alice@X", "it was shared"),
}


def test_these_are_all_the_events() -> None:
    assert {type(event) for event in EVENTS.values()} == set(get_args(AuditEvent))


def test_a_challenge_is_described_by_its_request() -> None:
    assert describe(EVENTS["challenged"]) == (
        "challenged GET '/' peer=192.0.2.1 http=401 cause=no-token ('the request carries no token')"
    )


def test_a_leg_is_described_by_states_code_mechanism_length_and_time() -> None:
    assert describe(EVENTS["continued"]) == (
        "continued GET '/' peer=192.0.2.1 states=await-token>accepting>await-token"
        " sspi=SEC_I_CONTINUE_NEEDED(0x00090312) token=SPNEGO/NTLM,1234B ms=1.25"
    )


def test_a_client_that_got_in_is_named() -> None:
    assert describe(EVENTS["established"]) == (
        "established GET '/' peer=192.0.2.1 principal='alice@AUTHSRV.TEST'"
        " states=await-token>accepting>established"
        " sspi=SEC_E_OK(0x00000000) token=scripted,1234B ms=1.25"
    )


def test_a_request_served_by_a_kept_identity_names_it() -> None:
    assert describe(EVENTS["recalled"]) == (
        "recalled GET '/' peer=192.0.2.1 principal='alice@AUTHSRV.TEST' mechanism=scripted"
    )


def test_what_was_abandoned_is_described_by_its_token_and_the_cause() -> None:
    assert describe(EVENTS["abandoned"]) == (
        "abandoned GET '/' peer=192.0.2.1 cause=cancelled "
        "('the request was cancelled: its client has gone, or the server stops') "
        "token=Kerberos,1234B"
    )


def test_a_refusal_names_its_cause_its_answer_and_the_reference_that_the_client_was_told() -> None:
    assert describe(EVENTS["refused"]) == (
        "refused GET '/' peer=192.0.2.1 http=401 cause=logon-denied ('no')"
        " states=await-token>accepting>failed"
        " sspi=SEC_E_LOGON_DENIED(0x8009030C) token=Kerberos,1234B ms=1.25"
        " reference=0123456789ab"
    )


def test_a_refusal_before_any_leg_has_the_code_of_its_error() -> None:
    line = describe(refused(InvalidHeaderError("two fields"), status=400))
    assert "http=400 cause=bad-header ('two fields') sspi=SEC_E_INVALID_TOKEN(0x80090308)" in line
    assert "token=" not in line


def test_a_refusal_shows_the_native_code_where_there_is_one() -> None:
    native = GSSCode(major=0xD0000, minor=0x96C73A25)
    line = describe(refused(ClockSkewError("late", native=native), leg=REFUSED_LEG))
    assert " native=(GSS major 0xd0000, minor 0x96c73a25) " in line


def test_a_token_of_unknown_mechanism_is_called_so() -> None:
    assert "token=unknown,1234B" in describe(refused(InvalidTokenError("x"), leg=REFUSED_LEG))


def test_an_ended_identity_is_described_by_its_owner_and_the_cause() -> None:
    assert describe(EVENTS["connection-identity-ended"]) == (
        "connection-identity-ended GET '/' peer=192.0.2.1 principal='alice@X' cause='it was shared'"
    )


@pytest.mark.parametrize("event", EVENTS.values(), ids=EVENTS)
def test_no_description_and_no_repr_shows_a_token(event: AuditEvent) -> None:
    for text in (describe(event), repr(event)):
        assert "SECRET" not in text
        assert SECRET.hex() not in text


FORGERIES = [
    "/\nestablished GET '/' peer=::1 principal='root@X'",
    "/\r\nx",
    "/\x1b[2J",
    "/\u2028x",
    "/\x85x",
    "/' peer=10.0.0.1 principal='root@X",
]


@pytest.mark.parametrize("path", FORGERIES)
@pytest.mark.parametrize("name", EVENTS)
def test_a_path_cannot_forge_a_line_or_leave_its_quotes(name: str, path: str) -> None:
    request = dataclasses.replace(REQUEST, path=path)
    line = describe(dataclasses.replace(EVENTS[name], request=request))  # type: ignore[type-var]
    assert line.isascii()
    assert line.isprintable()
    assert line.startswith(f"{name} GET ")
    # The quoted text is read back as what the client sent; what follows is ours.
    quoted = re.match(rf"{name} GET ('(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\") peer=192", line)
    assert quoted is not None, line
    assert eval(quoted[1]) == path


@pytest.mark.parametrize("text", FORGERIES)
def test_a_cause_or_principal_cannot_forge_a_line(text: str) -> None:
    ended = ConnectionIdentityEndedEvent(REQUEST, text, text)
    for event in (refused(LogonDeniedError(text)), ended):
        assert describe(event).isprintable()
        assert describe(event).isascii()


def test_a_principal_outside_ascii_is_escaped() -> None:
    jürgen = Identity(principal="jürgen@X", mechanism="scripted")
    line = describe(EstablishedEvent(REQUEST, ESTABLISHED_LEG, jürgen))
    assert r"principal='j\xfcrgen@X'" in line


@pytest.mark.parametrize(
    ("event", "level"),
    [
        (EVENTS["challenged"], logging.INFO),
        (EVENTS["continued"], logging.INFO),
        (EVENTS["established"], logging.INFO),
        (EVENTS["abandoned"], logging.WARNING),
        (EVENTS["connection-identity-ended"], logging.WARNING),
        (refused(LogonDeniedError("no")), logging.WARNING),
        (refused(InvalidTokenError("no")), logging.WARNING),
        (refused(KeytabError("missing")), logging.ERROR),
        (refused(DeadlineError("hangs")), logging.ERROR),
        (refused(PackageFaultError("broke")), logging.ERROR),
    ],
)
def test_successes_are_info_refusals_warnings_and_our_faults_errors(
    event: AuditEvent, level: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "authsrv.audit")
    log_event(event)
    (record,) = caplog.records
    assert (record.name, record.levelno) == ("authsrv.audit", level)
    assert record.getMessage() == describe(event)
    assert vars(record)["authsrv"] is event


def test_what_the_log_does_not_take_is_not_written(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "authsrv.audit")
    log_event(EVENTS["established"])
    assert caplog.records == []


@pytest.mark.parametrize(("level", "takes"), [(logging.INFO, True), (logging.WARNING, False)])
def test_routine_is_logged_where_the_audit_log_takes_info(
    level: int, takes: bool, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(level, "authsrv.audit")
    assert logs_routine() is takes
