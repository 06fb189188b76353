"""Asks, answered by a service in a process of its own, with a real realm behind it."""

from __future__ import annotations

from collections.abc import Callable

from service_rig import Rig, cookies_of

PAGE = ("Accept", "text/html")
Tickets = Callable[[str], tuple[str, str]]


def test_an_open_path_needs_nobody(rig: Rig) -> None:
    answer = rig.ask("/public/x")
    assert answer.status == 200
    assert answer.field("Remote-User") == ""


def test_a_program_is_asked_for_a_ticket(rig: Rig) -> None:
    answer = rig.ask("/secret")
    assert (answer.status, answer.field("WWW-Authenticate")) == (401, "Negotiate")
    assert "set-cookie" not in answer.fields


def test_a_ticket_lets_a_program_in_without_a_session(rig: Rig, ticket_of: Tickets) -> None:
    answer = rig.ask("/secret", ticket_of("alice"))
    assert answer.status == 200
    assert answer.field("Remote-User") == "alice"
    assert (answer.field("WWW-Authenticate") or "").startswith("Negotiate ")
    assert "set-cookie" not in answer.fields


def test_a_ticket_begins_the_session_of_a_person(rig: Rig, ticket_of: Tickets) -> None:
    first = rig.ask("/secret", ticket_of("alice"), PAGE)
    assert first.status == 200
    again = rig.ask("/secret", PAGE, ("Cookie", cookies_of(first)))
    assert again.status == 200
    assert again.field("Remote-User") == "alice"
