"""The middleware on real sockets: who gets in, what the others are told, and what is reported."""

from __future__ import annotations

import asyncio
import inspect
import logging
import tracemalloc
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from aiohttp import ClientSession, web
from aiohttp.typedefs import Handler
from sites import PROOF, Site, connected, field, log_in, served
from waiting import until

import authsrv.errors
from authsrv.aiohttp import (
    AccessRules,
    AuthenticationRequired,
    Persistence,
    Preflight,
    current_identity,
    open_access,
    optional_authentication,
    optional_identity,
    require_authentication,
    setup,
)
from authsrv.audit.records import AbandonedEvent, ChallengedEvent, EstablishedEvent, RefusedEvent
from authsrv.core.identity import Identity
from authsrv.core.limits import Limits
from authsrv.core.results import Established, Refused
from authsrv.errors import (
    AuthsrvError,
    BlockedRequestError,
    ConfigError,
    DeadlineError,
    DeniedError,
    ForbiddenError,
    InvalidHeaderError,
    LogonDeniedError,
    OverloadedError,
    PeerError,
    ProviderFaultError,
    TokenTooLargeError,
    UnavailableError,
)
from authsrv.handshake.machine import State
from authsrv.providers.scripted import ALICE, Delay, ScriptedProvider

CAUSE = "SECRET cause"
PREFLIGHT = {"Origin": "https://example.org", "Access-Control-Request-Method": "PUT"}
MEGABYTES = 10

ERRORS = [
    kind
    for _, kind in inspect.getmembers(authsrv.errors, inspect.isclass)
    if kind.__module__ == AuthsrvError.__module__ and issubclass(kind, AuthsrvError)
]


# Who gets in.


async def test_a_handler_reads_a_typed_identity() -> None:
    async def handler(request: web.Request) -> web.Response:
        identity: Identity = current_identity(request)
        assert identity is optional_identity(request)
        return web.Response(text=f"{identity.principal} by {identity.mechanism}")

    site = Site(Established(ALICE))
    site.app.router.add_get("/me", handler)
    async with served(site.app) as port, connected(port) as wire:
        assert (await wire.ask("/me", token=b"token")).text == "alice@AUTHSRV.TEST by scripted"


async def test_an_ordinary_client_gets_in_by_its_token() -> None:
    site = Site()
    async with served(site.app) as port, ClientSession(f"http://127.0.0.1:{port}") as session:
        async with session.get("/") as response:
            assert response.status == 401
            assert response.headers["WWW-Authenticate"] == "Negotiate"
        async with session.get("/", headers={"Authorization": field(b"alice")}) as response:
            assert response.status == 200
            assert await response.text() == "alice"


async def test_a_request_without_token_is_challenged_and_never_reaches_its_handler() -> None:
    reached: list[web.Request] = []

    async def handler(request: web.Request) -> web.Response:
        reached.append(request)
        return web.Response()

    site = Site()
    site.app.router.add_route("*", "/any", handler)
    async with served(site.app) as port, connected(port) as wire:
        for method in ("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"):
            answer = await wire.ask("/any", method=method)
            assert (answer.status, answer.challenges) == (401, ["Negotiate"])
            assert answer.headers["Cache-Control"] == "no-store"
    assert reached == []
    assert site.provider.open_contexts == 0


@pytest.mark.parametrize(("path", "method"), [("/none", "GET"), ("/", "DELETE")])
async def test_what_does_not_exist_is_not_told_to_strangers(path: str, method: str) -> None:
    site = Site()
    async with served(site.app) as port, connected(port) as wire:
        assert (await wire.ask(path, method=method)).status == 401
        answer = await wire.ask(path, method=method, token=b"alice")
        assert answer.status == (404 if path == "/none" else 405)
        assert answer.challenges == [PROOF]


