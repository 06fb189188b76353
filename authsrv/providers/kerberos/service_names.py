"""The service principal names that tickets may be for, as a setting gives them.

They are compared with what the ticket says in the clear, here, and never handed to libgssapi, which
would look up the name in DNS and then accept tickets for its alias.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from authsrv.core.identity import split_principal
from authsrv.core.settings import as_texts
from authsrv.errors import ConfigError, WrongServiceError

__all__ = ["ServiceNames"]

_MAX_SHOWN = 256


@dataclass(frozen=True, slots=True)
class ServiceNames:
    """One service principal name, or several, without realms; none for any.

    Args:
        names: Such as "HTTP/web.example.org". Class and host compare case-insensitively.

    Raises:
        ConfigError: A name is not of the form "HTTP/host".
    """

    names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in self.names:
            kind, separator, host = name.partition("/")
            if not (kind and separator and host) or "@" in name or not name.isprintable():
                raise ConfigError(
                    "a service principal name has the form HTTP/host, without a realm"
                )

    def __str__(self) -> str:
        return " or ".join(self.names) or "any service"

    @classmethod
    def of_setting(cls, setting: object) -> ServiceNames:
        """Take a setting: one name, several, or None for any.

        Raises:
            ConfigError: It is none of these; an empty collection would mean any, and is refused.
        """
        if setting is None:
            return cls()
        names = (setting,) if isinstance(setting, str) else as_texts(setting, "service")
        if not names:
            raise ConfigError("service names no service; leave it out to accept any")
        return cls(names)

    def covers(self, principal: str) -> bool:
        """Tell whether a principal is one of the services; any is where no service was named.

        The principal may have a realm, which is not compared.
        """
        if not self.names:
            return True
        # MS-KILE section 3.3.5.1.1: names compare without case.
        service = split_principal(principal)[0].casefold()
        return any(service == name.casefold() for name in self.names)

    def check_claim(self, principal: str) -> None:
        """Refuse a ticket that says that it is for another service.

        `principal` is what the ticket says in the clear, with its realm; nothing proves it, since
        all services of an account share one key. This keeps out honest clients of another service,
        and tells them why.

        Raises:
            WrongServiceError: It is another service; the cause names both.
        """
        if not self.covers(principal):
            raise WrongServiceError(
                f"the ticket is for {principal[:_MAX_SHOWN]}; this service is {self}"
            )

    def of(self, principals: Iterable[str]) -> tuple[str, ...]:
        """Choose those principals, with their realms, that are one of the services."""
        return tuple(filter(self.covers, principals))
