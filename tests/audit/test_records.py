"""The audit log: one line an event, no token, no line that a client could forge."""

from __future__ import annotations

import dataclasses
import json
import logging
import re
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from authsrv.audit.log import describe, log_event, logs_routine
from authsrv.audit.records import (
    AbandonedEvent,
    AdmissionBasis,
    AdmittedEvent,
    AuditEvent,
    ChallengedEvent,
    ChallengeKind,
    ConnectionIdentityEndedEvent,
    ContinuedEvent,
    EstablishedEvent,
    LedEvent,
    RecalledEvent,
    RefusedEvent,
    Request,
    SignedInEvent,
    SignedOutEvent,
    SignInWay,
)
from authsrv.core.identity import Identity
from authsrv.core.results import Continue, Established, Refused
from authsrv.core.status import GSSCode, SecurityStatus
from authsrv.errors import (
    AuthsrvError,
    ClockSkewError,
    DeadlineError,
    InvalidHeaderError,
    InvalidTokenError,
    KeytabError,
    LogonDeniedError,
    ProviderFaultError,
)
from authsrv.handshake.driver import Leg
from authsrv.handshake.machine import State
from authsrv.providers import scripted

REQUEST = Request("GET", "/", "192.0.2.1")
SECRET = b"SECRETSECRET"
ALICE = dataclasses.replace(scripted.ALICE, service="HTTP/web.authsrv.test")


def leg_of(result: Established | Continue | Refused, status: SecurityStatus, end: State) -> Leg:
    return Leg(result, status, (State.AWAIT_TOKEN, State.ACCEPTING, end), 1234, 0.00125)


ESTABLISHED_LEG = leg_of(Established(ALICE, SECRET), SecurityStatus.SEC_E_OK, State.ESTABLISHED)
CONTINUED_LEG = leg_of(Continue(SECRET), SecurityStatus.SEC_I_CONTINUE_NEEDED, State.AWAIT_TOKEN)
REFUSED_LEG = leg_of(
    Refused(LogonDeniedError("no"), SECRET), SecurityStatus.SEC_E_LOGON_DENIED, State.FAILED
)


def refused(error: AuthsrvError, *, request: Request = REQUEST, **changes: Any) -> RefusedEvent:
    event = RefusedEvent(request, None, error, "", 401, "0123456789ab")
    return dataclasses.replace(event, **changes)


ASKED = dataclasses.replace(REQUEST, site="wiki")

EVENTS: dict[str, AuditEvent] = {
    "challenged": ChallengedEvent(REQUEST),
    "continued": ContinuedEvent(REQUEST, CONTINUED_LEG, "SPNEGO/NTLM"),
    "established": EstablishedEvent(REQUEST, ESTABLISHED_LEG, ALICE),
    "recalled": RecalledEvent(REQUEST, ALICE),
    "refused": refused(LogonDeniedError("no"), leg=REFUSED_LEG, mechanism="Kerberos"),
    "abandoned": AbandonedEvent(REQUEST, "Kerberos", 1234),
    "connection-identity-ended": ConnectionIdentityEndedEvent(REQUEST, "alice@X", "it was shared"),
    "admitted": AdmittedEvent(ASKED, AdmissionBasis.TICKET, "staff", "alice@X", "kerberos"),
    "led": LedEvent(ASKED, "sign-in"),
    "signed-in": SignedInEvent(ASKED, SignInWay.PASSWORD, "alice@X", "password", "0aF-_"),
    "signed-out": SignedOutEvent(ASKED, "alice@X", "0aF-_"),
}


SERVICE_LINES = {
    "admitted": ' principal="alice@X" basis=ticket rule=staff mechanism=kerberos',
    "led": " step=sign-in cause=no-identity",
    "signed-in": ' principal="alice@X" way=password mechanism=password sid=0aF-_',
    "signed-out": ' principal="alice@X" sid=0aF-_',
}


@pytest.mark.parametrize(("word", "details"), SERVICE_LINES.items())
def test_an_event_of_the_service_names_its_site(word: str, details: str) -> None:
    where = 'method=GET path="/" peer=192.0.2.1 site=wiki'
    assert describe(EVENTS[word]) == f"{word} {where}{details}"


