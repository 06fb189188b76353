"""Bounds of what a client may send as header fields, by real sockets: how much, and how long."""

from __future__ import annotations

import asyncio
import logging
from contextlib import AsyncExitStack, suppress

import pytest
from aiohttp import ClientSession, web
from sites import Answer, Site, Wire, connected, field, served
from waiting import until

from authsrv.aiohttp import AccessRules
from authsrv.aiohttp.bounds import largest_field
from authsrv.core.limits import DEFAULT_LIMITS, Limits

TOO_LARGE = (431, "The header fields of the request are too large.\n")
TOO_SLOW = (408, "The request did not come in time.\n")
BIG_FIELD = 87_000
HEAD = b"GET / HTTP/1.1\r\nHost: localhost\r\n"
QUICK = Limits(header_seconds=0.4, header_bytes_per_second=100_000)


def told(answer: Answer) -> tuple[int, str]:
    return answer.status, answer.text


async def refusal(wire: Wire) -> tuple[int, str]:
    answer = await wire.answer()
    assert await wire.is_closed()
    return told(answer)


async def test_many_large_fields_that_never_end_are_cut_off(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    site = Site()
    most = largest_field(DEFAULT_LIMITS) + DEFAULT_LIMITS.max_header_bytes
    async with served(site.app) as port, connected(port) as wire:
        wire.writer.write(HEAD)
        sent = 0
        with suppress(ConnectionError):
            for number in range(120):
                wire.writer.write(b"X-%d: " % number + b"SECRET" * (BIG_FIELD // 6) + b"\r\n")
                await wire.writer.drain()
                sent += BIG_FIELD
                await asyncio.sleep(0.01)
                if "cause=bad-request" in caplog.text:
                    break
        # What the sockets between us hold comes on top.
        assert sent < most + 2 * BIG_FIELD
        assert await refusal(wire) == TOO_LARGE
    assert "http=431" in caplog.text
    assert "SECRET" not in caplog.text


@pytest.mark.parametrize(("more", "status"), [(0, 200), (1, 431)])
@pytest.mark.parametrize("pieces", [1, 7])
async def test_the_sum_of_the_fields_is_bounded_to_the_byte(
    more: int, status: int, pieces: int
) -> None:
    site = Site(limits=Limits(max_token_bytes=300))
    limits = Limits(max_token_bytes=300, max_header_bytes=4_000)
    head = HEAD + f"Authorization: {field(b'alice')}\r\n".encode()
    room = largest_field(limits) + 4_000 - len(head) - len(b"\r\n")
    for name in (b"A", b"B", b"C", b"D", b"E", b"F", b"G", b"H"):
        size = min(room, 600)
        head += name + b": " + b"x" * (size - 5) + b"\r\n"
        room -= size
    assert room == 0
    head = head.replace(b"A: ", b"A: " + b"x" * more) + b"\r\n"
    async with served(site.app, limits=limits) as port, connected(port) as wire:
        step = -(-len(head) // pieces)
        for start in range(0, len(head), step):
            wire.writer.write(head[start : start + step])
            await wire.writer.drain()
            await asyncio.sleep(0.01)
        assert (await wire.answer()).status == status


@pytest.mark.parametrize("first", [b"GET /", HEAD, HEAD + b"X-Slow: "])
async def test_a_header_that_drips_is_refused_in_time(
    first: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    site = Site()
    async with served(site.app, limits=QUICK) as port, connected(port) as wire:
        loop = asyncio.get_running_loop()
        began = loop.time()
        wire.writer.write(first)

        async def drip() -> None:
            with suppress(ConnectionError):
                while True:
                    await asyncio.sleep(0.05)
                    wire.writer.write(b"E")

        dripping = asyncio.create_task(drip())
        answer = await wire.answer()
        dripping.cancel()
        assert told(answer) == TOO_SLOW
        assert 0.35 < loop.time() - began < 3
        assert "http=408" in caplog.text


BEFORE = {
    "get": b"GET /open HTTP/1.1\r\nHost: x\r\n\r\n",
    "length": b"POST /open HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n12345",
    "chunked": b"POST /open HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"5\r\n12345\r\n0\r\n\r\n",
}


def open_site() -> Site:
    async def read(request: web.Request) -> web.Response:
        return web.Response(text=await request.text())

    site = Site(rules=AccessRules(open_paths=("/open",)))
    site.app.router.add_route("*", "/open", read)
    return site


@pytest.mark.parametrize("pieces", ["at once", "apart", "split"])
@pytest.mark.parametrize("before", BEFORE)
async def test_a_header_that_begins_behind_another_request_is_bounded_too(
    before: str, pieces: str
) -> None:
    data = BEFORE[before] * 2
    async with served(open_site().app, limits=QUICK) as port, connected(port) as wire:
        if pieces == "at once":
            wire.writer.write(data + HEAD)
        else:
            cut = len(data) - 3 if pieces == "split" else len(data)
            for piece in (data[:cut], data[cut:] + HEAD):
                wire.writer.write(piece)
                await wire.writer.drain()
                await asyncio.sleep(0.05)
        assert [(await wire.answer()).status for _ in range(2)] == [200, 200]
        assert await refusal(wire) == TOO_SLOW


@pytest.mark.parametrize("end", [b"", b"\r\n"])
@pytest.mark.parametrize("before", BEFORE)
async def test_the_silence_between_two_requests_is_not_bounded(before: str, end: bytes) -> None:
    async with served(open_site().app, limits=QUICK) as port, connected(port) as wire:
        for cut in (len(BEFORE[before]), 20, len(BEFORE[before]) - 2):
            wire.writer.write(BEFORE[before][:cut])
            await wire.writer.drain()
            await asyncio.sleep(0.05)
            wire.writer.write(BEFORE[before][cut:] + end)
            assert (await wire.answer()).status == 200
            await asyncio.sleep(0.6)
        assert (await wire.ask(token=b"alice")).text == "alice"


async def test_a_body_takes_as_long_as_it_takes() -> None:
    async with served(open_site().app, limits=QUICK) as port, connected(port) as wire:
        wire.writer.write(b"POST /open HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n")
        for _ in range(10):
            await asyncio.sleep(0.08)
            wire.writer.write(b"x")
        assert told(await wire.answer()) == (200, "x" * 10)


async def test_an_upgraded_connection_is_not_bounded() -> None:
    async def echo(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for message in socket:
            await socket.send_str(message.data)
        return socket

    site = Site(rules=AccessRules(open_paths=("/socket",)))
    site.app.router.add_get("/socket", echo)
    async with served(site.app, limits=QUICK) as port, ClientSession() as session:
        async with session.ws_connect(f"http://127.0.0.1:{port}/socket") as socket:
            for text in ("one", "two"):
                await socket.send_str(text)
                assert await socket.receive_str() == text
                await asyncio.sleep(0.6)


async def test_an_honest_slow_client_gets_in() -> None:
    """More than the time that everybody has, at more than the rate that is asked for."""
    limits = Limits(header_seconds=0.3, header_bytes_per_second=500)
    async with served(Site().app, limits=limits) as port, connected(port) as wire:
        head = HEAD + f"Authorization: {field(b'alice')}\r\nX: {'x' * 900}\r\n\r\n".encode()
        for start in range(0, len(head), 100):
            wire.writer.write(head[start : start + 100])
            await wire.writer.drain()
            await asyncio.sleep(0.1)
        assert told(await wire.answer()) == (200, "alice")


async def test_pipelined_requests_wait_for_a_slow_handler_and_are_no_fault() -> None:
    freed = asyncio.Event()

    async def wait(request: web.Request) -> web.Response:
        await freed.wait()
        return web.Response(text="in")

    site = Site(rules=AccessRules(open_paths=("/wait",)))
    site.app.router.add_get("/wait", wait)
    async with served(site.app, limits=QUICK) as port, connected(port) as wire:
        wire.writer.write(b"GET /wait HTTP/1.1\r\nHost: x\r\n\r\n" * 80)
        await asyncio.sleep(1)
        freed.set()
        assert [(await wire.answer()).status for _ in range(80)] == [200] * 80


async def test_nothing_is_kept_of_clients_that_leave_within_a_header() -> None:
    site = Site()
    async with served(site.app) as port, AsyncExitStack() as stack:
        wires = [await stack.enter_async_context(connected(port)) for _ in range(5)]
        timers = len(asyncio.get_running_loop()._scheduled)  # type: ignore[attr-defined]
        for wire in wires:
            wire.writer.write(HEAD)
            await wire.writer.drain()
        await asyncio.sleep(0.1)
        for wire in wires:
            wire.writer.transport.abort()
        await asyncio.sleep(0.1)

        def pending() -> int:
            scheduled = asyncio.get_running_loop()._scheduled  # type: ignore[attr-defined]
            return sum(not handle.cancelled() for handle in scheduled)

        await until(lambda: pending() <= timers)
