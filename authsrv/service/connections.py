"""How many connections a listener has, and how long one may say nothing before its first request.

What comes after the first byte has its deadlines where it is read. Between two requests a proxy
keeps its connections, for as long as aiohttp lets it.
"""

from __future__ import annotations

import asyncio
from typing import Final, cast

from aiohttp import web

__all__ = ["MAX_CONNECTIONS", "SILENCE_SECONDS", "Gate"]

MAX_CONNECTIONS: Final = 4_096
"""How many connections a listener has at most; further ones are closed at once."""
SILENCE_SECONDS: Final = 20.0
"""How long a new connection may say nothing."""


class Gate:
    """Makes the protocols of a listener's connections, for `loop.create_server`.

    Args:
        server: What answers requests.
        most: How many connections there are at most.
        silence_seconds: How long a new one may say nothing.
    """

    def __init__(
        self,
        server: web.Server,
        most: int = MAX_CONNECTIONS,
        silence_seconds: float = SILENCE_SECONDS,
    ) -> None:
        self._server = server
        self._most = most
        self._silence = silence_seconds

    def __call__(self) -> asyncio.Protocol:
        """Make the protocol of one more connection."""
        if len(self._server.connections) >= self._most:
            return _Closed()
        return _Unheard(cast(asyncio.Protocol, self._server()), self._silence)


class _Closed(asyncio.Protocol):
    """A connection that is one too many."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        cast(asyncio.Transport, transport).abort()


class _Unheard(asyncio.Protocol):
    """A connection on which nothing came yet; with the first byte it is the server's alone."""

    def __init__(self, protocol: asyncio.Protocol, silence_seconds: float) -> None:
        self._protocol = protocol
        self._silence = silence_seconds
        self._transport: asyncio.Transport
        self._timer: asyncio.TimerHandle

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(self._silence, self._transport.abort)
        self._protocol.connection_made(transport)

    def data_received(self, data: bytes) -> None:
        self._timer.cancel()
        self._transport.set_protocol(self._protocol)
        self._protocol.data_received(data)

    def eof_received(self) -> bool | None:
        return self._protocol.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        self._timer.cancel()
        self._protocol.connection_lost(exc)