def test_a_request_that_is_open_to_everybody_names_nobody() -> None:
    event = AdmittedEvent(ASKED, AdmissionBasis.OPEN, "public")
    assert describe(event).endswith(" site=wiki basis=open rule=public")


def test_these_are_all_the_events() -> None:
    assert {type(event) for event in EVENTS.values()} == set(get_args(AuditEvent))


def test_a_challenge_is_described_by_its_request() -> None:
    assert describe(EVENTS["challenged"]) == (
        'challenged method=GET path="/" peer=192.0.2.1 http=401 challenge=first cause=no-token'
        ' reason="the request carries no token"'
    )


def test_a_challenge_that_came_after_one_without_an_answer_is_marked() -> None:
    line = describe(ChallengedEvent(REQUEST, ChallengeKind.REPEATED))
    assert " http=401 challenge=repeated cause=no-token reason=" in line


def test_a_leg_is_described_by_states_code_mechanism_length_and_time() -> None:
    assert describe(EVENTS["continued"]) == (
        'continued method=GET path="/" peer=192.0.2.1 http=401'
        " states=await-token>accepting>await-token"
        " sspi=SEC_I_CONTINUE_NEEDED(0x00090312) token=SPNEGO/NTLM,1234B ms=1.25"
    )


def test_a_client_that_got_in_is_named() -> None:
    assert describe(EVENTS["established"]) == (
        'established method=GET path="/" peer=192.0.2.1 principal="alice@AUTHSRV.TEST"'
        ' service="HTTP/web.authsrv.test"'
        " states=await-token>accepting>established"
        " sspi=SEC_E_OK(0x00000000) token=scripted,1234B ms=1.25"
    )


def test_a_request_served_by_a_kept_identity_names_it() -> None:
    assert describe(EVENTS["recalled"]) == (
        'recalled method=GET path="/" peer=192.0.2.1 principal="alice@AUTHSRV.TEST"'
        ' service="HTTP/web.authsrv.test" mechanism=scripted'
    )


def test_what_was_abandoned_is_described_by_its_token_and_the_cause() -> None:
    assert describe(EVENTS["abandoned"]) == (
        'abandoned method=GET path="/" peer=192.0.2.1 cause=cancelled'
        ' reason="the request was cancelled: its client has gone, or the server stops"'
        " token=Kerberos,1234B"
    )


def test_a_refusal_names_its_cause_its_answer_and_the_reference_that_the_client_was_told() -> None:
    assert describe(EVENTS["refused"]) == (
        'refused method=GET path="/" peer=192.0.2.1 http=401 cause=logon-denied reason="no"'
        " states=await-token>accepting>failed"
        " sspi=SEC_E_LOGON_DENIED(0x8009030C) token=Kerberos,1234B ms=1.25"
        " reference=0123456789ab"
    )


def test_a_refusal_before_any_leg_has_the_code_of_its_error() -> None:
    line = describe(refused(InvalidHeaderError("two fields"), status=400))
    assert (
        'http=400 cause=bad-header reason="two fields" sspi=SEC_E_INVALID_TOKEN(0x80090308)' in line
    )
    assert "token=" not in line


def test_a_refusal_shows_the_native_code_where_there_is_one() -> None:
    native = GSSCode(major=0xD0000, minor=0x96C73A25)
    line = describe(refused(ClockSkewError("late", native=native), leg=REFUSED_LEG))
    assert ' native="GSS major 0xd0000, minor 0x96c73a25" ' in line


def test_a_refusal_names_the_service_and_a_client_that_is_known() -> None:
    line = describe(refused(LogonDeniedError("no"), principal="alice@X", service="HTTP/web"))
    assert ' peer=192.0.2.1 principal="alice@X" service="HTTP/web" http=401 ' in line


def test_a_token_of_unknown_mechanism_is_called_so() -> None:
    assert "token=unknown,1234B" in describe(refused(InvalidTokenError("x"), leg=REFUSED_LEG))


