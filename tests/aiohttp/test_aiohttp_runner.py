"""The servers that fit: large tokens, silent refusals, what start-up says, and how run_app ends."""

from __future__ import annotations

import asyncio
import base64
import gc
import http.client
import logging
import os
import queue
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import uvloop  # noqa: F401 - imported before the guard against blocking replaces what it takes
from aiohttp import web
from serving import clean_environment, serve
from sites import Site, connected, field, log_in, served
from waiting import until

from authsrv.aiohttp import AppRunner, run_app, server_settings, setup
from authsrv.aiohttp.header_limits import is_fitting
from authsrv.aiohttp.runner import _shown, handler_runner
from authsrv.audit.records import RefusedEvent
from authsrv.core.limits import Limits
from authsrv.core.results import Established
from authsrv.errors import ConfigError, KeytabError, OverloadedError, TokenTooLargeError
from authsrv.providers.scripted import ALICE, Act, ScriptedProvider

LARGEST = 65_536
MEBIBYTE = 1_048_576
SCRIPT = Path(__file__).parent / "scripted_server.py"
TOO_LARGE = "The header fields of the request are too large.\n"
SMALL_LIMIT = "header limits are not known"


def measuring(lengths: list[int]) -> Callable[[bytes], Act]:
    def act(token: bytes) -> Act:
        lengths.append(len(token))
        return Established(ALICE)

    return act


