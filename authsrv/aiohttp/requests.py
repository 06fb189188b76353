"""What a handler asks: who is it?"""

from __future__ import annotations

from aiohttp import web

from authsrv.http.headers import build_challenge
from authsrv.identity import Identity

__all__ = ["IDENTITY", "AuthenticationRequired", "current_identity", "optional_identity"]

IDENTITY: web.RequestKey[Identity] = web.RequestKey("authsrv.identity", Identity)
"""Where a request carries its identity: `request[IDENTITY]`."""


class AuthenticationRequired(web.HTTPUnauthorized):
    """The answer that asks the client to authenticate; a handler raises it to challenge on demand.

    Source: RFC 4559 section 4.1.
    """

    def __init__(self) -> None:
        headers = {"WWW-Authenticate": build_challenge(), "Cache-Control": "no-store"}
        super().__init__(headers=headers, text="Authentication is required.\n")


def optional_identity(request: web.Request) -> Identity | None:
    """Who sent the request, if it is known.

    Args:
        request: The request.

    Returns:
        The identity, or None for an anonymous client.

    Source: authsrv design decision 1.
    """
    return request.get(IDENTITY)


def current_identity(request: web.Request) -> Identity:
    """Who sent the request.

    Args:
        request: The request.

    Returns:
        The identity.

    Raises:
        AuthenticationRequired: Nobody is known. Raised out of a handler, it challenges the client;
            so a handler that was left open by mistake, or an application that was never set up,
            lets nobody in.

    Source: authsrv design decisions 1 and 7.
    """
    identity: Identity | None = request.get(IDENTITY)
    if identity is None:
        raise AuthenticationRequired
    return identity
