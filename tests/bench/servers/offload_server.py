"""The same accept by one of several ways off the event loop, or by none, behind plain aiohttp.

usage: offload_server.py PORT KEYTAB WAY

Nothing but gss_accept_sec_context with a shared credential, and the client's name. The loop is
uvloop's. `GET /lag` tells how late it was.
"""

from __future__ import annotations

import asyncio
import base64
import sys
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import gssapi.raw as gss
import uvloop
from aiohttp import web
from lag import add_lag_routes

from authsrv.handshake.pool import WorkerPool

_Call = Callable[[], tuple[str, bytes]]
_Way = Callable[[_Call], Awaitable[tuple[str, bytes]]]


def inline_way() -> _Way:
    """On the loop itself, which stands still meanwhile."""

    async def run(call: _Call) -> tuple[str, bytes]:
        return call()

    return run


def executor_way() -> _Way:
    """A ThreadPoolExecutor of default size."""
    executor = ThreadPoolExecutor()

    async def run(call: _Call) -> tuple[str, bytes]:
        return await asyncio.get_running_loop().run_in_executor(executor, call)

    return run


_WAYS: dict[str, Callable[[], _Way]] = {
    "inline": inline_way,
    "run_in_executor": executor_way,
    "to_thread": lambda: asyncio.to_thread,
    "authsrv_workers": lambda: WorkerPool().run,
}


class Answer:
    """The handler.

    Args:
        keytab: The service's keys.
        way: How the accept gets off the loop.
    """

    def __init__(self, keytab: str, way: _Way) -> None:
        store = {b"keytab": keytab.encode(), b"rcache": b"dfl:"}
        self._credential = gss.acquire_cred_from(store, None, usage="accept").creds  # type: ignore[arg-type]
        self._way = way

    async def __call__(self, request: web.Request) -> web.Response:
        """Accept the token of the request and answer the client's name."""
        token = base64.b64decode(request.headers["Authorization"].removeprefix("Negotiate "))
        name, reply = await self._way(partial(self._accept, token))
        proof = f"Negotiate {base64.b64encode(reply).decode()}"
        return web.Response(text=name, headers={"WWW-Authenticate": proof})

    def _accept(self, token: bytes) -> tuple[str, bytes]:
        answer = gss.accept_sec_context(token, self._credential)
        name = gss.display_name(answer.initiator_name, False).name
        return name.decode(), answer.token or b""


def main() -> None:
    """Serve on loopback until ended."""
    port, keytab, way = sys.argv[1:]
    app = web.Application()
    answer = Answer(keytab, _WAYS[way]())

    async def answer_private(request: web.Request) -> web.Response:
        return await answer(request)

    app.router.add_get("/private", answer_private)
    add_lag_routes(app)
    loop = uvloop.new_event_loop()
    web.run_app(app, host="127.0.0.1", port=int(port), print=None, loop=loop)


if __name__ == "__main__":
    main()
