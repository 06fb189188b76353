"""What hangs on a client connection: a handshake between two of its tokens, and, only where it was
switched on, the identity of the client.

An identity belongs to the request that carried the token. Behind a proxy that shares one connection
among its clients, an identity that stayed on the connection would be lent to whoever comes next;
this has happened to proxies and servers alike. So persistence is off unless it is switched on for
servers that clients reach directly, and even then it ends for good at the first sign that the
connection is shared: another principal, other forwarding headers, a token that fails.

State is found by the transport and goes with it: a weak reference closes what is pending when the
connection has gone, and every pending handshake has its own deadline besides.
"""

from __future__ import annotations

import asyncio
import datetime
import enum
import weakref
from dataclasses import dataclass

from aiohttp import web

from authsrv.drive import AcceptorHandshake
from authsrv.handshake import State
from authsrv.identity import Identity
from authsrv.tokens.peek import begins_handshake

__all__ = ["Connection", "Connections", "Persistence"]

_FORWARDING = ("Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Real-IP", "Via")


class Persistence(enum.Enum):
    """How long an identity lasts.

    Source: authsrv design decision 6; IIS authPersistSingleRequest.
    """

    REQUEST = "request"
    """For the request that carried the token."""
    CONNECTION = "connection"
    """For the connection. Only for servers that clients reach directly, without any proxy."""


class Trust(enum.Enum):
    """Whether a connection may still carry an identity.

    Source: authsrv design decision 6.
    """

    UNSHARED = "unshared"
    """Nothing speaks against it."""
    SHARED = "shared"
    """It has shown signs of more than one client; it never carries one again."""


@dataclass(slots=True)
class Connection:
    """The state of one client connection.

    Args:
        handshake: The handshake that waits for the client's next token.
        identity: The identity that is kept, if persistence is on.
        forwarding: The forwarding headers of the request that it came from.
        trust: Whether it may carry an identity.

    Source: authsrv design decision 6.
    """

    handshake: AcceptorHandshake | None = None
    identity: Identity | None = None
    forwarding: tuple[str, ...] = ()
    trust: Trust = Trust.UNSHARED

    def kept_identity(self, request: web.Request) -> Identity | None:
        """The identity for a request that carries no token, if one is kept and is still good.

        Args:
            request: The request.

        Returns:
            The identity, or None.

        Source: authsrv design decision 6.
        """
        if self.identity is None or self.distrust(request) is not None:
            return None
        return self.identity

    def distrust(self, request: web.Request) -> str | None:
        """Why the kept identity is not good for a request, in words; None if it is.

        Args:
            request: The request.

        Returns:
            The cause, or None.

        Source: authsrv design decision 6.
        """
        if self.identity is None:
            return None
        if self.forwarding != forwarding_of(request):
            return "the forwarding headers changed: the connection is shared by a proxy"
        expires_at = self.identity.expires_at
        if expires_at is not None and expires_at <= datetime.datetime.now(datetime.UTC):
            return "the ticket has expired"
        return None

    def keep(self, identity: Identity, request: web.Request) -> None:
        """Keep an identity, if the connection is trusted.

        Args:
            identity: The identity.
            request: The request that it came from.

        Source: authsrv design decision 6.
        """
        if self.trust is Trust.UNSHARED:
            self.identity, self.forwarding = identity, forwarding_of(request)

    def end_identity(self) -> None:
        """Forget the identity and never keep one again.

        Source: authsrv design decision 6.
        """
        self.identity, self.trust = None, Trust.SHARED

    def await_token(self, handshake: AcceptorHandshake, request: web.Request) -> None:
        """Put a handshake aside until the client's next token.

        Args:
            handshake: The handshake; it waits for a token, or for the rest of one.
            request: The request that carried the last token.

        Source: authsrv design decision 6.
        """
        if self.handshake is not None:
            self.handshake.close()
        self.handshake, self.forwarding = handshake, forwarding_of(request)

    def take_handshake(self, token: bytes, request: web.Request) -> AcceptorHandshake | None:
        """Take out the handshake that a token continues.

        A token that begins a handshake, or that came another way through proxies, does not
        continue one; the old one is closed.

        Args:
            token: The token, from the client, untrusted.
            request: The request that carries it.

        Returns:
            The handshake, or None if a new one must be begun.

        Source: authsrv design decision 6.
        """
        handshake, self.handshake = self.handshake, None
        if handshake is None or not handshake.is_open:
            return None
        fresh = handshake.state is State.AWAIT_TOKEN and begins_handshake(token)
        if fresh or self.forwarding != forwarding_of(request):
            handshake.close()
            return None
        return handshake


def forwarding_of(request: web.Request) -> tuple[str, ...]:
    """The headers by which proxies name the client, as one value to compare.

    Args:
        request: The request.

    Returns:
        The values, in the order of the header names.

    Source: RFC 7239; RFC 9110 section 7.6.3.
    """
    headers = request.headers
    return tuple(f"{name}:{value}" for name in _FORWARDING for value in headers.getall(name, ()))


class Connections:
    """The connections that have state.

    Source: authsrv design decision 6.
    """

    def __init__(self) -> None:
        self._connections: dict[weakref.ref[asyncio.BaseTransport], Connection] = {}

    def __len__(self) -> int:
        return len(self._connections)

    def find(self, transport: asyncio.BaseTransport | None) -> Connection | None:
        """Find the state of a connection.

        Args:
            transport: The connection's transport, or None if it is closed.

        Returns:
            Its state, or None if it has none.

        Source: authsrv design decision 6.
        """
        if transport is None or not self._connections:
            return None
        return self._connections.get(weakref.ref(transport))

    def open(self, transport: asyncio.BaseTransport) -> Connection:
        """Find the state of a connection, or make it.

        Args:
            transport: The connection's transport.

        Returns:
            Its state.

        Source: authsrv design decision 6.
        """
        reference = weakref.ref(transport, self._gone)
        return self._connections.setdefault(reference, Connection())

    def close(self) -> None:
        """Close every handshake that is pending, and forget all.

        Source: authsrv design decision 6.
        """
        for reference in tuple(self._connections):
            self._gone(reference)

    def _gone(self, reference: weakref.ref[asyncio.BaseTransport]) -> None:
        connection = self._connections.pop(reference, None)
        if connection is not None and connection.handshake is not None:
            connection.handshake.close()
