"""The form on the login host: what is typed, what is refused and how that is told."""

from __future__ import annotations

import re
import time
from pathlib import Path
from urllib.parse import urlencode

import pytest
from initiators import newcomer
from service_rig import Answer, Rig
from sign_in_sites import Tickets, own_rig
from visiting import Visitor, form_of

from authsrv.devrealm import AccountMark, Realm

SECRET = "https://forms.example.org/secret?x=1"
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
    # Everything that stood in an address counted once, and the browser kept two cookies.
    assert list(visitor.cookies["forms.example.org"]) == ["__Host-authsrv"]
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
    """A wrong password, a name that there is not, a disabled account, names for the parser."""
    disabled, stale = newcomer(people_realm), newcomer(people_realm)
    people_realm.mark_user(disabled, AccountMark.DISABLED)
    people_realm.mark_user(stale, AccountMark.MUST_CHANGE)
    cases = [
        ("alice", WRONG),
        ("nobody", WRONG),
        (disabled, people_realm.password(disabled)),
        (stale, WRONG),
        ("alice/admin@OTHER.TEST", WRONG),
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


def test_neither_page_nor_log_says_what_was_typed(
    rig: Rig, visitor: Visitor, people_realm: Realm
) -> None:
    page = visitor.follow(SECRET)
    refused = visitor.submit(page, username="canary-name", password="canary-password")
    visitor.submit(refused, username="alice", password=people_realm.password("alice"))
    for text in (refused.text, rig.served.logged()):
        assert "canary" not in text
        assert people_realm.password("alice") not in text


# What fits together: the form, the browser that it was shown in, and the time.


def test_a_form_of_another_browser_is_shown_anew(
    rig: Rig, visitor: Visitor, people_realm: Realm
) -> None:
    mine, theirs = visitor, Visitor(rig)
    my_page, their_page = mine.follow(SECRET), theirs.follow(SECRET)
    fields = {"username": "alice", "password": people_realm.password("alice")}
    stale = mine.post(their_page, **fields)
    assert stale.status == 403
    assert "__Host-authsrv-login" not in mine.cookies["login.example.org"]
    # What is shown anew fits, and the one of before does not any more.
    assert mine.post(my_page, **fields).status == 403
    assert mine.post(stale, **fields).status == 403
    end = mine.submit(mine.follow(SECRET), **fields)
    assert (end.status, mine.url) == (200, SECRET)


def test_a_form_without_its_cookie_is_shown_anew(visitor: Visitor, people_realm: Realm) -> None:
    page = visitor.follow(SECRET)
    visitor.cookies["login.example.org"].clear()
    fields = {"username": "alice", "password": people_realm.password("alice")}
    stale = visitor.post(page, **fields)
    assert stale.status == 403
    assert form_of(stale).hidden["order"] == form_of(page).hidden["order"]
    end = visitor.submit(stale, **fields)
    assert (end.status, visitor.url) == (200, SECRET)


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://forms.example.org", "Sec-Fetch-Site": "same-site"},
        {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
    ],
    ids=lambda headers: " ".join(headers.values()),
)
def test_a_form_that_a_page_of_another_site_sends_is_not_looked_at(
    rig: Rig, visitor: Visitor, people_realm: Realm, headers: dict[str, str]
) -> None:
    page = visitor.follow(SECRET)
    fields = {
        **form_of(page).hidden,
        "username": "alice",
        "password": people_realm.password("alice"),
    }
    told = (("Content-Type", "application/x-www-form-urlencoded"), *headers.items())
    answer = visitor.send(
        "POST",
        "https://login.example.org/.authsrv/sign-in",
        told,
        body=urlencode(fields).encode(),
    )
    assert answer.status == 403
    assert "set-cookie" not in answer.fields
    assert "CrossSiteError" in rig.served.logged() or "another site" in rig.served.logged()


BODIES = {
    "nothing": b"",
    "no password": b"order=x&csrf=x&username=alice",
    "a field twice": b"order=x&csrf=x&username=alice&username=bob&password=x",
    "a field more": b"order=x&csrf=x&username=alice&password=x&admin=1",
    "no form at all": b'{"username": "alice"}',
    "bytes that are no UTF-8": b"order=x&csrf=x&username=%ff&password=x",
    "many fields": b"&".join(b"a%d=" % number for number in range(99)),
    "more than a form has": b"order=x&csrf=x&username=alice&password=" + 20_000 * b"x",
}


@pytest.mark.parametrize("body", BODIES)
def test_a_body_that_is_no_form_of_ours_is_refused(visitor: Visitor, body: str) -> None:
    headers = (
        ("Content-Type", "application/x-www-form-urlencoded"),
        ("Origin", "https://login.example.org"),
    )
    answer = visitor.send(
        "POST", "https://login.example.org/.authsrv/sign-in", headers, body=BODIES[body]
    )
    assert answer.status == 403
    assert "set-cookie" not in answer.fields


@pytest.mark.parametrize("order", ["", "x", "A" * 4_000])
def test_the_form_is_shown_to_nobody_who_was_not_sent(rig: Rig, order: str) -> None:
    answer = rig.page(f"/.authsrv/sign-in?order={order}", host="login.example.org", site="login")
    assert answer.status == 403
    assert "password" not in answer.text.lower()
    assert answer.field("Location") is None


def test_the_login_host_has_no_way_to_the_application_and_asks_no_ticket(rig: Rig) -> None:
    for path in ("/", "/secret", "/.authsrv/check", "/.authsrv/token"):
        answer = rig.page(path, ("Accept", "text/html"), host="login.example.org", site="login")
        assert answer.status in (200, 404)
        assert answer.field("WWW-Authenticate") is None


def test_no_password_is_typed_on_the_applications_host(rig: Rig) -> None:
    posted = rig.page(
        "/.authsrv/sign-in",
        ("Content-Type", "application/x-www-form-urlencoded"),
        method="POST",
        body=b"username=alice&password=x",
    )
    assert posted.status == 405
    shown = rig.page("/.authsrv/sign-in?return=/", ("Accept", "text/html"))
    assert 'type="password"' not in shown.text


@pytest.mark.parametrize("host", ["forms.example.org", "login.example.org"])
def test_our_pages_cannot_be_framed_read_or_kept(rig: Rig, host: str) -> None:
    site = "login" if host == "login.example.org" else "forms"
    for path in ("/.authsrv/sign-in", "/.authsrv/whoami", "/.authsrv/nothing"):
        answer = rig.page(path, ("Accept", "text/html"), host=host, site=site)
        policy = answer.field("Content-Security-Policy") or ""
        assert {"default-src 'none'", "base-uri 'none'", "frame-ancestors 'none'"} <= set(
            policy.split("; ")
        )
        assert answer.field("Cross-Origin-Opener-Policy") == "same-origin"
        assert answer.field("X-Content-Type-Options") == "nosniff"
        assert answer.field("Referrer-Policy") == "no-referrer"
        assert answer.field("Cache-Control") == "no-store"
        assert "Access-Control-Allow-Origin" not in answer.fields


@pytest.mark.parametrize("host", ["forms.example.org", "login.example.org"])
def test_no_page_of_ours_is_a_service_worker(rig: Rig, host: str) -> None:
    site = "login" if host == "login.example.org" else "forms"
    for path in ("/.authsrv/sign-in", "/.authsrv/assets/authsrv.css", "/.authsrv/keys.json"):
        answer = rig.page(path, ("Service-Worker", "script"), host=host, site=site)
        assert answer.status == 403


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
