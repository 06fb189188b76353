"""What happens to the service, behind each real proxy: it is away, hangs, or is something else.

Nobody gets in then, whatever answers at the service's address.
"""

from __future__ import annotations

import signal
import socketserver
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from fronts import Place, make_place, run_front
from standing import BY_NAME, PAGE, SESSION, WIKI, short_folder, stand
from visitors import fetch, web_socket

from authsrv.devrealm import Realm

pytestmark = pytest.mark.timeout(300)

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n"
GARBAGE = {
    "nothing": b"",
    "rubbish": b"\x00\xff\xfe rubbish\r\n\r\n",
    "200 without fields": OK + b"\r\n",
    "200 without any length": b"HTTP/1.1 200 OK\r\n\r\n",
    "200 with an identity": OK + b"Remote-User: mallory\r\n\r\n",
    "200 with another verdict": OK + b"Remote-User: mallory\r\nX-Authsrv-Verdict: no\r\n\r\n",
    "200 with two verdicts": OK + b"X-Authsrv-Verdict: no\r\nX-Authsrv-Verdict: x\r\n\r\n",
    "200 that is cut": b"HTTP/1.1 200 OK\r\nX-Authsrv-Verdict: admitted\r\nRemote-U",
    "204": b"HTTP/1.1 204 No Content\r\n\r\n",
    "206": b"HTTP/1.1 206 Partial\r\nContent-Length: 0\r\n\r\n",
    "101": b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
    "100": b"HTTP/1.1 100 Continue\r\n\r\n",
    "302": b"HTTP/1.1 302 Found\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n",
    "404": b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
    "500": b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n",
    "503": b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n",
}


@pytest.fixture(scope="module", params=BY_NAME)
def lonely(request: pytest.FixtureRequest, app: int) -> Iterator[tuple[Place, int]]:
    """A proxy whose service does not run."""
    with short_folder() as folder:
        place = make_place(folder, app)
        with run_front(BY_NAME[request.param], place) as (port, _):
            yield place, port


@contextmanager
def answering(path: Path, answer: bytes) -> Iterator[None]:
    """Something that listens where the service should, and gives one answer to everybody."""

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with suppress(OSError):
                self.request.recv(65_536)
                self.request.sendall(answer)

    with socketserver.ThreadingUnixStreamServer(str(path), Handler) as server:
        path.chmod(0o666)
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join()
            path.unlink()


def assert_nobody_gets_in(port: int, *targets: str) -> None:
    cookie = ("Cookie", f"{SESSION}=x")
    for fields in ([], [cookie], [("X-Authsrv-Verdict", "admitted")], [PAGE, cookie]):
        for target in targets or ("/secret", "/public/x"):
            with suppress(OSError):
                answer = fetch(port, target, fields)
                assert not answer.is_from_app
                # Caddy makes an empty page of a 101.
                assert answer.status != 200 or not answer.body
    assert web_socket_or_closed(port) != ["", "hello"]


def web_socket_or_closed(port: int) -> list[str] | int:
    try:
        return web_socket(port, [("Origin", WIKI)])
    except (OSError, ValueError, IndexError):
        return 0


@pytest.mark.parametrize("answer", GARBAGE)
def test_garbage_of_the_service_lets_nobody_in(lonely: tuple[Place, int], answer: str) -> None:
    place, port = lonely
    with answering(place.folder / "asks.sock", GARBAGE[answer]):
        assert_nobody_gets_in(port)


def test_without_the_service_nobody_gets_in(lonely: tuple[Place, int]) -> None:
    assert_nobody_gets_in(lonely[1])


@pytest.mark.parametrize("name", BY_NAME)
def test_a_service_that_is_killed_or_hangs_lets_nobody_in(
    name: str, app: int, site_realm: Realm
) -> None:
    with stand(BY_NAME[name], app, site_realm) as standing:
        session = standing.session("alice")
        standing.served.process.send_signal(signal.SIGSTOP)
        try:
            began = time.monotonic()
            answer = standing.fetch("/secret", session)
            assert (answer.is_from_app, answer.status != 200) == (False, True)
            assert time.monotonic() - began < 30
        finally:
            standing.served.process.send_signal(signal.SIGCONT)
        assert standing.fetch("/secret", session).user == "alice"
        standing.served.process.kill()
        standing.served.process.wait()
        assert_nobody_gets_in(standing.port)
        answer = standing.fetch("/secret", session)
        assert (answer.is_from_app, answer.status != 200) == (False, True)


@pytest.mark.parametrize(
    ("line", "targets"),
    [
        ("    local fields, index = ", []),
        ("    local told = ", []),
        ("    for _, name in ipairs(IDENTITY) do", []),
        ('    txn:set_var("txn.authsrv_verdict"', []),
        ("    local reply = ", ["/secret", "/admin"]),
    ],
)
def test_an_error_in_the_lua_of_haproxy_lets_nobody_in(
    line: str, targets: list[str], app: int, site_realm: Realm
) -> None:
    haproxy = BY_NAME["haproxy"]
    broken = {"authsrv.lua": ((line, f'    error("broken")\n{line}', 1),)}
    with stand(haproxy, app, site_realm, broken) as standing:
        assert_nobody_gets_in(standing.port, *targets)


def test_what_nginx_caches_is_one_users(app: int, site_realm: Realm) -> None:
    nginx = BY_NAME["nginx"]
    caching = (
        "http {\n proxy_cache_path {folder}/cache keys_zone=pages:1m;"
        " proxy_cache pages; proxy_cache_valid any 10m;\n"
    )
    with stand(nginx, app, site_realm, {"nginx.conf": (("http {\n", caching, 1),)}) as standing:
        alice, bob = standing.session("alice"), standing.session("bob")
        first = standing.fetch("/cached", alice)
        again = standing.fetch("/cached", alice)
        assert (first.user, first.seen["number"]) == ("alice", again.seen["number"])
        assert standing.fetch("/cached", bob).user == "bob"
        assert standing.fetch("/cached").status == 401
        assert standing.fetch("/cached", alice).user == "alice"
