"""A server whose limits fit Negotiate: tokens up to 64 KiB, and none of them in a log.

aiohttp refuses header fields above 8,190 bytes. The Kerberos ticket of a user in many groups is
larger: Windows allows tokens of 65,535 bytes, which are 87,380 characters of base64. And where
aiohttp refuses a field, it quotes its beginning in the answer and in the log: for an Authorization
field, that is token. `AppRunner` and `run_app` set the limit, leave out the quotation, and bound
what a client may send as header fields.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

from aiohttp import web
from aiohttp.web_runner import GracefulExit

from authsrv.aiohttp import _private
from authsrv.aiohttp.bounds import largest_field
from authsrv.aiohttp.expect import ask_before_continue
from authsrv.aiohttp.header_limits import server_settings
from authsrv.aiohttp.middleware import AUTH
from authsrv.aiohttp.own_log import log_to_stderr
from authsrv.aiohttp.placing import check_place
from authsrv.aiohttp.routes import mounted
from authsrv.aiohttp.selfcheck import ask_itself
from authsrv.aiohttp.tls import note_channel
from authsrv.core.limits import DEFAULT_LIMITS, Limits
from authsrv.core.settings import as_optional

__all__ = ["AppRunner", "handler_runner", "loop_factory", "run_app", "settled"]


class AppRunner(web.AppRunner):
    """aiohttp's AppRunner, for large tokens, with bounds, and without quoting what is refused.

    Args:
        app: The application.
        limits: The bounds of a token and of header fields are read.
        settings: Whatever web.AppRunner takes.

    Raises:
        ConfigError: This release of aiohttp is not the one that the bounds can be set in.
    """

    def __init__(
        self, app: web.Application, *, limits: Limits = DEFAULT_LIMITS, **settings: Any
    ) -> None:
        _private.check()
        super().__init__(app, **{**server_settings(app, limits=limits), **settings})
        self._limits = limits

    async def setup(self) -> None:
        """Start the application; what is wrong with its entrance stops it.

        Raises:
            ConfigError: Another middleware comes before ours, or a setting can never work.
        """
        await super().setup()
        assert self.server is not None
        try:
            for app in (self.app, *mounted(self.app)):
                # Now that they are frozen: what starts last may have put one in.
                if AUTH in app:
                    check_place(app, app[AUTH].handle)
        except BaseException:
            await self.cleanup()
            raise
        _private.adopt(self.server, self._limits)
        self.server.request_handler = ask_before_continue(self.app, self.server.request_handler)


async def handler_runner(
    handler: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]],
    *,
    limits: Limits = DEFAULT_LIMITS,
    shutdown_timeout: float = 60.0,
    **settings: Any,
) -> web.ServerRunner:
    """Set up a runner for one handler of all requests, with the bounds that AppRunner has.

    Without application, routes and middlewares a request takes a sixth less processor time. Nothing
    answers "Expect: 100-continue".

    Args:
        handler: Answers every request.
        limits: The bounds of a token and of header fields are read.
        shutdown_timeout: Seconds that requests under way are given at the end.
        settings: Whatever else web.Server takes.

    Raises:
        ConfigError: This release of aiohttp is not the one that the bounds can be set in.
    """
    _private.check()
    server = web.Server(handler, **{"max_field_size": largest_field(limits), **settings})
    runner = web.ServerRunner(server, shutdown_timeout=shutdown_timeout)
    await runner.setup()
    _private.adopt(server, limits)
    return runner


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

    Where nobody has set up logging, what happens to requests is written to standard error.

    Args:
        app: The application.
        host: The address to listen on; all, if not given.
        port: The port; 8080, or 8443 with TLS, if not given; 0 for any that is free.
        path: A Unix socket to listen on, instead of host and port.
        sock: A socket that listens already, instead of host and port.
        ssl_context: TLS, if it is spoken. Clients' channel bindings are held against its
            certificate, unless `setup` was told otherwise.
        limits: The bounds of a token and of header fields are read.
        print: What is called with the one line that tells the address; None for nothing.
        settings: Whatever else web.AppRunner takes.

    Raises:
        OSError: The address cannot be listened on.
        ConfigError: A setting is of a wrong type or can never work, a request of the server's own
            was let in without a token where one is required, or this release of aiohttp is not
            known.
    """
    as_optional(ssl.SSLContext, ssl_context, "ssl_context")
    as_optional(int, port, "port")
    log_to_stderr()
    runner = AppRunner(app, limits=limits, handle_signals=True, **settings)
    listening = _serve(runner, host, port, path, sock, ssl_context, print)
    with asyncio.Runner(loop_factory=loop_factory()) as loop_runner:
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
    note_channel(runner.app, ssl_context)
    await runner.setup()
    try:
        await ask_itself(runner)
        site: web.BaseSite
        if sock is not None:
            site = web.SockSite(runner, sock, ssl_context=ssl_context)
        elif path is not None:
            site = web.UnixSite(runner, path, ssl_context=ssl_context)
        else:
            site = web.TCPSite(runner, host, port, ssl_context=ssl_context)
        with settled():
            await site.start()
            if print is not None:
                print(f"listening on {', '.join(map(_shown, runner.addresses))}")
            await asyncio.Event().wait()
    finally:
        await runner.cleanup()


@contextlib.contextmanager
def settled() -> Iterator[None]:
    """Spare the garbage collector what the start has made, some 50,000 objects that stay.

    It would stop the loop for 10 ms or more to look at them, several times a second under load.
    """
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def _shown(address: Any) -> str:
    if not isinstance(address, tuple):
        return str(address)
    host = f"[{address[0]}]" if ":" in address[0] else address[0]
    return f"{host}:{address[1]}"


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """What makes an event loop: uvloop, where it is installed; None for asyncio's own."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop
