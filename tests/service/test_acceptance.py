"""The answer that lets a request in, as a proxy reads it from the connection."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from authsrv.aiohttp.runner import handler_runner
from authsrv.errors import ProviderFaultError
from authsrv.service.asks.acceptance import Acceptance

FIELDS = ((b"Remote-User", b"alice"), (b"X-Authsrv-Cookie", b"a=\xe9\xff; b=2"), (b"Empty", b""))


async def accept(request: web.BaseRequest) -> web.Response:
    response = Acceptance(FIELDS)
    if request.raw_path == "/last":
        response.force_close()
    return response


@asynccontextmanager
async def asked(request: bytes) -> AsyncIterator[tuple[bytes, bool]]:
    """Gives what a server answers to a request sent twice, and whether it closed the connection."""
    runner = await handler_runner(accept, access_log=None)
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        reader, writer = await asyncio.open_connection(*runner.addresses[0][:2])
        writer.write(request)
        first = await reader.readuntil(b"\r\n\r\n")
        writer.write(request)
        try:
            async with asyncio.timeout(5):
                is_closed = not await reader.read(1)
        finally:
            writer.close()
        yield first, is_closed
    finally:
        await runner.cleanup()


@pytest.mark.parametrize(
    ("request_line", "field", "connection", "is_closed"),
    [
        (b"GET / HTTP/1.1", b"", None, False),
        (b"GET / HTTP/1.1", b"Connection: close\r\n", b"close", True),
        (b"GET / HTTP/1.0", b"", b"close", True),
        (b"GET / HTTP/1.0", b"Connection: keep-alive\r\n", b"keep-alive", False),
        (b"GET /last HTTP/1.1", b"", b"close", True),
        (b"HEAD / HTTP/1.1", b"", None, False),
    ],
)
async def test_it_is_written_whole_and_the_connection_stays_open_where_it_may(
    request_line: bytes, field: bytes, connection: bytes | None, is_closed: bool
) -> None:
    request = request_line + b"\r\nHost: x\r\n" + field + b"\r\n"
    async with asked(request) as (answer, closed):
        status, *lines = answer.removesuffix(b"\r\n\r\n").split(b"\r\n")
    found = dict(line.split(b": ", 1) for line in lines)
    assert status == b"HTTP/1.1 200 OK"
    assert found.pop(b"Date").endswith(b" GMT")
    assert found.pop(b"Connection", None) == connection
    assert found == {b"Content-Length": b"0", **dict(FIELDS)}
    assert closed is is_closed


@pytest.mark.parametrize("end", [b"\r", b"\n", b"\0", b"\r\nRemote-User: root"])
def test_no_value_ends_its_field(end: bytes) -> None:
    with pytest.raises(ProviderFaultError):
        Acceptance([(b"Remote-User", b"alice" + end)])
