"""Attacks on sessions, passwords and the service's pages; each is refused, and the log says why."""

from __future__ import annotations

import base64
import concurrent.futures
import gzip
import json
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote, urlsplit

import pytest
from attacked_sites import (
    ABROAD_HOST,
    API_HOST,
    OTHER_HOST,
    PLAIN_HOST,
    SITE_OF,
    STEPS_HOST,
    run_attacked,
)
from hypothesis import example, given, settings
from hypothesis import strategies as st
from service_browser import PAGE, Browser, hidden_fields
from service_rig import LOGIN_HOST, WIKI_HOST, Answer, Rig, ask_headers, run_beside
from serving import server_environment

from authsrv.core.identity import Identity
from authsrv.devrealm import Realm
from authsrv.service.key_files import FILE_NAMES, KeyFile
from authsrv.sessions.keyring import KeyKind
from authsrv.sessions.sealed import seal_session
from authsrv.sessions.sealing import Audience, Sealer
from authsrv.sessions.session import SessionLengths, begin_session, digest_of_groups

Browsers = Callable[..., Browser]
Tickets = Callable[..., tuple[str, str]]

AT_WIKI = Audience(WIKI_HOST, "wiki")
SESSION = "__Host-authsrv"
LOGIN_SESSION = "__Host-authsrv-login"
OWN = (("Origin", f"https://{WIKI_HOST}"), ("Sec-Fetch-Site", "same-origin"))
FORM = ("Content-Type", "application/x-www-form-urlencoded")


def path_of(answer: Answer) -> str:
    """Path and query of where an answer leads."""
    split = urlsplit(answer.field("Location") or "")
    return f"{split.path}?{split.query}"


@pytest.fixture
def alice(browser_of: Browsers) -> Browser:
    """A browser in which alice has just logged in at the wiki, by her password."""
    browser = browser_of()
    assert browser.log_in("alice").field("Remote-User") == "alice"
    return browser