async def test_what_a_route_needs_is_remembered_for_each_method_and_within_bounds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("authsrv.aiohttp.middleware._MAX_DECISIONS", 8)
    site = Site(rules=AccessRules(open_methods=frozenset({"GET"})))
    site.app.router.add_route("*", "/any", site.tell_name)
    async with served(site.app) as port, connected(port) as wire:
        for number in range(20):
            assert (await wire.ask("/any", method="GET")).status == 200
            assert (await wire.ask("/any", method="PUT")).status == 401
            # Each path that does not exist is a route of its own to aiohttp.
            assert (await wire.ask(f"/none/{number}", method="PUT")).status == 401
            assert len(site.auth._decisions) <= 8


async def test_the_rules_open_paths_and_methods() -> None:
    rules = AccessRules(open_paths=("/health",), open_methods=frozenset({"HEAD"}))
    site = Site(rules=rules)
    site.app.router.add_get("/health", site.tell_name)
    async with served(site.app) as port, connected(port) as wire:
        # The Authorization field of an open request is not looked at, whatever it is.
        for token in (None, b"alice", b"bad"):
            assert (await wire.ask("/health", token=token)).text == "nobody"
        assert (await wire.ask(method="HEAD")).status == 200
        assert (await wire.ask()).status == 401
    assert site.provider.created == 1 == site.provider.deleted


@pytest.mark.parametrize(
    ("preflight", "status"), [(Preflight.PASS, 204), (Preflight.AUTHENTICATE, 401)]
)
async def test_a_cors_preflight_passes_and_another_options_request_does_not(
    preflight: Preflight, status: int
) -> None:
    async def handler(request: web.Request) -> web.Response:
        return web.Response(status=204)

    site = Site(rules=AccessRules(preflight=preflight))
    site.app.router.add_options("/", handler)
    async with served(site.app) as port, connected(port) as wire:
        assert (await wire.ask(method="OPTIONS", headers=PREFLIGHT)).status == status
        assert (await wire.ask(method="OPTIONS")).status == 401
        assert (await wire.ask(method="OPTIONS", headers={"Origin": "x"})).status == 401
        # What the preflight asked for still needs the client to be known.
        assert (await wire.ask(headers=PREFLIGHT)).status == 401


async def test_optional_authentication_lets_anonymous_clients_in_but_no_bad_token() -> None:
    site = Site(rules=AccessRules(optional_paths=("/",)))
    async with served(site.app) as port, connected(port) as wire:
        assert (await wire.ask()).text == "nobody"
        answer = await wire.ask(token=b"alice")
        assert (answer.text, answer.challenges) == ("alice", [PROOF])
        assert (await wire.ask(token=b"bad")).status == 401
        assert (await wire.ask(headers={"Authorization": "Negotiate ???"})).status == 401
    assert site.events_of(ChallengedEvent) == []


@pytest.mark.parametrize("mark", [optional_authentication, open_access])
async def test_a_handler_challenges_on_demand(mark: Callable[[Handler], Handler]) -> None:
    @mark
    async def handler(request: web.Request) -> web.Response:
        if "secret" in request.query and optional_identity(request) is None:
            raise AuthenticationRequired
        return web.Response(text="in")

    site = Site()
    site.app.router.add_get("/shop", handler)
    async with served(site.app) as port, connected(port) as wire:
        assert (await wire.ask("/shop")).text == "in"
        answer = await wire.ask("/shop?secret")
        assert (answer.status, answer.challenges) == (401, ["Negotiate"])
        assert answer.headers["Cache-Control"] == "no-store"
        known = await wire.ask("/shop?secret", token=b"alice")
        assert known.status == (200 if mark is optional_authentication else 401)


async def test_a_handler_that_asks_who_it_is_where_nobody_is_known_challenges() -> None:
    @open_access
    async def handler(request: web.Request) -> web.Response:
        return web.Response(text=current_identity(request).principal)

    site = Site()
    site.app.router.add_get("/oops", handler)
    async with served(site.app) as port, connected(port) as wire:
        answer = await wire.ask("/oops")
        assert (answer.status, answer.challenges) == (401, ["Negotiate"])


