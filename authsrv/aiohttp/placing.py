"""Whether the middleware is where it must be, told by aiohttp's public interface."""

from __future__ import annotations

import hmac
import secrets
from typing import Any

from aiohttp import web

from authsrv.errors import ConfigError

__all__ = ["SelfCheck", "check_place"]

_FIELD = "X-Authsrv-Self-Check"


class SelfCheck:
    """The request by which a server asks itself, before it listens.

    It is told from others by a secret of the process, which goes over no network.

    Source: authsrv README, Your own application.
    """

    def __init__(self) -> None:
        self._secret = secrets.token_hex(16)
        self.is_challenged = False

    @property
    def header(self) -> str:
        """The header field of the request.

        Source: RFC 9110 section 5.
        """
        return f"{_FIELD}: {self._secret}"

    def recognize(self, request: web.Request) -> bool:
        """Note that the request was challenged; it belongs into no audit.

        Args:
            request: Any request that is challenged.

        Returns:
            Whether it is the server's own.

        Source: RFC 9110 section 15.5.2.
        """
        given = request.headers.get(_FIELD, "")
        is_own = hmac.compare_digest(given.encode(errors="replace"), self._secret.encode())
        self.is_challenged = self.is_challenged or is_own
        return is_own


def check_place(app: web.Application, middleware: Any) -> None:
    """Look whether a middleware comes before all others of an application.

    Args:
        app: The application.
        middleware: The middleware.

    Raises:
        ConfigError: It does not.

    Source: aiohttp, Application.middlewares.
    """
    if not app.middlewares or app.middlewares[0] != middleware:
        raise ConfigError(
            "the middleware of authsrv is not the first of its application: whatever comes before "
            "it sees requests of clients that are not known. Add other middlewares behind it"
        )
