"""The server's side of MS-NNS: a loop over `Handshake.advance`."""

from __future__ import annotations

import asyncio

from authsrv.codecs.nns import HandshakeDone, HandshakeInProgress
from authsrv.core.identity import Identity
from authsrv.core.results import Continue, Established, Incomplete, Refused
from authsrv.core.role import Role
from authsrv.errors import AuthsrvError, InvalidTokenError
from authsrv.handshake.acceptor import Acceptor
from authsrv.handshake.driver import Handshake
from authsrv.providers.base import ContextRequest
from authsrv.streams.channel import MessageChannel, deadline

__all__ = ["accept"]


async def accept(
    acceptor: Acceptor,
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    request: ContextRequest | None = None,
) -> Identity:
    """Authenticate the client at the other end of a connection.

    The connection stays open, whatever happens: close the writer after an error. What follows the
    client's last handshake message is left in the reader for the application. It is plain, and
    needs TLS below it; see `authsrv.streams`.

    A client that is refused learns the SSPI code of the error, in a HandshakeError. An error token
    that the provider made is not sent, as MS-NNS has no place for it.

    Args:
        acceptor: Its limits bound the handshake: handshake_seconds for the whole, and
            max_token_bytes for each token, of which a message holds 65,535 at most. While the
            client is silent, the handshake counts for max_pending.
        reader: What it brings is untrusted.
        writer: Remains the caller's.
        request: What is asked of the context, if it differs from the acceptor's: the channel
            bindings of this connection, for one.

    Returns:
        The authenticated client, which has been sent the HandshakeDone.

    Raises:
        AuthsrvError: The handshake was refused, and why.
        InvalidTokenError: What the client sent is not a handshake message, or its last one does not
            end the handshake.
        DeniedError: The client ended the handshake; its code is the error's `native`.
        TokenTooLargeError: A token is over the limit; it was not read.
        HandshakeExpiredError: The handshake took longer than handshake_seconds.
        OverloadedError: max_pending handshakes wait for their clients already.
        ConnectionAbortedError: The client closed the connection before the handshake was done.
        OSError: The connection broke.
    """
    channel = MessageChannel(reader, writer, acceptor.limits, Role.ACCEPTOR)
    try:
        handshake = acceptor.create_handshake(request)
        try:
            acceptor.mark_waiting(handshake)
            async with deadline(acceptor.limits):
                return await _converse(handshake, channel)
        finally:
            handshake.close()
    except AuthsrvError as error:
        channel.refuse(error)
        raise


async def _converse(handshake: Handshake, channel: MessageChannel) -> Identity:
    while True:
        message = await channel.receive()
        result = (await handshake.advance(message.token)).result
        if isinstance(result, Refused):
            raise result.error
        if not isinstance(result, Incomplete) and result.unused:
            raise InvalidTokenError(f"{result.unused} bytes follow the token in its message")
        if isinstance(result, Established):
            # MS-NNS section 3.2.5.3: a client that is done waits for no token.
            token = b"" if isinstance(message, HandshakeDone) else result.token
            await channel.send(HandshakeDone(token))
            return result.identity
        # MS-NNS section 3.2.5.3: after the client's HandshakeDone, all else is a failure.
        if isinstance(message, HandshakeDone):
            raise InvalidTokenError("the client's last message does not end the handshake")
        if isinstance(result, Continue) and result.token:
            await channel.send(HandshakeInProgress(result.token))