@pytest.fixture(scope="module")
def worker(attacked: Rig, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """Another process with the store and the keys of the first."""
    with run_beside(attacked, tmp_path_factory.mktemp("worker")) as beside:
        yield beside


def reasons_since(rig: Rig, before: int) -> str:
    """What the log says since it had so many characters."""
    return rig.served.logged()[before:]


# Cookies that are no session.


@pytest.fixture(scope="module")
def cookie(attacked: Rig) -> str:
    """The value of a session's cookie of alice at the wiki."""
    browser = Browser(attacked, site_of=dict(SITE_OF))
    browser.log_in("alice")
    return browser.jar[WIKI_HOST][SESSION]


COOKIES = {
    "in quotes": ['{name}="{value}"'],
    "with a comma behind": ["{name}={value},x=1"],
    "doubled": ["{name}={value}; {name}={value}"],
    "doubled in two fields": ["{name}={value}", "{name}={value}"],
    "beside an empty one": ["{name}=; {name}={value}"],
    "beside one in another case": ["__host-AUTHSRV=x; {name}={value}"],
    "beside one with a no-break space in front": ["\xa0{name}=x; {name}={value}"],
    "beside one with a blank of Unicode in front": ["\xe2\x80\x80{name}=x; {name}={value}"],
    "beside a nameless one that begins with the name": ["={name}=x; {name}={value}"],
    "beside its name without a value": ["{name}; {name}={value}"],
    "under another name": ["authsrv={value}"],
    "in another case": ["__host-authsrv={value}"],
    "cut": ["{name}={cut}"],
    "with a letter changed": ["{name}={changed}"],
    "with padding": ["{name}={value}="],
    "percent-encoded": ["{name}=%41{value}"],
    "of another format": ["{name}=Ag{tail}"],
    "empty": ["{name}="],
    "too long": ["{name}=" + "A" * 5_000],
    "with more cookies than are read": ["{name}={value}; " + "x=" + "y" * 66_000],
}


@pytest.mark.parametrize("fields", COOKIES.values(), ids=COOKIES)
def test_a_cookie_is_no_session(attacked: Rig, cookie: str, fields: list[str]) -> None:
    changed = ("B" if cookie[60] == "A" else "A").join((cookie[:60], cookie[61:]))
    sent = [
        field.format(name=SESSION, value=cookie, cut=cookie[:-1], changed=changed, tail=cookie[2:])
        for field in fields
    ]
    answer = attacked.ask("/secret", *(("Cookie", field) for field in sent))
    assert answer.status == 401
    assert answer.field("Remote-User") is None


@pytest.mark.parametrize(
    "fields",
    [
        ["$Version=1; {name}={value}; $Path=/"],
        ["a=1", "{name}={value}", "b=2"],
        ['a="x; {name}={value}'],
        ["\t{name}\t=\t{value} "],
    ],
)
def test_other_cookies_beside_it_do_not_matter(
    attacked: Rig, cookie: str, fields: list[str]
) -> None:
    sent = [("Cookie", field.format(name=SESSION, value=cookie)) for field in fields]
    assert attacked.ask("/secret", *sent).field("Remote-User") == "alice"


def test_other_sealed_values_are_no_session(attacked: Rig, browser_of: Browsers) -> None:
    browser = browser_of()
    form = browser.visit("/secret")
    values = {**browser.jar[WIKI_HOST], **browser.jar[LOGIN_HOST], **hidden_fields(form)}
    typed = browser.type_password(form, "alice", attacked.realm.password("alice"))
    values |= browser.jar[LOGIN_HOST]
    browser.visit(path_of(typed))
    browser.sign_out()
    values |= browser.jar[WIKI_HOST]
    assert values.keys() == {
        "__Host-authsrv-tried",
        "__Host-authsrv-nonce",
        "__Host-authsrv-csrf",
        "__Host-authsrv-device",
        "__Host-authsrv-out",
        LOGIN_SESSION,
        "order",
        "csrf",
    }
    for name, value in values.items():
        answer = attacked.ask("/secret", ("Cookie", f"{SESSION}={value}"))
        assert answer.status == 401, name
        whoami = attacked.page("/.authsrv/whoami", ("Cookie", f"{SESSION}={value}"))
        assert whoami.status == 401, name


def test_the_cookie_of_one_host_is_worth_nothing_at_another(attacked: Rig, cookie: str) -> None:
    field = ("Cookie", f"{SESSION}={cookie}")
    assert attacked.ask("/x", field, host=STEPS_HOST, site="steps").status == 401
    assert attacked.ask("/x", field, host=f"{WIKI_HOST}:443").status == 401


def test_the_login_hosts_session_is_worth_nothing_at_an_ask(attacked: Rig, alice: Browser) -> None:
    value = alice.jar[LOGIN_HOST][LOGIN_SESSION]
    for name in (SESSION, LOGIN_SESSION):
        assert attacked.ask("/secret", ("Cookie", f"{name}={value}")).status == 401


def sealed(
    rig: Rig,
    now: float,
    user: str = "alice@AUTHSRV.TEST",
    groups: str = "\0",
    audience: Audience = AT_WIKI,
) -> tuple[str, str]:
    """The Cookie field of a user's session that began at a time."""
    ring = KeyFile(rig.folder / "keys" / FILE_NAMES[KeyKind.SEALING], KeyKind.SEALING).ring
    session = begin_session(
        Identity(user, "kerberos"),
        SessionLengths(),
        now,
        group_digest=digest_of_groups({groups}),
    )
    value = seal_session(Sealer(ring), session, audience, now)
    return ("Cookie", f"{SESSION}={value}")


def test_a_session_from_the_future_is_refused(attacked: Rig) -> None:
    assert attacked.ask("/secret", sealed(attacked, time.time() + 30)).status == 200
    before = len(attacked.served.logged())
    assert attacked.ask("/secret", sealed(attacked, time.time() + 90)).status == 401
    assert "issued in the future" in reasons_since(attacked, before)


def test_a_session_that_is_older_than_the_store_is_refused(attacked: Rig) -> None:
    before = len(attacked.served.logged())
    assert attacked.ask("/secret", sealed(attacked, time.time() - 1_800)).status == 401
    assert "older than the memory" in reasons_since(attacked, before)


def test_a_session_that_was_asked_about_other_groups_is_refused(attacked: Rig) -> None:
    before = len(attacked.served.logged())
    cookie = sealed(attacked, time.time(), groups="admins")
    assert attacked.ask("/secret", cookie).status == 401
    assert "names other groups" in reasons_since(attacked, before)


# The end of sessions.


def test_a_sign_out_holds_in_every_process_and_after_a_restart(
    attacked: Rig, worker: Rig, alice: Browser, tmp_path: Path
) -> None:
    alice.visit("/x", STEPS_HOST)
    wiki, steps = alice.cookie_header(), alice.cookie_header(STEPS_HOST)
    assert worker.ask("/secret", *wiki).status == 200
    at_worker = Browser(worker, site_of=dict(SITE_OF), jar=alice.jar)
    assert at_worker.sign_out().status == 303
    with run_beside(attacked, tmp_path) as restarted:
        for rig in (attacked, worker, restarted):
            assert rig.ask("/secret", *wiki).status == 401
            assert rig.ask("/x", *steps, host=STEPS_HOST, site="steps").status == 401
    # Nor does the login host remember the user.
    assert alice.visit("/x", STEPS_HOST).status == 200
    assert alice.steps[-1] == f"{LOGIN_HOST}/.authsrv/sign-in 200"


def test_all_sessions_of_a_user_are_revoked_by_command(
    attacked: Rig, worker: Rig, browser_of: Browsers
) -> None:
    dave = browser_of()
    dave.log_in("dave")
    command = [sys.executable, "-m", "authsrv", "sessions", "revoke"]
    config = ["--config", str(attacked.folder / "authsrv.toml")]

    def revoke(user: str) -> subprocess.CompletedProcess[str]:
        whole = [*command, "--user", user, *config]
        environment = server_environment(attacked.realm)
        return subprocess.run(whole, capture_output=True, text=True, check=False, env=environment)

    refused = revoke("dave")
    assert (refused.returncode, "has no realm" in refused.stderr) == (1, True)
    assert worker.ask("/secret", *dave.cookie_header()).status == 200
    revoked = revoke("DAVE@authsrv.test")
    assert revoked.returncode == 0, revoked.stderr
    for rig in (attacked, worker):
        assert rig.ask("/secret", *dave.cookie_header()).status == 401
    time.sleep(1.1)
    dave.jar.clear()
    assert dave.log_in("dave").status == 200


def test_a_link_or_another_site_signs_nobody_out(attacked: Rig, alice: Browser) -> None:
    assert alice.open("/.authsrv/sign-out").status == 200
    for headers in (
        [("Origin", "https://evil.example"), ("Sec-Fetch-Site", "cross-site")],
        [("Sec-Fetch-Site", "same-site")],
        [("Origin", "https://sibling.example.org")],
    ):
        assert alice.sign_out(WIKI_HOST, *headers).status == 403
    assert attacked.ask("/secret", *alice.cookie_header()).status == 200


def test_after_a_sign_out_nothing_is_negotiated_until_the_user_wants_it(
    attacked: Rig, browser_of: Browsers, ticket_of: Tickets
) -> None:
    browser = browser_of("alice")
    assert browser.visit("/secret").status == 200
    browser.sign_out()
    kept = browser.cookie_header()
    unwanted = attacked.ask("/secret", *PAGE, *kept, ticket_of("alice"))
    assert (unwanted.status, unwanted.field("WWW-Authenticate")) == (403, None)
    assert unwanted.field("X-Authsrv-Location") == "/.authsrv/sign-in?return=/secret"
    page = attacked.page("/.authsrv/sign-in", *PAGE, *kept, ticket_of("alice"))
    assert (page.status, "set-cookie" in page.fields) == (200, False)
    again = "/.authsrv/sign-in?return=/secret&again=1"
    by_link = attacked.page(again, *PAGE, *kept, ("Sec-Fetch-Site", "cross-site"))
    assert (by_link.status, "www-authenticate" in by_link.fields) == (200, False)
    assert browser.visit(again).field("Remote-User") == "alice"


def test_a_session_ends_with_the_ticket(attacked: Rig, ticket_of: Tickets) -> None:
    browser = Browser(attacked)
    browser.keep(attacked.ask("/secret", *PAGE, ticket_of("bob", WIKI_HOST, 600)))
    told = json.loads(attacked.page("/.authsrv/whoami", *browser.cookie_header()).text)
    assert 0 < told["ends_at"] - time.time() <= 601


def test_a_password_session_lasts_ten_hours_at_most(attacked: Rig, alice: Browser) -> None:
    told = json.loads(attacked.page("/.authsrv/whoami", *alice.cookie_header()).text)
    assert told["mechanism"] == "password"
    assert 0 < told["ends_at"] - told["authenticated_at"] <= 36_000


def test_what_time_does_to_sessions_and_codes(site_realm: Realm, tmp_path: Path) -> None:
    later, much_later, earlier = (tmp_path / name for name in ("later", "much_later", "earlier"))
    for folder in (later, much_later, earlier):
        folder.mkdir()
    with run_attacked(site_realm) as rig:
        browser = Browser(rig, site_of=dict(SITE_OF))
        browser.log_in("alice")
        cookies = browser.cookie_header()
        form = browser.open("/.authsrv/sign-in?on=1&step=up&return=/late")
        login = browser.open(path_of(form), LOGIN_HOST)
        code = path_of(browser.type_password(login, "alice", site_realm.password("alice")))
        with run_beside(rig, earlier, ahead=-7_200, has_own_store=True) as before:
            assert before.ask("/secret", *cookies).status == 401
            assert "issued in the future" in before.served.logged()
        with run_beside(rig, later, ahead=120) as after:
            late = after.page(code, *browser.cookie_header())
            assert late.status == 403
            assert "the sealed hand-over is over" in after.served.logged()
        with run_beside(rig, much_later, ahead=7_200) as after:
            assert after.ask("/secret", *cookies).status == 401
            assert "was not used for too long" in after.served.logged()
            tired = Browser(after, site_of=dict(SITE_OF), jar=browser.jar)
            assert tired.visit("/.authsrv/sign-in?on=1&return=/public/x").status == 200
            assert tired.steps[-1] == f"{WIKI_HOST}/public/x 200"
            # Signing out with a session that is over ends what came of its log-in all the same.
            tired.jar[WIKI_HOST] = dict([cookies[0][1].split("=", 1)])
            tired.sign_out()
            tired.visit("/.authsrv/sign-in?on=1&again=1&return=/public/x")
            assert tired.steps[-1] == f"{LOGIN_HOST}/.authsrv/sign-in 200"


# Proofs that are not enough.


@pytest.mark.parametrize("host", [OTHER_HOST, ABROAD_HOST])
def test_a_password_of_a_realm_that_the_site_does_not_let_in(
    browser_of: Browsers, host: str
) -> None:
    browser = browser_of()
    assert browser.log_in("alice").status == 200
    answer = browser.visit("/x", host)
    assert (answer.status, browser.steps[-1]) == (403, f"{host}/.authsrv/hand-over 403")
    assert "__Host-authsrv" not in browser.jar[host]


def test_a_session_of_a_realm_that_the_site_does_not_let_in_any_more(attacked: Rig) -> None:
    cookie = sealed(attacked, time.time(), audience=Audience(OTHER_HOST, "other"))
    before = len(attacked.served.logged())
    assert attacked.ask("/x", cookie, host=OTHER_HOST, site="other").status == 403
    assert "cause=forbidden-realm" in reasons_since(attacked, before)


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


# The way from the login host and back.


@pytest.fixture
def granted(browser_of: Browsers) -> tuple[Browser, str]:
    """A browser that has typed alice's password, and the path of the hand-over to the wiki."""
    browser = browser_of()
    form = browser.visit("/secret")
    typed = browser.type_password(form, "alice", browser.rig.realm.password("alice"))
    assert typed.status == 303
    return browser, path_of(typed)


def refused_hand_over(
    rig: Rig, code: str, reason: str, *cookies: tuple[str, str], **at: str
) -> None:
    """Expect that a code is refused, and that the log says so."""
    before = len(rig.served.logged())
    answer = rig.page(code, *cookies, **at)
    assert (answer.status, "set-cookie" in answer.fields) == (403, False)
    assert reason in reasons_since(rig, before)


def test_a_code_counts_once(attacked: Rig, granted: tuple[Browser, str]) -> None:
    browser, code = granted
    cookies = browser.cookie_header()
    assert attacked.page(code, *cookies).status == 303
    refused_hand_over(attacked, code, "the code was used before", *cookies)
    refused_hand_over(attacked, code, "the code was used before", *cookies)


def test_a_code_counts_in_its_browser_only(
    attacked: Rig, granted: tuple[Browser, str], browser_of: Browsers
) -> None:
    _, code = granted
    other = browser_of()
    other.visit("/secret")
    refused_hand_over(attacked, code, "for another browser", *other.cookie_header())


def test_a_code_without_the_browsers_nonce(attacked: Rig, granted: tuple[Browser, str]) -> None:
    refused_hand_over(attacked, granted[1], "for another browser")


def test_a_code_with_two_nonces(attacked: Rig, granted: tuple[Browser, str]) -> None:
    browser, code = granted
    doubled = ("Cookie", f"{browser.cookie_header()[0][1]}; __Host-authsrv-nonce=x")
    refused_hand_over(attacked, code, "2 cookies __Host-authsrv-nonce", doubled)


def test_a_code_counts_at_its_host_only(attacked: Rig, granted: tuple[Browser, str]) -> None:
    browser, code = granted
    refused_hand_over(
        attacked, code, "another host", *browser.cookie_header(), host=STEPS_HOST, site="steps"
    )


def test_a_code_of_a_log_in_that_was_signed_out(
    attacked: Rig, granted: tuple[Browser, str]
) -> None:
    browser, code = granted
    own = (("Origin", f"https://{LOGIN_HOST}"), ("Sec-Fetch-Site", "same-origin"))
    assert browser.sign_out(LOGIN_HOST, *own).status == 303
    refused_hand_over(attacked, code, "was signed out", *browser.cookie_header())


@pytest.mark.parametrize("code", ["", "A" * 43, "A" * 300, "%00", "%ff", "x&code=y"])
def test_a_code_that_never_was(attacked: Rig, code: str) -> None:
    refused_hand_over(attacked, f"/.authsrv/hand-over?code={code}", "the code")


HOME = (
    "///e",
    "//e",
    "/\\e",
    "\\\\e",
    "%09//e",
    "/%09/e",
    "\t//e",
    " //e",
    "https:e",
    "https://e",
    "javascript:alert(1)",
    "@@e",
    "e",
    "",
    "%0d%0aSet-Cookie:%20x=y",
    "/x\r\nSet-Cookie: x=y",
    "/x#y",
    "/x y",
    "/../e",
    "/%2e%2e/e",
    "/;/e",
    "/.authsrv/sign-out",
    "/\u00e4",
    "/" + "x" * 2_048,
)


@pytest.mark.parametrize("where", HOME)
def test_a_way_back_that_could_lead_elsewhere_leads_home(attacked: Rig, where: str) -> None:
    cookies = sealed(attacked, time.time())
    for page in ("check", "sign-in", "renew"):
        answer = attacked.page(f"/.authsrv/{page}?return={quote(where, safe='')}", cookies)
        assert (answer.status, answer.field("Location")) == (303, "/")


def test_the_way_back_is_kept_as_it_was(attacked: Rig) -> None:
    cookies = sealed(attacked, time.time())
    target = "/a%20b/%C3%A4?x=%26&y=%2Fz&u=https://e.example/"
    led = attacked.ask(target, *PAGE).field("X-Authsrv-Location")
    assert led is not None
    assert attacked.page(led, cookies).field("Location") == target


def test_nobody_fills_the_store_with_codes(browser_of: Browsers) -> None:
    browser = browser_of()
    browser.log_in("carol")
    order = browser.open("/.authsrv/sign-in?on=1&step=x", STEPS_HOST)
    led = [browser.open(path_of(order), LOGIN_HOST).status for _ in range(62)]
    assert (led[:50], led[-1]) == ([303] * 50, 403)


def test_nobody_fills_the_store_by_signing_out(attacked: Rig) -> None:
    whole = [sealed(attacked, time.time(), "eve@AUTHSRV.TEST") for _ in range(64)]
    for cookie in whole[:-1]:
        assert attacked.page("/.authsrv/sign-out", cookie, *OWN, method="POST").status == 303
    # From then on one entry stands for all that the user has begun.
    for cookie in whole:
        assert attacked.ask("/secret", cookie).status == 401


def test_the_longest_way_back_goes_through_the_login_host(browser_of: Browsers) -> None:
    path = "/x?" + '"' * 2_000
    browser = browser_of()
    assert browser.log_in("alice", path).status == 200
    assert browser.steps[-1] == f"{WIKI_HOST}/x 200"


def test_nobody_is_led_in_circles_without_cookies(attacked: Rig, browser_of: Browsers) -> None:
    browser = browser_of("alice")
    for _ in range(4):
        answer = browser.open("/.authsrv/sign-in?return=/secret")
    assert answer.status == 403
    answer = attacked.page("/.authsrv/check?return=/secret")
    assert (answer.status, "location" in answer.fields) == (403, False)


# The form.


def test_the_form_is_on_the_login_host_alone(attacked: Rig, browser_of: Browsers) -> None:
    form = browser_of().visit("/secret")
    assert 'type="password"' in form.text
    for path in ("sign-in?on=1", "sign-in", "whoami", "sign-out", "check", "x"):
        assert 'type="password"' not in attacked.page(f"/.authsrv/{path}", *PAGE).text
    posted = attacked.page("/.authsrv/sign-in", FORM, method="POST", body=b"username=a&password=b")
    assert posted.status == 405


def post(browser: Browser, body: bytes, *headers: tuple[str, str]) -> Answer:
    """Send a body to the form's path."""
    own = (("Origin", f"https://{LOGIN_HOST}"), ("Sec-Fetch-Site", "same-origin"))
    return browser.open(
        "/.authsrv/sign-in", LOGIN_HOST, *(headers or (FORM, *own)), method="POST", body=body
    )


def body_of(browser: Browser, form: Answer, **changes: str | None) -> bytes:
    """The form filled in for alice, with changes."""
    told = {
        **hidden_fields(form),
        "username": "alice",
        "password": browser.rig.realm.password("alice"),
        **changes,
    }
    return "&".join(
        f"{name}={quote(text)}" for name, text in told.items() if text is not None
    ).encode()


def is_refused(answer: Answer) -> bool:
    """Whether a form led to nothing."""
    cookies = answer.fields.get("set-cookie", [])
    return answer.status == 403 and not any(each.startswith(LOGIN_SESSION) for each in cookies)


def test_a_form_of_another_browser(browser_of: Browsers) -> None:
    mine, theirs = browser_of(), browser_of()
    form, other = mine.visit("/secret"), theirs.visit("/secret")
    assert is_refused(post(mine, body_of(mine, form, csrf=hidden_fields(other)["csrf"])))
    mine.jar[LOGIN_HOST].pop("__Host-authsrv-csrf")
    assert is_refused(post(mine, body_of(mine, form)))


BODIES: dict[str, Callable[[bytes], bytes]] = {
    "a field twice": lambda body: body + b"&username=bob",
    "another field": lambda body: body + b"&x=y",
    "a field less": lambda body: body.replace(b"csrf=", b"x="),
    "seventeen fields": lambda body: body + b"&x=1" * 17,
    "bytes that are no UTF-8": lambda body: body + b"%ff\xff",
    "a broken escape in the order": lambda body: body.replace(b"order=", b"order=%zz"),
    "too much": lambda body: body + b"x" * 20_000,
    "nothing": lambda body: b"",
    "JSON": lambda body: b'{"username": "alice"}',
    "no fields": lambda body: b"&&&",
}


@pytest.mark.parametrize("change", BODIES.values(), ids=BODIES)
def test_a_body_that_is_not_our_form(
    browser_of: Browsers, change: Callable[[bytes], bytes]
) -> None:
    browser = browser_of()
    form = browser.visit("/secret")
    assert is_refused(post(browser, change(body_of(browser, form))))


def test_a_compressed_form_is_not_unpacked(browser_of: Browsers) -> None:
    browser = browser_of()
    form = browser.visit("/secret")
    packed = gzip.compress(body_of(browser, form))
    headers = (FORM, ("Content-Encoding", "gzip"), ("Sec-Fetch-Site", "same-origin"))
    assert is_refused(post(browser, packed, *headers))


@pytest.mark.parametrize("kind", ["text/plain", "application/json", "multipart/form-data", ""])
def test_a_body_of_another_kind(browser_of: Browsers, kind: str) -> None:
    browser = browser_of()
    form = browser.visit("/secret")
    own = ("Sec-Fetch-Site", "same-origin")
    assert is_refused(post(browser, body_of(browser, form), ("Content-Type", kind), own))


@pytest.mark.parametrize(
    "headers",
    [
        [("Origin", f"https://{WIKI_HOST}"), ("Sec-Fetch-Site", "same-site")],
        [("Origin", f"https://{WIKI_HOST}")],
        [("Origin", "null")],
    ],
)
def test_a_form_that_an_application_sends(
    browser_of: Browsers, headers: list[tuple[str, str]]
) -> None:
    browser = browser_of()
    form = browser.visit("/secret")
    assert is_refused(post(browser, body_of(browser, form), FORM, *headers))


@pytest.mark.parametrize("order", ["", "x", "A" * 200, "\xe4", "{cookie}"])
def test_a_form_without_an_order(browser_of: Browsers, order: str) -> None:
    browser = browser_of()
    form = browser.visit("/secret")
    other = order.replace("{cookie}", browser.jar[WIKI_HOST]["__Host-authsrv-tried"])
    assert is_refused(post(browser, body_of(browser, form, order=other)))
    shown = browser.open(f"/.authsrv/sign-in?order={quote(other)}", LOGIN_HOST)
    assert (shown.status, 'type="password"' in shown.text) == (403, False)


TYPED = {
    "a wrong password": ("alice", "wrong"),
    "an unknown user": ("nobody", "wrong"),
    "a user of another realm": ("alice@OTHER.TEST", "wrong"),
    "a service": ("HTTP/wiki.example.org", "wrong"),
    "a name that libkrb5 would cut": ("alice\0bob", "wrong"),
    "an enterprise name": ("alice\\@AUTHSRV.TEST", "wrong"),
    "a password with a NUL": ("alice", "wrong\0"),
    "a password of two kilobytes": ("alice", "x" * 2_048),
    "no password": ("alice", ""),
    "no name": ("", "wrong"),
}


def test_every_refusal_of_a_password_looks_the_same(browser_of: Browsers) -> None:
    browsers = {case: browser_of() for case in TYPED}

    def shown(case: str) -> str:
        username, password = TYPED[case]
        browser = browsers[case]
        form = browser.visit("/secret")
        begun_at = time.monotonic()
        answer = post(browser, body_of(browser, form, username=username, password=password))
        assert is_refused(answer), case
        assert time.monotonic() - begun_at >= 0.99, case
        return re.sub(r'value="[^"]*"', "", answer.text)

    with concurrent.futures.ThreadPoolExecutor(len(TYPED)) as pool:
        assert len(set(pool.map(shown, TYPED))) == 1


# What pages say to browsers.

EVERY_PAGE = [
    ("GET", "/.authsrv/sign-in", WIKI_HOST),
    ("GET", "/.authsrv/sign-in?on=1", WIKI_HOST),
    ("GET", "/.authsrv/hand-over", WIKI_HOST),
    ("GET", "/.authsrv/check", WIKI_HOST),
    ("GET", "/.authsrv/renew", WIKI_HOST),
    ("GET", "/.authsrv/sign-out", WIKI_HOST),
    ("POST", "/.authsrv/sign-out", WIKI_HOST),
    ("GET", "/.authsrv/whoami", WIKI_HOST),
    ("POST", "/.authsrv/token", API_HOST),
    ("POST", "/.authsrv/token", WIKI_HOST),
    ("GET", "/.authsrv/nothing", WIKI_HOST),
    ("DELETE", "/.authsrv/sign-in", WIKI_HOST),
    ("GET", "/.authsrv/sign-in?order=x", LOGIN_HOST),
    ("GET", "/", LOGIN_HOST),
    ("POST", "/.authsrv/sign-in", LOGIN_HOST),
    ("POST", "/.authsrv/sign-out", LOGIN_HOST),
    ("GET", "/", "nobody.example.org"),
    ("GET", "/.authsrv/sign-in", PLAIN_HOST),
]


@pytest.mark.parametrize(("method", "path", "host"), EVERY_PAGE)
def test_every_page_keeps_others_out(attacked: Rig, method: str, path: str, host: str) -> None:
    site = SITE_OF.get(host, "login")
    body = b"" if method == "POST" else None
    answer = attacked.page(path, *PAGE, method=method, host=host, site=site, body=body)
    assert answer.status < 500
    policy = answer.field("Content-Security-Policy") or ""
    assert policy.startswith("default-src 'none'")
    assert "frame-ancestors 'none'" in policy
    assert "base-uri 'none'" in policy
    assert answer.field("Cross-Origin-Opener-Policy") == "same-origin"
    assert answer.field("X-Content-Type-Options") == "nosniff"
    assert answer.field("Referrer-Policy") == "no-referrer"
    assert answer.field("Cache-Control") == "no-store"
    assert {"authorization", "cookie"} <= set((answer.field("Vary") or "").lower().split(", "))
    assert "access-control-allow-origin" not in answer.fields


def test_what_an_ask_shows_keeps_others_out(attacked: Rig) -> None:
    for answer in (
        attacked.ask("/secret", *PAGE),
        attacked.ask("/secret"),
        attacked.ask("/secret;"),
        attacked.ask("/secret", *PAGE, ("Authorization", "Negotiate YII=")),
    ):
        assert not answer.is_yes
        assert "frame-ancestors 'none'" in (answer.field("Content-Security-Policy") or "")


def test_the_form_leads_to_the_site_that_ordered_it_alone(browser_of: Browsers) -> None:
    form = browser_of().visit("/secret")
    policy = form.field("Content-Security-Policy") or ""
    assert f"form-action 'self' https://{WIKI_HOST};" in policy


@pytest.mark.parametrize("host", [WIKI_HOST, LOGIN_HOST])
def test_none_of_our_pages_is_a_service_worker(attacked: Rig, host: str) -> None:
    for path in ("/.authsrv/sign-in", "/.authsrv/assets/x.css", "/.authsrv/keys.json"):
        answer = attacked.page(
            path, ("Service-Worker", "script"), host=host, site=SITE_OF.get(host, "login")
        )
        assert answer.status == 403


def test_head_is_get_without_a_body(attacked: Rig) -> None:
    for path in ("/.authsrv/sign-in", "/.authsrv/whoami", "/.authsrv/keys.json"):
        got, head = (attacked.page(path, *PAGE, method=method) for method in ("GET", "HEAD"))
        assert (head.status, head.text) == (got.status, "")


def test_conditions_and_ranges_change_nothing(attacked: Rig, alice: Browser) -> None:
    odd = (("If-None-Match", "*"), ("Range", "bytes=0-1"), ("If-Range", "x"))
    plain = attacked.page("/.authsrv/whoami", *alice.cookie_header())
    assert attacked.page("/.authsrv/whoami", *odd, *alice.cookie_header()).text == plain.text


def test_by_plain_http_there_is_no_page_but_the_way_to_https(attacked: Rig) -> None:
    told = dict(ask_headers("/"))
    told["X-Original-Scheme"] = "http"
    answer = attacked.send("pages", "GET", "/.authsrv/sign-in", [*told.items(), *PAGE])
    assert (answer.status, f"https://{WIKI_HOST}/" in answer.text) == (403, True)
    assert answer.fields.keys().isdisjoint({"set-cookie", "www-authenticate"})
    plain = attacked.page("/.authsrv/sign-in", *PAGE, host=PLAIN_HOST, site="plain")
    assert plain.status == 400 or "set-cookie" not in plain.fields


def test_a_token_is_given_to_the_own_page_of_who_is_signed_in(
    attacked: Rig, browser_of: Browsers
) -> None:
    browser = browser_of()
    browser.log_in("alice", "/x", API_HOST)

    def ask(*headers: tuple[str, str], host: str = API_HOST, method: str = "POST") -> Answer:
        site = SITE_OF[host]
        return attacked.page("/.authsrv/token", *headers, host=host, site=site, method=method)

    cookies = browser.cookie_header(API_HOST)
    assert json.loads(ask(*cookies).text)["token"].count(".") == 2
    assert ask().status == 401
    assert ask(*cookies, method="GET").status == 405
    assert ask(*cookies, ("Sec-Fetch-Site", "same-site")).status == 403
    assert ask(*cookies, ("Origin", "https://evil.example")).status == 403
    assert ask(*cookies, host=WIKI_HOST).status == 404


def test_no_token_is_given_to_whom_no_rule_lets_in(attacked: Rig) -> None:
    for user, status in (("alice@AUTHSRV.TEST", 200), ("bob@AUTHSRV.TEST", 403)):
        cookie = sealed(attacked, time.time(), user, audience=Audience(API_HOST, "api"))
        answer = attacked.page("/.authsrv/token", cookie, host=API_HOST, site="api", method="POST")
        assert (answer.status, '"token": "' in answer.text) == (status, status == 200)


def test_an_image_of_a_sibling_keeps_no_session_alive(attacked: Rig) -> None:
    old = sealed(attacked, time.time())
    image = (("Sec-Fetch-Site", "same-site"), ("Sec-Fetch-Mode", "no-cors"))
    assert "set-cookie" not in attacked.page("/.authsrv/renew", old, *image).fields
    assert "set-cookie" in attacked.page("/.authsrv/renew", old, *PAGE).fields


# Whatever comes to a page, and what is told of it.

PATHS = [
    "/",
    "/x",
    *(
        f"/.authsrv/{name}"
        for name in (
            "sign-in",
            "hand-over",
            "check",
            "renew",
            "sign-out",
            "whoami",
            "token",
            "keys.json",
            "keys/wiki.json",
            "assets/",
            "",
        )
    ),
]
QUERIES = st.one_of(
    st.text(st.characters(min_codepoint=0x21, max_codepoint=0xFF), max_size=60),
    st.lists(
        st.tuples(
            st.sampled_from(["return", "code", "order", "step", "on", "again", "trouble", "x"]),
            st.one_of(
                st.text(st.characters(min_codepoint=0x21, max_codepoint=0xFF), max_size=40),
                st.sampled_from(["/", "up", "1", "%00", "%ff", "%", "%ed%a0%80", '"' * 2_040]),
            ),
        ),
        max_size=20,
    ).map(lambda pairs: "&".join(f"{name}={value}" for name, value in pairs)),
)
FIELDS = st.lists(
    st.sampled_from(
        [
            ("Authorization", "Negotiate"),
            ("Authorization", "Negotiate !"),
            ("Authorization", "Negotiate YII="),
            ("Authorization", ""),
            ("Cookie", "__Host-authsrv-nonce=x; __Host-authsrv-nonce=x"),
            ("Cookie", "__Host-authsrv=\xff"),
            ("Cookie", f"__Host-authsrv-device={'A' * 100}"),
            ("Accept", "text/html"),
            ("Accept-Language", "\xff;q=x, de;q=9999999999999999999999"),
            ("Content-Type", "application/x-www-form-urlencoded"),
            ("Content-Type", ";;"),
            ("Origin", "https://["),
            ("Expect", "x"),
            ("Sec-Fetch-Site", "same-origin"),
        ]
    ),
    max_size=4,
)


@settings(max_examples=300, deadline=None)
@example("GET", "/.authsrv/sign-in", "&".join("x" * 17), [], WIKI_HOST, None)
@example("GET", "/.authsrv/sign-in", "&".join("x" * 17), [], LOGIN_HOST, None)
@example("GET", "/.authsrv/sign-in", "return=\xff", [], WIKI_HOST, None)
@example("GET", "/.authsrv/hand-over", "code=\xff", [], WIKI_HOST, None)
@given(
    st.sampled_from(["GET", "HEAD", "POST", "OPTIONS"]),
    st.sampled_from(PATHS),
    QUERIES,
    FIELDS,
    st.sampled_from([WIKI_HOST, LOGIN_HOST, API_HOST]),
    st.one_of(st.none(), st.binary(max_size=60)),
)
def test_no_request_breaks_a_page(
    attacked: Rig,
    method: str,
    path: str,
    query: str,
    fields: list[tuple[str, str]],
    host: str,
    body: bytes | None,
) -> None:
    lines = [f"{method} {path}?{query} HTTP/1.1"]
    headers = [*ask_headers(host=host, site=SITE_OF.get(host, "login")), *fields]
    if body is not None:
        headers.append(("Content-Length", str(len(body))))
    lines += [f"{name}: {value}" for name, value in headers]
    whole = "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + (body or b"")
    answer = attacked.first("pages", whole, method)
    assert answer.status < 500
    assert not any(
        each.startswith((f"{SESSION}=A", f"{LOGIN_SESSION}=A"))
        for each in answer.fields.get("set-cookie", [])
    )


LINE = re.compile(r"[0-9-]{10} [0-9:,]{12} (INFO|WARNING|ERROR) authsrv[.a-z]* [\x20-\x7e]+")


def test_nobody_writes_lines_of_the_log(attacked: Rig, browser_of: Browsers) -> None:
    forged = "\r\n2026-01-01 00:00:00,000 INFO authsrv.audit admitted principal=root"
    escaped = quote(forged)
    attacked.ask(f"/secret{escaped}")
    attacked.ask(f"/{escaped}?{escaped}", ("User-Agent", "\x1b[2J\x9b"))
    attacked.ask("/x\x85\xe2\x80\xae")
    attacked.page(f"/.authsrv/{escaped}")
    browser = browser_of()
    form = browser.visit("/secret")
    post(browser, body_of(browser, form, username=f"alice{forged}", password="x"))
    post(browser, body_of(browser, form, username="\u202ealice\x1b[2J", password="x"))
    wrong = [line for line in attacked.served.logged().splitlines() if not LINE.fullmatch(line)]
    assert wrong == []


def test_no_secret_is_told(attacked: Rig, browser_of: Browsers, ticket_of: Tickets) -> None:
    password, typo = attacked.realm.password("alice"), "an almost right password"
    browser = browser_of()
    form = browser.visit("/secret")
    form = post(browser, body_of(browser, form, password=typo))
    post(browser, body_of(browser, form, username=password, password=typo))
    form = browser.visit("/secret")
    typed = browser.type_password(form, "alice", password)
    code = path_of(typed).partition("code=")[2]
    kept = {**browser.jar[WIKI_HOST], **browser.jar[LOGIN_HOST]}
    browser.visit(path_of(typed))
    browser.open(path_of(typed))
    kept |= browser.jar[WIKI_HOST]
    ticket = ticket_of("alice")
    for _ in range(2):
        browser.keep(attacked.ask("/secret", ticket, *PAGE))
    attacked.ask("/secret", (ticket[0], ticket[1][:-8]), ("Cookie", f"{SESSION}=canary-in-cookie"))
    kept |= browser.jar[WIKI_HOST]
    browser.open("/.authsrv/whoami")
    browser.sign_out()
    keys = [json.loads(each.read_text()) for each in (attacked.folder / "keys").glob("*.json")]
    secrets = {key["secret"].rstrip("=") for ring in keys for key in ring["keys"]}
    secrets |= set(kept.values()) | {password, typo, code, ticket[1][10:]}
    secrets |= {base64.b64encode(typo.encode()).decode(), "canary-in-cookie"}
    log = attacked.served.logged()
    assert not [secret for secret in secrets if secret[:40] in log]
    pages = "".join(answer.text for answer in browser.seen)
    assert not [secret for secret in secrets if secret[:40] in pages]
    led = [value for each in browser.seen for value in each.fields.get("location", [])]
    assert not [secret for secret in secrets - {code} for where in led if secret[:40] in where]
    assert sum(code in where for where in led) == 1
