"""A server in a process of its own, for tests of `run_app`: everybody is who they say they are."""

from __future__ import annotations

import asyncio
import sys

if "--without-uvloop" in sys.argv:
    sys.modules["uvloop"] = None  # type: ignore[assignment]

from aiohttp import web

from authsrv.aiohttp import current_identity, run_app, setup
from authsrv.core.identity import Identity
from authsrv.core.results import Established
from authsrv.providers.scripted import Act, ScriptedProvider


def log_in(token: bytes) -> Act:
    return Established(Identity(token.decode(), "scripted"))


async def answer(request: web.Request) -> web.Response:
    loop = type(asyncio.get_running_loop()).__module__
    return web.Response(text=f"{current_identity(request).principal} on {loop}")


app = web.Application()
app.router.add_get("/", answer)
setup(app, provider=ScriptedProvider([log_in]), realms="*")
run_app(app, host="127.0.0.1", port=0)
print("ended")
