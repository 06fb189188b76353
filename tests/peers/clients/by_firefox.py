"""Shows a page in Firefox, by WebDriver BiDi: by_firefox.py PROGRAM PROFILE URL [NAME=VALUE ...]

The last arguments are preferences, whose values are texts. BiDi is JSON over a WebSocket that
Firefox opens on loopback, so nothing else is needed to speak it.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import re
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from aiohttp import ClientSession, ClientWebSocketResponse

LIMIT_S = 60
OPENED = re.compile(rb"WebDriver BiDi listening on (ws://\S+)")
QUIET = {
    "app.update.enabled": False,
    "browser.shell.checkDefaultBrowser": False,
    "datareporting.policy.dataSubmissionEnabled": False,
    "network.proxy.type": 0,
    "toolkit.telemetry.enabled": False,
}


class Session:
    """Commands and their answers, one after the other."""

    def __init__(self, socket: ClientWebSocketResponse) -> None:
        self._socket = socket
        self._numbers = itertools.count(1)

    async def call(self, method: str, **parameters: Any) -> Any:
        number = next(self._numbers)
        await self._socket.send_json({"id": number, "method": method, "params": parameters})
        while True:
            answer = await self._socket.receive_json()
            if answer.get("id") == number:
                if answer["type"] != "success":
                    raise SystemExit(f"{method}: {answer['error']}")
                return answer["result"]


async def show(session: Session, url: str) -> str:
    capabilities = {"alwaysMatch": {"acceptInsecureCerts": True}}
    await session.call("session.new", capabilities=capabilities)
    tree = await session.call("browsingContext.getTree")
    context = tree["contexts"][0]["context"]
    await session.call("browsingContext.navigate", context=context, url=url, wait="complete")
    seen = await session.call(
        "script.evaluate",
        expression="document.body.innerText",
        target={"context": context},
        awaitPromise=False,
    )
    return str(seen["result"]["value"])


async def address(errors: asyncio.StreamReader) -> str:
    async for line in errors:
        if found := OPENED.search(line):
            return found[1].decode()
    raise SystemExit("Firefox opened no BiDi socket")


def prepare(profile: Path, preferences: Sequence[str]) -> None:
    chosen = QUIET | dict(text.split("=", 1) for text in preferences)
    lines = (f"user_pref({json.dumps(name)}, {json.dumps(chosen[name])});" for name in chosen)
    profile.mkdir(parents=True, exist_ok=True)
    (profile / "user.js").write_text("\n".join(lines))


async def main(program: str, profile: str, url: str, *preferences: str) -> None:
    prepare(Path(profile), preferences)
    process = await asyncio.create_subprocess_exec(
        program, "--headless", "--no-remote", "--remote-debugging-port", "0", "--profile", profile,
        stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE, start_new_session=True,
    )  # fmt: skip
    assert process.stderr is not None
    try:
        async with asyncio.timeout(LIMIT_S):
            where = await address(process.stderr)
            async with ClientSession() as http, http.ws_connect(f"{where}/session") as socket:
                print(await show(Session(socket), url))
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        await process.wait()


asyncio.run(main(*sys.argv[1:]))
