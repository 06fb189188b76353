"""Clients of a site behind a proxy: one that writes what it likes, and a browser made of curl."""

from __future__ import annotations

import html
import http.client
import json
import re
import socket
import ssl
import struct
import subprocess
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

from service_rig import LOGIN_HOST, WIKI_HOST

__all__ = ["Answer", "Browser", "Field", "connect", "fetch", "read", "send", "web_socket"]

LIMIT_S = 40
HOPS = 10
KEY = "dGhlIHNhbXBsZSBub25jZQ=="
REFRESH = re.compile(r"0; url=(.+)")
META = re.compile(r'http-equiv="refresh" content="0; url=([^"]+)"')
INPUT = re.compile(r'name="(order|csrf)" value="([^"]*)"')

Field = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Answer:
    """What a client got: the status, all fields by their names in lower case, the body."""

    status: int
    fields: Mapping[str, Sequence[str]]
    body: bytes

    @property
    def is_from_app(self) -> bool:
        """Whether the application wrote it."""
        return "x-application" in self.fields

    def one(self, name: str) -> str:
        """The value of a field that came once; empty where there is none."""
        values = self.fields.get(name, [])
        assert len(values) <= 1, f"{name} came {len(values)} times"
        return values[0] if values else ""

    @property
    def seen(self) -> dict[str, Any]:
        """What the application says that it was sent."""
        assert self.is_from_app, (self.status, self.body[:500])
        seen: dict[str, Any] = json.loads(self.body)
        return seen

    def told(self, *names: str) -> list[str]:
        """What the application got in fields of these folded names."""
        return [value for name, value in self.seen["fields"] if fold(name) in names]

    @property
    def user(self) -> str:
        """Whom the application takes the client for; empty for nobody."""
        values = self.told("remoteuser")
        assert len(values) <= 1, values
        return values[0] if values else ""


def fold(name: str) -> str:
    return "".join(sign for sign in name.lower() if sign.isalnum())


