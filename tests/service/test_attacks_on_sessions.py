"""Attacks on sessions, passwords and the service's pages; each is refused, and the log says why."""

from __future__ import annotations

import time
from collections.abc import Callable
from urllib.parse import urlsplit

from attacked_sites import OTHER_HOST, STEPS_HOST
from service_browser import Browser
from service_rig import Answer, Rig

Browsers = Callable[..., Browser]
Tickets = Callable[..., tuple[str, str]]


def path_of(answer: Answer) -> str:
    """Path and query of where an answer leads."""
    split = urlsplit(answer.field("Location") or "")
    return f"{split.path}?{split.query}"


def test_a_password_of_a_realm_that_the_site_does_not_let_in(browser_of: Browsers) -> None:
    browser = browser_of()
    assert browser.log_in("alice").status == 200
    answer = browser.visit("/x", OTHER_HOST)
    assert (answer.status, browser.steps[-1]) == (403, f"{OTHER_HOST}/.authsrv/hand-over 403")
    assert "__Host-authsrv" not in browser.jar[OTHER_HOST]


def test_a_password_on_a_path_for_tickets_steps_up_once_and_then_is_refused(
    browser_of: Browsers,
) -> None:
    browser = browser_of()
    assert browser.log_in("alice", "/x", STEPS_HOST).status == 200
    form = browser.visit("/ticket/x", STEPS_HOST)
    assert (form.status, browser.steps[-1]) == (200, "login.example.org/.authsrv/sign-in 200")
    typed = browser.type_password(form, "alice", browser.rig.realm.password("alice"))
    answer = browser.visit(path_of(typed), STEPS_HOST)
    assert (answer.status, browser.steps[-1]) == (403, f"{STEPS_HOST}/ticket/x 403")


def test_a_ticket_on_a_path_for_passwords_leads_to_the_form(browser_of: Browsers) -> None:
    browser = browser_of("alice")
    form = browser.visit("/password/x", STEPS_HOST)
    assert browser.steps[-1] == "login.example.org/.authsrv/sign-in 200"
    typed = browser.type_password(form, "alice", browser.rig.realm.password("alice"))
    assert browser.visit(path_of(typed), STEPS_HOST).status == 200


def test_a_session_that_is_too_old_for_a_path_is_made_anew_by_a_ticket(
    browser_of: Browsers,
) -> None:
    browser = browser_of("alice")
    assert browser.visit("/x", STEPS_HOST).status == 200
    time.sleep(2.1)
    assert browser.visit("/fresh/x", STEPS_HOST).status == 200
    assert f"{STEPS_HOST}/.authsrv/sign-in 303" in browser.steps
