"""How a client that nobody knows is led: asked for a ticket, sent to a page, or told no."""

from __future__ import annotations

from typing import Any

import pytest
from service_rig import Answer, Rig, ask_headers
from visiting import NAVIGATION, SITE_NAMES, Visitor, location_of

from authsrv.devrealm import Realm

HTML = (("Accept", "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8"),)


def fetch_says(mode: str, dest: str, site: str) -> tuple[tuple[str, str], ...]:
    return (("Sec-Fetch-Mode", mode), ("Sec-Fetch-Dest", dest), ("Sec-Fetch-Site", site))


def told(answer: Answer) -> tuple[bool, bool, bool]:
    """Whether it asks for a ticket, leads somewhere, and sets a cookie."""
    return (
        answer.field("WWW-Authenticate") is not None,
        location_of(answer) is not None,
        "set-cookie" in answer.fields,
    )


ASKED_AND_LED = 401, (True, True, True)
ASKED = 401, (True, False, False)
NEITHER = 401, (False, False, False)

KINDS: dict[str, tuple[str, tuple[tuple[str, str], ...], Any]] = {
    "a page that is opened": ("GET", NAVIGATION, ASKED_AND_LED),
    "a page that another site leads to": (
        "GET",
        fetch_says("navigate", "document", "cross-site"),
        ASKED_AND_LED,
    ),
    "an old browser that takes HTML": ("GET", HTML, ASKED_AND_LED),
    "a program": ("GET", (), ASKED),
    "a program that takes anything": ("GET", (("Accept", "*/*"),), ASKED),
    "a program that posts and takes HTML": ("POST", HTML, ASKED),
    "fetch of the site's own page": ("GET", fetch_says("cors", "empty", "same-origin"), ASKED),
    "XMLHttpRequest for HTML": (
        "GET",
        (*fetch_says("same-origin", "empty", "same-origin"), *HTML),
        ASKED,
    ),
    "an image of the site's own page": (
        "GET",
        fetch_says("no-cors", "image", "same-origin"),
        ASKED,
    ),
    "a form that the site's own page sends": (
        "POST",
        fetch_says("navigate", "document", "same-origin"),
        ASKED,
    ),
    "a form that a page of another site sends": (
        "POST",
        fetch_says("navigate", "document", "cross-site"),
        NEITHER,
    ),
    "a frame in its own page": (
        "GET",
        fetch_says("navigate", "iframe", "same-origin"),
        ASKED,
    ),
    "a frame in a page of another site": (
        "GET",
        fetch_says("navigate", "iframe", "cross-site"),
        NEITHER,
    ),
    "an image in a page of a sibling": (
        "GET",
        fetch_says("no-cors", "image", "same-site"),
        NEITHER,
    ),
    "fetch of a page of another site": ("GET", fetch_says("cors", "empty", "cross-site"), NEITHER),
    "a WebSocket of a page of another site": (
        "GET",
        (("Upgrade", "websocket"), ("Sec-Fetch-Site", "cross-site"), *HTML),
        NEITHER,
    ),
    "a word that is no site": ("GET", fetch_says("cors", "empty", "Same-Origin "), NEITHER),
    "two words about the site": (
        "GET",
        (*fetch_says("cors", "empty", "same-origin"), ("Sec-Fetch-Site", "cross-site")),
        NEITHER,
    ),
}


@pytest.mark.parametrize("kind", KINDS)
def test_what_kind_of_request_it_is(rig: Rig, kind: str) -> None:
    method, headers, (status, expected) = KINDS[kind]
    answer = rig.ask("/secret", *headers, method=method)
    assert (answer.status, told(answer)) == (status, expected)
    assert not answer.is_yes


POLICIES = {
    # host: (ask of a page, ask of a program, the sign-in page)
    "wiki.example.org": (True, True, True),
    "asks.example.org": (True, True, False),
    "pages.example.org": (False, False, True),
    "forms.example.org": (False, False, False),
}


@pytest.mark.parametrize("host", POLICIES)
def test_where_a_site_asks_for_tickets(rig: Rig, host: str) -> None:
    page, program, sign_in = POLICIES[host]
    site = SITE_NAMES[host]
    answers = (
        rig.ask("/secret", *NAVIGATION, host=host, site=site),
        rig.ask("/secret", host=host, site=site),
        rig.page("/.authsrv/sign-in?return=/", *NAVIGATION, host=host, site=site),
    )
    assert tuple(told(answer)[0] for answer in answers) == (page, program, sign_in)
    assert [location_of(answer) is not None for answer in answers] == [True, False, True]


