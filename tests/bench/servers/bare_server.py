"""What the auth service would be without any check: plain aiohttp that lets everybody in.

usage: bare_server.py PORT

`GET /ask/nginx` gives the fields that the service gives an application of the preset "authelia".
"""

from __future__ import annotations

import sys

import uvloop
from aiohttp import web

_FIELDS = {
    "Cache-Control": "no-store",
    "Vary": "Authorization, Cookie",
    "X-Content-Type-Options": "nosniff",
    "Remote-User": "alice",
    "Remote-Name": "",
    "Remote-Email": "",
    "Remote-Groups": "",
    "Remote-Groups-Truncated": "false",
    "X-Authsrv-Cookie": "",
}


async def answer(request: web.Request) -> web.Response:
    """Let anybody in."""
    return web.Response(headers=_FIELDS)


def main() -> None:
    """Serve on loopback until ended."""
    app = web.Application()
    app.router.add_get("/ask/nginx", answer)
    loop = uvloop.new_event_loop()
    web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), print=None, loop=loop)


if __name__ == "__main__":
    main()
