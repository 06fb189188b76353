"""A server in a process of its own that logs, or not, as its first argument says."""

from __future__ import annotations

import logging
import logging.config
import sys
from collections.abc import Awaitable, Callable

from aiohttp import web

from authsrv.aiohttp import run_app, setup
from authsrv.core.identity import Identity
from authsrv.core.results import Established
from authsrv.providers.scripted import Act, ScriptedProvider

OWN = "own %(name)s %(message)s"


def log_in(token: bytes) -> Act:
    return Established(Identity(token.decode(), "scripted"))


async def crash(request: web.Request) -> web.Response:
    raise RuntimeError("the application's own")


async def late(app: web.Application) -> None:
    logging.basicConfig(level=logging.INFO, format=OWN)


def give_a_handler(name: str) -> None:
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter(OWN))
    logging.getLogger(name).addHandler(handler)


def late_and_only(name: str) -> Callable[[web.Application], Awaitable[None]]:
    async def give(app: web.Application) -> None:
        give_a_handler(name)

    return give


app = web.Application()
app.router.add_get("/crash", crash)
STRATEGIES: dict[str, Callable[[], object]] = {
    "nothing": lambda: None,
    "root": lambda: logging.basicConfig(level=logging.WARNING, format=OWN),
    "authsrv": lambda: give_a_handler("authsrv"),
    "audit": lambda: give_a_handler("authsrv.audit"),
    "silent": lambda: logging.getLogger("authsrv").addHandler(logging.NullHandler()),
    "level": lambda: logging.getLogger("authsrv").setLevel(logging.WARNING),
    "late": lambda: app.on_startup.append(late),
    "late authsrv": lambda: app.on_startup.append(late_and_only("authsrv")),
    "late audit": lambda: app.on_startup.append(late_and_only("authsrv.audit")),
}
STRATEGIES[sys.argv[1]]()
setup(app, provider=ScriptedProvider([log_in]))
run_app(app, host="127.0.0.1", port=0)
