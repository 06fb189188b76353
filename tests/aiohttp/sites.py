"""Applications on real sockets, and a client that speaks HTTP to them byte for byte."""

from __future__ import annotations

import asyncio
import base64
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

from aiohttp import web
from multidict import CIMultiDict
from waiting import until

from authsrv.aiohttp import AppRunner, optional_identity, setup
from authsrv.audit.records import AuditEvent
from authsrv.core.identity import Identity
from authsrv.core.results import Established, Refused
from authsrv.errors import LogonDeniedError
from authsrv.providers.scripted import Act, ScriptedProvider

__all__ = ["PROOF", "Answer", "Site", "Wire", "connected", "field", "log_in", "served", "until"]

# An application never waits for its clients here: those that are left at the end are cut off.
_SHUTDOWN_S = 0.1
_PATIENCE_S = 10.0


def log_in(token: bytes) -> Act:
    """Whoever says a name has it, and "bad" is refused; a provider that needs one leg."""
    if token == b"bad":
        return Refused(LogonDeniedError("bad is not wanted here"))
    return Established(Identity(principal=token.decode(), mechanism="scripted"), b"proof")


def field(token: bytes) -> str:
    """The value of an Authorization or a WWW-Authenticate field with a token."""
    return "Negotiate " + base64.b64encode(token).decode()


PROOF = field(b"proof")


class Site:
    """An application with single sign-on by a script, and what it reported.

    `GET /` answers the principal; tests add routes of their own before they serve it.

    Args:
        script: What the provider plays; `log_in`, if nothing is given.
        options: Whatever setup takes besides.
    """

    def __init__(self, *script: Act, **options: Any) -> None:
        self.provider = ScriptedProvider(script or (log_in,))
        self.events: list[AuditEvent] = []
        self.app = web.Application()
        self.app.router.add_get("/", self.tell_name)
        self.auth = setup(
            self.app,
            **{"provider": self.provider, "realms": "*", "audit": self.events.append, **options},
        )

    @staticmethod
    async def tell_name(request: web.Request) -> web.Response:
        identity = optional_identity(request)
        return web.Response(text=identity.principal if identity else "nobody")

    def events_of(self, kind: type[Any]) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]

    def forget_start(self) -> None:
        """Leave the contexts out of the count that the start of the application tried."""
        self.provider.created = self.provider.deleted = 0


@asynccontextmanager
async def served(
    app: web.Application,
    *,
    runner: type[web.AppRunner] = AppRunner,
    ssl_context: ssl.SSLContext | None = None,
    **settings: Any,
) -> AsyncIterator[int]:
    """Serve an application on loopback; gives the port."""
    served_by = runner(app, **{"shutdown_timeout": _SHUTDOWN_S, **settings})
    await served_by.setup()
    try:
        await web.TCPSite(served_by, "127.0.0.1", 0, ssl_context=ssl_context).start()
        yield served_by.addresses[0][1]
    finally:
        await served_by.cleanup()


@dataclass(frozen=True, slots=True)
class Answer:
    """A response."""

    status: int
    headers: CIMultiDict[str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def challenges(self) -> list[str]:
        return self.headers.getall("WWW-Authenticate", [])


class Wire:
    """One connection that stays open, and the requests on it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def ask(
        self,
        path: str = "/",
        *,
        method: str = "GET",
        token: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
    ) -> Answer:
        """Send a request and read its answer."""
        await self.send(path, method=method, token=token, headers=headers, body=body)
        return await self.answer(method)

    async def send(
        self,
        path: str = "/",
        *,
        method: str = "GET",
        token: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
    ) -> None:
        lines = [f"{method} {path} HTTP/1.1", "Host: localhost"]
        lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
        if token is not None:
            lines.append(f"Authorization: {field(token)}")
        if body:
            lines.append(f"Content-Length: {len(body)}")
        self.writer.write("\r\n".join([*lines, "", ""]).encode())
        if body:
            self.writer.write(body)
        await self.writer.drain()

    async def answer(self, method: str = "GET") -> Answer:
        """Read a response to its end, an interim one included."""
        async with asyncio.timeout(_PATIENCE_S):
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            status = int(head[0].split(" ")[1])
            headers = CIMultiDict(line.split(": ", 1) for line in head[1:] if line)
            body = b""
            if method != "HEAD" and status not in (100, 101, 204, 304):
                body = await self._body(headers)
        return Answer(status, headers, body)

    async def _body(self, headers: CIMultiDict[str]) -> bytes:
        if headers.get("Transfer-Encoding") != "chunked":
            return await self.reader.readexactly(int(headers["Content-Length"]))
        body = b""
        while size := int(await self.reader.readuntil(b"\r\n"), 16):
            body += (await self.reader.readexactly(size + 2))[:-2]
        await self.reader.readexactly(2)
        return body

    async def is_closed(self) -> bool:
        """Wait until the server has closed the connection."""
        async with asyncio.timeout(_PATIENCE_S):
            return not await self.reader.read(1)

    async def close(self) -> None:
        self.writer.close()
        with suppress(OSError):
            await self.writer.wait_closed()


@asynccontextmanager
async def connected(port: int, *, ssl_context: ssl.SSLContext | None = None) -> AsyncIterator[Wire]:
    """Open one connection."""
    wire = Wire(*await asyncio.open_connection("127.0.0.1", port, ssl=ssl_context))
    try:
        yield wire
    finally:
        await wire.close()
