"""With what a client authenticates: a credential cache, a keytab, a password, or a delegated one.

These are descriptions, and cheap. A provider makes its own objects of them when they are needed;
nothing here loads a library.
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
        name: A file, or a name of another type as in krb5.conf, such as "KCM:1000"; it need not
            exist yet.

    Raises:
        ConfigError: The name is empty or not text.
    """

    name: str | os.PathLike[str]

    def __post_init__(self) -> None:
        as_path(self.name, "the name of a credential cache")


@dataclass(frozen=True, slots=True)
class ClientKeytab:
    """The keys of a principal to log in with, for services, where nobody types a password.

    Args:
        keytab: The file; it need not exist yet.
        principal: Whose keys, such as "HTTP/web.example.org@EXAMPLE.ORG"; without a realm, that
            of krb5.conf is meant.

    Raises:
        ConfigError: The principal or the file's name is empty or not text.
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

    The repr leaves the password out.

    Raises:
        ConfigError: The name is empty, or one of these is not text.
    """

    user: str
    password: str = field(repr=False)
    domain: str | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.password, str):
            # Not by as_instance, which shows what was given: it may be the password.
            raise ConfigError("a password must be text")
        as_optional(str, self.domain, "domain")
        if not as_instance(str, self.user, "user"):
            raise ConfigError("a password needs the name of its user")


ClientCredential = TicketCache | ClientKeytab | DelegatedCredential
"""What a client authenticates with, where it is not what the environment holds."""
