"""A real browser, which says of each request where it comes from, through each real proxy."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from chromium import Browser, BrowserError, Page, run_chromium
from service_rig import LOGIN_HOST
from standing import LOGIN, WIKI, Standing

pytestmark = pytest.mark.timeout(300)

MAY_AUTHENTICATE = "--auth-server-allowlist=*.example.org"
TALK = """new Promise((done) => {
  const socket = new WebSocket("wss://wiki.example.org/live");
  const heard = [];
  socket.onopen = () => socket.send("hello");
  socket.onmessage = (event) => {
    heard.push(event.data);
    if (heard.length == 2) done(heard.join());
  };
  socket.onerror = () => done("refused");
})"""


@pytest.fixture(params=[True, False], ids=["ticket", "no ticket"])
def has_ticket(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@pytest.fixture
def browser(standing: Standing, has_ticket: bool) -> Iterator[Browser]:
    environment = standing.browser("alice", has_ticket=has_ticket).environment
    at = f"127.0.0.1:{standing.port}"
    with run_chromium(environment, at, MAY_AUTHENTICATE) as browser:
        # The first challenge that a browser sees only makes it load its GSS-API library.
        browser.open(f"{WIKI}/secret").arrive(f"{LOGIN}/.authsrv/sign-in")
        browser.forget()
        yield browser


def sign_in(standing: Standing, page: Page) -> None:
    page.arrive(f"{LOGIN}/.authsrv/sign-in")
    password = standing.realm.password("alice")
    page.run("document.querySelector('[name=username]').value = 'alice'")
    page.run(f"document.querySelector('[name=password]').value = {password!r}")
    page.run("document.querySelector('form').submit()")


def test_a_person_gets_in_and_pages_of_others_do_not(
    standing: Standing, browser: Browser, has_ticket: bool
) -> None:
    page = browser.open(f"{WIKI}/secret?x=1")
    if not has_ticket:
        sign_in(standing, page)
    page.arrive(f"{WIKI}/secret?x=1")
    assert '"alice"' in page.text
    told = page.run("fetch('/data', {method: 'POST', body: 'x'}).then((answer) => answer.json())")
    assert ["remote-user", "alice"] in [[name.lower(), value] for name, value in told["fields"]]
    assert page.run(TALK) == "alice,hello"
    # Another host of the same domain, to which browsers send more than to strangers.
    other = browser.open(f"{LOGIN}/.authsrv/whoami")
    assert LOGIN_HOST in other.url
    other.call("Page.setBypassCSP", enabled=True)
    other.go(f"{LOGIN}/.authsrv/whoami")
    assert other.run(TALK) == "refused"
    with pytest.raises(BrowserError):
        other.run(f"fetch('{WIKI}/data', {{method: 'POST', credentials: 'include', body: 'x'}})")
    assert page.run("fetch('/admin').then((answer) => answer.status)") == 403
