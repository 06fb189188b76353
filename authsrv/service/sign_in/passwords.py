"""Log-in by password, off the event loop: counted, bounded, and no telling by time.

The KDC is asked on threads of a pool of its own, so that one that is silent holds up nothing but
log-ins by password; and these for no longer than their deadline. Threads that hang with a silent
KDC stay occupied until the connection ends; when all do, the next log-in is refused at once.
"""

from __future__ import annotations

import asyncio
import functools
import math
from typing import Final

from authsrv.core.identity import Identity
from authsrv.core.limits import Limits
from authsrv.core.settings import as_instance, as_number
from authsrv.errors import TooManyTriesError
from authsrv.handshake.pool import WorkerPool
from authsrv.providers.kerberos.password import PasswordChecker, PasswordRefusal, Told
from authsrv.service.sign_in.tries import Address, KnownDevice, Tries

__all__ = ["DEFAULT_PASSWORD_LIMITS", "PasswordLogin"]

DEFAULT_PASSWORD_LIMITS: Final = Limits(max_workers=8, max_queued=32, step_seconds=15.0)
"""The bounds of the pool where none are given; max_workers, max_queued and step_seconds count."""


class PasswordLogin:
    """Lets people in by name and password.

    It belongs to the event loop on which it is first used.

    Args:
        checker: Who asks the KDC.
        tries: Who counts.
        limits: The bounds of its threads, and the deadline of a log-in (step_seconds).
        floor_seconds: How long a refusal takes that came before the password was proved, or a
            multiple of it, so that the time does not tell what was wrong. Nothing is held for it.

    Raises:
        ConfigError: A setting is of a wrong type.
    """

    def __init__(
        self,
        checker: PasswordChecker,
        tries: Tries,
        *,
        limits: Limits = DEFAULT_PASSWORD_LIMITS,
        floor_seconds: float = 1.0,
    ) -> None:
        self._checker = as_instance(PasswordChecker, checker, "checker")
        self._tries = as_instance(Tries, tries, "tries")
        self._floor = as_number(floor_seconds, "floor_seconds")
        self._pool = WorkerPool(limits, name="authsrv-password")

    async def log_in(
        self,
        typed: str,
        password: str,
        *,
        address: Address | None,
        device: KnownDevice | None = None,
    ) -> Identity | PasswordRefusal:
        """Check a password.

        Args:
            typed: The name as it was typed.
            password: The password as it was typed.
            address: The client's; None where it is not known.
            device: What the browser's device cookie says, already opened.

        Returns:
            The identity, or a refusal. Its cause is a TooManyTriesError where the KDC was not
            asked; the client is told the same.

        Raises:
            UnavailableError: It cannot be told now: the KDC is away or silent, all threads hang,
                the keytab or the clock is wrong, or tries cannot be counted.
            ConfigError: libkrb5 cannot read its configuration.
        """
        loop = asyncio.get_running_loop()
        begun_at = loop.time()
        answer = await self._check(typed, password, address, device)
        if isinstance(answer, PasswordRefusal) and answer.told is Told.NOTHING:
            floors = math.floor((loop.time() - begun_at) / self._floor) + 1
            await asyncio.sleep(begun_at + floors * self._floor - loop.time())
        return answer

    async def _check(
        self, typed: str, password: str, address: Address | None, device: KnownDevice | None
    ) -> Identity | PasswordRefusal:
        try:
            attempt = await self._tries.admit(typed, address=address, device=device)
        except TooManyTriesError as error:
            return PasswordRefusal(error)
        answer = await self._pool.run(functools.partial(self._checker.check, typed, password))
        if isinstance(answer, Identity):
            await self._tries.succeeded(attempt)
        return answer

    def close(self) -> None:
        """Let the threads end when they have done what they do; nothing is checked any more."""
        self._pool.close()
