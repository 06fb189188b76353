"""The two listeners: one for asks, one for pages. Neither answers the other's paths.

A browser must not be able to ask as a proxy does, and what an ask is told must not be shown to a
browser. So both have sockets of their own, and the one that answers asks knows no page.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
import ssl
import stat
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from aiohttp import web

from authsrv.aiohttp.runner import AppRunner, handler_runner
from authsrv.core.limits import Limits
from authsrv.errors import ConfigError
from authsrv.service.config.settings import Endpoint, TlsFiles
from authsrv.service.connections import Gate

__all__ = ["Handler", "Listener", "make_tls"]

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]
"""Answers every request."""

_SOCKET_MODE = 0o660
_SHUTDOWN_S = 10.0
_PROBE_S = 2.0


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
        self._server: asyncio.Server | None = None
        self._inode: int | None = None

    async def start(self) -> None:
        """Listen.

        Raises:
            ConfigError: It cannot listen there, or somebody else does.
        """
        runner = self._runner = await self._set_up()
        assert runner.server is not None
        try:
            self._server = await self._listen(Gate(runner.server))
        except OSError as error:
            await runner.cleanup()
            reason = os.strerror(error.errno or 0)
            raise ConfigError(f"cannot listen at {self.endpoint}: {reason}") from None

    async def _set_up(self) -> web.BaseRunner:
        settings: dict[str, Any] = {
            "limits": self._limits,
            "access_log": None,
            "shutdown_timeout": _SHUTDOWN_S,
            # A form is a few bytes; compressed, it could be many.
            "auto_decompress": False,
        }
        if not isinstance(self._answers, web.Application):
            return await handler_runner(self._answers, **settings)
        runner = AppRunner(self._answers, **settings)
        await runner.setup()
        return runner

    async def _listen(self, gate: Gate) -> asyncio.Server:
        loop, endpoint = asyncio.get_running_loop(), self.endpoint
        if endpoint.path is None:
            return await loop.create_server(gate, endpoint.address, endpoint.port, ssl=self._tls)
        path = Path(endpoint.path)
        await asyncio.to_thread(_demand_nobody, path)
        # Whoever connects before the mode is set is not welcome; the folder keeps others out.
        before = os.umask(stat.S_IRWXG | stat.S_IRWXO)
        try:
            server = await loop.create_unix_server(gate, endpoint.path, ssl=self._tls)
        finally:
            os.umask(before)
        self._inode = await asyncio.to_thread(_open_to_group, path)
        return server

    @property
    def where(self) -> str:
        """Where it listens, with the port that it got."""
        if self.endpoint.path is not None or self._server is None:
            return str(self.endpoint)
        address = self._server.sockets[0].getsockname()
        host = f"[{address[0]}]" if ":" in address[0] else address[0]
        return f"{host}:{address[1]}"

    async def stop(self) -> None:
        """Take no more connections, let requests end, and close."""
        if self._server is not None:
            self._server.close()
        if self.endpoint.path is not None and self._inode is not None:
            await asyncio.to_thread(_remove, Path(self.endpoint.path), self._inode)
        if self._runner is not None:
            await self._runner.cleanup()


def _demand_nobody(path: Path) -> None:
    """Look whether somebody listens at a socket, whom we would push aside.

    Raises:
        OSError: Somebody does.
    """
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(_PROBE_S)
        try:
            probe.connect(str(path))
        except (FileNotFoundError, ConnectionRefusedError):
            return
    raise OSError(errno.EADDRINUSE, "")


def _open_to_group(path: Path) -> int:
    path.chmod(_SOCKET_MODE)
    return path.stat().st_ino


def _remove(path: Path, inode: int) -> None:
    """Remove our socket; what another process has put in its place stays."""
    with contextlib.suppress(FileNotFoundError):
        if path.stat().st_ino == inode:
            path.unlink()


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
