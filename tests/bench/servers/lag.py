"""How late the event loop is: a task that sleeps a millisecond at a time and notes the excess."""

from __future__ import annotations

import asyncio
import time
from array import array
from collections.abc import AsyncIterator

from aiohttp import web

__all__ = ["add_lag_routes"]

_NAP_S = 0.001


class LagWatch:
    """Collects how much longer each nap took than it should have."""

    def __init__(self) -> None:
        self._excess = array("d")

    async def watch(self) -> None:
        """Nap until cancelled."""
        while True:
            begun = time.perf_counter()
            await asyncio.sleep(_NAP_S)
            self._excess.append(time.perf_counter() - begun - _NAP_S)

    def take(self) -> dict[str, float]:
        """Answer the excess in milliseconds since the last call, and forget it."""
        excess, self._excess = sorted(self._excess), array("d")
        if not excess:
            return {"samples": 0, "p50_ms": 0.0, "p999_ms": 0.0, "max_ms": 0.0}
        return {
            "samples": len(excess),
            "p50_ms": excess[len(excess) // 2] * 1e3,
            "p999_ms": excess[len(excess) * 999 // 1000] * 1e3,
            "max_ms": excess[-1] * 1e3,
        }


_KEY = web.AppKey("lag", LagWatch)


def add_lag_routes(app: web.Application) -> None:
    """Watch the lag while the application runs; `GET /lag` answers and forgets it."""
    app[_KEY] = LagWatch()
    app.cleanup_ctx.append(_run_watch)
    app.router.add_get("/lag", _answer_lag)


async def _run_watch(app: web.Application) -> AsyncIterator[None]:
    task = asyncio.create_task(app[_KEY].watch())
    yield
    task.cancel()


async def _answer_lag(request: web.Request) -> web.Response:
    return web.json_response(request.app[_KEY].take())
