"""Handshake messages over a pair of asyncio streams, and the deadline of a whole handshake."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from authsrv.codecs.nns import (
    MAX_PAYLOAD_BYTES,
    HandshakeDone,
    HandshakeError,
    HandshakeInProgress,
    HandshakeMessage,
    MissingBytes,
    build_message,
    parse_message,
)
from authsrv.core.limits import Limits
from authsrv.core.role import Role
from authsrv.errors import AuthsrvError, HandshakeExpiredError, InvalidTokenError
from authsrv.streams.refusals import code_of, refusal_of

__all__ = ["MessageChannel", "deadline"]


class MessageChannel:
    """A connection for as long as it carries handshake messages.

    It reads what belongs to a message and not a byte more: what comes behind the last message
    stays in the reader.

    Args:
        reader: What it brings is untrusted.
        writer: It is not closed here.
        limits: Its max_token_bytes bounds a payload.
        role: The side that this program is.
    """

    __slots__ = ("_max_payload_bytes", "_reader", "_role", "_unheard", "_writer")

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        limits: Limits,
        role: Role,
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._max_payload_bytes = min(limits.max_token_bytes, MAX_PAYLOAD_BYTES)
        self._role = role
        self._unheard = False

    async def receive(self) -> HandshakeInProgress | HandshakeDone:
        """Await the peer's next message.

        Raises:
            AuthsrvError: The peer sent a HandshakeError; see `refusal_of`.
            InvalidTokenError: What the peer sent is not a handshake message.
            TokenTooLargeError: Its token is over the limit; the header alone was read.
            ConnectionAbortedError: The peer closed the connection, within a message or before.
            OSError: The connection broke.
        """
        message = await self._read_message()
        if not isinstance(message, HandshakeError):
            return message
        self._unheard = True
        raise refusal_of(message.code, self._role)

    async def send(self, message: HandshakeMessage) -> None:
        """Send a message.

        Raises:
            ProviderFaultError: Its token is larger than a message can hold.
            OSError: The connection broke.
        """
        self._writer.write(build_message(message))
        await self._writer.drain()

    def refuse(self, error: AuthsrvError) -> None:
        """Tell the peer the status of an error that ended the handshake, without waiting for it.

        A peer that ended the handshake itself, or speaks another protocol, is told nothing.
        """
        # MS-NNS sections 3.1.5.1, 3.2.5.1 and 3.2.5.2.
        if not self._unheard and not self._writer.is_closing():
            self._writer.write(build_message(HandshakeError(code_of(error))))

    async def _read_message(self) -> HandshakeMessage:
        data, limit = b"", self._max_payload_bytes
        try:
            while isinstance(part := parse_message(data, max_payload_bytes=limit), MissingBytes):
                data += await self._reader.readexactly(part.count)
        except asyncio.IncompleteReadError:
            peer = "client" if self._role is Role.ACCEPTOR else "server"
            raise ConnectionAbortedError(
                f"the {peer} closed the connection before the handshake was done"
            ) from None
        except InvalidTokenError:
            self._unheard = True
            raise
        return part.message


@contextlib.asynccontextmanager
async def deadline(limits: Limits) -> AsyncIterator[None]:
    """Bound what is awaited inside by handshake_seconds.

    Raises:
        HandshakeExpiredError: It took longer.
    """
    try:
        async with asyncio.timeout(limits.handshake_seconds) as scope:
            yield
    except TimeoutError:
        if not scope.expired():
            raise
        raise HandshakeExpiredError(
            f"the handshake took longer than {limits.handshake_seconds:g} s"
        ) from None
