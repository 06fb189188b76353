"""Security packages by the names that Windows gives them, in any case.

"Negotiate" and "Kerberos" are MIT's through GSS-API where a Unix system is, and Windows' own there;
"NTLM" is that of the system's SSPI.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from authsrv.errors import ConfigError, MechanismError
from authsrv.providers.base import InitiatorPackage, SecurityPackage
from authsrv.core.credentials import ClientCredential, ClientKeytab, Password
from authsrv.core.settings import as_path

if TYPE_CHECKING:
    from authsrv.providers.sspi.provider import SspiPackage

__all__ = ["AuthData", "Keytab", "make_acceptor_package", "make_initiator_package"]

_GSSAPI_NAMES = ("negotiate", "kerberos")
_SSPI_NAMES = {"negotiate": "Negotiate", "kerberos": "Kerberos", "ntlm": "NTLM"}


@dataclass(frozen=True, slots=True)
class Keytab:
    """Keys in a file: those of a service to accept with, or those of a client.

    Args:
        path: The keytab file.

    Raises:
        ConfigError: The path is empty or no path.

    Source: MIT krb5, keytab.
    """

    path: str | os.PathLike[str]

    def __post_init__(self) -> None:
        as_path(self.path, "the path of a keytab")


AuthData = Keytab | Password | ClientCredential
"""What a credential is made from, where it is not what the system holds ready."""


def make_acceptor_package(
    name: str, principal: str | None, auth_data: AuthData | None
) -> SecurityPackage:
    """Make the package that a server accepts with.

    Args:
        name: "Negotiate", "Kerberos" or "NTLM", in any case.
        principal: The service principal name to accept tickets for, or None for any.
        auth_data: What it accepts with.

    Returns:
        The package.

    Raises:
        MechanismError: There is no package of this name.
        ConfigError: It cannot work with this; or an extra of authsrv is missing.

    Source: SSPI AcquireCredentialsHandle, pszPackage.
    """
    if not _is_gssapi(name):
        return _make_system_package(name, principal, auth_data)
    if not isinstance(auth_data, Keytab):
        raise ConfigError("a server of Kerberos needs a keytab")
    from authsrv.providers.gssapi.acceptor import GssapiPackage  # needs the extra authsrv[kerberos]

    return GssapiPackage(auth_data.path, service=principal)


def make_initiator_package(
    name: str, principal: str | None, auth_data: AuthData | None
) -> InitiatorPackage:
    """Make the package that a client begins with.

    Args:
        name: "Negotiate", "Kerberos" or "NTLM", in any case.
        principal: The client's name, where it has a keytab.
        auth_data: What it authenticates with.

    Returns:
        The package.

    Raises:
        MechanismError: There is no package of this name.
        ConfigError: It cannot work with this; or an extra of authsrv is missing.

    Source: SSPI AcquireCredentialsHandle, pszPackage.
    """
    if not _is_gssapi(name):
        return _make_system_package(name, principal, auth_data)
    from authsrv.providers.gssapi.initiator import (  # needs the extra authsrv[kerberos]
        GssapiInitiatorPackage,
        InitiatorMechanism,
    )

    is_spnego = name.casefold() == "negotiate"
    mechanism = InitiatorMechanism.SPNEGO if is_spnego else InitiatorMechanism.KERBEROS
    return GssapiInitiatorPackage(_client_credential(principal, auth_data), mechanism=mechanism)


def _is_gssapi(name: str) -> bool:
    folded = name.casefold()
    if folded not in _SSPI_NAMES:
        raise MechanismError(f"there is no security package of the name {name!r}")
    return sys.platform != "win32" and folded in _GSSAPI_NAMES


def _client_credential(
    principal: str | None, auth_data: AuthData | None
) -> ClientCredential | None:
    if isinstance(auth_data, Password):
        raise ConfigError("a client of Kerberos takes tickets or a keytab, no password")
    if not isinstance(auth_data, Keytab):
        if principal is not None:
            raise ConfigError("the name of a client's principal belongs to a keytab")
        return auth_data
    if principal is None:
        raise ConfigError("a client that has a keytab needs the name of its principal")
    return ClientKeytab(auth_data.path, principal)


def _make_system_package(
    name: str, principal: str | None, auth_data: AuthData | None
) -> SspiPackage:
    from authsrv.providers.sspi.provider import SspiPackage  # needs the extra authsrv[sspi]

    if principal is not None:
        raise ConfigError("SSPI takes no principal: it is that of the credential")
    if auth_data is not None and not isinstance(auth_data, Password):
        raise ConfigError("SSPI takes a password, or what the system holds ready")
    return SspiPackage(_SSPI_NAMES[name.casefold()], credential=auth_data)
