"""The client's side of MS-NNS: a loop over `Handshake.advance`."""

from __future__ import annotations

import asyncio

from authsrv.codecs.nns import HandshakeDone, HandshakeInProgress
from authsrv.core.flags import AscRet, IscReq
from authsrv.core.identity import Identity
from authsrv.core.results import Continue, Established, Incomplete, Refused, Result
from authsrv.core.role import Role
from authsrv.errors import (
    AuthsrvError,
    InvalidTokenError,
    MutualAuthenticationError,
    ProviderFaultError,
)
from authsrv.handshake.driver import Handshake
from authsrv.handshake.initiator import Initiator
from authsrv.providers.base import InitiatorRequest
from authsrv.streams.channel import MessageChannel, deadline

__all__ = ["initiate"]


async def initiate(
    initiator: Initiator,
    request: InitiatorRequest,
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
) -> Identity:
    """Authenticate to the server at the other end of a connection.

    The connection stays open, whatever happens: close the writer after an error. What the server
    sends behind its last handshake message is left in the reader for the application. It is plain,
    and needs TLS below it; see `authsrv.streams`.

    Args:
        initiator: Its limits bound the handshake, as of `accept`.
        request: Whom to talk to, and what is asked of the context. The server has to prove itself
            where `required` has MUTUAL_AUTH.
        reader: What it brings is untrusted.
        writer: Remains the caller's.

    Returns:
        The server, which has accepted this client.

    Raises:
        AuthsrvError: There is no token, the server's token is wrong, or the server refused. In the
            last case its code is the error's `native`; in the others the server is told by a
            HandshakeError, even if it takes the handshake for done.
        MutualAuthenticationError: The server ended the handshake without the proof that was asked
            for.
        AttributesError: The context lacks something that is required.
        InvalidTokenError: What the server sent is not a handshake message or comes out of order,
            or its last one does not end the handshake.
        TokenTooLargeError: A token is over the limit; it was not read.
        ProviderFaultError: The provider began without a token, or with one that no message
            can hold.
        HandshakeExpiredError: The handshake took longer than handshake_seconds.
        OverloadedError: max_pending handshakes wait already.
        ConnectionAbortedError: The server closed the connection before the handshake was done.
        OSError: The connection broke.
    """
    # MS-NNS section 3.1.4.1: where nothing can be begun, nothing is sent.
    handshake = initiator.create_handshake(request)
    channel = MessageChannel(reader, writer, initiator.limits, Role.INITIATOR)
    try:
        async with deadline(initiator.limits):
            return await _converse(handshake, channel, request)
    except AuthsrvError as error:
        channel.refuse(error)
        raise
    finally:
        handshake.close()


async def _converse(
    handshake: Handshake, channel: MessageChannel, request: InitiatorRequest
) -> Identity:
    result = await _advance(handshake, b"")
    if not isinstance(result, Continue | Established) or not result.token:
        raise ProviderFaultError("the provider makes no first token")
    while not isinstance(result, Established):
        if isinstance(result, Continue) and result.token:
            await channel.send(HandshakeInProgress(result.token))
        message = await channel.receive()
        if isinstance(message, HandshakeDone):
            return await _end(handshake, message, request)
        result = await _advance(handshake, message.token)
    await channel.send(HandshakeDone(result.token))
    # MS-NNS section 3.1.5.4: only a HandshakeDone may follow, and its token is ignored.
    if not isinstance(await channel.receive(), HandshakeDone):
        raise InvalidTokenError("the server continues after the end of the handshake")
    return result.identity


async def _end(handshake: Handshake, message: HandshakeDone, request: InitiatorRequest) -> Identity:
    if not message.token and _wants_proof(request):
        raise MutualAuthenticationError(f"the server does not prove that it is {request.target}")
    result = await _advance(handshake, message.token)
    # MS-NNS section 3.1.5.3: after the server's HandshakeDone, all else is a failure.
    if not isinstance(result, Established):
        raise InvalidTokenError("the server's last message does not end the handshake")
    return result.identity


async def _advance(handshake: Handshake, token: bytes) -> Result:
    result = (await handshake.advance(token)).result
    if isinstance(result, Refused):
        raise result.error
    if not isinstance(result, Incomplete) and result.unused:
        raise InvalidTokenError(f"{result.unused} bytes follow the token in its message")
    return result


def _wants_proof(request: InitiatorRequest) -> bool:
    return IscReq.MUTUAL_AUTH in request.flags or AscRet.MUTUAL_AUTH in request.required
