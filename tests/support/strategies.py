"""One provider behind every way in: by itself, over HTTP, over streams, by the calls of SSPI.

Each way takes the tokens of one client and tells who was let in, by the principal, or why nobody
was, as "cause: words".
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import ClientSession, web

from authsrv import sspi
from authsrv.aiohttp import AppRunner, current_identity, setup
from authsrv.audit.records import AuditEvent, RefusedEvent
from authsrv.codecs.nns import HandshakeInProgress, build_message
from authsrv.core.attributes import ContextAttribute
from authsrv.core.results import Established, Refused
from authsrv.errors import AuthsrvError
from authsrv.handshake.acceptor import Acceptor
from authsrv.providers.base import ContextRequest, SecurityProvider
from authsrv.streams import accept
from authsrv.testing.handshakes import remembering

__all__ = ["STRATEGIES", "Way", "outcome_of", "told"]

Way = Callable[..., Awaitable[str]]


def told(error: AuthsrvError) -> str:
    return f"{error.code}: {error.detail}"


async def by_package(provider: SecurityProvider, *tokens: bytes, **options: Any) -> str:
    """Without any integration: what the provider itself says."""
    assert not options
    context = remembering(provider.create_context(ContextRequest()), provider)
    try:
        for token in tokens:
            result = await asyncio.to_thread(context.step, token)
        if isinstance(result, Established):
            return result.identity.principal
        assert isinstance(result, Refused), result
        return told(result.error)
    finally:
        context.delete()


async def by_http(provider: SecurityProvider, *tokens: bytes, **options: Any) -> str:
    """An aiohttp server on loopback."""
    events: list[AuditEvent] = []
    let_in: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        let_in.append(current_identity(request).principal)
        return web.Response()

    app = web.Application()
    app.router.add_get("/", answer)
    setup(app, provider=provider, audit=events.append, **options)
    runner = AppRunner(app)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        url = f"http://127.0.0.1:{runner.addresses[0][1]}/"
        async with ClientSession() as session:
            for token in tokens:
                header = "Negotiate " + base64.b64encode(token).decode()
                async with session.get(url, headers={"Authorization": header}) as response:
                    await response.read()
    finally:
        await runner.cleanup()
    if let_in:
        return let_in[0]
    return next(told(event.error) for event in events if isinstance(event, RefusedEvent))


async def by_streams(provider: SecurityProvider, *tokens: bytes, **options: Any) -> str:
    """A TCP server on loopback that speaks MS-NNS."""
    outcome: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    acceptor = Acceptor(provider, **options)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            outcome.set_result((await accept(acceptor, reader, writer)).principal)
        except AuthsrvError as error:
            outcome.set_result(told(error))
        finally:
            writer.close()

    async with acceptor, await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname()[:2])
        for token in tokens:
            writer.write(build_message(HandshakeInProgress(token)))
        try:
            return await outcome
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await reader.read()


async def by_calls(provider: SecurityProvider, *tokens: bytes, **options: Any) -> str:
    """The calls of SSPI, in their short form."""
    async with sspi.acquire_credentials(provider, **options) as credential:
        async with sspi.ServerContext(credential) as context:
            try:
                for token in tokens:
                    await context.accept(token)
            except AuthsrvError as error:
                return told(error)
            names = await context.query(ContextAttribute.NAMES)
            assert isinstance(names, str)
            return names


STRATEGIES: dict[str, Way] = {
    "provider": by_package,
    "http": by_http,
    "streams": by_streams,
    "calls": by_calls,
}


async def _in_time(outcome: Awaitable[str]) -> str:
    async with asyncio.timeout(30):
        return await outcome


def outcome_of(way: Way, provider: SecurityProvider, *tokens: bytes, **options: Any) -> str:
    """What a way tells, for tests that have to block besides."""
    return asyncio.run(_in_time(way(provider, *tokens, **options)))
