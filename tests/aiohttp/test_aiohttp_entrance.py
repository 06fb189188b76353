"""Where requests are checked: at the router of an application, or among its middlewares."""

from __future__ import annotations

import pytest
from aiohttp import web
from aiohttp.typedefs import Handler
from sites import PROOF, Site, connected, log_in, served

from authsrv.aiohttp import AccessRules, setup
from authsrv.packages.scripted import ScriptedPackage


class Witness:
    """A middleware that writes down what came out behind it."""

    def __init__(self) -> None:
        self.seen: list[int] = []

    @web.middleware
    async def watch(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        response = await handler(request)
        self.seen.append(response.status)
        return response


async def test_an_application_without_middlewares_is_left_without() -> None:
    site = Site()
    async with served(site.app) as port, connected(port) as wire:
        assert not site.app.middlewares
        assert (await wire.ask()).status == 401
        assert (await wire.ask(token=b"alice")).text == "alice"


async def test_a_middleware_that_was_put_before_ours_stays_before_it() -> None:
    site, witness = Site(), Witness()
    site.app.middlewares.insert(0, witness.watch)
    async with served(site.app) as port, connected(port) as wire:
        await wire.ask()
        await wire.ask(token=b"alice")
    assert witness.seen == [401, 200]


@pytest.mark.parametrize("mount", ["add_subapp", "add_domain"])
async def test_the_middlewares_of_an_outer_application_see_what_a_mounted_one_refuses(
    mount: str,
) -> None:
    site, witness = Site(), Witness()
    outer = web.Application(middlewares=[witness.watch])
    if mount == "add_subapp":
        outer.add_subapp("/inner", site.app)
    else:
        outer.add_domain("localhost", site.app)
    path = "/inner/" if mount == "add_subapp" else "/"
    async with served(outer) as port, connected(port) as wire:
        await wire.ask(path)
        await wire.ask(path, token=b"alice")
    assert witness.seen == [401, 200]


async def test_what_is_mounted_is_protected_by_the_application_around_it() -> None:
    inner = web.Application()
    inner.router.add_get("/", Site.tell_name)
    site = Site()
    site.app.add_subapp("/inner", inner)
    async with served(site.app) as port, connected(port) as wire:
        assert (await wire.ask("/inner/")).status == 401
        answer = await wire.ask("/inner/", token=b"alice")
    assert (answer.text, answer.challenges) == ("alice", [PROOF])


async def test_a_handler_knows_its_application_and_the_ones_around_it() -> None:
    key = web.AppKey("key", str)

    async def tell(request: web.Request) -> web.Response:
        return web.Response(text=f"{request.app[key]} {request.config_dict[outer_key]}")

    outer_key = web.AppKey("outer", str)
    inner = web.Application()
    inner[key] = "inner"
    inner.router.add_get("/", tell)
    site = Site()
    site.app[outer_key] = "outer"
    site.app.add_subapp("/inner", inner)
    async with served(site.app) as port, connected(port) as wire:
        assert (await wire.ask("/inner/", token=b"alice")).text == "inner outer"


async def test_a_middleware_that_tries_another_path_costs_no_second_handshake() -> None:
    package = ScriptedPackage([log_in])
    app = web.Application(middlewares=[web.normalize_path_middleware()])
    app.router.add_get("/page/", Site.tell_name)
    setup(app, package=package)
    async with served(app) as port, connected(port) as wire:
        begun = package.created
        answer = await wire.ask("/page", token=b"alice")
        assert (answer.status, answer.headers["Location"]) == (308, "/page/")
        assert package.created == begun + 1
        assert (await wire.ask("/page/")).status == 401


@pytest.mark.parametrize("token", [None, b"bad", b"alice"])
async def test_the_signals_of_the_application_see_each_response_once(token: bytes | None) -> None:
    seen: list[int] = []

    async def note(request: web.Request, response: web.StreamResponse) -> None:
        seen.append(response.status)

    site = Site()
    site.app.on_response_prepare.append(note)
    async with served(site.app) as port, connected(port) as wire:
        answer = await wire.ask(token=token)
    assert seen == [answer.status]


async def test_what_is_open_is_not_looked_at() -> None:
    site = Site(rules=AccessRules(open_paths=("/public",)))
    site.app.router.add_get("/public", site.tell_name)
    async with served(site.app) as port, connected(port) as wire:
        assert (await wire.ask("/public", token=b"bad")).text == "nobody"


async def test_a_custom_answer_to_expect_is_asked_for_once() -> None:
    asked: list[str] = []

    async def expect(request: web.Request) -> None:
        asked.append(request.path)

    site = Site()
    site.app.router.add_post("/upload", Site.tell_name, expect_handler=expect)
    headers = {"Expect": "100-continue"}
    async with served(site.app) as port, connected(port) as wire:
        for token in (None, b"alice"):
            await wire.ask("/upload", method="POST", headers=headers, token=token)
    assert asked == ["/upload", "/upload"]
