"""A server that ends TLS, for test_relay: python tls_server.py KEYTAB CERTIFICATE CHANNEL."""

from __future__ import annotations

import logging
import ssl
import sys

from aiohttp import web

from authsrv.aiohttp import current_identity, run_app, setup


async def answer(request: web.Request) -> web.Response:
    identity = current_identity(request)
    return web.Response(text=f"{identity.principal} {identity.channel_bound}")


logging.basicConfig(level=logging.INFO)
keytab, certificate, channel = sys.argv[1:]
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(certificate)
app = web.Application()
app.router.add_get("/", answer)
setup(app, keytab=keytab, own_channel=channel)  # type: ignore[arg-type]
run_app(app, host="127.0.0.1", port=0, ssl_context=context)
