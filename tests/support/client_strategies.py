"""One client behind every way out: the initiator by itself, over streams, over HTTP.

Each way has a client begin a handshake with a service whose answer to the first token is given, and
tells what the client says of it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial

from aiohttp import web
from strategies import told
from websites import Evil, challenge, served, session_of

from authsrv.client import NegotiateClient
from authsrv.codecs.nns import HandshakeInProgress, build_message
from authsrv.core.results import Continue, Refused
from authsrv.errors import AuthsrvError
from authsrv.handshake.initiator import Initiator
from authsrv.providers.base import InitiatorProvider, InitiatorRequest
from authsrv.streams import initiate

__all__ = ["CLIENT_STRATEGIES", "Answer", "ClientWay", "what_it_says"]

Answer = Callable[[bytes], bytes]
"""A server: its token for the first one of a client. It may block."""

# MS-NNS section 2.2.1: what kind of message it is, the version, and the size in two bytes.
_HEADER_BYTES = 5
_IN_PROGRESS = b"\x16"


@dataclass(frozen=True, slots=True)
class ClientWay:
    """A way out.

    Args:
        run: Lets a client meet a server, and tells what the client says.
        says: How it tells that the server's answer is no good, as a format of the error's code, its
            words and the service. Where there is no first token, every way tells "code: words".
    """

    run: Callable[[InitiatorProvider, str, Answer], Awaitable[str]]
    says: str = "{code}: {detail}"


async def _by_package(provider: InitiatorProvider, target: str, answer: Answer) -> str:
    context = provider.create_initiator(InitiatorRequest(target))
    try:
        result = await asyncio.to_thread(context.step, b"")
        if isinstance(result, Continue):
            token = await asyncio.to_thread(answer, result.token)
            result = await asyncio.to_thread(context.step, token)
    finally:
        context.delete()
    assert isinstance(result, Refused), result
    return told(result.error)


async def _by_streams(provider: InitiatorProvider, target: str, answer: Answer) -> str:
    ended = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            header = await reader.readexactly(_HEADER_BYTES)
            payload = await reader.readexactly(int.from_bytes(header[-2:]))
            # A client that has no token says so, by another message.
            if header.startswith(_IN_PROGRESS):
                message = HandshakeInProgress(await asyncio.to_thread(answer, payload))
                writer.write(build_message(message))
            with contextlib.suppress(ConnectionError):
                await reader.read()
        finally:
            writer.close()
            ended.set()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname()[:2])
        initiator = Initiator(provider)
        try:
            await initiate(initiator, InitiatorRequest(target), reader, writer)
        except AuthsrvError as error:
            return told(error)
        finally:
            assert initiator.pending == 0
            initiator.close()
            writer.close()
            await ended.wait()
    raise AssertionError("the server is believed")


class _Listener(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


async def _by_http(status: int, provider: InitiatorProvider, target: str, answer: Answer) -> str:
    """The client of HTTP; what it does not raise it logs."""

    async def respond(request: web.Request, token: bytes | None) -> web.Response:
        if token is None:
            return web.Response(status=401, headers={"WWW-Authenticate": challenge()})
        value = challenge(await asyncio.to_thread(answer, token))
        return web.Response(status=status, headers={"WWW-Authenticate": value})

    listener, log = _Listener(), logging.getLogger("authsrv")
    log.addHandler(listener)
    try:
        async with served(Evil(respond).app) as port:
            origin = f"http://{target.partition('/')[2]}:{port}"
            async with NegotiateClient([origin], credential=provider) as client:
                async with session_of(client) as session:
                    try:
                        async with session.get(origin) as response:
                            assert response.status == 401
                    except AuthsrvError as error:
                        return told(error)
                    finally:
                        assert client.initiator.pending == 0
    finally:
        log.removeHandler(listener)
    (line,) = listener.lines
    return line


CLIENT_STRATEGIES: dict[str, ClientWay] = {
    "initiator": ClientWay(_by_package),
    "streams": ClientWay(_by_streams),
    "http, refused": ClientWay(
        partial(_by_http, 401), "refused by={target} http=401 cause={detail}"
    ),
    "http, let in": ClientWay(
        partial(_by_http, 200),
        "mutual-authentication: the response 200 of {target} is not trusted: {detail}",
    ),
}


def what_it_says(way: ClientWay, provider: InitiatorProvider, target: str, answer: Answer) -> str:
    """What a way tells, for tests that have to block besides."""

    async def run() -> str:
        async with asyncio.timeout(30):
            return await way.run(provider, target, answer)

    return asyncio.run(run())
