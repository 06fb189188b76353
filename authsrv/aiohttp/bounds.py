"""How much of a request's header a client may send, and how long it may take.

The parser keeps what it has read of an unfinished header. So the bytes are counted before it reads
them, and the time from the first byte on. A body is no business of this; neither is what follows
an upgrade, nor the silence between two requests.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from aiohttp.http_exceptions import BadHttpMessage

from authsrv.core.limits import Limits

__all__ = ["BoundedParser", "HeaderTooLargeError", "HeaderTooSlowError", "largest_field"]

_END = b"\r\n\r\n"

# "Authorization: Negotiate " and what clients put around it.
_FIELD_ROOM = 256


class HeaderTooLargeError(BadHttpMessage):
    """The header fields of a request are larger than allowed."""


class HeaderTooSlowError(BadHttpMessage):
    """The header fields of a request did not come in time."""


class _Parser(Protocol):
    def feed_data(self, data: bytes) -> tuple[Sequence[tuple[Any, Any]], bool, bytes]: ...

    def message_consumed(self) -> None: ...


def largest_field(limits: Limits) -> int:
    """The bytes of the largest header field: the largest token as base64, and its scheme.

    Of the limits max_token_bytes is read.
    """
    return (limits.max_token_bytes + 2) // 3 * 4 + _FIELD_ROOM


def _do_nothing() -> None:
    pass


class BoundedParser:
    """Stands before aiohttp's parser of one connection, and counts.

    Args:
        parser: The parser.
        limits: The bounds.
        expired: Is called when time is over; it must feed an empty piece of data.
        queued: Tells how many requests were parsed and wait to be handled.
    """

    def __init__(
        self,
        parser: _Parser,
        limits: Limits,
        expired: Callable[[], None],
        queued: Callable[[], int],
    ) -> None:
        self._parser = parser
        self.message_consumed = parser.message_consumed
        self._limits = limits
        self._most = largest_field(limits) + limits.max_header_bytes
        self._expired = expired
        self._queued = queued
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._failed = False
        self._pending = 0  # bytes of a header that has not ended
        self._began = 0.0
        self._tail = b""  # the last three that came, in which an end may begin
        self._body: Any = None  # the payload of the last request, while it comes
        self._left: int | None = 0  # its bytes still to come; None where nobody can tell

    def __getattr__(self, name: str) -> Any:
        return getattr(self._parser, name)

    def feed_data(self, data: bytes) -> tuple[Sequence[tuple[Any, Any]], bool, bytes]:
        """Hand on to the parser what the client sent, untrusted, and answer what it makes of it.

        Raises:
            HeaderTooLargeError: The header has grown too large.
            HeaderTooSlowError: Its time is over.
            aiohttp.http_exceptions.HttpProcessingError: The parser's own.
        """
        if self._failed:
            return (), False, b""
        # Nothing is under way, and with what came nothing is again: that is how most requests are.
        was_idle = not self._pending and self._body is None
        try:
            if not was_idle or len(data) > self._most:
                self._bound(data)
            messages, upgraded, tail = self._parser.feed_data(data)
        except Exception:
            self._stop_clock()
            self._failed = True
            raise
        if was_idle and len(messages) == 1 and data.endswith(_END) and not upgraded:
            if messages[0][1].is_eof():
                return messages, upgraded, tail
        self._account(data, messages, upgraded)
        return messages, upgraded, tail

    def close(self) -> None:
        """Let go of the connection, which has ended."""
        self._stop_clock()
        self._expired = _do_nothing

    def _stop_clock(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _bound(self, data: bytes) -> None:
        if self._pending and self._loop.time() >= self._deadline() and not self._queued():
            raise HeaderTooSlowError("the header fields did not come in time")
        if self._body is not None or self._pending + len(data) <= self._most:
            return
        end = (self._tail + data).find(_END)
        size = self._pending + (len(data) if end < 0 else end + len(_END) - len(self._tail))
        if size > self._most:
            raise HeaderTooLargeError("the header fields are too large")

    def _account(self, data: bytes, messages: Sequence[tuple[Any, Any]], upgraded: bool) -> None:
        before, had_body, joined = self._pending, self._body is not None, self._tail + data
        if messages:
            self._body = messages[-1][1]
        if upgraded:
            self._note(0, b"")
        elif self._body is not None and not self._body.is_eof():
            if messages:
                self._left = self._rest_of_body(data, messages, had_body)
            elif self._left is not None:
                self._left -= len(data)
            self._note(0, b"")
            self._tail = joined[-3:] if self._left is None else b""
        elif messages or had_body:
            self._note(self._behind(data, messages, had_body), data)
            self._body, self._left = None, 0
        elif before:
            self._note(before + len(data), joined)
        else:
            self._note(len(data.lstrip(b"\r\n")), data)

    def _position(
        self, data: bytes, messages: Sequence[tuple[Any, Any]], had_body: bool
    ) -> int | None:
        """Where the last request ends, its body included; None where nobody can tell."""
        position = self._left if had_body else -len(self._tail)
        joined = self._tail + data
        for message, _ in messages:
            if position is None:
                return None
            end = joined.find(_END, position + len(self._tail))
            if end < 0 or message.chunked:
                return None
            length = message.headers.get("Content-Length", "0")
            if not length.isascii() or not length.isdecimal():
                return None
            position = end + len(_END) - len(self._tail) + int(length)
        return position

    def _rest_of_body(
        self, data: bytes, messages: Sequence[tuple[Any, Any]], had_body: bool
    ) -> int | None:
        position = self._position(data, messages, had_body)
        return None if position is None else position - len(data)

    def _behind(self, data: bytes, messages: Sequence[tuple[Any, Any]], had_body: bool) -> int:
        """How many bytes stand behind the last request; at least one, if not even that is known.

        Where no length is told, a request ends in an empty line.
        """
        position = self._position(data, messages, had_body)
        if position is None:
            return 0 if (self._tail + data).endswith(_END) or not data else 1
        return len(data[max(0, position) :].lstrip(b"\r\n"))

    def _note(self, pending: int, data: bytes) -> None:
        if pending and not self._pending:
            self._began = self._loop.time()
        self._pending = pending
        self._tail = data[-3:] if pending else b""
        if not pending:
            self._stop_clock()
        elif self._timer is None:
            self._timer = self._loop.call_at(self._deadline(), self._look)

    def _deadline(self) -> float:
        limits = self._limits
        more = self._pending / limits.header_bytes_per_second
        return self._began + limits.header_seconds + more

    def _look(self) -> None:
        self._timer = None
        now = self._loop.time()
        if self._queued():
            # The queue is full of requests that came whole; the parser has not gone on.
            self._began = now
        if now < self._deadline():
            self._timer = self._loop.call_at(self._deadline(), self._look)
        else:
            self._expired()
