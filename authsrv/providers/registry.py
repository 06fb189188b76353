"""Security support providers by the names that Windows gives them.

"Negotiate" and "Kerberos" are MIT's through GSS-API on Unix, and the system's own on Windows;
"NTLM" is always that of SSPI.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from authsrv.core.credentials import ClientCredential, ClientKeytab, Password
from authsrv.core.settings import as_path
from authsrv.errors import ConfigError, MechanismError
from authsrv.providers.base import InitiatorProvider, SecurityProvider

if TYPE_CHECKING:
    from authsrv.providers.sspi.provider import SspiInitiatorProvider, SspiProvider

__all__ = ["AuthData", "Keytab", "make_acceptor_provider", "make_initiator_provider"]

_GSSAPI_NAMES = ("negotiate", "kerberos")
_SSPI_NAMES = {"negotiate": "Negotiate", "kerberos": "Kerberos", "ntlm": "NTLM"}


@dataclass(frozen=True, slots=True)
class Keytab:
    """Keys in a file: those of a service to accept with, or those of a client.

    Raises:
        ConfigError: The path is empty or no path.
    """

    path: str | os.PathLike[str]

    def __post_init__(self) -> None:
        as_path(self.path, "the path of a keytab")


AuthData = Keytab | Password | ClientCredential
"""What a credential is made from, where it is not what the system holds ready."""


def make_acceptor_provider(
    name: str, principal: str | None, auth_data: AuthData | None
) -> SecurityProvider:
    """Make the provider that a server accepts with.

    Args:
        name: "Negotiate", "Kerberos" or "NTLM", in any case.
        principal: The service principal name to accept tickets for, or None for any.
        auth_data: A Keytab on Unix; on Windows a Password, or None for the system's credential.

    Raises:
        MechanismError: There is no provider of this name.
        ConfigError: It cannot work with these; or an extra of authsrv is missing.
    """
    if not _is_gssapi(name):
        return _make_system_acceptor(name, principal, auth_data)
    if not isinstance(auth_data, Keytab):
        raise ConfigError("a server of Kerberos needs a keytab")
    # It needs the extra authsrv[kerberos].
    from authsrv.providers.gssapi.acceptor import GssapiProvider

    return GssapiProvider(auth_data.path, service=principal)


def make_initiator_provider(
    name: str, principal: str | None, auth_data: AuthData | None
) -> InitiatorProvider:
    """Make the provider that a client initiates with.

    Args:
        name: "Negotiate", "Kerberos" or "NTLM", in any case.
        principal: The client's principal, with a Keytab only.
        auth_data: What it authenticates with; None for what the system holds ready.

    Raises:
        MechanismError: There is no provider of this name.
        ConfigError: It cannot work with these; or an extra of authsrv is missing.
    """
    if not _is_gssapi(name):
        return _make_system_initiator(name, principal, auth_data)
    # It needs the extra authsrv[kerberos].
    from authsrv.providers.gssapi.initiator import GssapiInitiatorProvider, InitiatorMechanism

    is_spnego = name.casefold() == "negotiate"
    mechanism = InitiatorMechanism.SPNEGO if is_spnego else InitiatorMechanism.KERBEROS
    return GssapiInitiatorProvider(_client_credential(principal, auth_data), mechanism=mechanism)


def _is_gssapi(name: str) -> bool:
    folded = name.casefold()
    if folded not in _SSPI_NAMES:
        raise MechanismError(f"there is no provider of the name {name!r}")
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


def _make_system_acceptor(
    name: str, principal: str | None, auth_data: AuthData | None
) -> SspiProvider:
    from authsrv.providers.sspi.provider import SspiProvider  # needs the extra authsrv[sspi]

    credential = _password_of(principal, auth_data)
    return SspiProvider(_SSPI_NAMES[name.casefold()], credential=credential)


def _make_system_initiator(
    name: str, principal: str | None, auth_data: AuthData | None
) -> SspiInitiatorProvider:
    from authsrv.providers.sspi.provider import (  # needs the extra authsrv[sspi]
        SspiInitiatorProvider,
    )

    credential = _password_of(principal, auth_data)
    return SspiInitiatorProvider(_SSPI_NAMES[name.casefold()], credential=credential)


def _password_of(principal: str | None, auth_data: AuthData | None) -> Password | None:
    if principal is not None:
        raise ConfigError("SSPI takes no principal: it is that of the credential")
    if auth_data is not None and not isinstance(auth_data, Password):
        raise ConfigError("SSPI takes a password, or what the system holds ready")
    return auth_data
