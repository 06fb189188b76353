"""Where requests are checked, and that nobody gets past: by a resolution of a middleware's own,
another method, a lost mark, or a start-up that went otherwise."""

from __future__ import annotations

import pytest
from aiohttp import web
from aiohttp.typedefs import Handler
from sites import PROOF, Site, Wire, connected, log_in, served

from authsrv.aiohttp import (
    AccessRules,
    Requirement,
    current_identity,
    guard,
    open_access,
    optional_identity,
    require_authentication,
    setup,
)
from authsrv.errors import ConfigError
from authsrv.providers.scripted import ScriptedProvider


class LeakMonitor:
    """A middleware that writes down what came out behind it."""

    def __init__(self) -> None:
        self.seen: list[int] = []

    @web.middleware
    async def watch(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        response = await handler(request)
        self.seen.append(response.status)
        return response


async def late(app: web.Application) -> None:
    app.middlewares.insert(0, LeakMonitor().watch)


async def take_out(app: web.Application) -> None:
    app.middlewares.pop(0)


@pytest.mark.parametrize("when", ["before", "start-up", "taken out"])
async def test_a_middleware_before_ours_or_none_of_ours_stops_the_start(when: str) -> None:
    site = Site()
    if when == "before":
        site.app.middlewares.insert(0, LeakMonitor().watch)
    else:
        site.app.on_startup.append(late if when == "start-up" else take_out)
    with pytest.raises(ConfigError, match="not the first of its application"):
        async with served(site.app):
            pytest.fail("it started")


async def test_a_runner_that_does_not_look_at_the_order_serves_nothing() -> None:
    site = Site()
    site.app.on_startup.append(late)
    async with served(site.app, runner=web.AppRunner) as port, connected(port) as wire:
        assert (await wire.ask(token=b"alice")).status == 500


@pytest.mark.parametrize("mount", ["add_subapp", "add_domain"])
async def test_the_middlewares_of_an_outer_application_see_what_a_mounted_one_refuses(
    mount: str,
) -> None:
    site, witness = Site(), LeakMonitor()
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
    provider = ScriptedProvider([log_in])
    app = web.Application(middlewares=[web.normalize_path_middleware()])
    app.router.add_get("/page/", Site.tell_name)
    setup(app, provider=provider)
    async with served(app) as port, connected(port) as wire:
        begun = provider.created
        answer = await wire.ask("/page", token=b"alice")
        assert (answer.status, answer.headers["Location"]) == (308, "/page/")
        assert provider.created == begun + 1
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


# Middlewares that resolve again.

PREFLIGHT = {"Origin": "https://example.org", "Access-Control-Request-Method": "PUT"}
OPEN_DOOR = AccessRules(open_paths=("/open",))


class Target:
    """Two handlers behind an open door: one enforces its mark, the other asks who it is."""

    def __init__(self) -> None:
        self.reached: list[str] = []

    async def enforced(self, request: web.Request) -> web.Response:
        self.reached.append("enforced")
        return web.Response(text="in")

    async def asking(self, request: web.Request) -> web.Response:
        name = current_identity(request).principal
        self.reached.append(name)
        return web.Response(text=name)


@web.middleware
async def resolve_again(request: web.Request, handler: Handler) -> web.StreamResponse:
    """What method override and path rewriting do, and no more."""
    path = request.headers.get("X-Path", str(request.rel_url))
    method = request.headers.get("X-Method", request.method)
    if "X-Path" not in request.headers and "X-Method" not in request.headers:
        return await handler(request)
    clone = request.clone(rel_url=path, method=method)
    match = await request.app.router.resolve(clone)
    clone._match_info = match
    if request.headers.get("X-Guarded"):
        await guard(clone)
    return await match.handler(clone if "X-Original" not in request.headers else request)


def site_with_target(rules: AccessRules = OPEN_DOOR) -> tuple[Site, Target]:
    site, target = Site(rules=rules), Target()
    site.app.middlewares.append(resolve_again)
    enforced = require_authentication(target.enforced)
    site.app.router.add_get("/open", site.tell_name)
    site.app.router.add_post("/open", enforced)
    site.app.router.add_get("/enforced", enforced)
    site.app.router.add_get("/asking", target.asking)
    return site, target


@pytest.mark.parametrize("original", [{}, {"X-Original": "1"}])
@pytest.mark.parametrize("how", [{"X-Path": "/enforced"}, {"X-Path": "/asking"}])
async def test_a_path_that_is_rewritten_lets_nobody_in_unasked(
    how: dict[str, str], original: dict[str, str]
) -> None:
    site, target = site_with_target()
    async with served(site.app) as port, connected(port) as wire:
        for token in (None, b"alice", b"bad"):
            answer = await wire.ask("/open", token=token, headers={**how, **original})
            assert answer.status == 401
        assert target.reached == []


async def test_a_method_that_is_overridden_lets_nobody_in_unasked() -> None:
    rules = AccessRules(open_methods=frozenset({"GET", "OPTIONS"}))
    site, target = site_with_target(rules)
    async with served(site.app) as port, connected(port) as wire:
        for method, headers in (("GET", {}), ("OPTIONS", PREFLIGHT), ("OPTIONS", {})):
            more = {**headers, "X-Method": "POST"}
            assert (await wire.ask("/open", method=method, headers=more)).status == 401
        assert target.reached == []


async def test_a_preflight_that_is_resolved_again_lets_nobody_in_unasked() -> None:
    site, target = site_with_target(AccessRules())
    async with served(site.app) as port, connected(port) as wire:
        for path in ("/none", "/open"):
            headers = {**PREFLIGHT, "X-Path": "/enforced", "X-Method": "GET"}
            answer = await wire.ask(path, method="OPTIONS", headers=headers)
            assert answer.status in (404, 405)
        assert target.reached == []


async def test_what_is_known_on_one_route_is_not_known_on_another_until_guard_was_asked() -> None:
    site, target = site_with_target(AccessRules())
    async with served(site.app) as port, connected(port) as wire:
        rewrite = {"X-Path": "/asking"}
        assert (await wire.ask("/open", token=b"alice", headers=rewrite)).status == 401
        assert target.reached == []
        begun = site.provider.created
        guarded = {**rewrite, "X-Guarded": "1"}
        answer = await wire.ask("/open", token=b"alice", headers=guarded)
        assert (answer.text, answer.challenges) == ("alice", [PROOF])
        # The token was used once.
        assert site.provider.created == begun + 1


@pytest.mark.parametrize(
    ("token", "status"), [(None, 401), (b"bad", 401), (b"alice", 200)], ids=str
)
async def test_guard_asks_who_comes_through_an_open_door(token: bytes | None, status: int) -> None:
    site, target = site_with_target()
    async with served(site.app) as port, connected(port) as wire:
        for path in ("/asking", "/enforced"):
            headers = {"X-Path": path, "X-Guarded": "1"}
            answer = await wire.ask("/open", token=token, headers=headers)
            assert answer.status == status
            assert (PROOF in answer.challenges) == (status == 200)
    assert bool(target.reached) == (status == 200)


async def test_guard_makes_nobody_known_on_an_open_route() -> None:
    site, _ = site_with_target()
    async with served(site.app) as port, connected(port) as wire:
        headers = {"X-Path": "/open", "X-Guarded": "1"}
        answer = await wire.ask("/asking", token=b"alice", headers=headers)
    assert answer.text == "nobody"


async def test_guard_without_setup_is_a_fault_of_the_application() -> None:
    app = web.Application(middlewares=[resolve_again])
    app.router.add_get("/", Site.tell_name)
    async with served(app) as port, connected(port) as wire:
        assert (await wire.ask(headers={"X-Path": "/", "X-Guarded": "1"})).status == 500


async def test_a_path_that_aiohttp_normalizes_lets_nobody_in_unasked() -> None:
    site = Site(rules=AccessRules(default=Requirement.OPEN))
    target = Target()
    site.app.middlewares.append(web.normalize_path_middleware())
    site.app.router.add_get("/enforced/", require_authentication(target.enforced))
    async with served(site.app) as port, connected(port) as wire:
        for path in ("/enforced", "//enforced", "//enforced/"):
            answer = await wire.ask(path)
            assert (answer.status, answer.headers["Location"]) == (308, "/enforced/")
        assert (await wire.ask("/enforced/")).status == 401
        assert target.reached == []
        assert (await wire.ask("/enforced/", token=b"alice")).status == 200


@pytest.mark.parametrize(("path", "status"), [("/none", 404), ("/open", 405)])
async def test_a_preflight_for_a_route_that_does_not_exist_is_answered_before_the_application(
    path: str, status: int
) -> None:
    site, witness = Site(rules=OPEN_DOOR), LeakMonitor()
    site.app.middlewares.append(witness.watch)
    site.app.router.add_get("/open", site.tell_name)
    async with served(site.app) as port, connected(port) as wire:
        answer = await wire.ask(path, method="OPTIONS", headers=PREFLIGHT)
        assert (answer.status, answer.challenges) == (status, [])
        assert witness.seen == []


# Marks that are lost.


async def ask_both(wire: Wire, path: str) -> list[int]:
    return [(await wire.ask(path, token=token)).status for token in (None, b"alice")]


async def test_a_required_mark_that_is_lost_lets_nobody_in() -> None:
    site = Site(rules=AccessRules(default=Requirement.OPEN))
    marked = require_authentication(Target().enforced)

    async def forgetful(request: web.Request) -> web.StreamResponse:
        return await marked(request)

    site.app.router.add_get("/lost", forgetful)
    async with served(site.app) as port, connected(port) as wire:
        assert await ask_both(wire, "/lost") == [401, 401]


async def test_an_open_mark_that_is_lost_requires_authentication() -> None:
    site = Site()
    marked = open_access(Site.tell_name)

    async def forgetful(request: web.Request) -> web.StreamResponse:
        return await marked(request)

    site.app.router.add_get("/lost", forgetful)
    async with served(site.app) as port, connected(port) as wire:
        assert await ask_both(wire, "/lost") == [401, 200]


async def test_one_handler_may_be_open_on_one_route_alone() -> None:
    site = Site()
    site.app.router.add_get("/open", open_access(Site.tell_name))
    site.app.router.add_get("/closed", Site.tell_name)
    async with served(site.app) as port, connected(port) as wire:
        assert await ask_both(wire, "/open") == [200, 200]
        assert await ask_both(wire, "/closed") == [401, 200]


async def test_views_that_require_authentication_enforce_it_behind_an_open_door() -> None:
    class Open(web.View):
        async def get(self) -> web.Response:
            return web.Response(text="in")

        @require_authentication
        async def put(self) -> web.Response:
            return web.Response(text=str(optional_identity(self.request)))

    class Inheriting(require_authentication(Open)):  # type: ignore[misc]
        async def post(self) -> web.Response:
            return web.Response(text="in")

    site, _ = site_with_target()
    site.app.router.add_view("/view", Open)
    site.app.router.add_view("/inheriting", Inheriting)
    async with served(site.app) as port, connected(port) as wire:
        for path, method in (("/view", "PUT"), ("/inheriting", "GET"), ("/inheriting", "POST")):
            headers = {"X-Path": path, "X-Method": method}
            assert (await wire.ask("/open", headers=headers)).status == 401
            known = await wire.ask(path, method=method, token=b"alice")
            assert known.status == 200