async def test_an_application_that_was_never_set_up_lets_nobody_in() -> None:
    async def handler(request: web.Request) -> web.Response:
        return web.Response(text=current_identity(request).principal)

    app = web.Application()
    app.router.add_get("/", handler)
    async with served(app) as port, connected(port) as wire:
        assert (await wire.ask(token=b"alice")).status == 401


async def test_decorators_open_and_close_functions_views_and_methods_of_views() -> None:
    @open_access
    async def public(request: web.Request) -> web.Response:
        return web.Response(text="in")

    class Mixed(web.View):
        @open_access
        async def get(self) -> web.Response:
            return web.Response(text="in")

        async def post(self) -> web.Response:
            return web.Response(text="in")

    @open_access
    class Open(web.View):
        async def get(self) -> web.Response:
            return web.Response(text="in")

        @require_authentication
        async def post(self) -> web.Response:
            return web.Response(text="in")

    site = Site()
    site.app.add_routes(
        [web.get("/public", public), web.view("/mixed", Mixed), web.view("/open", Open)]
    )
    async with served(site.app) as port, connected(port) as wire:
        for path in ("/public", "/mixed", "/open"):
            assert (await wire.ask(path)).text == "in"
        for path in ("/mixed", "/open"):
            assert (await wire.ask(path, method="POST")).status == 401
            assert (await wire.ask(path, method="POST", token=b"alice")).text == "in"


async def test_a_sub_application_is_covered_and_sees_the_identity() -> None:
    site = Site()
    inner = web.Application()
    inner.router.add_get("/page", Site.tell_name)
    site.app.add_subapp("/inner", inner)
    async with served(site.app) as port, connected(port) as wire:
        assert (await wire.ask("/inner/page")).status == 401
        answer = await wire.ask("/inner/page", token=b"alice")
        assert (answer.text, answer.challenges) == ("alice", [PROOF])
        assert (await wire.ask("/inner/none")).status == 401


async def test_a_sub_application_may_be_set_up_alone() -> None:
    site = Site()
    outer = web.Application()
    outer.router.add_get("/", Site.tell_name)
    outer.add_subapp("/inner", site.app)
    async with served(outer) as port, connected(port) as wire:
        assert (await wire.ask("/")).text == "nobody"
        assert (await wire.ask("/inner/")).status == 401
        answer = await wire.ask("/inner/", token=b"alice")
        assert (answer.text, answer.challenges) == ("alice", [PROOF])


@pytest.mark.parametrize("depth", [1, 2])
async def test_a_setup_inside_of_another_stops_the_start(depth: int) -> None:
    outer, inner = Site(), Site().app
    for _ in range(depth - 1):
        between = web.Application()
        between.add_subapp("/between", inner)
        inner = between
    outer.app.add_subapp("/inner", inner)
    with pytest.raises(ConfigError, match="and for one mounted in it"):
        async with served(outer.app):
            pytest.fail("it started")


async def test_no_other_middleware_sees_a_request_that_is_not_authenticated() -> None:
    seen: list[str] = []

    @web.middleware
    async def other(request: web.Request, handler: Handler) -> web.StreamResponse:
        seen.append(current_identity(request).principal)
        return await handler(request)

    app = web.Application(middlewares=[other])
    app.router.add_get("/", Site.tell_name)
    setup(app, provider=ScriptedProvider([log_in]))
    async with served(app) as port, connected(port) as wire:
        await wire.ask()
        await wire.ask(token=b"bad")
        await wire.ask(token=b"alice")
    assert seen == ["alice"]


# Settings.


def test_setup_twice_is_a_wrong_setting() -> None:
    site = Site()
    with pytest.raises(ConfigError, match="set up for this application already"):
        setup(site.app, provider=ScriptedProvider())


def test_setup_without_keytab_and_package_is_a_wrong_setting() -> None:
    app = web.Application()
    with pytest.raises(ConfigError, match="give the keytab"):
        setup(app)
    assert not app.middlewares


