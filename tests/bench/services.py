"""The auth service and what it is held against: what they run with, and what proxies ask them."""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.client import HTTPConnection
from pathlib import Path

from faults import BenchError
from peers import Server, free_port, serve_process
from workbench import Workbench

from authsrv.service.key_files import FILE_NAMES, KeyFile, init_keys
from authsrv.sessions.keyring import KeyKind
from authsrv.sessions.sealed import open_session, seal_session
from authsrv.sessions.sealing import Audience, Sealer
from authsrv.sessions.session import new_id

__all__ = [
    "ASK",
    "BROWSER",
    "DIRECT",
    "PROGRAM",
    "demand_refused",
    "log_in",
    "make_cookies",
    "serve_bare",
    "serve_config",
    "serve_service",
    "write_config",
    "write_fields",
]

ASK = "/ask/nginx"
"""The path of every ask."""

_SERVERS = Path(__file__).parent / "servers"
_CONFIG = """\
keytab = "{keytab}"

[listen]
asks = "127.0.0.1:{port}"
pages = "unix:{folder}/pages.sock"

[proxy]
convention = "nginx"

[keys]
folder = "{folder}/keys"

[login]
host = "login.example.org"

[[site]]
name = "wiki"
hosts = ["localhost"]
headers = {{ preset = "authelia" }}

[[site.rule]]
paths = ["/public/**"]
access = "open"

[[site.rule]]
paths = ["/**"]
"""

# What nginx 1.22 asks, by the example configuration that comes for it: its own fields, and behind
# them the client's, as they came.
_OF_NGINX = """\
Host: localhost
X-Original-Method: GET
X-Original-Scheme: https
X-Original-Host: localhost
X-Original-URI: /pages/viewpage.action?pageId=1234567
X-Original-Address: 192.0.2.7
X-Authsrv-Site: wiki
"""
_OF_CHROMIUM = """\
sec-ch-ua: "Chromium";v="156", "Not)A;Brand";v="8"
sec-ch-ua-mobile: ?0
sec-ch-ua-platform: "Linux"
Upgrade-Insecure-Requests: 1
User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) \
Chrome/156.0.0.0 Safari/537.36
Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8
Sec-Fetch-Site: same-origin
Sec-Fetch-Mode: navigate
Sec-Fetch-User: ?1
Sec-Fetch-Dest: document
Referer: https://localhost/pages/viewpage.action?pageId=1234566
Accept-Encoding: gzip, deflate, br, zstd
Accept-Language: en-GB,en-US;q=0.9,en;q=0.8,de;q=0.7
"""
_OF_CURL = """\
User-Agent: curl/8.9.1
Accept: */*
"""


BROWSER = _OF_NGINX + _OF_CHROMIUM
"""A browser opens a page."""
PROGRAM = _OF_NGINX + _OF_CURL
"""A program asks for one."""
DIRECT = "Host: localhost\n" + _OF_CHROMIUM
"""The same browser, where no proxy is in between."""


@contextmanager
def serve_service(bench: Workbench) -> Iterator[Server]:
    """Run the auth service with one site, asked as nginx asks."""
    with serve_config(bench, write_config(bench, port := free_port()), port) as server:
        yield server


@contextmanager
def serve_config(bench: Workbench, config: Path, port: int) -> Iterator[Server]:
    """Run the auth service as `write_config` wrote it for a port."""
    command = [sys.executable, str(_SERVERS / "service_server.py"), str(config)]
    environment = bench.server_environment("service")
    with serve_process("service", port, command, environment, bench.scratch) as server:
        yield server


@contextmanager
def serve_bare(bench: Workbench) -> Iterator[Server]:
    """Run plain aiohttp, which gives the service's answer to everybody."""
    port = free_port()
    command = [sys.executable, str(_SERVERS / "bare_server.py"), str(port)]
    environment = bench.server_environment("bare_ask")
    with serve_process("bare_ask", port, command, environment, bench.scratch) as server:
        yield server


def write_config(bench: Workbench, port: int) -> Path:
    """Write a configuration with keys and store of its own."""
    folder = Path(tempfile.mkdtemp(prefix="service-", dir=bench.scratch))
    init_keys(folder / "keys", time.time())
    keytab = folder / "http.keytab"
    keytab.write_bytes(bench.keytab.read_bytes())
    config = folder / "authsrv.toml"
    config.write_text(_CONFIG.format(folder=folder, keytab=keytab, port=port))
    for path in (keytab, config):
        path.chmod(0o600)
    return config


def make_cookies(config: Path, cookie: str, count: int, into: Path) -> None:
    """Make the cookies of many sessions that differ in nothing but who they are.

    Args:
        config: The service's; its keys seal them.
        cookie: The Cookie field of one of its sessions.
        count: How many.
        into: A file, with the value of one cookie a line.
    """
    ring = KeyFile(config.parent / "keys" / FILE_NAMES[KeyKind.SEALING], KeyKind.SEALING).ring
    sealer, audience, now = Sealer(ring), Audience("localhost", "wiki"), time.time()
    session = open_session(sealer, cookie.partition("=")[2], audience, now)
    with into.open("w") as file:
        for _ in range(count):
            other = replace(session, sid=new_id(), family=new_id())
            file.write(seal_session(sealer, other, audience, now) + "\n")


def write_fields(bench: Workbench, fields: str, cookie: str | None = None) -> Path:
    """Write the fields of an ask as the load generator takes them."""
    lines = fields if cookie is None else f"{fields}Cookie: {cookie}\n"
    handle, name = tempfile.mkstemp(prefix="fields-", dir=bench.scratch)
    with os.fdopen(handle, "w", newline="\r\n") as file:
        file.write(lines)
    return Path(name)


def log_in(bench: Workbench, server: Server, path: str, fields: str) -> str:
    """Send a ticket; gives the Cookie field of the session that it begins.

    Raises:
        BenchError: No session began.
    """
    token = bench.make_tokens(1).read_text().strip()
    headers = dict(line.split(": ", 1) for line in fields.splitlines())
    connection = HTTPConnection("127.0.0.1", server.port, timeout=10)
    try:
        connection.request("GET", path, headers=headers | {"Authorization": f"Negotiate {token}"})
        answer = connection.getresponse()
        set_cookie = answer.getheader("Set-Cookie")
    finally:
        connection.close()
    if answer.status != 200 or set_cookie is None:
        raise BenchError(f"{server.name} began no session: {answer.status}")
    return set_cookie.partition(";")[0]


def demand_refused(server: Server, path: str, fields: str) -> None:
    """Send the same request without ticket and session.

    Raises:
        BenchError: It was let in.
    """
    headers = dict(line.split(": ", 1) for line in fields.splitlines())
    connection = HTTPConnection("127.0.0.1", server.port, timeout=10)
    try:
        connection.request("GET", path, headers=headers)
        status = connection.getresponse().status
    finally:
        connection.close()
    if status < 400:
        raise BenchError(f"{server.name} lets in who says nothing: {status}")
