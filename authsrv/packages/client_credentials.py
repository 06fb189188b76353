"""With what a client authenticates: a credential cache, a keytab, or what somebody delegated.

These are descriptions, and cheap. A security package makes its own objects of them, when they are
needed; nothing here loads a library.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field

from authsrv.errors import ConfigError
from authsrv.identity import DelegatedCredential

__all__ = ["ClientCredential", "ClientKeytab", "Password", "TicketCache"]


@dataclass(frozen=True, slots=True)
class TicketCache:
    """The tickets of a user who has logged in, such as kinit leaves behind.

    Args:
        name: A file, or a name of another type, such as "KCM:1000"; it may come into being later.

    Raises:
        ConfigError: The name is empty.

    Source: MIT krb5, ccache_def.
    """

    name: str | os.PathLike[str]

    def __post_init__(self) -> None:
        if not os.fspath(self.name):
            raise ConfigError("a credential cache needs a name")


@dataclass(frozen=True, slots=True)
class ClientKeytab:
    """The keys of a principal, to log in with: for services, which nobody types a password for.

    Args:
        keytab: The file; it may come into being later.
        principal: Whose keys, such as "HTTP/web.example.org@EXAMPLE.ORG"; without a realm, that
            of krb5.conf is meant.

    Raises:
        ConfigError: The principal or the file's name is empty.

    Source: MIT krb5, keytab_def (default client keytab).
    """

    keytab: str | os.PathLike[str]
    principal: str

    def __post_init__(self) -> None:
        if not os.fspath(self.keytab) or not self.principal:
            raise ConfigError("a keytab to log in with needs a file and a principal")


@dataclass(frozen=True, slots=True)
class Password:
    """A name and a password, for SSPI: a client's, or the one user that a server of sspi-rs knows.

    Args:
        user: The user's name.
        password: Its password; kept out of the repr.
        domain: Its domain, or None.

    Raises:
        ConfigError: The name is empty.

    Source: sspi.h, SEC_WINNT_AUTH_IDENTITY.
    """

    user: str
    password: str = field(repr=False)
    domain: str | None = None

    def __post_init__(self) -> None:
        if not self.user:
            raise ConfigError("a password needs the name of its user")


ClientCredential = TicketCache | ClientKeytab | DelegatedCredential
"""What a client authenticates with, where it is not what the environment holds."""
