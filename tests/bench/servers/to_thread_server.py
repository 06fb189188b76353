"""The obvious way to do single sign-on in aiohttp: pyspnego's acceptor behind asyncio.to_thread.

usage: to_thread_server.py PORT

The keytab is the one that KRB5_KTNAME names. The loop is uvloop's, as authsrv's is.
"""

from __future__ import annotations

import asyncio
import base64
import sys

import spnego
import uvloop
from aiohttp import web


async def answer_private(request: web.Request) -> web.Response:
    """Accept the token of the request and answer the client's name."""
    scheme, _, text = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "negotiate":
        return web.Response(status=401, headers={"WWW-Authenticate": "Negotiate"})
    server = spnego.server()
    try:
        reply = await asyncio.to_thread(server.step, base64.b64decode(text))
    except spnego.exceptions.SpnegoError:
        return web.Response(status=401, headers={"WWW-Authenticate": "Negotiate"})
    token = base64.b64encode(reply or b"").decode()
    status = 200 if server.complete else 401
    headers = {"WWW-Authenticate": f"Negotiate {token}"}
    return web.Response(text=f"{server.client_principal}\n", status=status, headers=headers)


async def answer_public(request: web.Request) -> web.Response:
    """Answer anybody."""
    return web.Response(text="hello\n")


def main() -> None:
    """Serve on loopback until ended."""
    app = web.Application()
    app.router.add_get("/private", answer_private)
    app.router.add_get("/public", answer_public)
    loop = uvloop.new_event_loop()
    web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), print=None, loop=loop)


if __name__ == "__main__":
    main()
