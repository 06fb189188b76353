"""Gets a page with this project's client: by_authsrv.py URL CERTIFICATE [without]"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import sys

from aiohttp import ClientSession

from authsrv.client import NegotiateClient


async def main(url: str, certificate: str, *mode: str) -> None:
    trust = ssl.create_default_context(cafile=certificate)
    async with contextlib.AsyncExitStack() as stack:
        middlewares = ()
        if not mode:
            middlewares = (await stack.enter_async_context(NegotiateClient(["localhost"])),)
        session = await stack.enter_async_context(ClientSession(middlewares=middlewares))
        async with session.get(url, ssl=trust) as answer:
            print(answer.status, await answer.text())


asyncio.run(main(*sys.argv[1:]))