@pytest.mark.parametrize("more", [{"keytab": "/k"}, {"service": "HTTP/x"}])
def test_setup_with_a_package_and_with_what_belongs_to_a_keytab_is_a_wrong_setting(
    more: dict[str, str],
) -> None:
    with pytest.raises(ConfigError, match="not both"):
        setup(web.Application(), provider=ScriptedProvider(), **more)  # type: ignore[arg-type]


def test_setup_with_a_keytab_takes_the_package_for_kerberos() -> None:
    auth = setup(web.Application(), keytab="/nowhere/http.keytab", service="HTTP/web.example.org")
    assert auth.acceptor.provider.name == "gssapi"


def test_the_repr_tells_the_package() -> None:
    assert repr(Site().auth) == "<NegotiateAuth <Acceptor scripted, 0 pending>>"


# What the others are told.


def family_status(kind: type[AuthsrvError]) -> int:
    for family, status in (
        (TokenTooLargeError, 431),
        (ForbiddenError, 403),
        (BlockedRequestError, 403),
        (InvalidHeaderError, 400),
        (PeerError, 401),
        (DeniedError, 401),
        (UnavailableError, 503),
    ):
        if issubclass(kind, family):
            return status
    return 500


@pytest.mark.parametrize("kind", ERRORS)
async def test_every_refusal_has_the_answer_of_its_family_and_hides_its_cause(
    kind: type[AuthsrvError],
) -> None:
    site = Site(Refused(kind(CAUSE), b"error token"))
    async with served(site.app) as port, connected(port) as wire:
        answer = await wire.ask(token=b"\x60token")
    status = family_status(kind)
    assert answer.status == status
    assert answer.challenges == ([field(b"error token")] if status == 401 else [])
    assert ("Retry-After" in answer.headers) == (status == 503)
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert "SECRET" not in f"{answer.text} {answer.headers}"
    (event,) = site.events_of(RefusedEvent)
    assert event.error.detail == CAUSE
    assert event.status == status
    # What the client was told leads to the line of the log.
    assert answer.text.endswith(f"\nReference: {event.reference}\n")


@pytest.mark.parametrize(
    ("value", "status"),
    [
        ("Negotiate", 401),
        ("Negotiate !!!!", 401),
        ("Negotiate YQ", 401),
        ("", 400),
        (field(b"x" * 101), 431),
        ("Basic YTpi", 401),
    ],
)
async def test_a_field_that_cannot_be_read_is_refused_before_any_context_is_made(
    value: str, status: int
) -> None:
    site = Site(limits=Limits(max_token_bytes=100))
    async with served(site.app) as port, connected(port) as wire:
        site.forget_start()
        answer = await wire.ask(headers={"Authorization": value})
    assert answer.status == status
    assert site.provider.created == 0
    for event in site.events_of(RefusedEvent):
        assert (event.leg, event.mechanism) == (None, "")


async def test_two_authorization_fields_are_refused() -> None:
    site = Site()
    async with served(site.app) as port, connected(port) as wire:
        answer = await wire.ask(token=b"alice", headers={"authorization": field(b"bob")})
        assert answer.status == 400
    assert isinstance(site.events_of(RefusedEvent)[0].error, InvalidHeaderError)


async def test_what_a_package_raises_reaches_neither_client_nor_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    app = web.Application()
    setup(app, provider=ScriptedProvider([ValueError(CAUSE)]))
    async with served(app) as port, connected(port) as wire:
        answer = await wire.ask(token=b"SECRET token")
    assert answer.status == 500
    assert "SECRET" not in answer.text
    assert "raised ValueError" in caplog.text
    assert "SECRET" not in caplog.text
    assert field(b"SECRET token")[10:] not in caplog.text
    assert caplog.records[-1].exc_info is None


async def test_a_package_that_hangs_gets_503() -> None:
    site = Site(Delay(60, Established(ALICE)), limits=Limits(step_seconds=0.1))
    async with served(site.app) as port, connected(port) as wire:
        answer = await wire.ask(token=b"token")
        assert (answer.status, answer.headers["Retry-After"]) == (503, "2")
        site.provider.release()
        await until(lambda: site.provider.open_contexts == 0)
    assert isinstance(site.events_of(RefusedEvent)[0].error, DeadlineError)


