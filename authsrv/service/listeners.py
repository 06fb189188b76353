"""The two listeners: one for asks, one for pages. Neither answers the other's paths.

A browser must not be able to ask as a proxy does, and what an ask is told must not be shown to a
browser. So both have sockets of their own, and the one that answers asks knows no page.
"""

from __future__ import annotations

import asyncio
import os
import ssl
import stat
from pathlib import Path

from aiohttp import web

from authsrv.aiohttp.runner import AppRunner
from authsrv.core.limits import Limits
from authsrv.errors import ConfigError
from authsrv.service.settings import Endpoint, TlsFiles

__all__ = ["Listener", "make_tls"]

_SOCKET_MODE = 0o660
_SHUTDOWN_S = 10.0


class Listener:
    """An application and where it listens.

    Args:
        app: The application.
        endpoint: Where.
        limits: The bounds of header fields.
        tls: What TLS is ended with; None for none.
    """

    def __init__(
        self,
        app: web.Application,
        endpoint: Endpoint,
        limits: Limits,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.endpoint = endpoint
        self._tls = tls
        self._runner = AppRunner(app, limits=limits, access_log=None, shutdown_timeout=_SHUTDOWN_S)

    async def start(self) -> None:
        """Listen.

        Raises:
            ConfigError: It cannot listen there, or somebody else does.
        """
        await self._runner.setup()
        try:
            await self._listen()
        except OSError as error:
            await self._runner.cleanup()
            reason = os.strerror(error.errno or 0)
            raise ConfigError(f"cannot listen at {self.endpoint}: {reason}") from None

    async def _listen(self) -> None:
        if self.endpoint.path is None:
            site: web.BaseSite = web.TCPSite(
                self._runner, self.endpoint.address, self.endpoint.port, ssl_context=self._tls
            )
            await site.start()
            return
        path = Path(self.endpoint.path)
        # Whoever connects before the mode is set is not welcome; the folder keeps others out.
        before = os.umask(stat.S_IRWXG | stat.S_IRWXO)
        try:
            await web.UnixSite(self._runner, path, ssl_context=self._tls).start()
        finally:
            os.umask(before)
        await asyncio.to_thread(path.chmod, _SOCKET_MODE)

    @property
    def where(self) -> str:
        """Where it listens, with the port that it got."""
        if self.endpoint.path is not None:
            return str(self.endpoint)
        address = self._runner.addresses[0]
        host = f"[{address[0]}]" if ":" in address[0] else address[0]
        return f"{host}:{address[1]}"

    async def stop(self) -> None:
        """Take no more connections, let requests end, and close."""
        await self._runner.cleanup()
        if self.endpoint.path is not None:
            await asyncio.to_thread(Path(self.endpoint.path).unlink, missing_ok=True)


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
