"""The question that a server asks itself before it listens: is a stranger challenged here?

It goes over a socket to the very server that will listen, and by everything that a request goes by.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from dataclasses import dataclass

from aiohttp import hdrs, web

from authsrv.aiohttp.middleware import AUTH, NegotiateAuth
from authsrv.aiohttp.placing import SelfCheck
from authsrv.aiohttp.routes import mounted, places
from authsrv.errors import ConfigError
from authsrv.http.exchange import Requirement

__all__ = ["ask_itself"]

_PATIENCE_S = 10.0
_STRANGER: dict[str, str] = {}


@dataclass(frozen=True, slots=True)
class _Question:
    """A request that must be challenged."""

    auth: NegotiateAuth
    app: web.Application
    method: str
    path: str
    host: str

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


async def ask_itself(runner: web.AppRunner) -> None:
    """Ask a protected route of each application that was set up, without a token.

    The runner is set up, and does not listen yet.

    Raises:
        ConfigError: A route that requires authentication answered a stranger.
    """
    for app in (runner.app, *mounted(runner.app)):
        question = next(_questions(runner.app, app), None) if AUTH in app else None
        if question is not None:
            await _ask(runner, question)


def _questions(outermost: web.Application, app: web.Application) -> Iterator[_Question]:
    """The routes that can be asked: their path has no variable part."""
    auth = app[AUTH]
    own = {id(place.resource) for place in places(app)}
    for place in places(outermost):
        path = place.resource.canonical
        domain = place.domains[0] if len(place.domains) == 1 else ""
        if id(place.resource) not in own or "{" in path or set("\\*") & set(domain):
            continue
        for route in place.resource:
            method = hdrs.METH_GET if route.method == hdrs.METH_ANY else route.method
            needed = auth.rules.requirement_of(route, method, _STRANGER)
            if needed is Requirement.REQUIRED and (not place.domains or domain):
                yield _Question(auth, app, method, path or "/", domain or "localhost")


async def _ask(runner: web.AppRunner, question: _Question) -> None:
    check = question.auth.self_check = SelfCheck()
    try:
        async with asyncio.timeout(_PATIENCE_S):
            status = await _status_of(runner, question, check)
    except (TimeoutError, OSError, ValueError, IndexError) as error:
        raise ConfigError(
            f"the server asked itself for {question} and got no answer ({type(error).__name__})"
        ) from None
    finally:
        question.auth.self_check = None
    # What an outer application answers by itself, a redirection perhaps, lets nobody in.
    answered_before = question.app is not runner.app and status >= 300
    if not answered_before and not (check.is_challenged and status == 401):
        raise ConfigError(
            f"{question} requires authentication, and answered a request without a token: "
            f"{status}. The server does not start"
        )


async def _status_of(runner: web.AppRunner, question: _Question, check: SelfCheck) -> int:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    theirs.setblocking(False)
    assert runner.server is not None
    try:
        await asyncio.get_running_loop().connect_accepted_socket(runner.server, theirs)
        reader, writer = await asyncio.open_connection(sock=ours)
    except BaseException:
        ours.close()
        theirs.close()
        raise
    try:
        lines = (
            f"{question.method} {question.path} HTTP/1.1",
            f"Host: {question.host}",
            "Connection: close",
            check.header,
        )
        writer.write("\r\n".join((*lines, "", "")).encode())
        return int((await reader.readline()).split(b" ")[1])
    finally:
        writer.close()