async def test_an_overloaded_server_answers_503_at_once() -> None:
    limits = Limits(max_workers=1, max_queued=1, retry_after_seconds=7)
    site = Site(Delay(60, Established(ALICE)), limits=limits)
    pool = site.auth.acceptor.pool
    async with (
        served(site.app) as port,
        connected(port) as first,
        connected(port) as second,
        connected(port) as third,
    ):
        await first.send(token=b"token")
        await until(lambda: pool.occupied == 1 and pool.waiting == 0)
        await second.send(token=b"token")
        await until(lambda: pool.waiting == 1)
        answer = await third.ask(token=b"token")
        assert (answer.status, answer.headers["Retry-After"]) == (503, "7")
        # Who needs no authentication is served meanwhile, and who waits gets in later.
        assert (await third.ask()).status == 401
        site.provider.release()
        assert (await first.answer()).status == 200
        assert (await second.answer()).status == 200
    assert isinstance(site.events_of(RefusedEvent)[0].error, OverloadedError)


async def test_a_package_that_cannot_make_a_context_gets_500() -> None:
    site = Site()

    def fail(request: Any) -> Any:
        raise ValueError(CAUSE)

    async with served(site.app) as port, connected(port) as wire:
        site.provider.create_context = fail  # type: ignore[method-assign]
        answer = await wire.ask(token=b"token")
    assert answer.status == 500
    (event,) = site.events_of(RefusedEvent)
    assert isinstance(event.error, ProviderFaultError)
    assert event.leg is None


# The proof of the server.


def final(status: int) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def handler(request: web.Request) -> web.StreamResponse:
        return web.Response(status=status)

    return handler


async def not_found(request: web.Request) -> web.StreamResponse:
    raise web.HTTPNotFound


async def redirect(request: web.Request) -> web.StreamResponse:
    raise web.HTTPFound("/elsewhere")


async def crash(request: web.Request) -> web.StreamResponse:
    raise RuntimeError("the application's own")


