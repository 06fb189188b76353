"""A small application with single sign-on.

python examples/hello.py --host localhost --port 8080 --keytab /etc/http.keytab
kinit alice
curl --negotiate -u : http://localhost:8080/
"""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

from aiohttp import web

from authsrv.aiohttp import current_identity, open_access, run_app, setup


async def hello(request: web.Request) -> web.Response:
    """Say who the client is."""
    identity = current_identity(request)
    return web.json_response(
        {
            "principal": identity.principal,
            "mechanism": identity.mechanism,
            "service": identity.service,
            "expires_at": identity.expires_at.isoformat() if identity.expires_at else None,
        }
    )


@open_access
async def public(request: web.Request) -> web.Response:
    """Greet anybody."""
    return web.json_response({"public": True})


async def echo(request: web.Request) -> web.Response:
    """Tell the length of the body, without holding it in memory."""
    length = 0
    async for chunk in request.content.iter_chunked(65_536):
        length += len(chunk)
    return web.json_response({"principal": current_identity(request).principal, "length": length})


def make_app(keytab: Path, service: str | None = None) -> web.Application:
    """Make the application."""
    app = web.Application()
    app.router.add_get("/", hello)
    app.router.add_get("/public", public)
    app.router.add_post("/echo", echo)
    setup(app, keytab=keytab, service=service)
    return app


def main() -> None:
    """Read the command line and serve."""
    parser = argparse.ArgumentParser(description="An aiohttp application with single sign-on.")
    parser.add_argument("--host", default="localhost")
    parser.add_argument("--port", type=int, default=8080)
    parser.add_argument("--keytab", type=Path, required=True, help="the keys of HTTP/<host>")
    parser.add_argument(
        "--service", help="accept only tickets for this name, such as HTTP/localhost"
    )
    parser.add_argument("--quiet", action="store_true", help="no line in the log for each request")
    options = parser.parse_args()
    if options.quiet:
        # What is at fault on the server's side is told all the same.
        logging.getLogger("authsrv.audit").setLevel(logging.ERROR)
    app = make_app(options.keytab, options.service)
    run_app(app, host=options.host, port=options.port)


if __name__ == "__main__":
    main()
