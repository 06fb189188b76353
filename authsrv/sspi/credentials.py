"""Credentials: what a server accepts with and a client initiates with, by a provider's name.

The names are those of `authsrv.providers.registry`; a provider of authsrv, or one of your own, can
be given as it is.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import cast

from authsrv.core.credentials import Password
from authsrv.core.flags import CredentialUse
from authsrv.core.limits import DEFAULT_LIMITS, Limits
from authsrv.core.settings import as_flags, as_instance, as_optional
from authsrv.core.status import SecurityStatus
from authsrv.errors import ConfigError, StateError, UnsupportedFunctionError
from authsrv.handshake.acceptor import Acceptor
from authsrv.handshake.initiator import Initiator
from authsrv.handshake.pool import WorkerPool
from authsrv.providers.base import InitiatorProvider, SecurityProvider
from authsrv.providers.registry import (
    AuthData,
    Keytab,
    make_acceptor_provider,
    make_initiator_provider,
)
from authsrv.sspi.calls import AsyncContext, check_idle, queue
from authsrv.sspi.handles import CredentialHandle
from authsrv.sspi.operations import CallResult, Operation

__all__ = [
    "Package",
    "acquire_credentials",
    "acquire_credentials_handle_async",
    "free_credentials_handle_async",
]

_S = SecurityStatus
_DIRECTIONS = CredentialUse.BOTH

_Parties = tuple[Acceptor | None, Initiator | None]

Package = str | SecurityProvider | InitiatorProvider
"""A provider by its name, or the provider itself."""


def acquire_credentials_handle_async(
    call: AsyncContext,
    principal: str | None,
    package: Package,
    credential_use: CredentialUse,
    auth_data: AuthData | None,
    credential: CredentialHandle,
    *,
    limits: Limits = DEFAULT_LIMITS,
    realms: str | Collection[str] | None = None,
) -> SecurityStatus:
    """Queue the acquisition of a credential.

    Args:
        call: An idle call.
        principal: For a server, the service principal name to accept tickets for, such as
            "HTTP/web.example.org"; for a client, its name in a keytab. None for whatever there is.
        package: "Negotiate", "Kerberos", "NTLM", in any case, or a provider itself. "NTLM" is for
            Windows; elsewhere it is for tests, and for OUTBOUND alone.
        credential_use: INBOUND for a server, OUTBOUND for a client, or BOTH.
        auth_data: A Keytab, a Password, or None for what the system holds ready.
        credential: The handle to fill.
        limits: The bounds of all that is done with it.
        realms: For a server, as of Acceptor: the realms whose clients are let in.

    Returns:
        SEC_E_OK if it was queued; SEC_E_INVALID_HANDLE; SEC_E_OUT_OF_SEQUENCE for a call in use;
        SEC_E_INVALID_PARAMETER for limits of another type. The status of the call is SEC_E_OK,
        SEC_E_SECPKG_NOT_FOUND for an unknown name, SEC_E_NO_CREDENTIALS, SEC_E_INVALID_PARAMETER
        for settings that are wrong or cannot work, or SEC_E_UNSUPPORTED_FUNCTION for a use that the
        provider does not offer.

    Raises:
        RuntimeError: No event loop is running.
    """
    if not isinstance(credential, CredentialHandle) or credential.is_valid:
        return _S.SEC_E_INVALID_HANDLE
    if check_idle(call) is not _S.SEC_E_OK:
        return check_idle(call)
    if not isinstance(limits, Limits):
        return _S.SEC_E_INVALID_PARAMETER  # type: ignore[unreachable]  # not typed by all

    def make(pool: WorkerPool) -> _Parties:
        return _make_parties(
            principal, package, credential_use, auth_data, _Bounds(limits, realms), pool
        )

    return queue(call, _Acquisition(credential, limits, make))


def free_credentials_handle_async(
    call: AsyncContext, credential: CredentialHandle
) -> SecurityStatus:
    """Queue the release of a credential. Handshakes that are under way with it end.

    Returns:
        SEC_E_OK if it was queued; SEC_E_INVALID_HANDLE if the credential refers to nothing;
        SEC_E_OUT_OF_SEQUENCE for a call in use.

    Raises:
        RuntimeError: No event loop is running.
    """
    if not isinstance(credential, CredentialHandle) or not credential.is_valid:
        return _S.SEC_E_INVALID_HANDLE

    status = check_idle(call)
    return queue(call, _Release(credential)) if status is _S.SEC_E_OK else status


@asynccontextmanager
async def acquire_credentials(
    package: Package = "Negotiate",
    *,
    principal: str | None = None,
    use: CredentialUse = CredentialUse.INBOUND,
    keytab: str | os.PathLike[str] | None = None,
    password: Password | None = None,
    limits: Limits = DEFAULT_LIMITS,
    realms: str | Collection[str] | None = None,
) -> AsyncIterator[CredentialHandle]:
    """Acquire a credential for the length of an `async with` block.

    Args:
        package: As of acquire_credentials_handle_async.
        principal: As of acquire_credentials_handle_async.
        use: INBOUND for a server, OUTBOUND for a client, or BOTH.
        keytab: The file with the keys, if it is made from that.
        password: A name and a password, if it is made from that.
        limits: The bounds of all that is done with it.
        realms: For a server, as of Acceptor: the realms whose clients are let in.

    Yields:
        The credential, which is freed at the end of the block.

    Raises:
        ConfigError: A setting is wrong, or both a keytab and a password are given.
        AuthsrvError: There is no such credential; its status is that of the call.
    """
    as_instance(Limits, limits, "limits")
    if keytab is not None and password is not None:
        raise ConfigError("give a keytab or a password, not both")
    auth_data = Keytab(keytab) if keytab is not None else password
    call = AsyncContext()
    # Freed on every way out: it may be filled already when this task is cancelled.
    async with CredentialHandle() as credential:
        acquire_credentials_handle_async(
            call, principal, package, use, auth_data, credential, limits=limits, realms=realms
        )
        result = await call
        if result.error is not None:
            raise result.error
        if result.status is not _S.SEC_E_OK:
            raise StateError("the credential was not acquired", status=result.status)
        yield credential


class _Acquisition(Operation[_Parties]):
    """The acquisition of a credential, with threads of its own."""

    __slots__ = ("_credential", "_make", "_pool")

    def __init__(
        self,
        credential: CredentialHandle,
        limits: Limits,
        make: Callable[[WorkerPool], _Parties],
    ) -> None:
        self._credential = credential
        self._make = make
        self._pool = WorkerPool(limits)

    def begin(self) -> None:
        self._pool.submit(partial(self._make, self._pool), self)

    def conclude(self, parties: _Parties) -> CallResult:
        self._credential.fill(*parties)
        return CallResult(_S.SEC_E_OK)

    def abandon(self) -> None:
        self._pool.close()


class _Release(Operation[None]):
    __slots__ = ("_credential",)

    def __init__(self, credential: CredentialHandle) -> None:
        self._credential = credential

    def begin(self) -> None:
        self._credential.free()
        self.set_result(None)

    def conclude(self, answer: None) -> CallResult:
        return CallResult(_S.SEC_E_OK)

    def abandon(self) -> None:
        self._credential.free()


@dataclass(frozen=True, slots=True)
class _Bounds:
    limits: Limits
    realms: str | Collection[str] | None


def _make_parties(
    principal: str | None,
    package: Package,
    use: CredentialUse,
    auth_data: AuthData | None,
    bounds: _Bounds,
    pool: WorkerPool,
) -> _Parties:
    """Make the acceptor and the initiator that the use asks for; it may block."""
    as_optional(str, principal, "principal")
    if auth_data is not None and not isinstance(auth_data, AuthData):
        raise ConfigError("auth_data must be a Keytab, a Password or another credential")
    if not isinstance(package, str):
        _check_package(package, principal, auth_data)
    if not as_flags(CredentialUse, use, "credential_use") & _DIRECTIONS:
        raise ConfigError("credential_use must be INBOUND, OUTBOUND or BOTH")
    acceptor = initiator = None
    if use & CredentialUse.INBOUND:
        inbound = _inbound(package, principal, auth_data)
        inbound.check()
        acceptor = Acceptor(inbound, limits=bounds.limits, pool=pool, realms=bounds.realms)
    if use & CredentialUse.OUTBOUND:
        outbound = _outbound(package, principal, auth_data)
        initiator = Initiator(outbound, limits=bounds.limits, pool=pool)
    return acceptor, initiator


def _check_package(package: object, principal: str | None, auth_data: AuthData | None) -> None:
    if not isinstance(getattr(package, "name", None), str):
        raise ConfigError("package must be a provider or the name of one")
    if principal is not None or auth_data is not None:
        raise ConfigError("a provider has its principal and keys already")


def _inbound(
    package: Package, principal: str | None, auth_data: AuthData | None
) -> SecurityProvider:
    if isinstance(package, str):
        return make_acceptor_provider(package, principal, auth_data)
    if not hasattr(package, "create_context"):
        raise UnsupportedFunctionError(f"the provider {package.name!r} does not accept clients")
    return cast(SecurityProvider, package)


def _outbound(
    package: Package, principal: str | None, auth_data: AuthData | None
) -> InitiatorProvider:
    if isinstance(package, str):
        return make_initiator_provider(package, principal, auth_data)
    if not hasattr(package, "create_initiator"):
        raise UnsupportedFunctionError(
            f"the provider {package.name!r} does not initiate handshakes"
        )
    return cast(InitiatorProvider, package)