async def stream(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    for part in (b"one ", b"two"):
        await response.write(part)
    return response


async def upgrade(request: web.Request) -> web.StreamResponse:
    socket = web.WebSocketResponse()
    await socket.prepare(request)
    await socket.close()
    return socket


@pytest.mark.parametrize(
    ("handler", "status"),
    [
        (final(200), 200),
        (final(204), 204),
        (final(403), 403),
        (not_found, 404),
        (redirect, 302),
        (crash, 500),
        (stream, 200),
    ],
    ids=["200", "204", "403", "404-raised", "302-raised", "500-raised", "streamed"],
)
async def test_the_servers_proof_goes_out_with_the_final_response_whatever_it_is(
    handler: Handler, status: int
) -> None:
    site = Site()
    site.app.router.add_get("/final", handler)
    async with served(site.app) as port, connected(port) as wire:
        answer = await wire.ask("/final", token=b"alice")
    assert (answer.status, answer.challenges) == (status, [PROOF])
    if handler is stream:
        assert answer.text == "one two"


async def test_the_servers_proof_goes_out_with_the_response_to_an_upgrade() -> None:
    site = Site()
    site.app.router.add_get("/socket", upgrade)
    headers = {
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    }
    async with served(site.app) as port, connected(port) as wire:
        answer = await wire.ask("/socket", token=b"alice", headers=headers)
    assert (answer.status, answer.challenges) == (101, [PROOF])


@pytest.mark.parametrize("how", ["raised", "returned"])
async def test_a_401_of_the_handlers_own_keeps_its_own_challenge(how: str) -> None:
    headers = {"WWW-Authenticate": 'Basic realm="vault"'}

    async def handler(request: web.Request) -> web.Response:
        if how == "raised":
            raise web.HTTPUnauthorized(headers=headers)
        return web.Response(status=401, headers=headers)

    site = Site()
    site.app.router.add_get("/vault", handler)
    async with served(site.app) as port, connected(port) as wire:
        answer = await wire.ask("/vault", token=b"alice")
    assert (answer.status, answer.challenges) == (401, ['Basic realm="vault"'])


async def test_no_proof_goes_out_where_the_package_made_none() -> None:
    site = Site(Established(ALICE))
    async with served(site.app) as port, connected(port) as wire:
        answer = await wire.ask(token=b"alice")
    assert (answer.status, answer.challenges) == (200, [])


@pytest.mark.parametrize("persistence", Persistence)
async def test_a_response_says_that_the_next_request_needs_a_token_where_it_does(
    persistence: Persistence,
) -> None:
    site = Site(persistence=persistence, rules=AccessRules(open_paths=("/open",)))
    site.app.router.add_get("/open", Site.tell_name)
    async with served(site.app) as port, connected(port) as wire:
        for answer in (await wire.ask(), await wire.ask("/open"), await wire.ask(token=b"bad")):
            assert "Persistent-Auth" not in answer.headers
        said = (await wire.ask(token=b"alice")).headers.get("Persistent-Auth")
    assert said == ("false" if persistence is Persistence.REQUEST else None)


# What is reported.


async def test_events_tell_the_request_the_way_the_time_and_the_cause() -> None:
    site = Site()
    async with served(site.app) as port, connected(port) as wire:
        await wire.ask("/?password=SECRET")
        await wire.ask(token=b"bad")
        await wire.ask(token=b"alice")
    challenged, refused, established = site.events
    assert isinstance(challenged, ChallengedEvent)
    assert challenged.request.method == "GET"
    assert challenged.request.path == "/"
    assert challenged.request.peer == "127.0.0.1"
    assert isinstance(refused, RefusedEvent)
    assert isinstance(refused.error, LogonDeniedError)
    assert refused.leg is not None
    assert refused.leg.states[-1] is State.FAILED
    assert isinstance(established, EstablishedEvent)
    assert established.identity.principal == "alice"
    for leg in (refused.leg, established.leg):
        assert 0 < leg.seconds < 10


async def test_a_client_that_leaves_while_its_token_is_worked_on_is_reported() -> None:
    site = Site(Delay(60, Established(ALICE)))
    async with served(site.app, handler_cancellation=True) as port, connected(port) as wire:
        await wire.send(token=b"NTLMSSP\x00\x01\x00\x00\x00" + bytes(28))
        await until(lambda: site.auth.acceptor.pool.occupied == 1)
        wire.writer.transport.abort()
        await until(lambda: bool(site.events))
        assert site.auth.acceptor.pending == 0
        site.provider.release()
        await until(lambda: site.provider.open_contexts == 0)
    (event,) = site.events_of(AbandonedEvent)
    assert event.request.path == "/"
    assert "NTLM" in event.mechanism
    assert event.token_bytes == 40


async def test_a_refusal_names_the_mechanism_of_the_token() -> None:
    site = Site(Refused(LogonDeniedError("no")))
    async with served(site.app) as port, connected(port) as wire:
        await wire.ask(token=b"NTLMSSP\x00\x01\x00\x00\x00" + bytes(28))
    (event,) = site.events_of(RefusedEvent)
    assert "NTLM" in event.mechanism


async def test_a_challenge_is_the_first_one_until_a_client_leaves_one_without_an_answer() -> None:
    site = Site()
    async with served(site.app) as port, connected(port) as wire, connected(port) as another:
        await wire.ask()
        await wire.ask(token=b"alice")
        await wire.ask()
        await wire.ask()
        await another.ask()
        await wire.ask(token=b"bad")
        await wire.ask()
    marks = [event.challenge.value for event in site.events_of(ChallengedEvent)]
    assert marks == ["first", "first", "repeated", "first", "first"]


async def test_events_go_to_the_audit_log_where_no_sink_is_given(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "authsrv.audit")
    app = web.Application()
    app.router.add_get("/", Site.tell_name)
    setup(app, provider=ScriptedProvider([log_in]))
    async with served(app) as port, connected(port) as wire:
        await wire.ask()
        await wire.ask(token=b"alice")
        await wire.ask(token=b"bad")
        caplog.set_level(logging.WARNING, "authsrv.audit")
        await wire.ask()
        await wire.ask(token=b"alice")
        await wire.ask(token=b"bad")
    lines = [record.message for record in caplog.records if record.name == "authsrv.audit"]
    words = [line.split(" ")[0] for line in lines]
    assert words == ["challenged", "established", "refused", "refused"]


async def test_a_routine_event_is_not_even_made_where_nobody_listens(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def make(*parts: object) -> None:
        raise AssertionError("an event was made")

    for name in ("ChallengedEvent", "EstablishedEvent", "Request"):
        monkeypatch.setattr(f"authsrv.aiohttp.reporting.{name}", make)
    caplog.set_level(logging.WARNING, "authsrv.audit")
    app = web.Application()
    app.router.add_get("/", Site.tell_name)
    setup(app, provider=ScriptedProvider([log_in]))
    async with served(app) as port, connected(port) as wire:
        assert (await wire.ask()).status == 401
        assert (await wire.ask(token=b"alice")).status == 200


# Bodies.


async def test_a_401_to_a_large_post_keeps_the_connection_and_not_the_body() -> None:
    size = 0

    async def count(request: web.Request) -> web.Response:
        nonlocal size
        async for chunk in request.content.iter_chunked(65_536):
            size += len(chunk)
        return web.Response(text=str(size))

    site = Site()
    site.app.router.add_post("/upload", count)
    body = bytes(MEGABYTES * 1_000_000)
    async with served(site.app) as port, connected(port) as wire:
        await wire.ask(token=b"alice")
        tracemalloc.start()
        try:
            await wire.send("/upload", method="POST", body=body[:1])
            assert (await wire.answer()).status == 401
            tracemalloc.reset_peak()
            before = tracemalloc.get_traced_memory()[0]
            await wire.send("/upload", method="POST", headers={"Content-Length": str(len(body))})
            for start in range(0, len(body), 65_536):
                wire.writer.write(body[start : start + 65_536])
                await wire.writer.drain()
            assert (await wire.answer()).status == 401
            peak = tracemalloc.get_traced_memory()[1] - before
        finally:
            tracemalloc.stop()
        assert peak < 2_000_000, f"{peak} bytes were held"
        # The connection is good for the next request, which carries a token.
        answer = await wire.ask("/upload", method="POST", token=b"alice", body=b"x" * 1_000)
        assert (answer.status, answer.text) == (200, "1000")
    assert size == 1_000


async def test_a_client_that_sends_no_more_of_its_body_after_the_401_is_let_go() -> None:
    site = Site()
    site.app.router.add_post("/upload", Site.tell_name)
    async with served(site.app, lingering_time=0.2) as port, connected(port) as wire:
        await wire.send("/upload", method="POST", headers={"Content-Length": "1000000"})
        assert (await wire.answer()).status == 401
        assert await wire.is_closed()


async def test_requests_that_are_pipelined_are_each_decided_alone() -> None:
    site = Site()
    async with served(site.app) as port, connected(port) as wire:
        for token in (b"alice", None, b"bob", b"bad"):
            await wire.send(token=token)
        answers = [await wire.answer() for _ in range(4)]
    assert [answer.status for answer in answers] == [200, 401, 200, 401]
    assert [answer.text for answer in answers][::2] == ["alice", "bob"]


async def test_many_clients_at_once_each_have_their_own_identity() -> None:
    site = Site()
    async with served(site.app) as port:

        async def one(number: int) -> None:
            async with connected(port) as wire:
                for _ in range(3):
                    name = f"user{number}"
                    assert (await wire.ask(token=name.encode())).text == name

        await asyncio.gather(*(one(number) for number in range(40)))
        await until(lambda: site.provider.open_contexts == 0)
