"""The answer that lets a request in, written into the connection as bytes.

Nearly every answer is one of these, and the way through aiohttp's headers takes longer than all the
rest of it. And a Cookie field goes to the application byte for byte, which texts cannot.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Iterable
from email.utils import formatdate
from typing import Any, Final

from aiohttp import HttpVersion11, web

from authsrv.errors import ProviderFaultError

__all__ = ["Acceptance"]

_BEGIN: Final = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n"


class Acceptance(web.Response):
    """A response with status 200 and no body.

    Args:
        fields: The names and values of its header fields.

    Raises:
        ProviderFaultError: A value has a character that ends a field; nothing is let in by it.
    """

    def __init__(self, fields: Iterable[tuple[bytes, bytes]]) -> None:
        super().__init__()
        lines = [name + b": " + value + b"\r\n" for name, value in fields]
        block = b"".join(lines)
        if block.count(b"\r") != len(lines) or block.count(b"\n") != len(lines) or b"\0" in block:
            raise ProviderFaultError("a header field of the answer has a line of its own")
        self._fields = block
        self._stays_open = False

    @property
    def keep_alive(self) -> bool:
        """Whether the connection stays open behind it; known once it is prepared."""
        return self._stays_open

    async def prepare(self, request: web.BaseRequest) -> Any:
        """Write all of it.

        Raises:
            ConnectionResetError: The proxy has gone.
        """
        is_forced_to_close = super().keep_alive is False
        self._stays_open = request.keep_alive and not is_forced_to_close
        transport = request.transport
        if transport is None or transport.is_closing():
            raise ConnectionResetError
        connection = _connection(self._stays_open, request.version == HttpVersion11)
        date = _date(int(time.time()))
        transport.write(b"".join((_BEGIN, self._fields, date, connection, b"\r\n")))

    async def write_eof(self, data: bytes = b"") -> None:
        """Nothing is left to be written."""


def _connection(stays_open: bool, is_default: bool) -> bytes:
    # RFC 9112 section 9.3.
    if not stays_open:
        return b"Connection: close\r\n"
    return b"" if is_default else b"Connection: keep-alive\r\n"


@functools.lru_cache(1)
def _date(now: int) -> bytes:
    return f"Date: {formatdate(now, usegmt=True)}\r\n".encode()