def large_token(length: int) -> bytes:
    """A token whose every part can be found again."""
    return (b"SECRET" * (length // 6 + 1))[:length]


# Large tokens.


async def test_the_largest_token_is_accepted_by_our_runner() -> None:
    lengths: list[int] = []
    site = Site(measuring(lengths))
    async with served(site.app) as port, connected(port) as wire:
        assert (await wire.ask(token=large_token(LARGEST))).status == 200
    assert lengths == [LARGEST]


async def test_the_largest_token_is_accepted_by_aiohttps_runner_with_our_settings() -> None:
    lengths: list[int] = []
    site = Site(measuring(lengths))
    settings = server_settings(site.app)
    async with served(site.app, runner=web.AppRunner, **settings) as port, connected(port) as wire:
        assert (await wire.ask(token=large_token(LARGEST))).status == 200
    assert lengths == [LARGEST]


async def test_a_token_one_byte_larger_is_refused_with_431_and_a_cause() -> None:
    site = Site()
    async with served(site.app) as port, connected(port) as wire:
        answer = await wire.ask(token=large_token(LARGEST + 1))
        assert (answer.status, answer.challenges) == (431, [])
        assert (await wire.ask(token=b"alice")).status == 200
    (event,) = site.events_of(RefusedEvent)
    assert isinstance(event.error, TokenTooLargeError)
    assert event.error.detail == "the token has more than 65536 bytes"


async def test_other_limits_make_room_for_other_tokens() -> None:
    limits = Limits(max_token_bytes=200_000, max_incomplete_bytes=200_000)
    lengths: list[int] = []
    site = Site(measuring(lengths), limits=limits)
    async with served(site.app, limits=limits) as port, connected(port) as wire:
        assert (await wire.ask(token=large_token(200_000))).status == 200
    assert lengths == [200_000]


async def test_a_token_of_a_mebibyte_is_refused_and_quoted_neither_to_client_nor_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    token = large_token(MEBIBYTE)
    site = Site()
    async with served(site.app) as port, connected(port) as wire:
        site.forget_start()
        await wire.send(token=token)
        answer = await wire.answer()
        assert (answer.status, answer.text) == (431, TOO_LARGE)
        assert await wire.is_closed()
    shown = f"{caplog.text} {answer.text} {answer.headers}"
    assert "SECRET" not in shown
    assert base64.b64encode(b"SECRET" * 2).decode() not in shown
    (record,) = [each for each in caplog.records if each.name == "authsrv"]
    assert record.levelno == logging.WARNING
    assert record.getMessage().startswith(
        "refused peer=127.0.0.1 http=431 cause=bad-request reason="
    )
    assert site.provider.created == 0


async def test_a_runner_of_one_handler_has_the_same_bounds(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def answer(request: web.BaseRequest) -> web.Response:
        return web.Response(text=str(len(request.headers["Authorization"])))

    runner = await handler_runner(answer, shutdown_timeout=0.1)
    try:
        server = web.TCPSite(runner, "127.0.0.1", 0)
        await server.start()
        port = runner.addresses[0][1]
        async with connected(port) as wire:
            assert (await wire.ask(token=large_token(LARGEST))).status == 200
        async with connected(port) as wire:
            await wire.send(token=large_token(MEBIBYTE))
            refused = await wire.answer()
            assert (refused.status, refused.text) == (431, TOO_LARGE)
            assert await wire.is_closed()
    finally:
        await runner.cleanup()
    assert base64.b64encode(b"SECRET" * 2).decode() not in caplog.text


async def test_a_client_that_never_stops_sending_is_cut_off(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("authsrv.aiohttp._private._LINGERING_S", 0.3)
    site = Site()
    async with served(site.app) as port, connected(port) as wire:
        await wire.send(token=large_token(MEBIBYTE))
        assert (await wire.answer()).status == 431
        sent = 0
        with suppress(ConnectionError):
            while sent < 100_000:
                wire.writer.write(b"A" * 1_000)
                await wire.writer.drain()
                await asyncio.sleep(0.001)
                sent += 1
        assert sent < 100_000


async def test_a_client_that_leaves_before_its_refusal_leaves_nothing_in_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    site = Site()
    # Time enough to end in order: aiohttp itself complains of a request that it has to cut off.
    async with served(site.app, shutdown_timeout=10) as port, connected(port) as wire:
        wire.writer.write(b"GET / HTTP/1.1\r\nAuthorization: " + b"A" * 200_000)
        # The end of a stream, and no reset, which could overtake the request itself.
        wire.writer.close()
        await until(lambda: "cause=bad-request" in caplog.text)
    assert [each for each in caplog.records if each.levelno >= logging.ERROR] == []


@pytest.mark.parametrize(
    "request_bytes",
    [b"SECRET\r\n\r\n", b"GET / HTTP/1.1\r\nSECRET\r\n\r\n", b"\x16\x03\x01SECRET\r\n\r\n"],
)
async def test_what_is_no_request_is_not_quoted_either(
    request_bytes: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    site = Site()
    async with served(site.app) as port, connected(port) as wire:
        wire.writer.write(request_bytes)
        answer = await wire.answer()
    assert (answer.status, answer.text) == (400, "The request could not be understood.\n")
    assert "SECRET" not in caplog.text


async def test_a_fault_of_the_application_is_still_aiohttps_to_report(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def crash(request: web.Request) -> web.Response:
        raise RuntimeError("the application's own")

    site = Site()
    site.app.router.add_get("/crash", crash)
    async with served(site.app) as port, connected(port) as wire:
        assert (await wire.ask("/crash", token=b"alice")).status == 500
    assert "the application's own" in caplog.text


# What start-up says.


async def test_a_runner_whose_limits_are_not_known_is_warned_of_and_refuses_large_tokens(
    caplog: pytest.LogCaptureFixture,
) -> None:
    site = Site()
    async with served(site.app, runner=web.AppRunner) as port, connected(port) as wire:
        (record,) = [each for each in caplog.records if SMALL_LIMIT in each.getMessage()]
        assert record.levelno == logging.WARNING
        assert "8,190 bytes" in record.getMessage()
        assert "authsrv.aiohttp.run_app" in record.getMessage()
        assert (await wire.ask(token=large_token(LARGEST))).status == 400
    assert not is_fitting(site.app)


async def test_a_runner_with_our_settings_is_not_warned_of(
    caplog: pytest.LogCaptureFixture,
) -> None:
    for runner, site in ((AppRunner, Site()), (web.AppRunner, Site())):
        settings = {} if runner is AppRunner else server_settings(site.app)
        async with served(site.app, runner=runner, **settings):
            assert is_fitting(site.app)
    assert SMALL_LIMIT not in caplog.text


async def test_a_sub_application_at_any_depth_is_not_warned_of(
    caplog: pytest.LogCaptureFixture,
) -> None:
    site, middle, outer = Site(), web.Application(), web.Application()
    middle.add_subapp("/inner", site.app)
    outer.add_subapp("/middle", middle)
    async with served(outer) as port, connected(port) as wire:
        assert (await wire.ask("/middle/inner/", token=b"alice")).text == "alice"
    assert SMALL_LIMIT not in caplog.text


@pytest.mark.parametrize("fault", [KeytabError("the keytab is missing"), OverloadedError("full")])
async def test_a_package_that_cannot_work_yet_is_reported_and_the_server_starts(
    fault: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    app = web.Application()
    app.router.add_get("/", Site.tell_name)
    setup(app, provider=ScriptedProvider([log_in], fault=fault), realms="*")
    async with served(app) as port, connected(port) as wire:
        (record,) = [each for each in caplog.records if each.name == "authsrv"]
        assert record.levelno == logging.ERROR
        assert record.getMessage() == f"authentication is not possible yet: {fault}"
        # It came right meanwhile.
        assert (await wire.ask(token=b"alice")).status == 200


async def test_a_package_that_can_never_work_stops_the_start() -> None:
    app = web.Application()
    setup(app, provider=ScriptedProvider(fault=ConfigError("no such service")))
    with pytest.raises(ConfigError, match="no such service"):
        async with served(app):
            pytest.fail("it started")


async def test_the_start_leaves_no_context_open() -> None:
    site = Site()
    async with served(site.app):
        assert site.provider.open_contexts == 0
        assert site.auth.acceptor.pending == 0


# run_app in this process: a client on a thread asks, then ends the server by a signal.


@pytest.fixture(params=["uvloop", "asyncio"])
def loop_kind(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The event loop that run_app finds."""
    if request.param == "asyncio":
        monkeypatch.setitem(sys.modules, "uvloop", None)
    return str(request.param)


class Client:
    """Waits until the server listens, asks, and ends it."""

    def __init__(self, ending: signal.Signals = signal.SIGTERM) -> None:
        self.lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        self.printed: list[str] = []
        self._ending = ending

    def print(self, line: str) -> None:
        self.printed.append(line)
        self.lines.put(line)

    def _run(self, ask: Callable[[str], Any]) -> Any:
        line = self.lines.get()
        if not line:
            return None
        try:
            return ask(line)
        finally:
            os.kill(os.getpid(), self._ending)

    @contextmanager
    def running(self, ask: Callable[[str], Any]) -> Iterator[Future[Any]]:
        with ThreadPoolExecutor(1) as threads:
            try:
                yield threads.submit(self._run, ask)
            finally:
                # Where the server did not even start, nobody may be sent a signal.
                self.lines.put("")


def port_of(line: str) -> int:
    return int(line.rpartition(":")[2])


def get(connection: http.client.HTTPConnection, token: bytes) -> tuple[int, str]:
    with closing(connection):
        connection.request("GET", "/", headers={"Authorization": field(token)})
        response = connection.getresponse()
        return response.status, response.read().decode()


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGINT])
def test_run_app_serves_says_where_and_ends_on_a_signal(
    loop_kind: str, ending: signal.Signals
) -> None:
    loops: list[str] = []

    async def note_loop(app: web.Application) -> None:
        loops.append(type(asyncio.get_running_loop()).__module__.split(".")[0])

    site = Site()
    site.app.on_startup.append(note_loop)
    client = Client(ending)

    def ask(line: str) -> tuple[int, str]:
        return get(http.client.HTTPConnection("127.0.0.1", port_of(line)), b"alice")

    with client.running(ask) as answer:
        run_app(site.app, host="127.0.0.1", port=0, print=client.print, shutdown_timeout=1)
        assert answer.result() == (200, "alice")
    assert len(client.printed) == 1
    assert client.printed[0].startswith("listening on 127.0.0.1:")
    assert loops == [loop_kind]


def test_while_it_serves_the_garbage_collector_is_spared_what_the_start_made() -> None:
    site, client, frozen = Site(), Client(), []

    def ask(line: str) -> None:
        frozen.append(gc.get_freeze_count())

    with client.running(ask) as answer:
        run_app(site.app, host="127.0.0.1", port=0, print=client.print, shutdown_timeout=1)
        answer.result()
    assert frozen[0] > 10_000
    assert gc.get_freeze_count() == 0


def test_run_app_accepts_the_largest_token() -> None:
    lengths: list[int] = []
    site = Site(measuring(lengths))
    client = Client()

    def ask(line: str) -> tuple[int, str]:
        token = large_token(LARGEST)
        return get(http.client.HTTPConnection("127.0.0.1", port_of(line)), token)

    with client.running(ask) as answer:
        run_app(site.app, host="127.0.0.1", port=0, print=client.print, shutdown_timeout=1)
        assert answer.result()[0] == 200
    assert lengths == [LARGEST]


def test_a_client_that_sends_a_mebibyte_before_it_reads_is_told_what_is_wrong() -> None:
    site = Site()
    client = Client()

    def ask(line: str) -> tuple[int, str]:
        token = large_token(MEBIBYTE)
        return get(http.client.HTTPConnection("127.0.0.1", port_of(line)), token)

    with client.running(ask) as answer:
        run_app(site.app, host="127.0.0.1", port=0, print=client.print, shutdown_timeout=1)
        assert answer.result() == (431, TOO_LARGE)


class UnixConnection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost")
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(str(self._path))


def test_run_app_listens_on_a_unix_socket(loop_kind: str, tmp_path: Path) -> None:
    path = tmp_path / "web.sock"
    site = Site()
    client = Client()
    with client.running(lambda _: get(UnixConnection(path), b"alice")) as answer:
        run_app(site.app, path=path, print=client.print, shutdown_timeout=1)
        assert answer.result() == (200, "alice")
    assert client.printed == [f"listening on {path}"]
    assert site.events[0].request.peer in ("", None)


def test_run_app_takes_a_socket_that_listens_and_may_be_silent(
    capsys: pytest.CaptureFixture[str],
) -> None:
    site = Site()
    client = Client()
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        client.lines.put(f"{port}")

        def ask(line: str) -> tuple[int, str]:
            return get(http.client.HTTPConnection("127.0.0.1", port), b"alice")

        with client.running(ask) as answer:
            run_app(site.app, sock=listening, print=None, shutdown_timeout=1)
            assert answer.result() == (200, "alice")
    assert capsys.readouterr().out == ""


def test_run_app_says_where_it_listens_on_standard_output_by_default(
    capfd: pytest.CaptureFixture[str],
) -> None:
    site, read, ended = Site(), [], threading.Event()

    def wait_for_line() -> None:
        while not ended.wait(0.01):
            if out := capfd.readouterr().out:
                read.append(out)
                return os.kill(os.getpid(), signal.SIGTERM)

    async def watch(app: web.Application) -> None:
        threading.Thread(target=wait_for_line, daemon=True).start()

    site.app.on_startup.append(watch)
    try:
        run_app(site.app, host="127.0.0.1", port=0)
    finally:
        ended.set()
    out = "".join(read)
    assert out.startswith("listening on 127.0.0.1:")
    assert out.count("\n") == 1


def test_run_app_fails_where_the_address_is_taken_and_cleans_up() -> None:
    cleaned: list[web.Application] = []

    async def clean(app: web.Application) -> None:
        cleaned.append(app)

    site = Site()
    site.app.on_cleanup.append(clean)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        with pytest.raises(OSError, match="address already in use"):
            run_app(site.app, host="127.0.0.1", port=taken.getsockname()[1])
    assert cleaned == [site.app]


def test_run_app_fails_where_the_settings_can_never_work() -> None:
    app = web.Application()
    setup(app, provider=ScriptedProvider(fault=ConfigError("no such service")))
    with pytest.raises(ConfigError, match="no such service"):
        run_app(app, host="127.0.0.1", port=0)


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        (("127.0.0.1", 80), "127.0.0.1:80"),
        (("::1", 80, 0, 0), "[::1]:80"),
        ("/run/web.sock", "/run/web.sock"),
    ],
)
def test_an_address_is_shown_as_it_stands_in_a_url(address: Any, shown: str) -> None:
    assert _shown(address) == shown


# run_app in a process of its own, as its users start it.


@pytest.mark.parametrize(
    ("options", "loop"), [([], "uvloop"), (["--without-uvloop"], "asyncio.unix_events")]
)
def test_a_server_prints_one_line_serves_and_ends_on_sigterm_with_success(
    options: list[str], loop: str
) -> None:
    with serve([sys.executable, str(SCRIPT), *options], clean_environment({})) as server:
        answer = get(http.client.HTTPConnection("127.0.0.1", server.port), b"alice")
        assert answer == (200, f"alice on {loop}")
        assert server.stop() == 0
        assert server.process.stdout is not None
        # One line, and then whatever the caller of run_app does next.
        assert server.process.stdout.read() == "ended\n"
        (line,) = (
            line for line in server.logged().splitlines() if "users of all realms" not in line
        )
        assert " INFO authsrv.audit established " in line
