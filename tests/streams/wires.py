"""Connections without a network: what comes in is fed by hand, what goes out is kept."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import cast

from waiting import until

from authsrv.codecs.nns import (
    HandshakeMessage,
    MissingBytes,
    build_message,
    parse_message,
)

__all__ = ["FakeWriter", "Wire", "joined", "parsed", "pieces", "settle", "until"]


class FakeWriter:
    """The writing half of a connection, which keeps what is written or hands it on."""

    def __init__(self, hand_on: Callable[[bytes], None] | None = None) -> None:
        self.written = bytearray()
        self.is_clogged = False
        self.is_lost = False
        self._hand_on = hand_on

    def write(self, data: bytes) -> None:
        self.written += data
        if self._hand_on is not None:
            self._hand_on(data)

    async def drain(self) -> None:
        if self.is_lost:
            raise ConnectionResetError("the connection was lost")
        if self.is_clogged:
            await asyncio.Event().wait()

    def is_closing(self) -> bool:
        return self.is_lost


class Wire:
    """One end of a connection, as a server or a client has it."""

    def __init__(self, writer: FakeWriter | None = None) -> None:
        self.reader = asyncio.StreamReader()
        self.fake = writer or FakeWriter()

    @property
    def writer(self) -> asyncio.StreamWriter:
        return cast(asyncio.StreamWriter, self.fake)

    def feed(self, data: bytes) -> None:
        self.reader.feed_data(data)

    def hang_up(self) -> None:
        self.reader.feed_eof()

    async def feed_in_pieces(self, *chunks: bytes) -> None:
        for chunk in chunks:
            self.feed(chunk)
            await settle()

    @property
    def sent(self) -> list[HandshakeMessage]:
        """The messages that were written to the connection."""
        return parsed(bytes(self.fake.written))

    async def has_sent(self, count: int) -> None:
        await until(lambda: len(self.sent) >= count)


def parsed(data: bytes) -> list[HandshakeMessage]:
    """All messages in some bytes, which hold nothing else."""
    messages = []
    while data:
        part = parse_message(data)
        assert not isinstance(part, MissingBytes), "the bytes end within a message"
        messages.append(part.message)
        data = data[part.used :]
    return messages


def joined(*messages: HandshakeMessage) -> bytes:
    """Messages as one string of bytes."""
    return b"".join(map(build_message, messages))


def pieces(data: bytes, size: int) -> Iterator[bytes]:
    """Some bytes, cut every so many."""
    return (data[start : start + size] for start in range(0, len(data), size))


async def settle() -> None:
    """Let the loop do all that it can do without threads."""
    for _ in range(5):
        await asyncio.sleep(0)
