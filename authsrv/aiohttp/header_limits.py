"""Whether the server's limits for header fields fit the tokens of Negotiate."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from authsrv.aiohttp.bounds import largest_field
from authsrv.aiohttp.routes import mounted
from authsrv.core.limits import DEFAULT_LIMITS, Limits
from authsrv.core.settings import as_instance

__all__ = ["is_fitting", "server_settings"]

_IS_FITTING: web.AppKey[bool] = web.AppKey("authsrv.fitting-limits", bool)


def is_fitting(app: web.Application) -> bool:
    """Whether `server_settings` was asked for an application; else nobody knows its limits."""
    return app.get(_IS_FITTING, False)


def server_settings(app: web.Application, *, limits: Limits = DEFAULT_LIMITS) -> dict[str, Any]:
    """Keyword arguments for web.AppRunner or web.run_app, for whoever calls these.

    `web.AppRunner(app, **server_settings(app))` accepts large tokens. It still quotes the beginning
    of a field that is over even this limit; AppRunner of authsrv.aiohttp does not.

    Args:
        app: The application; it is noted that its server's limits fit.
        limits: max_token_bytes is read.

    Raises:
        ConfigError: limits is something else.
    """
    as_instance(Limits, limits, "limits")
    _mark_fitting(app)
    return {"max_field_size": largest_field(limits)}


def _mark_fitting(app: web.Application) -> None:
    # A mounted one has a start of its own, and cannot see the application that mounts it.
    for each in (app, *mounted(app)):
        each[_IS_FITTING] = True