@pytest.mark.parametrize(
    ("address", "is_asked"), [("198.51.100.9", False), ("192.0.2.7", True), ("2001:db8::1", True)]
)
def test_a_site_asks_by_the_clients_network(rig: Rig, address: str, is_asked: bool) -> None:
    host = "networks.example.org"
    headers = ask_headers(host=host, site="networks", address=address)
    for target, listener in (("/ask/nginx", "asks"), ("/.authsrv/sign-in?return=/", "pages")):
        answer = rig.send(listener, "GET", target, (*headers, *NAVIGATION))
        assert told(answer)[0] is is_asked


def test_a_browser_without_a_ticket_is_asked_once_and_then_led_to_the_form(
    visitor: Visitor,
) -> None:
    asked = visitor.open("https://wiki.example.org/secret")
    assert told(asked) == (True, True, True)
    again = visitor.open("https://wiki.example.org/secret")
    assert told(again)[:2] == (False, True)
    assert (visitor.follow("https://wiki.example.org/secret")).status == 200
    assert visitor.url.startswith("https://login.example.org/.authsrv/sign-in?order=")


def test_a_refused_ticket_leads_to_the_form_and_not_to_another_challenge(
    rig: Rig, visitor: Visitor
) -> None:
    bad = ("Authorization", "Negotiate YIIBAA==")
    refused = visitor.open("https://wiki.example.org/secret", bad)
    assert told(refused) == (False, True, True)
    assert "refused" in rig.served.logged()
    page = visitor.follow("https://wiki.example.org/secret")
    assert told(page)[0] is False
    assert "login.example.org" in visitor.url


def test_a_ticket_that_the_sign_in_page_refuses_leads_to_the_form(visitor: Visitor) -> None:
    bad = ("Authorization", "Negotiate YIIBAA==")
    refused = visitor.open("https://pages.example.org/.authsrv/sign-in?return=/", bad)
    assert told(refused)[0] is False
    assert (location_of(refused) or "").endswith("&trouble=refused")


def test_ntlm_leads_to_the_form_which_says_why(visitor: Visitor) -> None:
    ntlm = ("Authorization", "Negotiate TlRMTVNTUAABAAAAl4II4gAAAAAAAAAAAAAAAAAAAAAKAGNFAAAADw==")
    refused = visitor.open("https://wiki.example.org/.authsrv/sign-in?return=/", ntlm)
    assert (location_of(refused) or "").endswith("&trouble=ntlm")


def test_a_program_whose_ticket_is_refused_may_try_again(rig: Rig) -> None:
    answer = rig.ask("/secret", ("Authorization", "Negotiate YIIBAA=="))
    assert answer.status == 401
    assert (answer.field("WWW-Authenticate") or "").startswith("Negotiate")
    assert "set-cookie" not in answer.fields


def test_a_token_that_is_no_base64_is_the_clients_fault(rig: Rig) -> None:
    """On a page as in an ask: nothing that a client sends is reported as a fault of ours."""
    for value in ("Negotiate ???", "Negotiate", "Negotiate " + 120_000 * "A"):
        field = ("Authorization", value)
        assert 400 <= rig.ask("/secret", field).status < 500
        page = rig.page("/.authsrv/sign-in?return=/", *NAVIGATION, field)
        assert 400 <= page.status < 500


# What a browser comes back with, and what becomes of it.


# One more proof, where a rule asks for it.


def by_password(visitor: Visitor, realm: Realm, url: str) -> Answer:
    page = visitor.follow(url)
    return visitor.submit(page, username="alice", password=realm.password("alice"))


def test_a_ticket_is_the_other_proof(visitor: Visitor, people_realm: Realm, ticket_of: Any) -> None:
    assert by_password(visitor, people_realm, "https://wiki.example.org/secret").is_yes
    stepped = visitor.open("https://wiki.example.org/by-ticket/x")
    asked = visitor.open(f"https://wiki.example.org{location_of(stepped)}")
    assert told(asked)[0] is True
    begun = visitor.open(visitor.url, ticket_of("alice"))
    assert begun.status == 303
    assert visitor.follow("https://wiki.example.org/by-ticket/x").is_yes


def test_a_program_is_never_led_to_another_proof(
    rig: Rig, visitor: Visitor, people_realm: Realm
) -> None:
    by_password(visitor, people_realm, "https://wiki.example.org/secret")
    kept = visitor.cookies["wiki.example.org"]
    cookie = "; ".join(f"{name}={value}" for name, value in kept.items())
    answer = rig.ask("/by-ticket/x", ("Cookie", cookie))
    assert (answer.status, told(answer)) == (403, (False, False, False))


# The way back.
