"""All that is used of aiohttp beyond its public interface: web_protocol.py, web_server.py.

Nothing here decides who gets in. It keeps tokens out of the answers to malformed requests and out
of the log, and bounds the header of a request, for both of which aiohttp offers no place. A
release of aiohttp that does not have these names is refused at start.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, cast

import aiohttp
from aiohttp import web
from aiohttp.http_exceptions import LineTooLong
from aiohttp.web_protocol import RequestHandler

from authsrv.aiohttp.bounds import BoundedParser, HeaderTooLargeError, HeaderTooSlowError
from authsrv.core.limits import Limits
from authsrv.errors import ConfigError

__all__ = ["TRIED_WITH", "adopt", "check", "linger"]

_LOG = logging.getLogger("authsrv")

TRIED_WITH = "3.14"
"""The release of aiohttp that this module was tried with."""

_NAMES = (
    "_make_error_handler",
    "_messages",
    "_parser",
    "_payload_parser",
    "set_parser",
    "handle_error",
)
_OF_A_SERVER = ("_loop", "_kwargs", "request_handler")

# How long a client may go on to send after its request was refused, and what counts as silence.
_LINGERING_S = 5.0
_SILENCE_S = 0.1

_FAULTS: tuple[tuple[type[BaseException], HTTPStatus, str], ...] = (
    (HeaderTooSlowError, HTTPStatus.REQUEST_TIMEOUT, "The request did not come in time."),
    (
        HeaderTooLargeError,
        HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
        "The header fields of the request are too large.",
    ),
    (
        LineTooLong,
        HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
        "The header fields of the request are too large.",
    ),
)
_OTHER = HTTPStatus.BAD_REQUEST, "The request could not be understood."


def check() -> None:
    """Look whether this release of aiohttp has what is used here.

    Raises:
        ConfigError: It has not.
    """
    _demand(RequestHandler, _NAMES)


def _demand(holder: object, names: tuple[str, ...]) -> None:
    missing = [name for name in names if not hasattr(holder, name)]
    if missing:
        raise ConfigError(
            f"aiohttp {aiohttp.__version__} has no {', '.join(missing)}, without which tokens "
            f"could get into the log; authsrv was tried with aiohttp {TRIED_WITH}"
        )


def adopt(server: web.Server, limits: Limits) -> None:
    """Make a server accept connections whose headers are bounded, and that quote nothing.

    Args:
        server: The server of an AppRunner that has been set up, and does not listen yet.
        limits: The bounds of header fields.

    Raises:
        ConfigError: This release of aiohttp makes other servers.
    """
    _demand(server, _OF_A_SERVER)
    # aiohttp makes its Server deep inside; this is the one place to exchange its protocol.
    server.__class__ = _Server
    cast(_Server, server).limits = limits


async def linger(protocol: RequestHandler) -> None:
    """Wait until the client is silent, and drop what it sends; nothing more is read of it.

    A connection that is closed before all of it was read is reset, and the client, still at its
    header of a mebibyte, learns nothing but that (RFC 9112 section 9.6).
    """
    drain = _Drain()
    protocol._payload_parser = None
    protocol.set_parser(cast(Any, drain))
    loop = asyncio.get_running_loop()
    end = loop.time() + _LINGERING_S
    while drain.is_fed and protocol.transport is not None and loop.time() < end:
        drain.is_fed = False
        await asyncio.sleep(_SILENCE_S)


class _Drain:
    """Takes what a client goes on to send when its request is refused already, and drops it."""

    __slots__ = ("is_fed",)

    def __init__(self) -> None:
        self.is_fed = True

    def feed_data(self, data: bytes) -> tuple[bool, bytes]:
        self.is_fed = True
        return False, b""

    def feed_eof(self) -> None:
        """Nothing ends here: the connection does."""


class _Handler(RequestHandler):
    """A connection whose complaints about malformed requests quote nothing, and arrive."""

    __slots__ = ("_bounded",)

    def __init__(self, manager: web.Server, *, limits: Limits, **settings: Any) -> None:
        super().__init__(manager, **settings)
        self._bounded = BoundedParser(
            cast(Any, self._parser), limits, self._expire, self._messages.__len__
        )
        self._parser = cast(Any, self._bounded)

    def _expire(self) -> None:
        if self._payload_parser is None:
            self.data_received(b"")

    def connection_lost(self, exc: BaseException | None) -> None:
        self._bounded.close()
        super().connection_lost(exc)

    def _make_error_handler(self, err_info: Any) -> Callable[[Any], Any]:
        answer = super()._make_error_handler(err_info)

        async def handle(request: web.BaseRequest) -> web.StreamResponse:
            response = await answer(request)
            # aiohttp comes to a client that has gone by itself, when it sends the response again.
            with contextlib.suppress(ConnectionError):
                await response.prepare(request)
                await response.write_eof()
                await linger(self)
            return response

        return handle

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        if status != 400 or request.writer.output_size > 0:
            return super().handle_error(request, status, exc, message)
        answered, text = _answer(exc)
        _LOG.warning(
            'refused peer=%s http=%d cause=bad-request reason="%s: the request could not be '
            'parsed, or a header field is over its limit"',
            request.remote,
            answered,
            type(exc).__name__,
        )
        response = web.Response(status=answered, text=f"{text}\n")
        response.force_close()
        return response


def _answer(error: BaseException | None) -> tuple[HTTPStatus, str]:
    for kind, status, text in _FAULTS:
        if isinstance(error, kind):
            return status, text
    return _OTHER


class _Server(web.Server):
    """Makes connections of the class above."""

    limits: Limits

    def __call__(self) -> RequestHandler:
        return _Handler(self, limits=self.limits, loop=self._loop, **self._kwargs)
