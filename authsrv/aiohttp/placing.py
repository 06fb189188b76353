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
    """

    def __init__(self) -> None:
        self._secret = secrets.token_hex(16)
        self.is_challenged = False

    @property
    def header(self) -> str:
        """The header field of the request."""
        return f"{_FIELD}: {self._secret}"

    def recognize(self, request: web.Request) -> bool:
        """Note that a request was challenged; True if it is the server's own, and not for audit."""
        given = request.headers.get(_FIELD, "")
        is_own = hmac.compare_digest(given.encode(errors="replace"), self._secret.encode())
        self.is_challenged = self.is_challenged or is_own
        return is_own


def check_place(app: web.Application, middleware: Any) -> None:
    """Check that a middleware comes before all others of an application.

    Raises:
        ConfigError: It does not.
    """
    if not app.middlewares or app.middlewares[0] != middleware:
        raise ConfigError(
            "the middleware of authsrv is not the first of its application: whatever comes before "
            "it sees requests of clients that are not known. Add other middlewares after it"
        )
