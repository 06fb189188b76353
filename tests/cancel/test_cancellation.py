"""A cancel at each await: whatever the moment, no context stays open and nothing stays pending.

Each test runs the same work again and again, and cancels it after 0, 1, 2, ... turns of the event
loop, until it ends by itself. A slow provider is let go after a few turns, so that the cancel falls
before, while and after its thread works.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial

import pytest
from aiohttp import web
from waiting import until

from authsrv.aiohttp import AppRunner, NegotiateAuth, Persistence, setup
from authsrv.core.limits import Limits
from authsrv.core.results import (
    CompleteAndContinue,
    CompleteNeeded,
    Continue,
    Established,
    Incomplete,
    Refused,
)
from authsrv.errors import LogonDeniedError
from authsrv.handshake.acceptor import Acceptor
from authsrv.providers.scripted import ALICE, Act, Delay, ScriptedProvider

SLOW = 60.0
RELEASED_AT = 6
PATIENCE = 5_000

SCRIPTS: dict[str, tuple[Act, ...]] = {
    "established": (Established(ALICE, b"proof"),),
    "refused": (Refused(LogonDeniedError("no")),),
    "two-legs": (Continue(b"next"), Established(ALICE)),
    "in-pieces": (Incomplete(), Established(ALICE)),
    "completed": (CompleteAndContinue(), Continue(b"next"), CompleteNeeded(), Established(ALICE)),
    "raises": (ValueError("broken"),),
    "slow": (Delay(SLOW, Established(ALICE)),),
    "slow-second-leg": (Continue(b"next"), Delay(SLOW, Established(ALICE))),
    "slow-completion": (CompleteNeeded(), Delay(SLOW, Established(ALICE))),
}


async def turn(turns: int, provider: ScriptedProvider, task: asyncio.Future[object]) -> bool:
    """Let the loop turn, and tell whether the task ended by itself meanwhile."""
    for done in range(turns):
        if task.done():
            return True
        if done == RELEASED_AT:
            provider.release()
        await asyncio.sleep(0)
    return task.done()


async def cancelled_after(
    turns: int, provider: ScriptedProvider, task: asyncio.Future[object]
) -> bool:
    ended_by_itself = await turn(turns, provider, task)
    task.cancel()
    await asyncio.wait([task])
    if not task.cancelled():
        task.exception()
    provider.release()
    return ended_by_itself


async def nothing_is_left(provider: ScriptedProvider, acceptor: Acceptor) -> None:
    """No context is open and nothing is pending, as soon as the threads are out of the provider."""
    await until(lambda: not provider.open_contexts and not acceptor.pending)
    assert provider.created == provider.deleted


async def cancel_everywhere(
    work: Callable[[Acceptor], Awaitable[object]], script: tuple[Act, ...]
) -> int:
    """Run the work and cancel it ever later; returns how many times it was cancelled."""
    for turns in range(PATIENCE):
        provider = ScriptedProvider(script)
        acceptor = Acceptor(provider)
        task: asyncio.Future[object] = asyncio.ensure_future(work(acceptor))
        ended_by_itself = await cancelled_after(turns, provider, task)
        await nothing_is_left(provider, acceptor)
        acceptor.close()
        if ended_by_itself:
            return turns
    pytest.fail("the work never ended by itself")


async def take_legs(acceptor: Acceptor) -> None:
    handshake = acceptor.create_handshake()
    try:
        while handshake.is_open:
            await handshake.advance(b"token")
    except asyncio.CancelledError:
        # Whoever is cancelled between two legs closes; within a leg it has happened already.
        assert not handshake.is_open
        raise


async def take_one_leg(acceptor: Acceptor) -> None:
    handshake = acceptor.create_handshake()
    await handshake.advance(b"token")
    handshake.close()


@pytest.mark.parametrize("script", SCRIPTS.values(), ids=SCRIPTS)
@pytest.mark.parametrize("work", [take_legs, take_one_leg])
async def test_a_cancel_at_each_await_leaves_no_context_open(
    work: Callable[[Acceptor], Awaitable[object]], script: tuple[Act, ...]
) -> None:
    assert await cancel_everywhere(work, script) > 0


class Site:
    """An application on a real socket whose request can be cancelled after some turns."""

    def __init__(self, script: tuple[Act, ...], persistence: Persistence) -> None:
        self.provider = ScriptedProvider(script)
        self.app = web.Application()
        self.app.router.add_get("/", self.answer)
        limits = Limits(handshake_seconds=60)
        self.auth: NegotiateAuth = setup(
            self.app, provider=self.provider, limits=limits, persistence=persistence
        )
        self.runner = AppRunner(self.app, handler_cancellation=True, shutdown_timeout=1)
        self.cancel_after: int | None = None
        self.ended_by_itself = False

    async def answer(self, request: web.Request) -> web.Response:
        await asyncio.sleep(0)
        return web.Response(text="in")

    async def watch(
        self, handler: Callable[..., Awaitable[web.StreamResponse]], request: web.BaseRequest
    ) -> web.StreamResponse:
        """Cancel the request from inside, as aiohttp does when its client has gone."""
        if self.cancel_after is None:
            return await handler(request)
        task: asyncio.Future[object] = asyncio.ensure_future(handler(request))
        self.ended_by_itself = await cancelled_after(self.cancel_after, self.provider, task)
        return await task  # type: ignore[return-value]

    async def start(self) -> int:
        await self.runner.setup()
        server = self.runner.server
        assert server is not None
        server.request_handler = partial(self.watch, server.request_handler)
        await web.TCPSite(self.runner, "127.0.0.1", 0).start()
        port: int = self.runner.addresses[0][1]
        return port


TWO_REQUESTS = b"GET / HTTP/1.1\r\nHost: localhost\r\nAuthorization: Negotiate dG9rZW4=\r\n\r\n" * 2


@pytest.mark.parametrize("persistence", Persistence)
@pytest.mark.parametrize("script", SCRIPTS.values(), ids=SCRIPTS)
async def test_a_request_cancelled_at_each_await_leaves_no_context_open(
    script: tuple[Act, ...], persistence: Persistence
) -> None:
    for turns in range(PATIENCE):
        site = Site(script, persistence)
        port = await site.start()
        site.cancel_after = turns
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(TWO_REQUESTS)
        await reader.read(1)
        writer.close()
        await nothing_is_left(site.provider, site.auth.acceptor)
        await site.runner.cleanup()
        if site.ended_by_itself:
            assert turns > 0
            return
    pytest.fail("the request never ended by itself")


@pytest.mark.parametrize("script", SCRIPTS.values(), ids=SCRIPTS)
async def test_a_client_that_disconnects_at_any_moment_leaves_no_context_open(
    script: tuple[Act, ...],
) -> None:
    site = Site(script, Persistence.REQUEST)
    port = await site.start()
    providers: list[ScriptedProvider] = []
    for turns in range(25):
        site.provider = site.auth.acceptor.provider = ScriptedProvider(script)
        providers.append(site.provider)
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(TWO_REQUESTS)
        for _ in range(turns):
            await asyncio.sleep(0)
        writer.transport.abort()
        for _ in range(RELEASED_AT):
            await asyncio.sleep(0)
        site.provider.release()
        await nothing_is_left(site.provider, site.auth.acceptor)
    await site.runner.cleanup()
    # Some requests were read before the client had gone, and none of them left anything later.
    assert any(provider.created for provider in providers)
    for provider in providers:
        await nothing_is_left(provider, site.auth.acceptor)
