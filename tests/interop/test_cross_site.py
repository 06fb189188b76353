"""A page of another site, in a real browser, that sends a form in the user's name."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import ClientSession, web
from people import Person
from test_chromium import Browser, browser

from authsrv.aiohttp import AppRunner, Persistence, current_identity, setup
from authsrv.audit.records import AuditEvent, RefusedEvent
from authsrv.client import NegotiateClient
from authsrv.devrealm import Realm
from authsrv.errors import CrossSiteError

__all__ = ["browser"]

pytestmark = pytest.mark.xdist_group("interop")

# Chromium sends Sec-Fetch-Site to loopback, and over plain http to no other name.
NAMES = ["localhost", "app.test"]
FORM = '<form method="post" action="{url}"></form><script>document.forms[0].submit()</script>'


class Site:
    """An application that counts what was done in a user's name, and pages that ask for it."""

    def __init__(self, keytab: Path, **settings: object) -> None:
        self.done: list[str] = []
        self.events: list[AuditEvent] = []
        self.app = web.Application()
        self.app.router.add_get("/", self.form)
        self.app.router.add_post("/", self.do)
        self.app.router.add_get("/socket", self.socket)
        setup(self.app, keytab=keytab, audit=self.events.append, **settings)  # type: ignore[arg-type]
        self.port = 0

    async def form(self, request: web.Request) -> web.Response:
        return web.Response(text=FORM.format(url="/"), content_type="text/html")

    async def do(self, request: web.Request) -> web.Response:
        self.done.append(current_identity(request).principal)
        return web.Response(text="done")

    async def socket(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        self.done.append("socket")
        await socket.close()
        return socket

    def refusals(self) -> list[str]:
        return [
            event.error.detail
            for event in self.events
            if isinstance(event, RefusedEvent) and isinstance(event.error, CrossSiteError)
        ]


@pytest.fixture(scope="module")
def keytab(
    kerberos_realm: Realm, numeric_service: str, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The keys for both names: Chromium wants a ticket for what its rule makes of the second."""
    path = tmp_path_factory.mktemp("names") / "keytab"
    return kerberos_realm.write_keytab(path, ["HTTP/localhost", numeric_service])


@pytest.fixture
async def site(keytab: Path) -> AsyncIterator[Site]:
    made = Site(keytab)
    runner = AppRunner(made.app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    made.port = runner.addresses[0][1]
    yield made
    await runner.cleanup()


@pytest.fixture
async def evil(site: Site) -> AsyncIterator[int]:
    """The other site: its page sends a form to the application, by the name it is asked for."""

    async def page(request: web.Request) -> web.Response:
        url = f"http://{request.query['host']}:{site.port}/"
        return web.Response(text=FORM.format(url=url), content_type="text/html")

    app = web.Application()
    app.router.add_get("/", page)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield runner.addresses[0][1]
    await runner.cleanup()


async def show(browser: Browser, person: Person, url: str) -> None:
    switches = (
        "--auth-server-allowlist=*",
        "--host-resolver-rules=MAP *.test 127.0.0.1",
        "--virtual-time-budget=5000",
    )
    # The first start that sees a Negotiate challenge only takes note that such things exist.
    for _ in range(2):
        await asyncio.to_thread(browser.show, url, person, *switches)


@pytest.mark.parametrize("name", NAMES)
async def test_a_form_of_our_own_page_is_sent(
    browser: Browser, person: Person, site: Site, name: str
) -> None:
    await show(browser, person, f"http://{name}:{site.port}/")
    assert person.principal in site.done
    assert site.refusals() == []


@pytest.mark.parametrize(
    ("name", "cause"),
    [("localhost", "(cross-site)"), ("app.test", "a page of http://evil.test:")],
)
async def test_a_form_of_another_site_is_not(
    browser: Browser, person: Person, site: Site, evil: int, name: str, cause: str
) -> None:
    await show(browser, person, f"http://evil.test:{evil}/?host={name}")
    assert site.done == []
    assert cause in site.refusals()[-1]


@pytest.mark.parametrize(
    ("name", "cause"),
    [("localhost", "(same-site)"), ("app.test", "a page of http://app.test:")],
)
async def test_a_form_of_another_port_of_our_host_is_not_either(
    browser: Browser, person: Person, site: Site, evil: int, name: str, cause: str
) -> None:
    await show(browser, person, f"http://{name}:{evil}/?host={name}")
    assert site.done == []
    assert cause in site.refusals()[-1]


@pytest.mark.parametrize(
    ("headers", "method", "path", "status"),
    [
        ({}, "POST", "/", 200),
        ({"Origin": "http://localhost:{port}"}, "POST", "/", 200),
        ({"Origin": "http://evil.test"}, "POST", "/", 403),
        ({"Origin": "http://evil.test"}, "GET", "/", 200),
        ({"Origin": "null"}, "POST", "/", 403),
        ({"Sec-Fetch-Site": "cross-site"}, "POST", "/", 403),
        ({"Sec-Fetch-Site": "same-site"}, "POST", "/", 403),
        ({"Sec-Fetch-Site": "same-origin", "Origin": "http://evil.test"}, "POST", "/", 200),
    ],
)
@pytest.mark.parametrize("persistence", Persistence)
async def test_what_programs_send(
    kerberos_environment: dict[str, str],
    kerberos_keytab: Path,
    headers: dict[str, str],
    method: str,
    path: str,
    status: int,
    persistence: Persistence,
) -> None:
    """With a kept identity the second request carries no token, and is held to the same."""
    site = Site(kerberos_keytab, persistence=persistence)
    runner = AppRunner(site.app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    site.port = runner.addresses[0][1]
    url = f"http://localhost:{site.port}{path}"
    sent = {name: value.format(port=site.port) for name, value in headers.items()}
    async with NegotiateClient(["localhost"]) as negotiate:
        async with ClientSession(middlewares=(negotiate,)) as session:
            for _ in range(2):
                async with session.request(method, url, headers=sent) as response:
                    assert response.status == status
    await runner.cleanup()
    assert len(site.refusals()) == (2 if status == 403 else 0)


@pytest.mark.parametrize(("origin", "status"), [("http://localhost:{port}", 101), ("null", 403)])
async def test_a_websocket_is_held_to_its_origin(
    kerberos_environment: dict[str, str], site: Site, origin: str, status: int
) -> None:
    headers = {
        "Origin": origin.format(port=site.port),
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    }
    url = f"http://localhost:{site.port}/socket"
    async with NegotiateClient(["localhost"], timing="at once") as negotiate:  # type: ignore[arg-type]
        async with ClientSession(middlewares=(negotiate,)) as session:
            async with session.get(url, headers=headers) as response:
                assert response.status == status
    assert site.done == (["socket"] if status == 101 else [])
