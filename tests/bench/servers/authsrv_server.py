"""provisional"""

import argparse, base64, sys
from aiohttp import web
import uvloop, asyncio
from lag import add_lag_routes
from authsrv.drive import Acceptor
from authsrv.results import Established
from authsrv.packages.gssapi import GssapiPackage

p = argparse.ArgumentParser()
p.add_argument("--port", type=int)
p.add_argument("--keytab")
p.add_argument("--middleware", default="on")
p.add_argument("--package", default="gssapi")
p.add_argument("--delay", type=float)
p.add_argument("--lag", action="store_true")
a = p.parse_args()


async def private(r):
    return web.Response(text=r["who"])


async def public(r):
    return web.Response(text="hello\n")


acc = Acceptor(GssapiPackage(a.keytab))


@web.middleware
async def mw(r, h):
    if r.path in ("/public", "/lag"):
        return await handler(r)
    t = r.headers.get("Authorization")
    if not t:
        return web.Response(status=401)
    hs = acc.begin()
    leg = await hs.advance(base64.b64decode(t[10:]))
    if not isinstance(leg.result, Established):
        return web.Response(status=401, text=repr(leg.result))
    r["who"] = leg.result.identity.principal
    resp = await handler(r)
    resp.headers["WWW-Authenticate"] = "Negotiate " + base64.b64encode(leg.result.token).decode()
    return resp


app = web.Application(middlewares=[mw] if a.middleware == "on" else [])
app.router.add_get("/private", private)
app.router.add_get("/public", public)
if a.lag:
    add_lag_routes(app)
web.run_app(app, host="127.0.0.1", port=a.port, print=None, loop=uvloop.new_event_loop())
