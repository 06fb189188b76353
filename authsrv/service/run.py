"""Running the service until SIGINT or SIGTERM; with new settings when a file changes, or SIGHUP."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import resource
import signal
import sys
from collections.abc import Callable, Iterator
from functools import partial

from authsrv.aiohttp.runner import loop_factory, settled
from authsrv.errors import ConfigError
from authsrv.service.config.loading import Loaded, load
from authsrv.service.config.reload import SettingsHolder
from authsrv.service.connections import MAX_CONNECTIONS
from authsrv.service.listeners import Listener
from authsrv.service.logs import set_up_logs
from authsrv.service.server import Service
from authsrv.service.start import make_service

__all__ = ["run_service"]

_LOG = logging.getLogger("authsrv.config")

_KEYS_SECONDS = 10.0
# Both listeners full, and what else there is.
_WANTED_FILES = 3 * MAX_CONNECTIONS


def run_service(
    path: str | os.PathLike[str],
    announce: Callable[[Service], None],
    *,
    beside: Listener | None = None,
) -> None:
    """Run the service; on uvloop, where that is installed.

    Args:
        path: The configuration. Warnings about it are written to standard error.
        announce: Called once the service listens.
        beside: What listens as long as the service does; it starts first.

    Raises:
        ConfigError: The configuration has errors, all of which the detail tells; or the service
            cannot listen.
        StoreError: The store cannot be used.
    """
    first = load(path)
    if first.settings is None:
        raise ConfigError("\n".join(map(str, first.problems)))
    set_up_logs(first.settings.log_format)
    for problem in first.problems:
        print(problem, file=sys.stderr)
    _raise_file_limit()
    service = make_service(first.settings, path)
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.run(_run(path, first, service, announce, beside))


def _raise_file_limit() -> None:
    """Have room for all connections; many systems give a process 1,024 files to begin with."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _WANTED_FILES if hard == resource.RLIM_INFINITY else min(hard, _WANTED_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


async def _run(
    path: str | os.PathLike[str],
    first: Loaded,
    service: Service,
    announce: Callable[[Service], None],
    beside: Listener | None,
) -> None:
    ended, keys = asyncio.Event(), _KeysKeeper(service)
    holder = SettingsHolder(first, partial(load, path), service.use)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, ended.set)
    loop.add_signal_handler(signal.SIGHUP, _renew, holder, keys)
    if beside is not None:
        await beside.start()
    try:
        await service.start()
        with settled(), _kept_up(holder, keys):
            announce(service)
            await ended.wait()
    finally:
        await service.stop()
        if beside is not None:
            await beside.stop()


def _renew(holder: SettingsHolder, keys: _KeysKeeper) -> None:
    """Have settings and keys read again soon: the handler of SIGHUP."""
    holder.request_reload()
    keys.request_refresh()


@contextlib.contextmanager
def _kept_up(holder: SettingsHolder, keys: _KeysKeeper) -> Iterator[None]:
    """Keep settings and keys up to date until the end of the block."""
    tasks = [asyncio.create_task(holder.run()), asyncio.create_task(keys.run())]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()


class _KeysKeeper:
    """Takes over keys whose files changed, every few seconds and when it was requested."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._asked = asyncio.Event()

    def request_refresh(self) -> None:
        """Have the files looked at soon. On the loop's thread only."""
        self._asked.set()

    async def run(self) -> None:
        """Look at the files until cancelled."""
        while True:
            # wait_for of Python 3.11 loses a cancellation that comes with the request.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_KEYS_SECONDS):
                    await self._asked.wait()
            self._asked.clear()
            await self._refresh()

    async def _refresh(self) -> None:
        try:
            if await asyncio.to_thread(self._service.refresh_keys):
                _LOG.info("the keys were replaced")
        except ConfigError as error:
            _LOG.error("the keys stay as they were: %s", error.detail)
        except Exception:
            # A mistake of ours must not end the looking.
            _LOG.exception("the keys could not be read, and stay as they were")
