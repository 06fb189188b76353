"""Chromium, a real nginx with the example's configuration, the service, and a real realm."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from chromium import Browser, BrowserError, Page, run_chromium
from nginx_front import Front, run_front
from people import appear
from service_rig import Rig, run_rig

from authsrv.devrealm import Realm

pytestmark = [pytest.mark.xdist_group("browser"), pytest.mark.timeout(120)]

WIKI, LOGIN = "https://wiki.example.org", "https://login.example.org"
SIBLING = "https://sibling.example.org"
MAY_AUTHENTICATE = "--auth-server-allowlist=*.example.org"
FORM = f"{LOGIN}/.authsrv/sign-in?order="

# A service worker of the application, for all of its host.
WORKER = """
self.addEventListener("install", () => self.skipWaiting());
self.addEventListener("activate", (event) => event.waitUntil(self.clients.claim()));
self.addEventListener("fetch", (event) => {
  const url = new URL(event.request.url);
  if (url.pathname === "/.authsrv/sign-out") {
    const headers = { "Content-Type": "text/html" };
    event.respondWith(new Response("the worker's own", { headers }));
  }
});
"""
PAGES = {"/public/worker.js": ("text/javascript", WORKER)}


@pytest.fixture(scope="module")
def wiki(people_realm: Realm) -> Iterator[Rig]:
    with tempfile.TemporaryDirectory(prefix="rig-") as folder:
        with run_rig(Path(folder), people_realm) as running:
            yield running


@pytest.fixture(scope="module")
def front(wiki: Rig) -> Iterator[Front]:
    with tempfile.TemporaryDirectory(prefix="nginx-") as folder:
        with run_front(Path(folder), wiki.folder, PAGES) as running:
            yield running


@pytest.fixture(scope="module")
def stranger(front: Front, people_realm: Realm) -> Iterator[Browser]:
    """The browser of somebody without a ticket, which may answer challenges; it is shared."""
    environment = appear(people_realm, "otto").environment
    with run_chromium(environment, front.at, MAY_AUTHENTICATE) as browser:
        yield browser


@pytest.fixture
def employee(front: Front, people_realm: Realm) -> Iterator[Browser]:
    """The browser of ida, who has a ticket."""
    environment = appear(people_realm, "ida").environment
    people_realm.login("ida")
    with run_chromium(environment, front.at, MAY_AUTHENTICATE) as browser:
        # The first challenge that a browser sees only makes it load its GSS-API library.
        page = browser.open(f"{WIKI}/secret")
        page.wait("document.querySelector('pre, input[type=password]') !== null")
        browser.forget()
        yield browser


@pytest.fixture
def browser(stranger: Browser) -> Browser:
    """The same, without any cookie."""
    stranger.forget()
    return stranger


def fill(page: Page, user: str, password: str) -> None:
    """Type into the form, as by a keyboard, and send it by Enter."""
    page.arrive(FORM)
    # The field for the name has the focus from the start.
    page.wait("document.activeElement.id === 'username'")
    page.call("Input.insertText", text=user)
    for key, code in (("Tab", 9), ("", 0)):
        if key:
            press(page, key, code)
    page.wait("document.activeElement.id === 'password'")
    page.call("Input.insertText", text=password)
    press(page, "Enter", 13)


def press(page: Page, key: str, code: int) -> None:
    text = {"text": "\r"} if key == "Enter" else {}
    for kind in ("keyDown", "keyUp"):
        page.call("Input.dispatchKeyEvent", type=kind, key=key, windowsVirtualKeyCode=code, **text)


def told(page: Page) -> dict[str, str]:
    """The header fields that the application got with the page's request."""
    found: dict[str, str] = json.loads(page.text)
    return found


def signed_in(browser: Browser, wiki: Rig, user: str = "alice", path: str = "/secret") -> Page:
    page = browser.open(f"{WIKI}{path}")
    fill(page, user, wiki.realm.password(user))
    page.arrive(f"{WIKI}{path}")
    return page


def test_with_a_ticket_nothing_is_asked_until_one_signs_out(
    employee: Browser,
) -> None:
    page = employee.open(f"{WIKI}/secret?x=%41")
    assert page.url == f"{WIKI}/secret?x=%41"
    assert told(page)["Remote-User"] == "ida"
    assert "Authorization" not in told(page)
    assert "authsrv" not in told(page).get("Cookie", "")
    assert page.run("performance.getEntriesByType('navigation')[0].redirectCount") == 0
    # From now on it is the session, and a page may fetch what it likes.
    assert page.run("fetch('/data').then((answer) => answer.status)") == 200
    page.go(f"{WIKI}/.authsrv/whoami")
    assert "ida@AUTHSRV.TEST" in page.text
    page.run("document.querySelector('form').submit()")
    page.arrive(f"{WIKI}/.authsrv/sign-out")
    # The ticket is still there, and is not used before it is wanted.
    page.go(f"{WIKI}/secret")
    page.arrive(f"{WIKI}/.authsrv/sign-in")
    assert "ida" not in page.text
    page.run("document.querySelector('a.button, main a').click()")
    page.arrive(f"{WIKI}/secret")
    assert told(page)["Remote-User"] == "ida"


