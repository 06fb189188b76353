"""What was decided on a request, and whether that is still good for where the request is now.

A middleware may resolve a request again: another path, another method. What was decided before
says nothing of the route that it leads to now, so nobody is known there until `guard` was asked.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import Protocol

from aiohttp import web

from authsrv.core.identity import Identity
from authsrv.errors import ConfigError
from authsrv.http.exchange import Requirement
from authsrv.http.headers import build_challenge
from authsrv.http.reply import ErrorResponse

__all__ = [
    "ADMISSION",
    "Admission",
    "AuthenticationRequired",
    "Decider",
    "Decision",
    "Refusal",
    "demand_identity",
    "guard",
    "identity_of",
    "respond",
]

_LOG = logging.getLogger("authsrv")


class Decider(Protocol):
    """Who decides on requests."""

    async def guard(self, request: web.Request) -> None:
        """Decide on a request where the router has led it now.

        Raises:
            web.HTTPException: It may not go on.
        """


@dataclass(frozen=True, slots=True)
class Decision:
    """What requests need on one route by one method, and who decided it."""

    guard: Decider
    route: web.AbstractRoute
    method: str
    requirement: Requirement


@dataclass(slots=True, eq=False)
class Admission:
    """How a request was let in, where it was decided on last.

    Args:
        decision: What was decided.
        identity: The client, where it is known.
        proof: The fields of the response by which the server proves itself. A request and its
            clones share them, as there is one response.
    """

    decision: Decision
    identity: Identity | None = None
    proof: dict[str, str] = field(default_factory=dict)


ADMISSION: web.RequestKey[Admission] = web.RequestKey("authsrv.admission", Admission)


class AuthenticationRequired(web.HTTPUnauthorized):
    """The answer that asks the client to authenticate; a handler may raise it, too."""

    def __init__(self) -> None:
        headers = {"WWW-Authenticate": build_challenge(), "Cache-Control": "no-store"}
        super().__init__(headers=headers, text="Authentication is required.\n")


class Refusal(web.HTTPException):
    """Carries an answer past every handler that comes after the middleware."""

    def __init__(self, reply: ErrorResponse) -> None:
        self.status_code = int(reply.status)
        super().__init__(headers=reply.headers, text=reply.text)


def respond(reply: ErrorResponse) -> web.Response:
    """Make the response of a middleware."""
    return web.Response(status=reply.status, headers=reply.headers, text=reply.text)


def identity_of(request: web.Request) -> Identity | None:
    """Who sent a request, by what was decided on it where it is now.

    None where nobody is known, or nothing was decided on this route and method.
    """
    try:
        made = request[ADMISSION]
    except KeyError:
        return None
    if made.decision.method != request.method:
        return None
    return made.identity if made.decision.route is request.match_info.route else None


async def guard(request: web.Request) -> None:
    """Decide anew on a request that a middleware has resolved again; it has the new match.

    Raises:
        ConfigError: No `setup` covers the request.
        web.HTTPException: The request may not go on: a challenge or a refusal.
    """
    made = request.get(ADMISSION)
    if made is None:
        raise ConfigError("guard was asked about a request that no setup covers")
    await made.decision.guard.guard(request)


def demand_identity(request: web.Request | None) -> None:
    """Let a request in only where its client is known; by what was decided on this very route.

    Raises:
        AuthenticationRequired: Nobody is known, or there is no request.
    """
    if request is not None and identity_of(request) is not None:
        return
    _LOG.error(
        "refused a request at a handler that requires authentication: its client is not known. "
        "Was its mark lost under a decorator, or does a middleware resolve again without "
        "authsrv.aiohttp.guard(request)?"
    )
    raise AuthenticationRequired
