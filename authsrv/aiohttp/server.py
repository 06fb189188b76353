"""A server whose limits fit Negotiate: tokens up to 64 KiB, and none of them in a log.

aiohttp refuses header fields above 8,190 bytes. The Kerberos ticket of a user in many groups is
larger: Windows allows tokens of 65,535 bytes, which are 87,380 characters of base64. And where
aiohttp refuses a field, it quotes its beginning in the answer and in the log: for an Authorization
field, that is token. `AppRunner` and `run_app` set the limit and leave out the quotation.
"""

from __future__ import annotations

import asyncio
import contextlib
import enum
import logging
import os
import socket
import ssl
from collections.abc import Callable
from typing import Any, cast

from aiohttp import web
from aiohttp.web_protocol import RequestHandler
from aiohttp.web_runner import GracefulExit

from authsrv.limits import DEFAULT_LIMITS, Limits

__all__ = ["AppRunner", "HeaderLimit", "header_limit", "run_app", "server_settings"]

_LOG = logging.getLogger("authsrv")

_SCHEME_ROOM = 256

# How long a client may go on to send after its request was refused, and what counts as silence.
_LINGERING_S = 5.0
_SILENCE_S = 0.1
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

    Source: aiohttp, max_field_size.
    """
    _mark_fitting(app)
    return {"max_field_size": (limits.max_token_bytes + 2) // 3 * 4 + _SCHEME_ROOM}


def _mark_fitting(app: web.Application) -> None:
    app[_LIMIT] = HeaderLimit.FITTING
    for mounted in app._subapps:
        # It has a start of its own, and cannot see the application that mounts it.
        _mark_fitting(mounted)


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

    __slots__ = ()

    def _make_error_handler(self, err_info: Any) -> Callable[[Any], Any]:
        answer = super()._make_error_handler(err_info)

        async def handle(request: web.BaseRequest) -> web.StreamResponse:
            response = await answer(request)
            # aiohttp comes to a client that has gone by itself, when it sends the response again.
            with contextlib.suppress(ConnectionError):
                await response.prepare(request)
                await response.write_eof()
                await self._drain()
            return response

        return handle

    async def _drain(self) -> None:
        """Wait until the client is silent.

        A connection that is closed before all of it was read is reset, and the client, still at
        its header of a mebibyte, learns nothing but that.
        """
        drain = _Drain()
        self._payload_parser = None
        self.set_parser(cast(Any, drain))
        loop = asyncio.get_running_loop()
        end = loop.time() + _LINGERING_S
        while drain.is_fed and self.transport is not None and loop.time() < end:
            drain.is_fed = False
            await asyncio.sleep(_SILENCE_S)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        if status != 400 or request.writer.output_size > 0:
            return super().handle_error(request, status, exc, message)
        _LOG.warning(
            "refused peer=%s http=400 cause=bad-request (%s): the request could not be parsed, or "
            "a header field is over its limit",
            request.remote,
            type(exc).__name__,
        )
        response = web.Response(status=400, text="The request could not be understood.\n")
        response.force_close()
        return response


class _Server(web.Server):
    """Makes connections of the class above."""

    def __call__(self) -> RequestHandler:
        return _Handler(self, loop=self._loop, **self._kwargs)


class AppRunner(web.AppRunner):
    """aiohttp's AppRunner, for large tokens, and without quoting them where they are refused.

    Args:
        app: The application.
        limits: max_token_bytes is read.
        settings: Whatever web.AppRunner takes.

    Source: aiohttp, web.AppRunner.
    """

    def __init__(
        self, app: web.Application, *, limits: Limits = DEFAULT_LIMITS, **settings: Any
    ) -> None:
        super().__init__(app, **{**server_settings(app, limits=limits), **settings})

    async def _make_server(self) -> web.Server:
        server = await super()._make_server()
        # aiohttp makes its Server deep inside; this is the one place to exchange its protocol.
        server.__class__ = _Server
        return server


def _announce(line: str) -> None:
    # Whoever waits for the line reads a pipe, which Python would fill before it lets go of it.
    print(line, flush=True)


def run_app(
    app: web.Application,
    *,
    host: str | None = None,
    port: int | None = None,
    path: str | os.PathLike[str] | None = None,
    sock: socket.socket | None = None,
    ssl_context: ssl.SSLContext | None = None,
    limits: Limits = DEFAULT_LIMITS,
    print: Callable[[str], None] | None = _announce,
    **settings: Any,
) -> None:
    """Run an application until SIGINT or SIGTERM; on uvloop, where that is installed.

    Args:
        app: The application.
        host: The address to listen on; all, if not given.
        port: The port; 8080, or 8443 with TLS, if not given; 0 for any that is free.
        path: A Unix socket to listen on, instead of host and port.
        sock: A socket that listens already, instead of host and port.
        ssl_context: TLS, if it is spoken.
        limits: max_token_bytes is read.
        print: What is called with the one line that tells the address; None for nothing.
        settings: Whatever else web.AppRunner takes.

    Raises:
        OSError: The address cannot be listened on.

    Source: aiohttp, web.run_app.
    """
    runner = AppRunner(app, limits=limits, handle_signals=True, **settings)
    listening = _serve(runner, host, port, path, sock, ssl_context, print)
    with asyncio.Runner(loop_factory=_loop_factory()) as loop_runner:
        try:
            loop_runner.run(listening)
        except (GracefulExit, KeyboardInterrupt):
            pass


async def _serve(
    runner: AppRunner,
    host: str | None,
    port: int | None,
    path: str | os.PathLike[str] | None,
    sock: socket.socket | None,
    ssl_context: ssl.SSLContext | None,
    print: Callable[[str], None] | None,
) -> None:
    await runner.setup()
    try:
        site: web.BaseSite
        if sock is not None:
            site = web.SockSite(runner, sock, ssl_context=ssl_context)
        elif path is not None:
            site = web.UnixSite(runner, path, ssl_context=ssl_context)
        else:
            site = web.TCPSite(runner, host, port, ssl_context=ssl_context)
        await site.start()
        if print is not None:
            print(f"listening on {', '.join(map(_shown, runner.addresses))}")
        await asyncio.Event().wait()
    finally:
        await runner.cleanup()


def _shown(address: Any) -> str:
    if not isinstance(address, tuple):
        return str(address)
    host = f"[{address[0]}]" if ":" in address[0] else address[0]
    return f"{host}:{address[1]}"


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop
