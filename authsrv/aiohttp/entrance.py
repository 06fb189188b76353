"""Where requests enter an application: its router, which resolves each of them first of all.

aiohttp runs a coroutine of its own around every handler as soon as an application has one
middleware; requests that need no authentication would pay for it. Nothing of an application, no
middleware either, sees a request before the router has; so this is as safe a place to ask who is
there.
"""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Protocol

from aiohttp import hdrs, web

from authsrv.http.exchange import Requirement
from authsrv.http.reply import Reply

__all__ = ["Doorkeeper", "guard_entrance", "respond"]


class Doorkeeper(Protocol):
    """Decides who comes in.

    Source: RFC 9110 section 11.
    """

    def requirement(self, request: web.Request) -> Requirement:
        """Say what a request needs.

        Args:
            request: The request, already matched by the router.

        Returns:
            What it needs; OPEN lets it in without a further question.

        Source: RFC 9110 section 11.
        """

    def admit(self, request: web.Request, requirement: Requirement) -> Awaitable[Reply | None]:
        """Answer a request that may not come in.

        Args:
            request: The request, from the client, untrusted.
            requirement: What it needs.

        Returns:
            The answer, or None for a request that may come in.

        Source: RFC 9110 section 11.6.
        """


class _NotAdmitted(web.HTTPException):
    """Carries the answer past all that the application would do."""

    def __init__(self, reply: Reply) -> None:
        self.status_code = int(reply.status)
        super().__init__(headers=reply.headers, text=reply.text)


def respond(reply: Reply) -> web.Response:
    """Make the response of a middleware.

    Args:
        reply: What to answer.

    Returns:
        The same for aiohttp.

    Source: RFC 9110 section 15.
    """
    return web.Response(status=reply.status, headers=reply.headers, text=reply.text)


def guard_entrance(app: web.Application, keeper: Doorkeeper) -> None:
    """Let the doorkeeper see every request of an application as soon as it is resolved.

    Args:
        app: The application that the server runs, not one that is mounted in another: there, the
            middlewares of the outer one come first.
        keeper: Who decides.

    Source: aiohttp, AbstractRouter.resolve.
    """
    router = app.router
    resolve = router.resolve

    async def resolve_and_ask(request: web.Request) -> web.UrlMappingMatchInfo:
        match = await resolve(request)
        if request._match_info is not None:
            # A copy of a request that came in: a middleware asks what another path would lead to.
            return match
        request._match_info = match  # aiohttp does the same, later
        requirement = keeper.requirement(request)
        if requirement is Requirement.OPEN:
            return match
        reply = await keeper.admit(request, requirement)
        if reply is None:
            return match
        await _expect(request, match)
        match.add_app(app)
        raise _NotAdmitted(reply)

    router.resolve = resolve_and_ask  # type: ignore[method-assign]


async def _expect(request: web.Request, match: web.UrlMappingMatchInfo) -> None:
    """Ask for the body of a request that is refused, where the client waits to be asked.

    Without it, the connection could not go on: nobody knows whether the body still comes, and
    some handshakes need the connection.
    """
    if hdrs.EXPECT in request.headers:
        await match.expect_handler(request)
