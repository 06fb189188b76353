"""The application that the clients and proxies are tried with, in a process of its own.

python peer_site.py --keytab FILE [--certificate FILE --key FILE --policy allow|require]

Every page says who asked, as `principal=NAME,bound=YES`; the name of a branch does so to git.
"""

from __future__ import annotations

import argparse
import logging
import ssl
from pathlib import Path

from aiohttp import web

from authsrv.aiohttp import current_identity, open_access, run_app, setup
from authsrv.core.bindings import BindingPolicy, ChannelBindings, tls_server_end_point


def who(request: web.Request) -> str:
    identity = current_identity(request)
    return f"principal={identity.principal},bound={'yes' if identity.channel_bound else 'no'}"


async def page(request: web.Request) -> web.Response:
    return web.Response(text=f"{who(request)}\n")


async def branches(request: web.Request) -> web.Response:
    """What git asks for first; its user's name is that of the only branch."""
    return web.Response(text=f"{'1' * 40}\trefs/heads/{who(request)}\n")


@open_access
async def field(request: web.Request) -> web.Response:
    """How long the Authorization field is that arrived."""
    return web.Response(text=str(len(request.headers.get("Authorization", ""))))


@open_access
async def body(request: web.Request) -> web.Response:
    """How long the body is that arrived."""
    length = 0
    async for chunk in request.content.iter_chunked(65_536):
        length += len(chunk)
    return web.Response(text=str(length))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--keytab", type=Path, required=True)
    parser.add_argument("--certificate", type=Path)
    parser.add_argument("--key", type=Path)
    parser.add_argument("--policy", type=BindingPolicy, default=BindingPolicy.ALLOW)
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(name)s %(message)s")
    tls: ssl.SSLContext | None = None
    bindings: ChannelBindings | None = None
    if options.certificate is not None:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(options.certificate, options.key)
        bindings = tls_server_end_point(options.certificate.read_bytes(), policy=options.policy)
    app = web.Application()
    app.router.add_get("/", page)
    app.router.add_get("/repository.git/info/refs", branches)
    app.router.add_get("/field", field)
    app.router.add_post("/body", body)
    setup(app, keytab=options.keytab, service="HTTP/localhost", bindings=bindings)
    run_app(app, host="127.0.0.1", port=0, ssl_context=tls)


if __name__ == "__main__":
    main()
