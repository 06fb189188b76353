"""With what a client authenticates: a credential cache, a keytab, or what somebody delegated.

These are descriptions, and cheap. A provider makes its own objects of them, when they are
needed; nothing here loads a library.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field

from authsrv.core.identity import DelegatedCredential
from authsrv.core.settings import as_instance, as_optional, as_path
from authsrv.errors import ConfigError

__all__ = ["ClientCredential", "ClientKeytab", "Password", "TicketCache"]


@dataclass(frozen=True, slots=True)
class TicketCache:
    """The tickets of a user who has logged in, such as kinit leaves behind.

    Args:
        name: A file, or a name of another type, such as "KCM:1000"; it may come into being later.

    Raises:
        ConfigError: The name is empty or no text.

    Source: MIT krb5, ccache_def.
    """

    name: str | os.PathLike[str]

    def __post_init__(self) -> None:
        as_path(self.name, "the name of a credential cache")


@dataclass(frozen=True, slots=True)
class ClientKeytab:
    """The keys of a principal, to log in with: for services, which nobody types a password for.

    Args:
        keytab: The file; it may come into being later.
        principal: Whose keys, such as "HTTP/web.example.org@EXAMPLE.ORG"; without a realm, that
            of krb5.conf is meant.

    Raises:
        ConfigError: The principal or the file's name is empty or no text.

    Source: MIT krb5, keytab_def (default client keytab).
    """

    keytab: str | os.PathLike[str]
    principal: str

    def __post_init__(self) -> None:
        as_path(self.keytab, "the keytab to log in with")
        if not as_instance(str, self.principal, "principal"):
            raise ConfigError("a keytab to log in with needs a principal")


@dataclass(frozen=True, slots=True)
class Password:
    """A name and a password, for SSPI: a client's, or the one user that sspi-rs, in tests, lets in.

    Args:
        user: The user's name.
        password: Its password; kept out of the repr.
        domain: Its domain, or None.

    Raises:
        ConfigError: The name is empty, or one of these is no text.

    Source: sspi.h, SEC_WINNT_AUTH_IDENTITY.
    """

    user: str
    password: str = field(repr=False)
    domain: str | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.password, str):
            # Not as the others: what was given may be the password.
            raise ConfigError("a password must be text")
        as_optional(str, self.domain, "domain")
        if not as_instance(str, self.user, "user"):
            raise ConfigError("a password needs the name of its user")


ClientCredential = TicketCache | ClientKeytab | DelegatedCredential
"""What a client authenticates with, where it is not what the environment holds."""
