"""Connections that say nothing, too little or too slowly, and processes that want one socket."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from aiohttp import web
from service_rig import Rig, ask_headers, run_service
from sign_in_sites import own_rig
from waiting import wait_until

from authsrv.devrealm import Realm
from authsrv.service.connections import Gate

SLOW = """
[limits]
header_seconds = 3.0

[[site]]
name = "wiki"
hosts = ["wiki.example.org"]
rule = [{ paths = ["/public/**"], access = "open" }]
"""
MANY = 2_000


@pytest.fixture
def slow_rig(people_realm: Realm) -> Iterator[Rig]:
    """A service in which a client has three seconds for the header of a request."""
    with own_rig(people_realm, more=SLOW) as running:
        yield running


def connect(path: Path) -> socket.socket:
    """Connect; where the queue of the listener is full, wait."""
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(str(path))
    return connection


def open_files(rig: Rig) -> int:
    return len(list(Path(f"/proc/{rig.served.process.pid}/fd").iterdir()))


def answer_times(rig: Rig) -> list[float]:
    """How long an ask and a page take that have nothing to do with it."""
    found = []
    for work in (lambda: rig.ask("/public/x").status, lambda: rig.page("/.authsrv/whoami").status):
        begun_at = time.monotonic()
        assert work() in (200, 401)
        found.append(time.monotonic() - begun_at)
    return found


def test_thousands_of_slow_connections_hold_nobody_up_and_end(slow_rig: Rig) -> None:
    before = open_files(slow_rig)
    with ExitStack() as cleanup:
        for _ in range(MANY):
            connection = cleanup.enter_context(connect(slow_rig.folder / "pages.sock"))
            connection.send(b"GET /.authsrv/whoami HTTP/1.1\r\nHost: wiki")
        assert max(answer_times(slow_rig)) < 1
        wait_until(lambda: open_files(slow_rig) < before + 20, seconds=15)
        assert max(answer_times(slow_rig)) < 1


def test_a_form_that_does_not_come_ends(slow_rig: Rig) -> None:
    head = dict(ask_headers(method="POST", host="login.example.org", site="login"))
    head |= {
        "Content-Type": "application/x-www-form-urlencoded",
        "Content-Length": "100",
        "Origin": "https://login.example.org",
    }
    lines = "".join(f"{name}: {value}\r\n" for name, value in head.items())
    with connect(slow_rig.folder / "pages.sock") as connection:
        connection.send(f"POST /.authsrv/sign-in HTTP/1.1\r\n{lines}\r\norder=".encode())
        connection.settimeout(10)
        assert connection.recv(65_536).startswith(b"HTTP/1.1 403 ")
    assert "the form did not come within 3 s" in slow_rig.served.logged()


async def test_there_are_no_more_connections_than_a_listener_may_have(tmp_path: Path) -> None:
    """One too many is closed at once, and one that says nothing after a while."""

    async def answer(request: web.BaseRequest) -> web.Response:
        return web.Response(text="here")

    server = web.Server(answer)
    loop = asyncio.get_running_loop()
    path = str(tmp_path / "socket")
    listening = await loop.create_unix_server(Gate(server, most=2, silence_seconds=0.3), path)
    speaking = await asyncio.open_unix_connection(path)
    speaking[1].write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    assert (await speaking[0].readline()).startswith(b"HTTP/1.1 200")
    silent = await asyncio.open_unix_connection(path)
    await asyncio.sleep(0.1)
    surplus = await asyncio.open_unix_connection(path)
    assert await asyncio.wait_for(surplus[0].read(), 0.1) == b""
    assert await asyncio.wait_for(silent[0].read(), 2) == b""
    # The one that has spoken may be silent, and there is room again.
    again = await asyncio.open_unix_connection(path)
    for _, writer in (speaking, again):
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    assert (await again[0].readline()).startswith(b"HTTP/1.1 200")
    for _, writer in (speaking, silent, surplus, again):
        writer.close()
    listening.close()
    await server.shutdown(1)


# The sockets.


def test_a_second_service_does_not_push_the_first_one_aside(slow_rig: Rig) -> None:
    with pytest.raises(AssertionError, match=r"cannot listen at unix:.*in use"):
        with run_service(slow_rig.folder / "authsrv.toml", slow_rig.realm):
            pass
    assert slow_rig.ask("/public/x").is_yes


def test_a_socket_that_a_killed_process_left_is_no_hindrance(
    slow_rig: Rig, people_realm: Realm
) -> None:
    slow_rig.served.process.kill()
    slow_rig.served.process.wait()
    assert (slow_rig.folder / "asks.sock").exists()
    with run_service(slow_rig.folder / "authsrv.toml", people_realm) as served:
        assert slow_rig.ask("/public/x").is_yes
        assert served.stop() == 0
    assert not (slow_rig.folder / "asks.sock").exists()


def test_the_sockets_are_for_owner_and_group(slow_rig: Rig) -> None:
    for name in ("asks.sock", "pages.sock"):
        assert (slow_rig.folder / name).stat().st_mode & 0o777 == 0o660
