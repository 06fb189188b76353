"""The end of a session: what it ends, who may end it, and what becomes of single sign-on then."""

from __future__ import annotations

import json
from typing import Any

from service_rig import Answer, Rig
from visiting import NAVIGATION, Visitor, location_of

WIKI, FORMS = "https://wiki.example.org", "https://forms.example.org"
OWN_PAGE = (("Sec-Fetch-Site", "same-origin"), ("Sec-Fetch-Mode", "navigate"))


def signed_in(rig: Rig) -> Visitor:
    """A browser in which alice has typed her password."""
    visitor = Visitor(rig)
    page = visitor.follow(f"{FORMS}/secret")
    assert visitor.submit(page, username="alice", password=rig.realm.password("alice")).is_yes
    return visitor


def sign_out(visitor: Visitor, origin: str = FORMS) -> Answer:
    return visitor.send("POST", f"{origin}/.authsrv/sign-out", OWN_PAGE)


def test_it_ends_what_came_of_the_log_in_on_every_host(rig: Rig) -> None:
    visitor = signed_in(rig)
    assert visitor.follow(f"{WIKI}/secret").is_yes
    stolen = {host: dict(cookies) for host, cookies in visitor.cookies.items()}
    ended = sign_out(visitor)
    assert location_of(ended) == "/.authsrv/sign-out"
    assert visitor.follow(f"{FORMS}/.authsrv/sign-out").status == 200
    thief = Visitor(rig, cookies=stolen)
    for url in (f"{FORMS}/secret", f"{WIKI}/secret"):
        assert not thief.open(url).is_yes
    home = thief.open("https://login.example.org/")
    assert "alice" not in home.text
    assert 'type="password"' in thief.follow(f"{FORMS}/secret").text


def test_the_login_host_ends_it_as_well(rig: Rig) -> None:
    visitor = signed_in(rig)
    home = visitor.open("https://login.example.org/")
    assert "alice@AUTHSRV.TEST" in home.text
    visitor.submit(home)
    assert not visitor.open(f"{FORMS}/secret").is_yes


def test_another_log_in_of_the_same_user_goes_on(rig: Rig) -> None:
    here, there = signed_in(rig), signed_in(rig)
    sign_out(here)
    assert there.open(f"{FORMS}/secret").is_yes


def test_after_it_no_ticket_is_asked_for_or_taken_until_the_user_wants_it(
    rig: Rig, visitor: Visitor, ticket_of: Any
) -> None:
    assert visitor.open(f"{WIKI}/secret", ticket_of()).is_yes
    sign_out(visitor, WIKI)
    led = visitor.open(f"{WIKI}/secret")
    assert led.field("WWW-Authenticate") is None
    page = visitor.follow(f"{WIKI}/secret")
    assert (page.status, page.field("WWW-Authenticate")) == (200, None)
    assert "/.authsrv/sign-in?return=/secret&amp;again=1" in page.text
    # A browser that sends its ticket unasked is not signed in by that.
    assert not visitor.open(f"{WIKI}/secret", ticket_of()).is_yes
    unasked = visitor.open(f"{WIKI}/.authsrv/sign-in?return=/secret", ticket_of())
    assert (unasked.status, "set-cookie" in unasked.fields) == (200, False)
    # A link of another site does not want it in the user's place.
    url = f"{WIKI}/.authsrv/sign-in?return=/secret&again=1"
    linked = visitor.send("GET", url, (*NAVIGATION[:3], ("Sec-Fetch-Site", "cross-site")))
    assert (linked.status, linked.field("WWW-Authenticate")) == (200, None)
    wanted = visitor.open(url)
    assert wanted.field("WWW-Authenticate") == "Negotiate"
    assert visitor.open(url, ticket_of()).status == 303
    assert visitor.follow(f"{WIKI}/secret").is_yes


def test_after_it_a_browser_without_a_ticket_gets_to_the_form(rig: Rig) -> None:
    visitor = signed_in(rig)
    assert visitor.follow(f"{WIKI}/secret").is_yes
    sign_out(visitor, WIKI)
    assert visitor.follow(f"{WIKI}/secret").status == 200
    page = visitor.follow(f"{WIKI}/.authsrv/sign-in?return=/secret&again=1")
    assert 'type="password"' in page.text
    end = visitor.submit(page, username="alice", password=rig.realm.password("alice"))
    assert (end.is_yes, visitor.url) == (True, f"{WIKI}/secret")
    # And from then on, tickets are asked for again.
    visitor.cookies["wiki.example.org"].pop("__Host-authsrv")
    assert visitor.open(f"{WIKI}/secret").field("WWW-Authenticate") == "Negotiate"


def test_a_program_is_asked_for_its_ticket_all_the_same(
    rig: Rig, visitor: Visitor, ticket_of: Any
) -> None:
    sign_out(visitor, WIKI)
    kept = visitor.cookies["wiki.example.org"]
    cookie = ("Cookie", "; ".join(f"{name}={value}" for name, value in kept.items()))
    assert rig.ask("/secret", cookie).field("WWW-Authenticate") == "Negotiate"
    assert rig.ask("/secret", cookie, ticket_of()).is_yes


# Who one is.


def test_whoami_says_who_one_is(rig: Rig) -> None:
    visitor = signed_in(rig)
    told = visitor.send("GET", f"{FORMS}/.authsrv/whoami", ())
    assert told.field("Content-Type") == "application/json; charset=utf-8"
    content = json.loads(told.text)
    assert content["principal"] == "alice@AUTHSRV.TEST"
    assert content["mechanism"] == "password"
    assert content["ends_at"] > content["authenticated_at"]
    page = visitor.open(f"{FORMS}/.authsrv/whoami")
    assert "alice@AUTHSRV.TEST" in page.text
    for answer in (told, page):
        assert "Access-Control-Allow-Origin" not in answer.fields
        assert visitor.cookies["forms.example.org"]["__Host-authsrv"] not in answer.text


def test_whoami_of_nobody(rig: Rig, visitor: Visitor) -> None:
    told = visitor.send("GET", f"{FORMS}/.authsrv/whoami", ())
    assert (told.status, json.loads(told.text)) == (401, {"principal": None})
    led = visitor.open(f"{FORMS}/.authsrv/whoami")
    assert location_of(led) == "/.authsrv/sign-in?return=/"
