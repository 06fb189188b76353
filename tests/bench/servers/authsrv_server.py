"""An aiohttp application with single sign-on by authsrv, as its README says to write it.

`GET /private` needs authentication and answers the principal, `GET /public` is open. With `--lag`,
`GET /lag` tells how late the event loop was.
"""

from __future__ import annotations

import argparse
import logging

from aiohttp import web
from lag import add_lag_routes

from authsrv.aiohttp import AccessRules, current_identity, run_app, setup
from authsrv.core.results import Established
from authsrv.providers.scripted import ALICE, Delay, ScriptedProvider

_OPEN_PATHS = ("/public", "/lag")


async def answer_private(request: web.Request) -> web.Response:
    """Answer the client's name."""
    return web.Response(text=f"{current_identity(request).principal}\n")


async def answer_public(request: web.Request) -> web.Response:
    """Answer anybody."""
    return web.Response(text="hello\n")


def main() -> None:
    """Serve on loopback until ended."""
    options = _read_options()
    app = web.Application()
    app.router.add_get("/private", answer_private)
    app.router.add_get("/public", answer_public)
    if options.lag:
        add_lag_routes(app)
    _set_up(app, options)
    # A line for each request would be measured too; its peers write none.
    logging.getLogger("authsrv.audit").setLevel(logging.WARNING)
    run_app(app, host="127.0.0.1", port=options.port, print=None)


def _set_up(app: web.Application, options: argparse.Namespace) -> None:
    rules = AccessRules(open_paths=_OPEN_PATHS)
    if options.middleware == "off":
        return
    if options.package == "gssapi":
        setup(app, keytab=options.keytab, rules=rules)
    else:
        script = [Delay(options.delay, Established(ALICE, b"done"))]
        setup(app, provider=ScriptedProvider(script), rules=rules)


def _read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--keytab", required=True)
    parser.add_argument("--middleware", choices=("on", "off"), default="on")
    parser.add_argument("--package", choices=("gssapi", "scripted"), default="gssapi")
    parser.add_argument("--delay", type=float, default=0.0, help="seconds a call of the script")
    parser.add_argument("--lag", action="store_true")
    return parser.parse_args()


if __name__ == "__main__":
    main()
