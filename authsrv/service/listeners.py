"""The two listeners: one for asks, one for pages. Neither answers the other's paths.

A browser must not be able to ask as a proxy does, and what an ask is told must not be shown to a
browser. So both have sockets of their own, and the one that answers asks knows no page.
"""

from __future__ import annotations

import contextlib
import os
import ssl
import stat
from collections.abc import Awaitable, Callable
from pathlib import Path

from aiohttp import web

from authsrv.aiohttp.runner import AppRunner, handler_runner
from authsrv.core.limits import Limits
from authsrv.errors import ConfigError
from authsrv.service.settings import Endpoint, TlsFiles

__all__ = ["Handler", "Listener", "make_tls"]

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]
"""Answers every request."""

_SOCKET_MODE = 0o660
_SHUTDOWN_S = 10.0


class Listener:
    """What answers requests, and where it listens.

    Args:
        answers: An application, or one handler for all requests.
        endpoint: Where.
        limits: The bounds of header fields.
        tls: What TLS is ended with; None for none.
    """

    def __init__(
        self,
        answers: web.Application | Handler,
        endpoint: Endpoint,
        limits: Limits,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.endpoint = endpoint
        self._answers = answers
        self._limits = limits
        self._tls = tls
        self._runner: web.BaseRunner | None = None

    async def start(self) -> None:
        """Listen.

        Raises:
            ConfigError: It cannot listen there, or somebody else does.
        """
        self._runner = await self._set_up()
        try:
            await self._listen(self._runner)
        except OSError as error:
            await self._runner.cleanup()
            reason = os.strerror(error.errno or 0)
            raise ConfigError(f"cannot listen at {self.endpoint}: {reason}") from None

    async def _set_up(self) -> web.BaseRunner:
        if not isinstance(self._answers, web.Application):
            return await handler_runner(
                self._answers, limits=self._limits, access_log=None, shutdown_timeout=_SHUTDOWN_S
            )
        runner = AppRunner(
            self._answers, limits=self._limits, access_log=None, shutdown_timeout=_SHUTDOWN_S
        )
        await runner.setup()
        return runner

    async def _listen(self, runner: web.BaseRunner) -> None:
        if self.endpoint.path is None:
            site: web.BaseSite = web.TCPSite(
                runner, self.endpoint.address, self.endpoint.port, ssl_context=self._tls
            )
            await site.start()
            return
        path = Path(self.endpoint.path)
        # Whoever connects before the mode is set is not welcome; the folder keeps others out.
        before = os.umask(stat.S_IRWXG | stat.S_IRWXO)
        try:
            await web.UnixSite(runner, path, ssl_context=self._tls).start()
        finally:
            os.umask(before)
        path.chmod(_SOCKET_MODE)

    @property
    def where(self) -> str:
        """Where it listens, with the port that it got."""
        if self.endpoint.path is not None:
            return str(self.endpoint)
        assert self._runner is not None
        address = self._runner.addresses[0]
        host = f"[{address[0]}]" if ":" in address[0] else address[0]
        return f"{host}:{address[1]}"

    async def stop(self) -> None:
        """Take no more connections, let requests end, and close."""
        if self._runner is not None:
            await self._runner.cleanup()
        if self.endpoint.path is not None:
            with contextlib.suppress(FileNotFoundError):
                Path(self.endpoint.path).unlink()


def make_tls(files: TlsFiles) -> ssl.SSLContext:
    """Make what TLS is ended with. It blocks.

    Raises:
        ConfigError: The files do not fit, or the password is wrong.
    """
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    # A password that is not needed is never asked for at the terminal.
    password = files.password or ""
    try:
        context.load_cert_chain(files.certificate, files.key, lambda: password)
    except (OSError, ValueError) as error:
        kind = type(error).__name__
        raise ConfigError(f"the TLS files {files.certificate} and {files.key}: {kind}") from None
    return context
