"""What hangs on a client connection: a handshake between two tokens, and perhaps an identity.

An identity belongs to the request that carried the token. Behind a proxy that shares one connection
among its clients, an identity that stayed on the connection would be lent to whoever comes next;
this has happened to proxies and servers alike. So persistence is off unless it is switched on for
servers that clients reach directly, and even then it ends for good at the first sign that the
connection is shared: another principal, other forwarding headers, a token that fails.

State is found by the task with which aiohttp serves a connection, `request.task`, and goes with it:
the task ends when the connection does, on every event loop and under TLS, and what is pending is
closed then. (Weak references to the transport would not do: asyncio's lives in a cycle until the
garbage collector comes, and uvloop's under TLS cannot be referenced weakly.) What is pending has
a deadline of its own besides.
"""

from __future__ import annotations

import asyncio
import datetime
import enum
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from authsrv.codecs.inspect import begins_handshake
from authsrv.core.identity import Identity
from authsrv.handshake.driver import Handshake
from authsrv.handshake.machine import State

__all__ = ["Connection", "Connections", "Persistence", "forwarding_of"]

# RFC 7239; RFC 9110 section 7.6.3; and what came before them.
_FORWARDING = ("Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Real-IP", "Via")


class Persistence(enum.Enum):
    """How long an identity lasts."""

    REQUEST = "request"
    """For the request that carried the token."""
    CONNECTION = "connection"
    """For the connection. Only for servers that clients reach directly, without any proxy."""


@dataclass(slots=True)
class Connection:
    """The state of one client connection.

    Args:
        handshake: The handshake that waits for the client's next token.
        handshake_forwarding: The forwarding headers of the request that carried its last token.
        identity: The identity that is kept, if persistence is on.
        identity_forwarding: The forwarding headers of the request that it came from.
        is_shared: Whether it has shown signs of more than one client; then it never carries an
            identity again.
    """

    handshake: Handshake | None = None
    handshake_forwarding: tuple[str, ...] = ()
    identity: Identity | None = None
    identity_forwarding: tuple[str, ...] = ()
    is_shared: bool = False

    def invalid_reason(self, request: web.Request) -> str | None:
        """Why the kept identity is not good for a request, in words; None if it is."""
        if self.identity is None:
            return None
        if self.identity_forwarding != forwarding_of(request):
            return "the forwarding headers changed: the connection is shared by a proxy"
        expires_at = self.identity.expires_at
        if expires_at is not None and expires_at <= datetime.datetime.now(datetime.UTC):
            return "the ticket has expired"
        return None

    def keep(self, identity: Identity, request: web.Request) -> None:
        """Keep the identity that came with a request, unless the connection is shared."""
        if not self.is_shared:
            self.identity, self.identity_forwarding = identity, forwarding_of(request)

    def end_identity(self) -> None:
        """Forget the identity and never keep one again."""
        self.identity, self.is_shared = None, True

    def await_token(self, handshake: Handshake, request: web.Request) -> None:
        """Put a handshake aside until the client's next token; `request` carried the last one."""
        if self.handshake is not None:
            self.handshake.close()
        self.handshake, self.handshake_forwarding = handshake, forwarding_of(request)

    def take_handshake(self, token: bytes, request: web.Request) -> Handshake | None:
        """Take out the handshake that a token continues; None if a new one must be begun.

        A token that begins a handshake, or that came another way through proxies, does not continue
        one; the old one is closed.

        Args:
            token: The token, from the client, untrusted.
            request: The request that carries it.
        """
        handshake, self.handshake = self.handshake, None
        if handshake is None or not handshake.is_open:
            return None
        fresh = handshake.state is State.AWAIT_TOKEN and begins_handshake(token)
        if fresh or self.handshake_forwarding != forwarding_of(request):
            handshake.close()
            return None
        return handshake


def forwarding_of(request: web.Request) -> tuple[str, ...]:
    """The headers by which proxies name the client, as one value to compare."""
    headers = request.headers
    return tuple(f"{name}:{value}" for name in _FORWARDING for value in headers.getall(name, ()))


class Connections:
    """The connections that have state."""

    def __init__(self) -> None:
        self._connections: dict[asyncio.Task[Any], Connection] = {}

    def __len__(self) -> int:
        return len(self._connections)

    def find(self, request: web.Request) -> Connection | None:
        """Find the state of the connection that a request came on; None if it has none."""
        return self._connections.get(request.task) if self._connections else None

    def open(self, request: web.Request) -> Connection:
        """Find the state of the connection that a request came on, or make it.

        Where the connection is closed already, the state is dropped with the request.
        """
        task = request.task
        connection = self._connections.get(task)
        if connection is None:
            connection = self._connections[task] = Connection()
            task.add_done_callback(self._gone)
        return connection

    def close(self) -> None:
        """Close every handshake that is pending, and forget all connections."""
        for task in tuple(self._connections):
            self._gone(task)

    def _gone(self, task: asyncio.Task[Any]) -> None:
        connection = self._connections.pop(task, None)
        if connection is not None and connection.handshake is not None:
            connection.handshake.close()
