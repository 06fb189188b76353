"""The service's logs as JSON: an audit line keeps its names, whatever is in it."""

from __future__ import annotations

import json
import logging

from hypothesis import given
from hypothesis import strategies as st

from authsrv.audit.log import describe
from authsrv.audit.records import AdmissionBasis, AdmittedEvent, Request
from authsrv.service.logs import JsonFormatter


def written(name: str, message: str) -> dict[str, str]:
    record = logging.LogRecord(name, logging.INFO, "", 0, "%s", (message,), None)
    line = JsonFormatter().format(record)
    assert "\n" not in line
    told: dict[str, str] = json.loads(line)
    return told


# So short that nothing is cut, however it is escaped.
@given(path=st.text(max_size=20), principal=st.text(min_size=1, max_size=20))
def test_an_audit_line_becomes_members_of_the_same_names(path: str, principal: str) -> None:
    request = Request("GET", path, "192.0.2.7", "wiki")
    event = AdmittedEvent(request, AdmissionBasis.TICKET, "staff", principal, "kerberos")
    told = written("authsrv.audit", describe(event))
    assert told["event"] == "admitted"
    assert (told["path"], told["principal"]) == (path, principal)
    assert (told["site"], told["basis"], told["rule"]) == ("wiki", "ticket", "staff")
    assert {"time", "level", "log"} <= told.keys()


def test_any_other_line_is_a_message() -> None:
    assert written("authsrv", 'a "line" of=ours')["message"] == 'a "line" of=ours'
