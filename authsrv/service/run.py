"""Running the service: until SIGINT or SIGTERM, with SIGHUP for a new configuration."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Callable

from authsrv.aiohttp.runner import loop_factory, settled
from authsrv.service.listeners import Listener
from authsrv.service.service import Service
from authsrv.service.settings import Settings

__all__ = ["run_service"]

_LOG = logging.getLogger("authsrv")


def run_service(
    settings: Settings,
    announce: Callable[[Service], None],
    *,
    beside: Listener | None = None,
) -> None:
    """Run the service; on uvloop, where that is installed.

    Args:
        settings: The settings to begin with.
        announce: Called once it listens.
        beside: What listens as long as the service does; it starts first.

    Raises:
        ConfigError: It can never work with these settings, or cannot listen.
        StoreError: The store cannot be used.
    """
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.run(_run(settings, announce, beside))


async def _run(
    settings: Settings, announce: Callable[[Service], None], beside: Listener | None
) -> None:
    service = Service(settings)
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, ended.set)
    if beside is not None:
        await beside.start()
    try:
        await service.start()
        with settled():
            announce(service)
            await ended.wait()
    finally:
        await service.stop()
        if beside is not None:
            await beside.stop()
