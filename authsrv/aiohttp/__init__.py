"""Single sign-on for aiohttp applications.

from aiohttp import web
from authsrv.aiohttp import current_identity
from authsrv.aiohttp import run_app
from authsrv.aiohttp import setup

async def hello(request: web.Request) -> web.Response:
    return web.Response(text=f"Hello, {current_identity(request).principal}")

app = web.Application()
app.router.add_get("/", hello)
setup(app, keytab="/etc/http.keytab")
run_app(app, port=8080)
"""

from authsrv.aiohttp.connections import Persistence
from authsrv.aiohttp.decisions import AuthenticationRequired, guard
from authsrv.aiohttp.header_limits import server_settings
from authsrv.aiohttp.identity import current_identity, optional_identity
from authsrv.aiohttp.install import setup
from authsrv.aiohttp.marks import open_access, optional_authentication, require_authentication
from authsrv.aiohttp.middleware import NegotiateAuth
from authsrv.aiohttp.rules import AccessRules, Preflight
from authsrv.aiohttp.runner import AppRunner, run_app
from authsrv.aiohttp.tls import OwnChannel
from authsrv.http.exchange import Requirement

__all__ = [
    "AccessRules",
    "AppRunner",
    "AuthenticationRequired",
    "NegotiateAuth",
    "OwnChannel",
    "Persistence",
    "Preflight",
    "Requirement",
    "current_identity",
    "guard",
    "open_access",
    "optional_authentication",
    "optional_identity",
    "require_authentication",
    "run_app",
    "server_settings",
    "setup",
]