def test_an_ended_identity_is_described_by_its_owner_and_the_cause() -> None:
    assert describe(EVENTS["connection-identity-ended"]) == (
        'connection-identity-ended method=GET path="/" peer=192.0.2.1 principal="alice@X"'
        ' cause="it was shared"'
    )


@pytest.mark.parametrize("event", EVENTS.values(), ids=EVENTS)
def test_no_description_and_no_repr_shows_a_token(event: AuditEvent) -> None:
    for text in (describe(event), repr(event)):
        assert "SECRET" not in text
        assert SECRET.hex() not in text


# One pair of a line: a plain value, or one in the quotes of JSON; then a space, or the end.
PAIR = re.compile(r' ([a-z]+)=("(?:[^"\\]|\\.)*"|[^" ]*)(?= |$)')
LONGEST_LINE = 3_000
MORE_LINES = 'established method=GET path="/" peer=::1 principal="root@X"'
FORGERIES = [
    f"/\n{MORE_LINES}",
    f"/\r\n{MORE_LINES}",
    "/\x1b[2J",
    "/\u2028x",
    "/\x7f\x85x",
    "/' peer=10.0.0.1 principal='root@X",
    '/" peer=10.0.0.1 principal="root@X',
    '/\\" principal="root@X',
    "/ cause=no-token",
    "",
]
foreign_text = st.one_of(
    st.sampled_from(FORGERIES),
    st.text(st.characters(), max_size=40),
    st.text(st.sampled_from("\"'\\ =()\n\x7fa/"), max_size=20),
)


def pairs(line: str) -> dict[str, str]:
    """Read a line back, as a program would that knows nothing of it but its form."""
    word = re.match("[a-z-]+", line)
    assert word is not None
    found, at = {}, word.end()
    while match := PAIR.match(line, at):
        assert match[1] not in found
        found[match[1]] = json.loads(match[2]) if match[2].startswith('"') else match[2]
        at = match.end()
    assert at == len(line), f"no pair: {line[at:]}"
    return found


@given(path=foreign_text, method=foreign_text, peer=foreign_text, text=foreign_text)
@pytest.mark.parametrize("name", EVENTS)
def test_a_line_is_read_back_as_what_happened_whatever_a_client_sends(
    name: str, path: str, method: str, peer: str, text: str
) -> None:
    site = EVENTS[name].request.site
    event = dataclasses.replace(EVENTS[name], request=Request(method, path, peer, site))  # type: ignore[type-var]
    told = {"method": method, "path": path, "peer": peer}
    if isinstance(event, RefusedEvent):
        error = LogonDeniedError(text)
        event = dataclasses.replace(event, error=error, principal=text, service=text)
        told |= {"reason": text, "principal": text, "service": text, "cause": "logon-denied"}
    elif isinstance(event, ConnectionIdentityEndedEvent):
        event = dataclasses.replace(event, principal=text, cause=text)
        told |= {"principal": text, "cause": text}
    line = describe(event)
    assert line.isascii()
    assert line.isprintable()
    assert line.partition(" ")[0] == name
    read = pairs(line)
    assert read.keys() == pairs(describe(EVENTS[name])).keys() | told.keys()
    assert {key: read[key] for key in told} == told


def test_a_principal_outside_ascii_is_escaped() -> None:
    jürgen = Identity(principal="jürgen@X", mechanism="scripted")
    line = describe(EstablishedEvent(REQUEST, ESTABLISHED_LEG, jürgen))
    assert r'principal="j\u00fcrgen@X"' in line


@given(st.text(st.characters(), min_size=1, max_size=20))
def test_what_is_long_is_cut_and_told_so(piece: str) -> None:
    path = piece * 4_000
    request = Request(path, path, path)
    line = describe(refused(LogonDeniedError(path), request=request, principal=path, service=path))
    assert len(line) <= LONGEST_LINE
    read = pairs(line)
    for key in ("method", "path", "peer", "principal", "service", "reason"):
        assert read[key].endswith("...")
        assert path.startswith(read[key].removesuffix("..."))


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
        (refused(ProviderFaultError("broke")), logging.ERROR),
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
