"""Servers for the client's tests: this project's, evil ones, and names that lead to loopback."""

from __future__ import annotations

import base64
import datetime
import ipaddress
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import ClientSession, TCPConnector, web
from aiohttp.abc import AbstractResolver, ResolveResult
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from authsrv.aiohttp import AppRunner, optional_identity, setup
from authsrv.client import Negotiation
from authsrv.providers.gssapi.acceptor import GssapiProvider

__all__ = [
    "Certificate",
    "Everywhere",
    "Evil",
    "challenge",
    "make_certificate",
    "own_site",
    "served",
    "session_of",
    "tell_name",
]

SHUTDOWN_S = 0.1


def challenge(token: bytes = b"") -> str:
    """The value of a WWW-Authenticate field."""
    return f"Negotiate {base64.b64encode(token).decode()}".strip()


@asynccontextmanager
async def served(
    app: web.Application, *, tls: ssl.SSLContext | None = None, port: int = 0
) -> AsyncIterator[int]:
    """Serve an application on loopback; gives the port."""
    runner = AppRunner(app, shutdown_timeout=SHUTDOWN_S)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", port, ssl_context=tls).start()
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


async def tell_name(request: web.Request) -> web.Response:
    """Who the client is, and how many bytes it sent."""
    identity = optional_identity(request)
    name = identity.principal if identity else "nobody"
    bound = identity.channel_bound if identity else False
    body = await request.read()
    return web.json_response({"name": name, "bound": bound, "length": len(body)})


def own_site(keytab: Path, **settings: Any) -> web.Application:
    """An application with single sign-on; settings as for `authsrv.aiohttp.install`."""
    app = web.Application(client_max_size=1 << 24)
    app.router.add_route("*", "/", tell_name)
    setup(app, provider=GssapiProvider(keytab), audit=lambda event: None, **settings)
    return app


@dataclass
class Evil:
    """A server that answers by a script, and notes what it was sent.

    Args:
        answer: What it answers to each request.
        tokens: The tokens of the requests so far, None where there was none.
    """

    answer: Callable[[web.Request, bytes | None], Awaitable[web.StreamResponse]]
    tokens: list[bytes | None] = field(default_factory=list)

    @property
    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_route("*", "/{tail:.*}", self._take)
        return app

    async def _take(self, request: web.Request) -> web.StreamResponse:
        value = request.headers.get("Authorization")
        token = None if value is None else base64.b64decode(value.removeprefix("Negotiate "))
        self.tokens.append(token)
        return await self.answer(request, token)


class Everywhere(AbstractResolver):
    """Every name leads to loopback."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        return [
            ResolveResult(
                hostname=host, host="127.0.0.1", port=port, family=socket.AF_INET, proto=0, flags=0
            )
        ]

    async def close(self) -> None:
        pass


def session_of(
    *middlewares: Negotiation, connector: TCPConnector | None = None, **settings: Any
) -> ClientSession:
    """A session whose names all lead to loopback."""
    chosen = connector or TCPConnector(resolver=Everywhere())
    return ClientSession(middlewares=middlewares, connector=chosen, **settings)


@dataclass(frozen=True)
class Certificate:
    """A certificate that signs itself, and contexts for both sides."""

    der: bytes
    path: Path
    server: ssl.SSLContext
    client: ssl.SSLContext


def make_certificate(folder: Path, *names: str) -> Certificate:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0])])
    now = datetime.datetime.now(datetime.UTC)
    alternatives: list[x509.GeneralName] = [x509.DNSName(name) for name in names]
    alternatives.append(x509.IPAddress(ipaddress.ip_address("127.0.0.1")))
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    path = folder / f"{names[0]}.pem"
    path.write_bytes(
        pem
        + key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(path)
    client = ssl.create_default_context(cadata=pem.decode())
    return Certificate(certificate.public_bytes(serialization.Encoding.DER), path, server, client)
