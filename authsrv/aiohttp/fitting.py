"""Whether the server's limits for header fields fit the tokens of Negotiate."""

from __future__ import annotations

import enum
from typing import Any

from aiohttp import web

from authsrv.aiohttp.bounds import largest_field
from authsrv.aiohttp.routes import mounted
from authsrv.core.limits import DEFAULT_LIMITS, Limits
from authsrv.core.settings import as_instance

__all__ = ["HeaderLimit", "header_limit", "server_settings"]

_LIMIT: web.AppKey[HeaderLimit] = web.AppKey("authsrv.header-limit")


class HeaderLimit(enum.Enum):
    """What is known of the server's limit for header fields.

    Source: aiohttp, max_field_size.
    """

    FITTING = "fitting"
    """It was set by this module."""
    UNKNOWN = "unknown"
    """The server was started by somebody else."""


def header_limit(app: web.Application) -> HeaderLimit:
    """Tell what is known of the limit of the server that runs an application.

    Args:
        app: The application.

    Returns:
        FITTING if server_settings was asked for this application.

    Source: aiohttp, max_field_size.
    """
    return app.get(_LIMIT, HeaderLimit.UNKNOWN)


def server_settings(app: web.Application, *, limits: Limits = DEFAULT_LIMITS) -> dict[str, Any]:
    """The settings for whoever runs the application with a runner of their own.

    `web.AppRunner(app, **server_settings(app))` accepts large tokens. It still quotes the beginning
    of a field that is over even this limit; AppRunner of this module does not.

    Args:
        app: The application; it is noted that its server's limits fit.
        limits: max_token_bytes is read.

    Returns:
        Keyword arguments for web.AppRunner or web.run_app.

    Raises:
        ConfigError: limits is something else.

    Source: aiohttp, max_field_size.
    """
    as_instance(Limits, limits, "limits")
    _mark_fitting(app)
    return {"max_field_size": largest_field(limits)}


def _mark_fitting(app: web.Application) -> None:
    # A mounted one has a start of its own, and cannot see the application that mounts it.
    for each in (app, *mounted(app)):
        each[_LIMIT] = HeaderLimit.FITTING
