"""An application behind a proxy: it tells all that it was sent, and echoes over a WebSocket."""

from __future__ import annotations

import asyncio
import itertools

from aiohttp import WSMsgType, web

COUNTER = itertools.count(1)


async def tell(request: web.Request) -> web.StreamResponse:
    if request.headers.get("Upgrade", "").lower() == "websocket":
        return await echo(request)
    fields = [[name.decode("latin-1"), value.decode("latin-1")] for name, value in
              request.raw_headers]  # fmt: skip
    told = {
        "method": request.method,
        "target": request.raw_path,
        "fields": fields,
        "number": next(COUNTER),
        "body": await request.text(),
    }
    return web.json_response(told, headers={"X-Application": "echo"})


async def echo(request: web.Request) -> web.WebSocketResponse:
    socket = web.WebSocketResponse()
    await socket.prepare(request)
    await socket.send_str(request.headers.get("Remote-User", ""))
    async for message in socket:
        if message.type == WSMsgType.TEXT:
            await socket.send_str(message.data)
    return socket


async def started(app: web.Application) -> web.AppRunner:
    runner = web.AppRunner(app, max_field_size=131_072)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(f"listening on 127.0.0.1:{runner.addresses[0][1]}", flush=True)
    return runner


async def forever() -> None:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", tell)
    runner = await started(app)
    try:
        await asyncio.Event().wait()
    finally:
        await runner.cleanup()


if __name__ == "__main__":
    asyncio.run(forever())
