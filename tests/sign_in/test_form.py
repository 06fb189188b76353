"""The form on the login host: what is typed, what is refused and how that is told."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest
from initiators import newcomer
from service_rig import Answer, Rig
from sign_in_sites import Tickets, own_rig
from visiting import Visitor, form_of

from authsrv.devrealm import AccountMark, Realm

SECRET = "https://forms.example.org/a%20b/%C3%A4?x=%26&y=%2541+z&u=https://e.example/"
FLOOR_S = 1.0
WRONG = "not the password"
_MADE_ANEW = re.compile(r'value="[A-Za-z0-9_-]{40,}"')


def without_tokens(page: Answer) -> str:
    return _MADE_ANEW.sub("", page.text)


def test_the_right_password_ends_at_the_application(visitor: Visitor, people_realm: Realm) -> None:
    page = visitor.follow(SECRET)
    assert (page.status, visitor.url.partition("?")[0]) == (
        200,
        "https://login.example.org/.authsrv/sign-in",
    )
    end = visitor.submit(page, username="alice", password=people_realm.password("alice"))
    assert (end.status, visitor.url) == (200, SECRET)
    assert sorted(visitor.cookies["forms.example.org"]) == [
        "__Host-authsrv",
        "__Host-authsrv-nonce",
    ]
    assert sorted(visitor.cookies["login.example.org"]) == [
        "__Host-authsrv-device",
        "__Host-authsrv-login",
    ]


def test_another_site_needs_no_second_password(visitor: Visitor, people_realm: Realm) -> None:
    page = visitor.follow(SECRET)
    visitor.submit(page, username="alice", password=people_realm.password("alice"))
    end = visitor.follow("https://wiki.example.org/secret")
    assert end.field("Remote-User") == "alice"


def test_every_cookie_is_bound_to_its_host(visitor: Visitor, people_realm: Realm) -> None:
    page = visitor.follow(SECRET)
    for answer in (visitor.open(SECRET), page):
        for cookie in answer.fields.get("set-cookie", []):
            assert cookie.startswith("__Host-authsrv")
            assert {"Secure", "HttpOnly", "Path=/", "SameSite=Lax"} <= set(cookie.split("; "))
            assert "Domain" not in cookie


def test_refusals_without_proof_are_told_alike_and_take_as_long(
    visitor: Visitor, people_realm: Realm
) -> None:
    """A wrong password, and what the KDC says of an account whatever the password."""
    disabled, stale = newcomer(people_realm), newcomer(people_realm)
    people_realm.mark_user(disabled, AccountMark.DISABLED)
    people_realm.mark_user(stale, AccountMark.MUST_CHANGE)
    cases = [
        ("alice", WRONG),
        (disabled, people_realm.password(disabled)),
        (stale, WRONG),
    ]
    told = set()
    page = visitor.follow(SECRET)
    for username, password in cases:
        begun_at = time.monotonic()
        page = visitor.submit(page, username=username, password=password)
        assert FLOOR_S - 0.05 < time.monotonic() - begun_at < 3 * FLOOR_S
        assert page.status == 403
        told.add(without_tokens(page))
    assert len(told) == 1
    text = told.pop()
    assert not any(username in text for username, _ in cases)
    end = visitor.submit(page, username="alice", password=people_realm.password("alice"))
    assert (end.status, visitor.url) == (200, SECRET)


def test_a_password_that_must_be_changed_is_told_to_whoever_knows_it(
    visitor: Visitor, people_realm: Realm
) -> None:
    user = newcomer(people_realm)
    people_realm.mark_user(user, AccountMark.MUST_CHANGE)
    page = visitor.follow(SECRET)
    refused = visitor.submit(page, username=user, password=people_realm.password(user))
    assert refused.status == 403
    wrong = visitor.submit(refused, username=user, password=WRONG)
    assert without_tokens(refused) != without_tokens(wrong)


# What fits together: the form, the browser that it was shown in, and the time.


def test_a_form_without_its_cookie_is_shown_anew(visitor: Visitor, people_realm: Realm) -> None:
    page = visitor.follow(SECRET)
    visitor.cookies["login.example.org"].clear()
    fields = {"username": "alice", "password": people_realm.password("alice")}
    stale = visitor.post(page, **fields)
    assert stale.status == 403
    assert form_of(stale).hidden["order"] == form_of(page).hidden["order"]
    end = visitor.submit(stale, **fields)
    assert (end.status, visitor.url) == (200, SECRET)


def test_the_login_host_has_no_way_to_the_application_and_asks_no_ticket(rig: Rig) -> None:
    for path in ("/", "/secret", "/.authsrv/check", "/.authsrv/token"):
        answer = rig.page(path, ("Accept", "text/html"), host="login.example.org", site="login")
        assert answer.status in (200, 404)
        assert answer.field("WWW-Authenticate") is None


# The KDC is away.


@pytest.fixture
def profile(people_realm: Realm, tmp_path: Path) -> Path:
    """A krb5.conf of one's own, which can be made to lead nowhere."""
    path = tmp_path / "krb5.conf"
    path.write_text(Path(people_realm.environment()["KRB5_CONFIG"]).read_text())
    return path


