"""What a request needs, by marks on handlers and by rules for paths and methods."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from authsrv.aiohttp import (
    AccessRules,
    Preflight,
    Requirement,
    open_access,
    optional_authentication,
    require_authentication,
)
from authsrv.errors import ConfigError

R = Requirement
PREFLIGHT = {"Origin": "https://example.org", "Access-Control-Request-Method": "PUT"}
LAX = AccessRules(default=R.OPTIONAL)


async def answer(request: web.Request) -> web.Response:
    return web.Response()


def app_with(*routes: web.RouteDef) -> web.Application:
    app = web.Application()
    app.add_routes(routes)
    return app


def needed(rules: AccessRules, request: web.Request) -> Requirement:
    return rules.requirement_of(request.match_info.route, request.method, request.headers)


async def requirement(
    app: web.Application,
    rules: AccessRules,
    path: str = "/",
    method: str = "GET",
    headers: Mapping[str, str] | None = None,
) -> Requirement:
    request = make_mocked_request(method, path, headers=headers)
    request._match_info = await app.router.resolve(request)
    return needed(rules, request)


async def test_every_path_needs_authentication_where_nothing_is_said() -> None:
    app = app_with(web.get("/", answer), web.route("*", "/any/{tail:.*}", answer))
    for path, method in (("/", "GET"), ("/", "HEAD"), ("/any/x", "DELETE"), ("/any/", "BREW")):
        assert await requirement(app, AccessRules(), path, method) is R.REQUIRED


@pytest.mark.parametrize("default", R)
@pytest.mark.parametrize(("path", "method"), [("/none", "GET"), ("/", "POST")])
async def test_a_path_or_method_that_does_not_exist_needs_the_default(
    path: str, method: str, default: Requirement
) -> None:
    rules = AccessRules(default=default, open_paths=("/*",))
    app = app_with(web.get("/", answer))
    assert await requirement(app, rules, path, method) is default


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/open", R.OPEN),
        ("/open/", R.REQUIRED),
        ("/opener", R.REQUIRED),
        ("/tree", R.OPEN),
        ("/tree/a", R.OPEN),
        ("/tree/a/b", R.OPEN),
        ("/treehouse", R.REQUIRED),
        ("/users/7", R.OPTIONAL),
        ("/users/7/photo", R.REQUIRED),
        ("/", R.REQUIRED),
    ],
)
async def test_rules_speak_of_resources_as_they_are_written_in_the_router(
    path: str, expected: Requirement
) -> None:
    rules = AccessRules(open_paths=("/open", "/tree/*"), optional_paths=("/users/{name}",))
    paths = ("/open", "/open/", "/opener", "/tree", "/tree/a", "/tree/{a}/b", "/treehouse")
    more = ("/users/{name}", "/users/{name}/photo", "/")
    app = app_with(*(web.get(each, answer) for each in (*paths, *more)))
    assert await requirement(app, rules, path) is expected


@pytest.mark.parametrize(
    "path", ["/public/../secret", "/public/%2e%2e/secret", "//secret", "/public//../secret"]
)
async def test_no_trick_with_a_path_opens_what_it_does_not_reach(path: str) -> None:
    rules = AccessRules(open_paths=("/public/*",))
    app = app_with(web.get("/secret", answer), web.get("/public/page", answer))
    request = make_mocked_request("GET", path)
    match = request._match_info = await app.router.resolve(request)
    reached = match.route.resource
    if reached is None or reached.canonical == "/secret":
        assert needed(rules, request) is R.REQUIRED


async def test_an_open_path_wins_over_an_optional_one() -> None:
    rules = AccessRules(open_paths=("/a",), optional_paths=("/a",))
    assert await requirement(app_with(web.get("/a", answer)), rules, "/a") is R.OPEN


async def test_static_files_are_a_resource_like_any_other(tmp_path: Path) -> None:
    (tmp_path / "logo.png").touch()
    app = web.Application()
    app.router.add_static("/static", tmp_path)
    for rules, expected in (
        (AccessRules(), R.REQUIRED),
        (AccessRules(open_paths=("/static",)), R.OPEN),
        (AccessRules(open_paths=("/static/*",)), R.OPEN),
    ):
        assert await requirement(app, rules, "/static/logo.png") is expected


async def test_resources_of_a_sub_application_carry_its_prefix() -> None:
    app, inner = web.Application(), app_with(web.get("/page", answer))
    app.add_subapp("/inner", inner)
    rules = AccessRules(open_paths=("/inner/page",))
    assert await requirement(app, rules, "/inner/page") is R.OPEN
    assert await requirement(app, AccessRules(open_paths=("/page",)), "/inner/page") is R.REQUIRED


async def test_open_methods_are_open_on_every_path() -> None:
    app = app_with(web.route("*", "/", answer))
    rules = AccessRules(open_methods=frozenset({"OPTIONS"}))
    assert await requirement(app, rules, method="OPTIONS") is R.OPEN
    assert await requirement(app, rules, method="GET") is R.REQUIRED


@pytest.mark.parametrize(
    ("method", "headers", "expected"),
    [
        ("OPTIONS", PREFLIGHT, R.OPEN),
        ("OPTIONS", {}, R.REQUIRED),
        ("OPTIONS", {"Origin": "https://example.org"}, R.REQUIRED),
        ("OPTIONS", {"Access-Control-Request-Method": "PUT"}, R.REQUIRED),
        ("GET", PREFLIGHT, R.REQUIRED),
        ("PUT", PREFLIGHT, R.REQUIRED),
    ],
)
async def test_only_a_cors_preflight_passes(
    method: str, headers: Mapping[str, str], expected: Requirement
) -> None:
    app = app_with(web.options("/", answer), web.get("/", answer), web.put("/", answer))
    assert await requirement(app, AccessRules(), method=method, headers=headers) is expected


async def test_a_preflight_passes_to_no_handler_that_was_written_for_every_method() -> None:
    app = app_with(web.route("*", "/", answer))
    assert await requirement(app, AccessRules(), method="OPTIONS", headers=PREFLIGHT) is R.REQUIRED


async def test_a_preflight_passes_to_no_route_that_does_not_exist() -> None:
    app = app_with(web.get("/", answer))
    assert await requirement(app, AccessRules(), method="OPTIONS", headers=PREFLIGHT) is R.REQUIRED


async def test_a_preflight_passes_to_a_view_with_options() -> None:
    class Answering(web.View):
        async def options(self) -> web.Response:
            return web.Response()

    class Silent(web.View):
        pass

    app = app_with(web.view("/", Answering), web.view("/silent", Silent))
    seen = [
        await requirement(app, AccessRules(), path=path, method="OPTIONS", headers=PREFLIGHT)
        for path in ("/", "/silent")
    ]
    assert seen == [R.OPEN, R.REQUIRED]


async def test_a_mark_on_a_view_is_not_inherited() -> None:
    @open_access
    class Public(web.View):
        async def get(self) -> web.Response:
            return web.Response()

    class Admin(Public):
        async def delete(self) -> web.Response:
            return web.Response()

    app = app_with(web.view("/", Public), web.view("/admin", Admin))
    assert await requirement(app, AccessRules()) is R.OPEN
    assert await requirement(app, AccessRules(), path="/admin", method="DELETE") is R.REQUIRED


async def test_a_preflight_is_like_any_other_request_where_the_rules_say_so() -> None:
    app = app_with(web.options("/", answer))
    rules = AccessRules(preflight=Preflight.AUTHENTICATE)
    assert await requirement(app, rules, method="OPTIONS", headers=PREFLIGHT) is R.REQUIRED


@pytest.mark.parametrize(
    ("mark", "expected"),
    [
        (open_access, R.OPEN),
        (optional_authentication, R.OPTIONAL),
        (require_authentication, R.REQUIRED),
    ],
)
class TestMarks:
    """A mark of the handler wins over every rule."""

    RULES = (AccessRules(), LAX, AccessRules(open_paths=("/",), open_methods=frozenset({"GET"})))

    async def test_on_a_function(self, mark: type, expected: Requirement) -> None:
        @mark
        async def handler(request: web.Request) -> web.Response:
            return web.Response()

        for rules in self.RULES:
            assert await requirement(app_with(web.get("/", handler)), rules) is expected

    async def test_on_a_method_of_an_object(self, mark: type, expected: Requirement) -> None:
        class Pages:
            @mark
            async def page(self, request: web.Request) -> web.Response:
                return web.Response()

        for rules in self.RULES:
            assert await requirement(app_with(web.get("/", Pages().page)), rules) is expected

    async def test_through_a_decorator_that_wraps(self, mark: type, expected: Requirement) -> None:
        @mark
        async def handler(request: web.Request) -> web.Response:
            return web.Response()

        @functools.wraps(handler)
        async def wrapper(request: web.Request) -> web.StreamResponse:
            return await handler(request)

        assert await requirement(app_with(web.get("/", wrapper)), LAX) is expected

    async def test_on_a_view_for_all_its_methods(self, mark: type, expected: Requirement) -> None:
        @mark
        class Page(web.View):
            async def get(self) -> web.Response:
                return web.Response()

        app = app_with(web.view("/", Page))
        for method in ("GET", "POST"):
            for rules in self.RULES:
                assert await requirement(app, rules, method=method) is expected

    async def test_on_one_method_of_a_view(self, mark: type, expected: Requirement) -> None:
        class Page(web.View):
            @mark
            async def get(self) -> web.Response:
                return web.Response()

            async def post(self) -> web.Response:
                return web.Response()

        app = app_with(web.view("/", Page))
        assert await requirement(app, LAX) is expected
        assert await requirement(app, LAX, method="POST") is LAX.default

    async def test_on_a_method_wins_over_that_of_its_view(
        self, mark: type, expected: Requirement
    ) -> None:
        for outer in (open_access, require_authentication):

            @outer
            class Page(web.View):
                @mark
                async def get(self) -> web.Response:
                    return web.Response()

                async def post(self) -> web.Response:
                    return web.Response()

            app = app_with(web.view("/", Page))
            assert await requirement(app, LAX) is expected
            post = R.OPEN if outer is open_access else R.REQUIRED
            assert await requirement(app, LAX, method="POST") is post


async def test_a_handler_that_requires_authentication_lets_no_preflight_pass() -> None:
    @require_authentication
    async def handler(request: web.Request) -> web.Response:
        return web.Response()

    app = app_with(web.options("/", handler))
    needed = await requirement(app, AccessRules(), method="OPTIONS", headers=PREFLIGHT)
    assert needed is R.REQUIRED


@pytest.mark.parametrize("name", ["open_paths", "optional_paths"])
def test_a_path_that_does_not_begin_with_a_slash_is_a_wrong_setting(name: str) -> None:
    with pytest.raises(ConfigError, match="'health' does not begin with /"):
        AccessRules(**{name: ("/ok", "health")})


@pytest.mark.parametrize(
    ("mark", "expected"),
    [
        (open_access, R.REQUIRED),
        (optional_authentication, R.REQUIRED),
        (require_authentication, R.REQUIRED),
    ],
)
@pytest.mark.parametrize("rules", [AccessRules(), AccessRules(default=R.OPEN)])
@pytest.mark.parametrize("where", ["class", "method"])
async def test_required_is_inherited_and_open_and_optional_are_not(
    mark: type, expected: Requirement, rules: AccessRules, where: str
) -> None:
    async def get(self: web.View) -> web.Response:
        return web.Response()

    Base = type("Base", (web.View,), {"get": mark(get) if where == "method" else get})
    marked = mark(Base) if where == "class" else Base
    app = app_with(web.view("/", type("Sub", (marked,), {})))
    inherited = require_authentication is mark  # type: ignore[comparison-overlap]
    assert await requirement(app, rules) is (expected if inherited else rules.default)


@pytest.mark.parametrize("mark", [open_access, optional_authentication, require_authentication])
async def test_a_mark_leaves_what_it_marks_as_it_is(mark: type) -> None:
    class Page(web.View):
        async def get(self) -> web.Response:
            return web.Response()

    for handler, make in ((answer, web.get), (Page, web.view)):
        assert mark(handler) is not handler
        assert await requirement(app_with(make("/", handler)), LAX) is LAX.default  # type: ignore[operator]


async def test_a_resource_object_opens_itself_alone() -> None:
    app = web.Application()
    digits = app.router.add_resource(r"/users/{name:\d+}")
    digits.add_route("GET", answer)
    app.router.add_get("/users/{name:[a-z]+}", answer)
    rules = AccessRules(open_paths=(digits,))
    rules.check(app)
    assert await requirement(app, rules, "/users/7") is R.OPEN
    assert await requirement(app, rules, "/users/x") is R.REQUIRED


@pytest.mark.parametrize("path", ["/users/{name}", "/health", "/tree/*"])
def test_a_path_that_fits_more_than_one_resource_is_a_wrong_setting(path: str) -> None:
    app, other = web.Application(), app_with(web.get("/health", answer), web.get("/tree/a", answer))
    app.router.add_get(r"/users/{name:\d+}", answer)
    app.router.add_get("/users/{name:[a-z]+}", answer)
    app.router.add_get("/health", answer)
    app.router.add_get("/tree/a", answer)
    app.router.add_get("/tree/b", answer)
    app.add_domain("example.org", other)
    for name in ("open_paths", "optional_paths"):
        with pytest.raises(ConfigError, match="more than one resource"):
            AccessRules(**{name: (path,)}).check(app)


def test_a_path_that_was_written_twice_is_one() -> None:
    app = app_with(web.get("/a", answer), web.get("/b", answer), web.post("/a", answer))
    AccessRules(open_paths=("/a", "/none")).check(app)


def test_a_resource_of_another_application_is_a_wrong_setting() -> None:
    other = web.Application().router.add_resource("/a")
    with pytest.raises(ConfigError, match="no resource of the application"):
        AccessRules(open_paths=(other,)).check(web.Application())
