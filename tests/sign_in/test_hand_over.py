"""The way from the login host back: a code that counts once, soon, there, and in that browser."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import pytest
from service_rig import Answer, Rig
from visiting import Visitor, location_of

SECRET = "https://forms.example.org/secret"


def code_for(visitor: Visitor, url: str = SECRET) -> str:
    """Sign in up to the address by which the browser would come back; it is not opened yet."""
    page = visitor.follow(url)
    rig = visitor.rig
    sent = visitor.post(page, username="alice", password=rig.realm.password("alice"))
    where = location_of(sent)
    assert where is not None
    return where


def assert_refused(rig: Rig, answer: Answer, cause: str) -> None:
    assert answer.status == 403
    assert "set-cookie" not in answer.fields
    assert location_of(answer) is None
    reference = next(line for line in rig.served.logged().splitlines()[::-1] if "refused" in line)
    assert cause in reference
    assert "HandOverError" in reference or "hand-over" in reference


def test_a_code_counts_once(rig: Rig, visitor: Visitor) -> None:
    where = code_for(visitor)
    nonce = dict(visitor.cookies["forms.example.org"])
    assert visitor.open(where).status == 303
    visitor.cookies["forms.example.org"] = nonce
    assert_refused(rig, visitor.open(where), "the code was used before")


def test_a_code_counts_in_the_browser_that_it_was_made_for(rig: Rig, visitor: Visitor) -> None:
    where = code_for(visitor)
    thief = Visitor(rig)
    thief.follow(SECRET)  # so that it has a nonce of its own
    assert_refused(rig, thief.open(where), "the code was made for another browser")
    # Who has seen it has spoilt it, for everybody.
    assert_refused(rig, visitor.open(where), "the code was used before")


def test_a_code_counts_in_no_browser_without_a_nonce(rig: Rig, visitor: Visitor) -> None:
    where = code_for(visitor)
    assert_refused(rig, Visitor(rig).open(where), "the code was made for another browser")


def test_a_code_counts_at_the_host_that_it_was_made_for(rig: Rig, visitor: Visitor) -> None:
    where = code_for(visitor)
    nonce = visitor.cookies["forms.example.org"]
    visitor.cookies["wiki.example.org"] = dict(nonce)
    elsewhere = where.replace("forms.example.org", "wiki.example.org")
    assert_refused(rig, visitor.open(elsewhere), "another host")


@pytest.mark.parametrize("code", ["", "x", "A" * 43, "A" * 65, "A" * 5_000, "%00", "%E2%82%AC"])
def test_a_code_that_never_was(rig: Rig, visitor: Visitor, code: str) -> None:
    answer = visitor.open(f"https://forms.example.org/.authsrv/hand-over?code={code}")
    assert_refused(rig, answer, "the code")


def test_a_code_beside_another_is_none(rig: Rig, visitor: Visitor) -> None:
    where = code_for(visitor)
    assert_refused(rig, visitor.open(f"{where}&code=x"), "the code never was")


def test_the_session_of_the_login_host_is_none_at_an_application(
    rig: Rig, visitor: Visitor
) -> None:
    code_for(visitor)
    value = visitor.cookies["login.example.org"]["__Host-authsrv-login"]
    for name in ("__Host-authsrv", "__Host-authsrv-login"):
        answer = rig.ask("/secret", ("Cookie", f"{name}={value}"))
        assert answer.status == 401


def test_an_order_of_another_service_is_refused(rig: Rig, visitor: Visitor) -> None:
    page = visitor.follow(SECRET)
    assert page.status == 200
    order = urlsplit(visitor.url).query.partition("order=")[2].partition("&")[0]
    # One character of it, of which all bits count.
    changed = order[:60] + ("A" if order[60] != "A" else "B") + order[61:]
    answer = visitor.open(f"https://login.example.org/.authsrv/sign-in?order={changed}")
    assert_refused(rig, answer, "")


def test_a_sign_out_on_the_way_ends_it(rig: Rig, visitor: Visitor) -> None:
    """What the code is good for was revoked, by the login host, before the browser came back."""
    where = code_for(visitor)
    page = visitor.open("https://login.example.org/")
    visitor.submit(page)
    assert_refused(rig, visitor.open(where), "signed out")


def test_the_form_may_lead_to_the_host_that_it_is_for_and_to_no_other(visitor: Visitor) -> None:
    page = visitor.follow(SECRET)
    policy = (page.field("Content-Security-Policy") or "").split("; ")
    assert "form-action 'self' https://forms.example.org" in policy


def test_a_session_beside_the_code_is_ended(rig: Rig, visitor: Visitor, ticket_of: Any) -> None:
    """Somebody signs in as another, where somebody was signed in before."""
    where = code_for(visitor)
    host = "forms.example.org"
    begun = rig.page("/.authsrv/sign-in?return=/", ticket_of("bob"), host=host, site="forms")
    visitor.keep(host, begun)
    bobs = visitor.cookies[host]["__Host-authsrv"]
    visitor.cookies[host].update({"__Host-authsrv": bobs})
    end = visitor.open(where)
    if end.status == 403:  # the sign-in by ticket took the nonce away
        pytest.fail(end.text)
    answer = rig.ask("/secret", ("Cookie", f"__Host-authsrv={bobs}"), host=host, site="forms")
    assert answer.status == 401