def test_without_a_ticket_the_browser_comes_to_the_form_by_itself_and_back(
    browser: Browser, wiki: Rig
) -> None:
    page = signed_in(browser, wiki, path="/secret?x=%41&y=a%20b")
    assert told(page)["Remote-User"] == "alice"
    kept = {name for domain, name in browser.cookies() if domain == "wiki.example.org"}
    assert kept == {"__Host-authsrv", "__Host-authsrv-nonce"}
    # The page of the form is behind us: no address has anything in it that still counts.
    page.go(f"{WIKI}/.authsrv/whoami")
    assert "password" in page.text


def test_a_wrong_password_may_be_corrected(browser: Browser, wiki: Rig) -> None:
    page = browser.open(f"{WIKI}/secret")
    fill(page, "alice", "not the password")
    page.wait("document.querySelector('[role=alert]') !== null")
    assert page.url == f"{LOGIN}/.authsrv/sign-in"
    page.run(
        f"document.querySelector('#username').value = 'alice';"
        f"document.querySelector('#password').value = {json.dumps(wiki.realm.password('alice'))};"
        "document.querySelector('form').requestSubmit()"
    )
    page.arrive(f"{WIKI}/secret")


def test_the_form_works_without_scripts(browser: Browser, wiki: Rig) -> None:
    page = browser.open()
    page.call("Emulation.setScriptExecutionDisabled", value=True)
    page.go(f"{WIKI}/secret")
    fill(page, "alice", wiki.realm.password("alice"))
    page.arrive(f"{WIKI}/secret")


# What a script of the application, or of a sibling, can do.


@pytest.fixture
def script(browser: Browser) -> Page:
    """A page of the application, open to everybody, and the form's address in `form`."""
    form = browser.open(f"{WIKI}/secret")
    form.arrive(FORM)
    url = form.url
    page = browser.open(f"{WIKI}/public/page")
    page.run(f"window.form = {json.dumps(url)}; true")
    return page


@pytest.mark.parametrize("mode", ["cors", "no-cors"])
def test_a_script_of_the_application_cannot_fetch_the_form(script: Page, mode: str) -> None:
    with pytest.raises(BrowserError, match="Failed to fetch"):
        script.run(f"fetch(form, {{ credentials: 'include', mode: '{mode}' }}).then(String)")
    with pytest.raises(BrowserError, match="Failed to fetch"):
        script.run("fetch('/.authsrv/sign-in?return=/&on=1').then(String)")


def test_a_script_of_the_application_cannot_frame_the_form(script: Page) -> None:
    script.run(
        "new Promise((done) => { const frame = document.createElement('iframe');"
        " frame.src = form; frame.onload = done; document.body.append(frame); })"
    )
    assert script.run("document.querySelector('iframe').contentDocument") is None
    frames = script.call("Page.getFrameTree")["frameTree"].get("childFrames", [])
    shown = [each["frame"] for each in frames if "unreachableUrl" not in each["frame"]]
    assert shown == []


def test_a_script_of_the_application_cannot_read_the_form_in_a_window(script: Page) -> None:
    script.run("window.opened = window.open(form); opened !== null")
    script.until(
        lambda: sum(url.startswith(FORM) for url in script.browser.urls()) > 1, "the window"
    )
    # The browser parts them: to its opener, the window is closed.
    script.wait("opened.closed")
    with pytest.raises(BrowserError):
        script.run("opened.document.querySelector('input[type=password]').value")


def test_a_service_worker_of_the_application_stays_on_its_own_host(script: Page, wiki: Rig) -> None:
    script.run(
        "navigator.serviceWorker.register('/public/worker.js', { scope: '/' })"
        ".then(() => navigator.serviceWorker.ready).then(() => true)"
    )
    script.wait("navigator.serviceWorker.controller !== null")
    # It owns all of its own host, pages of ours there included: so there is no password on it.
    page = script.browser.open(f"{WIKI}/.authsrv/sign-out")
    assert page.text == "the worker's own"
    page.go(script.run("form"))
    assert page.run("navigator.serviceWorker.controller") is None
    assert page.run("document.querySelectorAll('input[type=password]').length") == 1
    fill(page, "alice", wiki.realm.password("alice"))
    page.arrive(f"{WIKI}/")
    script.run(
        "navigator.serviceWorker.getRegistrations()"
        ".then((all) => Promise.all(all.map((each) => each.unregister())))"
    )