def test_without_the_kdc_sessions_go_on_and_log_ins_wait(
    people_realm: Realm, profile: Path, ticket_of: Tickets
) -> None:
    right = profile.read_text()
    nowhere = re.sub(r"127\.0\.0\.1:\d+", "127.0.0.1:9", right)
    assert nowhere != right
    with own_rig(people_realm, {"KRB5_CONFIG": str(profile)}) as rig:
        inside, outside = Visitor(rig), Visitor(rig)
        fields = {"username": "alice", "password": people_realm.password("alice")}
        assert inside.submit(inside.follow(SECRET), **fields).is_yes
        page = outside.follow(SECRET)
        # libkrb5 looks at the file once a second.
        time.sleep(1.1)
        profile.write_text(nowhere)
        refused = outside.submit(page, **fields)
        assert (refused.status, refused.field("Retry-After")) == (503, "5")
        assert "text/html" in (refused.field("Content-Type") or "")
        assert refused.field("Set-Cookie") is None
        assert inside.open(SECRET).is_yes
        assert rig.ask("/secret", ticket_of("alice")).is_yes
        time.sleep(1.1)
        profile.write_text(right)
        assert outside.submit(page, **fields).is_yes


def test_an_order_that_was_changed_is_refused(rig: Rig, visitor: Visitor) -> None:
    visitor.follow(SECRET)
    before, order = visitor.url.split("order=")
    # One character of it, of which all bits count.
    changed = order[:60] + ("A" if order[60] != "A" else "B") + order[61:]
    answer = visitor.open(f"{before}order={changed}")
    assert (answer.status, "set-cookie" in answer.fields) == (403, False)
    assert "order is forged" in rig.served.logged()


def test_who_comes_back_as_another_ends_the_session_that_was_there(
    rig: Rig, visitor: Visitor, people_realm: Realm, ticket_of: Tickets
) -> None:
    host = "forms.example.org"
    page = visitor.follow(SECRET)
    begun = rig.page("/.authsrv/sign-in?return=/", ticket_of("bob"), host=host, site="forms")
    visitor.keep(host, begun)
    bobs = ("Cookie", f"__Host-authsrv={visitor.cookies[host]['__Host-authsrv']}")
    assert rig.ask("/secret", bobs, host=host, site="forms").is_yes
    visitor.submit(page, username="alice", password=people_realm.password("alice"))
    assert visitor.url == SECRET
    assert rig.ask("/secret", bobs, host=host, site="forms").status == 401


def test_of_several_tabs_each_comes_to_its_page(rig: Rig, people_realm: Realm) -> None:
    """As where a browser opens again what was open: one cookie of a name serves them all."""
    first, second, third = Visitor(rig), Visitor(rig), Visitor(rig)
    second.cookies = third.cookies = first.cookies
    tabs = [first, second, third]
    pages = [tab.follow(f"{SECRET}&tab={number}") for number, tab in enumerate(tabs)]
    fields = {"username": "alice", "password": people_realm.password("alice")}
    assert first.submit(pages[0], **fields).is_yes
    assert first.url == f"{SECRET}&tab=0"
    # Once somebody is signed in, the others need but a reload.
    assert second.follow(second.url).is_yes
    assert second.url == f"{SECRET}&tab=1"
    # Or the password once more.
    again = third.submit(pages[2], **fields)
    assert third.submit(again, **fields).is_yes
    assert third.url == f"{SECRET}&tab=2"
