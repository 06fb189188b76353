"""Sending a request a second time: which ones can be, and what has to be read before."""

from __future__ import annotations

import asyncio

from aiohttp import ClientError, ClientRequest, ClientResponse, hdrs
from aiohttp.payload import BytesIOPayload, BytesPayload

__all__ = ["is_repeatable", "put_away"]

_MOST_READ = 65_536
_PATIENCE_S = 5.0


def is_repeatable(request: ClientRequest) -> bool:
    """Tell whether a request can be sent a second time, whatever became of the first.

    It can if it has no body, or one of bytes in memory. Streams and generators are read once; a
    file could be read again, and may be large.
    """
    # RFC 9110 section 10.1.1: one that waits for "100 Continue" may not have been sent at all.
    if hdrs.EXPECT in request.headers:
        return False
    return request.body == b"" or isinstance(request.body, BytesPayload | BytesIOPayload)


async def put_away(request: ClientRequest, response: ClientResponse) -> None:
    """Read what is left of a response that nobody wants, so that its connection can be used again.

    Args:
        request: The request that it answers; it can be sent again afterwards.
        response: From the server, untrusted. Where its body is larger than 65,536 bytes, or takes
            longer than 5 seconds, the connection is closed instead.

    Raises:
        asyncio.CancelledError: The task was cancelled; the connection is closed.
    """
    try:
        async with asyncio.timeout(_PATIENCE_S):
            await _drain(response)
    except (TimeoutError, ClientError, OSError):
        response.close()
    except BaseException:
        response.close()
        raise
    response.release()
    # That cancels a writer of the body; it must have ended before the next attempt.
    await request.close()


async def _drain(response: ClientResponse) -> None:
    left = _MOST_READ
    while left >= 0 and (chunk := await response.content.read(left + 1)):
        left -= len(chunk)
    if left < 0:
        response.close()
