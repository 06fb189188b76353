"""What a handler asks: who is it?"""

from __future__ import annotations

from aiohttp import web

from authsrv.aiohttp.decisions import AuthenticationRequired, identity_of
from authsrv.core.identity import Identity

__all__ = ["current_identity", "optional_identity"]


def optional_identity(request: web.Request) -> Identity | None:
    """Who sent the request; None for an anonymous client.

    None also where a middleware has resolved the request again and nobody asked `guard`.
    """
    return identity_of(request)


def current_identity(request: web.Request) -> Identity:
    """Who sent the request.

    Raises:
        AuthenticationRequired: Nobody is known. Raised out of a handler, it challenges the client;
            so a handler that was left open by mistake, or an application that was never set up,
            lets nobody in.
    """
    identity = optional_identity(request)
    if identity is None:
        raise AuthenticationRequired
    return identity
