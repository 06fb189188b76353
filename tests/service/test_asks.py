"""Asks, answered by a service in a process of its own, with a real realm behind it."""

from __future__ import annotations

from collections.abc import Callable

from service_rig import WIKI_HOST, Rig, cookies_of

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


def test_a_yes_alone_has_the_verdict(rig: Rig, ticket_of: Tickets) -> None:
    yes = [rig.ask("/public/x"), rig.ask("/secret", ticket_of("alice"))]
    assert [answer.field("X-Authsrv-Verdict") for answer in yes] == ["admitted", "admitted"]
    no = [rig.ask("/secret"), rig.ask("/secret", PAGE), rig.ask("/admin/", ticket_of("alice"))]
    no += [rig.ask("/%61dmin"), rig.ask("/x", method="TRACE"), rig.ask(site="x")]
    assert [answer.field("X-Authsrv-Verdict") for answer in no] == [None] * len(no)


def test_cookies_of_the_application_come_back_byte_for_byte(rig: Rig) -> None:
    ours = "__Host-authsrv=x; __Host-authsrv-tried=y; \u00a0__Host-authsrv=z"
    answer = rig.ask("/public/x", ("Cookie", f'a="b c"; {ours}; d=\u00c3\u00a4'))
    # The rig reads fields as Latin-1: these are two bytes of UTF-8.
    assert answer.field("X-Authsrv-Cookie") == 'a="b c"; d=\u00c3\u00a4'


def test_a_page_of_a_known_host_that_came_by_http_is_another_site(
    rig: Rig, ticket_of: Tickets
) -> None:
    insecure = ("Origin", f"http://{WIKI_HOST}")
    for more in ({"method": "POST"}, {}):
        upgrade = () if more else (("Upgrade", "websocket"),)
        assert rig.ask("/x", ticket_of("alice"), insecure, *upgrade, **more).status == 403
        own = ("Origin", f"https://{WIKI_HOST}")
        assert rig.ask("/x", ticket_of("alice"), own, *upgrade, **more).status == 200


def test_the_line_of_a_refused_ticket_says_what_it_showed(rig: Rig, ticket_of: Tickets) -> None:
    ticket = ticket_of("alice")
    assert rig.ask("/secret", ticket).is_yes
    assert rig.ask("/secret", ticket).status == 401
    (line,) = [line for line in rig.served.logged().splitlines() if "cause=replay" in line]
    assert 'service="HTTP/wiki.example.org"' in line
    assert "token=Kerberos," in line
