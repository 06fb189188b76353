"""A request that asks, before it sends its body, whether it is welcome.

aiohttp says "go on" before any middleware sees the request. Here, who is refused gets the answer
instead, and the connection is closed: nobody knows whether the body still comes. Only a handshake
under way needs its connection, and asks for the body. This lets nobody in: whoever is welcome here
comes to the middleware next.
"""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import HttpVersion11, hdrs, web

from authsrv.aiohttp import _private
from authsrv.aiohttp.decisions import respond
from authsrv.aiohttp.middleware import AUTH, NegotiateAuth
from authsrv.http.exchange import Requirement

__all__ = ["ask_before_continue"]

_Handle = Callable[[Any], Awaitable[web.StreamResponse]]


def ask_before_continue(app: web.Application, handle: _Handle) -> _Handle:
    """Put the question before the answer "go on" (RFC 9110 section 10.1.1).

    Args:
        app: The application that the server runs.
        handle: How the server handles a request; what is returned takes its place.
    """

    def handle_expecting(request: web.Request) -> Awaitable[web.StreamResponse]:
        if hdrs.EXPECT in request.headers and _waits(request):
            return _answer_waiting(app, handle, request)
        return handle(request)

    return handle_expecting


def _waits(request: web.Request) -> bool:
    expected = request.headers[hdrs.EXPECT].lower()
    return expected == "100-continue" and request.version == HttpVersion11


async def _answer_waiting(
    app: web.Application, handle: _Handle, request: web.Request
) -> web.StreamResponse:
    match = await app.router.resolve(request)
    auth = _auth_of(app, match)
    if auth is None:
        return await handle(request)
    decision = auth.decide_on(request, match)
    if decision.requirement is Requirement.OPEN:
        return await handle(request)
    reply = await auth.admit(request, decision)
    if reply is None:
        return await handle(request)
    response = respond(reply)
    if auth.awaits_token(request):
        answered = await match.expect_handler(request)
        return response if answered is None else answered
    await _end(request, response)
    return response


def _auth_of(app: web.Application, match: web.UrlMappingMatchInfo) -> NegotiateAuth | None:
    for each in (app, *match.apps):
        if AUTH in each:
            return each[AUTH]
    return None


async def _end(request: web.Request, response: web.Response) -> None:
    response.force_close()
    with contextlib.suppress(ConnectionError):
        await response.prepare(request)
        await response.write_eof()
        await _private.linger(request.protocol)
    request.protocol.force_close()