@contextmanager
def connect(port: int, host: str = WIKI_HOST) -> Iterator[ssl.SSLSocket]:
    """A connection by TLS to a proxy; several requests may go over it."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with (
        socket.create_connection(("127.0.0.1", port), LIMIT_S) as bare,
        context.wrap_socket(bare, server_hostname=host) as connection,
    ):
        yield connection


def send(
    connection: ssl.SSLSocket,
    target: str,
    fields: Iterable[Field] = (),
    *,
    method: str = "GET",
    host: str = WIKI_HOST,
    body: bytes | None = None,
    is_chunked: bool = False,
) -> Answer:
    """Send a request, its target and fields exactly as they are given, and read the answer."""
    lines = [f"{method} {target} HTTP/1.1", f"Host: {host}"]
    lines += [f"{name}: {value}" for name, value in fields]
    if is_chunked:
        lines.append("Transfer-Encoding: chunked")
        body = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body or b""), body) if body else b"0\r\n\r\n"
    elif body is not None:
        lines.append(f"Content-Length: {len(body)}")
    head = "".join(f"{line}\r\n" for line in lines)
    connection.sendall(f"{head}\r\n".encode("latin-1") + (body or b""))
    return read(connection, method)


def read(connection: ssl.SSLSocket, method: str = "GET") -> Answer:
    """Read an answer, whole."""
    response = http.client.HTTPResponse(connection, method=method)
    response.begin()
    fields: dict[str, list[str]] = {}
    for name, value in response.getheaders():
        fields.setdefault(name.lower(), []).append(value)
    return Answer(response.status, fields, response.read())


def fetch(port: int, target: str, fields: Iterable[Field] = (), **how: Any) -> Answer:
    """The same on a connection of its own."""
    with connect(port, how.pop("server", WIKI_HOST)) as connection:
        return send(connection, target, fields, **how)


def web_socket(port: int, fields: Iterable[Field] = (), word: str = "hello") -> list[str] | int:
    """Open a WebSocket and say a word: what came back, or the status of the refusal."""
    with connect(port) as connection:
        lines = [("Host", WIKI_HOST), ("Connection", "Upgrade"), ("Upgrade", "websocket"),
                 ("Sec-WebSocket-Version", "13"), ("Sec-WebSocket-Key", KEY), *fields]  # fmt: skip
        head = "".join(f"{name}: {value}\r\n" for name, value in lines)
        connection.sendall(f"GET /live HTTP/1.1\r\n{head}\r\n".encode())
        stream = connection.makefile("rb")
        status = int(stream.readline().split()[1])
        while stream.readline().strip():
            pass
        if status != http.client.SWITCHING_PROTOCOLS:
            return status
        # A text frame, masked with zeros: RFC 6455 section 5.2.
        connection.sendall(struct.pack("!BB4x", 0x81, 0x80 | len(word)) + word.encode())
        return [read_frame(stream), read_frame(stream)]


def read_frame(stream: Any) -> str:
    kind, length = stream.read(2)
    assert (kind, length < 126) == (0x81, True)
    text: str = stream.read(length).decode()
    return text


@dataclass(frozen=True, slots=True)
class Browser:
    """Somebody's browser: curl with a cookie jar, which goes on as browsers do.

    Args:
        port: The proxy's.
        jar: The file of its cookies.
        environment: That of the person; the ticket is in it.
        has_ticket: Whether it answers challenges.
    """

    port: int
    jar: Path
    environment: Mapping[str, str]
    has_ticket: bool = False

    def visit(self, url: str, *options: str, accept: str = "text/html") -> Answer:
        """Open a page, and nothing that it leads to."""
        command = ["curl", "-sk", "-i", "--max-time", str(LIMIT_S), "-H", f"Accept: {accept}"]
        command += ["-b", str(self.jar), "-c", str(self.jar), "--path-as-is"]
        command += ["--connect-to", f"::127.0.0.1:{self.port}"]
        command += ["--anyauth", "-u", ":"] if self.has_ticket else []
        done = subprocess.run(
            [*command, *options, url], env=self.environment, capture_output=True, check=True
        )
        return parse(done.stdout)

    def open(self, url: str, *options: str) -> tuple[list[str], Answer]:
        """Open a page and go on until there is one to read; gives the way as well."""
        way = [url]
        answer = self.visit(url, *options)
        while (where := next_of(answer)) and len(way) < HOPS:
            way.append(urljoin(way[-1], where))
            answer = self.visit(way[-1])
        return way, answer

    def sign_in(self, form: Answer, username: str, password: str) -> tuple[list[str], Answer]:
        """Fill in the form."""
        hidden = dict(INPUT.findall(form.body.decode()))
        typed = {**hidden, "username": username, "password": password}
        fields = [each for name, value in typed.items()
                  for each in ("--data-urlencode", f"{name}={value}")]  # fmt: skip
        origin = ["-H", f"Origin: https://{LOGIN_HOST}"]
        return self.open(f"https://{LOGIN_HOST}/.authsrv/sign-in", *fields, *origin)

    def cookies(self, host: str = WIKI_HOST) -> dict[str, str]:
        """The cookies of a host."""
        lines = [line.split("\t") for line in self.jar.read_text().splitlines() if "\t" in line]
        return {each[5]: each[6] for each in lines
                if each[0].removeprefix("#HttpOnly_") == host}  # fmt: skip


def next_of(answer: Answer) -> str:
    """Where a browser goes on by itself; empty where it stays."""
    if answer.one("location") or answer.is_from_app:
        return answer.one("location")
    found = REFRESH.search(answer.one("refresh")) or META.search(answer.body.decode())
    return html.unescape(found[1]) if found else ""


def parse(output: bytes) -> Answer:
    """The last answer of those that curl prints."""
    head, body = b"", output
    while re.match(rb"HTTP/[0-9.]+ ", body):
        head, _, body = body.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    fields: dict[str, list[str]] = {}
    for line in lines:
        name, _, value = line.partition(":")
        fields.setdefault(name.lower(), []).append(value.strip())
    return Answer(int(first.split()[1]), fields, body)