@pytest.mark.parametrize("path", ["/.authsrv/assets/authsrv.css", "/.authsrv/sign-in"])
def test_no_page_of_ours_becomes_a_service_worker(script: Page, path: str) -> None:
    with pytest.raises(BrowserError, match="Failed to register"):
        script.run(f"navigator.serviceWorker.register('{path}').then(String)")


PLANTED = [
    "__Host-authsrv={}; Domain=example.org",
    "__host-authsrv={}; Domain=example.org",
    "\\u2000__Host-authsrv={}; Domain=example.org",
    "__Host-authsrv\\u2000={}; Domain=example.org",
    "=__Host-authsrv={}; Domain=example.org",
    "x=1, __Host-authsrv={}; Domain=example.org",
    "__Host\\u2010authsrv={}; Domain=example.org",
]


@pytest.mark.parametrize("cookie", PLANTED)
def test_a_sibling_that_plants_a_session_signs_nobody_in_as_somebody_else(
    browser: Browser, wiki: Rig, cookie: str
) -> None:
    signed_in(browser, wiki, "bob")
    bobs = browser.cookies()["wiki.example.org", "__Host-authsrv"]
    browser.forget()
    sibling = browser.open(f"{SIBLING}/")
    planted = f"{cookie.format(bobs)}; Path=/; Secure"
    sibling.run(f'document.cookie = "{planted}"')
    # Nobody is signed in: the browser comes to the form, and not into bob's session.
    page = browser.open(f"{WIKI}/secret")
    page.arrive(FORM)
    # And who signs in is himself, or is told that it does not work; never the other one.
    fill(page, "alice", wiki.realm.password("alice"))
    page.arrive(WIKI)
    if page.url == f"{WIKI}/secret":
        assert told(page)["Remote-User"] == "alice"
    else:
        assert page.url.startswith(f"{WIKI}/.authsrv/check")
        assert "bob" not in page.text


def test_a_page_of_a_sibling_can_do_nothing_in_the_users_name(
    browser: Browser, wiki: Rig, front: Front
) -> None:
    page = signed_in(browser, wiki)
    sibling = browser.open(f"{SIBLING}/")
    before = len(front.seen)
    for script in (
        f"fetch('{WIKI}/change', {{ method: 'POST', credentials: 'include', mode: 'no-cors' }})",
        f"fetch('{WIKI}/.authsrv/sign-out',"
        " { method: 'POST', credentials: 'include', mode: 'no-cors' })",
        "new Promise((done) => { const socket = new WebSocket('wss://wiki.example.org/x');"
        " socket.onopen = () => done('open'); socket.onerror = () => done('refused'); })",
    ):
        try:
            answer: Any = sibling.run(f"{script}.then(String)")
        except BrowserError:
            answer = "refused"
        assert answer != "open"
    assert [path for path in front.seen[before:] if path in ("/change", "/x")] == []
    page.go(f"{WIKI}/secret")
    assert told(page)["Remote-User"] == "alice"


# What it looks like. To look at it: PICTURES=/a/folder make test


@pytest.mark.parametrize(
    ("name", "width", "height", "scheme"),
    [
        ("light", 900, 640, "light"),
        ("dark", 900, 640, "dark"),
        ("telephone", 390, 760, "light"),
    ],
)
def test_the_form_fits_into_the_window(
    browser: Browser, name: str, width: int, height: int, scheme: str
) -> None:
    page = browser.open(f"{WIKI}/secret")
    page.arrive(FORM)
    picture = page.picture(width=width, height=height, scheme=scheme)
    if "PICTURES" in os.environ:
        Path(os.environ["PICTURES"], f"form-{name}.png").write_bytes(picture)
    assert page.run("document.documentElement.scrollWidth <= window.innerWidth")
    assert page.run(
        "[...document.querySelectorAll('input:not([type=hidden]), button')]"
        ".every((each) => each.getBoundingClientRect().bottom <= window.innerHeight)"
    )
    shade = page.run("getComputedStyle(document.documentElement).backgroundColor")
    brightness = sum(int(part) for part in shade[4:-1].split(",")[:3])
    assert (brightness > 3 * 128) is (scheme == "light")
