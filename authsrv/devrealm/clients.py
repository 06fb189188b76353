"""A user's side of the realm: getting tickets, with kinit and kvno."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from authsrv.devrealm.programs import run_program

__all__ = ["Clock", "fetch_ticket", "log_in", "log_in_anonymously"]

_KVNO = re.compile(r"kvno = (\d+)")


@dataclass(frozen=True, slots=True)
class Clock:
    """A KDC, and what time it believes it is.

    Args:
        offset_s: By how many seconds its clock is ahead; negative for behind.
        environment: Variables that make clients ask it.
    """

    offset_s: int
    environment: Mapping[str, str] = field(repr=False)


def log_in(
    clock: Clock,
    cache: Path,
    user: str,
    password: str,
    *,
    lifetime_s: int | None = None,
    forwardable: bool = False,
) -> None:
    """Get a user, named without the realm, a fresh ticket-granting ticket.

    What is in the cache is lost. Without `lifetime_s`, the ticket lives as long as the KDC allows.

    Raises:
        MissingProgramError: kinit is not installed.
        ProgramError: The KDC refused.
    """
    options = ["-f" if forwardable else "-F", "-c", f"FILE:{cache}"]
    if lifetime_s is not None:
        # kinit names the end of the life by the machine's clock, and refuses a 0.
        options += ["-l", f"{lifetime_s + clock.offset_s or 1}s"]
    typed = f"{password}\n"
    run_program("kinit", *options, user, environment=clock.environment, typed=typed)


def log_in_anonymously(clock: Clock, cache: Path) -> None:
    """Get an anonymous ticket-granting ticket, by PKINIT (RFC 8062). What is in the cache is lost.

    Raises:
        MissingProgramError: kinit is not installed.
        ProgramError: The KDC refused, or PKINIT is not installed.
    """
    run_program("kinit", "-n", "-c", f"FILE:{cache}", environment=clock.environment)


def fetch_ticket(clock: Clock, cache: Path, service: str) -> int:
    """Get a user who is logged in a ticket for a service.

    Returns:
        The version of the key that the ticket is encrypted with.

    Raises:
        MissingProgramError: kvno is not installed.
        ProgramError: The user is not logged in, or there is no such service.
    """
    done = run_program("kvno", "-c", f"FILE:{cache}", service, environment=clock.environment)
    return int(_KVNO.findall(done.stdout)[0])
