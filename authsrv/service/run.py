"""Running the service: until SIGINT or SIGTERM, with SIGHUP for a new configuration."""

from __future__ import annotations

import asyncio
import logging
import resource
import signal
from collections.abc import Callable

from authsrv.aiohttp.runner import loop_factory, settled
from authsrv.service.connections import MAX_CONNECTIONS
from authsrv.service.service import Service
from authsrv.service.settings import Settings

__all__ = ["run_service"]

_LOG = logging.getLogger("authsrv")

# Both listeners full, and what else there is.
_WANTED_FILES = 3 * MAX_CONNECTIONS


def run_service(settings: Settings, announce: Callable[[Service], None]) -> None:
    """Run the service; on uvloop, where that is installed.

    Args:
        settings: The settings to begin with.
        announce: Called once it listens.

    Raises:
        ConfigError: It can never work with these settings, or cannot listen.
        StoreError: The store cannot be used.
    """
    _raise_file_limit()
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.run(_run(settings, announce))


def _raise_file_limit() -> None:
    """Have room for all connections; many systems give a process 1,024 files to begin with."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _WANTED_FILES if hard == resource.RLIM_INFINITY else min(hard, _WANTED_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


async def _run(settings: Settings, announce: Callable[[Service], None]) -> None:
    service = Service(settings)
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, ended.set)
    await service.start()
    try:
        with settled():
            announce(service)
            await ended.wait()
    finally:
        await service.stop()
