"""Who the client is; a handshake can end well only with an Identity."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from authsrv.core.flags import AscRet
from authsrv.errors import LogonDeniedError, ProviderFaultError

__all__ = ["DelegatedCredential", "Identity", "split_principal"]

# RFC 6111 section 3: reserved names and realms begin so; RFC 8062 section 3 has the anonymous ones.
_WELL_KNOWN = "WELLKNOWN"
_MAX_SHOWN = 256


def _no_attributes() -> Mapping[str, tuple[bytes, ...]]:
    return _NO_ATTRIBUTES


_NO_FLAGS = AscRet(0)
_NO_ATTRIBUTES: Mapping[str, tuple[bytes, ...]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class DelegatedCredential:
    """A credential that the client handed over, to act in its name towards other services.

    Args:
        provider: The provider that received it, such as "gssapi".
        native: The provider's own object. For gssapi a `gssapi.raw.Creds`, which is good for the
            mechanism Kerberos alone: told to use SPNEGO, MIT takes the process's own credential
            in its place, silently. Kept out of the repr.
    """

    provider: str
    native: Any = field(repr=False)


def split_principal(principal: str) -> tuple[str, str | None]:
    r"""Split a principal at its last "@" that no backslash escapes.

    Args:
        principal: Such as "alice@EXAMPLE.ORG"; an "@" inside name or realm is written "\@".

    Returns:
        The name, still escaped, and the realm; None for the realm where there is no such "@".
    """
    # RFC 1964 section 2.1.1.
    at = principal.rfind("@")
    if "\\" not in principal:
        return (principal, None) if at < 0 else (principal[:at], principal[at + 1 :])
    while at >= 0:
        before = principal[:at]
        if (len(before) - len(before.rstrip("\\"))) % 2 == 0:
            return before, principal[at + 1 :]
        at = principal.rfind("@", 0, at)
    return principal, None


@dataclass(frozen=True, slots=True)
class Identity:
    """An authenticated client. It cannot be built without a principal.

    Nor can it be built from a principal that names nobody: an empty name, or a reserved one, such
    as that of anonymous clients.

    Args:
        principal: The authenticated name, such as "alice@EXAMPLE.ORG"; not empty, printable.
        mechanism: The mechanism that authenticated it, such as "kerberos"; not empty.
        service: The service principal name that the ticket says, in the clear, that it is for;
            None if unknown. A claim: nothing proves it, and an account's services share one key.
        attributes: What the context offers, as SSPI's ASC_RET flags.
        expires_at: When the context ends (UTC), or None for never.
        channel_bound: Whether the client proved that it speaks over the channel we see
            (RFC 5929); False also when no channel bindings were configured.
        delegated: The credential that the client handed over, if it did.
        name_attributes: What the issuer says of the client (RFC 6680), name to values; filled
            where the provider was told to read them.

    Raises:
        ProviderFaultError: The principal or the mechanism is empty or not text, or the mechanism is
            not printable.
        LogonDeniedError: The principal names nobody: it has a realm and no name, is reserved, or is
            not printable, which would let it look like another one.
    """

    principal: str
    mechanism: str
    service: str | None = None
    attributes: AscRet = _NO_FLAGS
    expires_at: datetime.datetime | None = None
    channel_bound: bool = False
    delegated: DelegatedCredential | None = None
    name_attributes: Mapping[str, tuple[bytes, ...]] = field(
        default_factory=_no_attributes, repr=False
    )

    def __post_init__(self) -> None:
        _demand_text("principal", self.principal)
        _demand_text("mechanism", self.mechanism)
        if not self.mechanism.isprintable():
            raise ProviderFaultError("the provider named no printable mechanism")
        _demand_somebody(self.principal)

    @property
    def username(self) -> str:
        """The principal without its realm: "alice" of "alice@EXAMPLE.ORG".

        Two realms may both have an alice: decide by `principal` wherever more than one is trusted.
        """
        return split_principal(self.principal)[0]

    @property
    def realm(self) -> str | None:
        """The realm of the principal, or None where the name has none."""
        return split_principal(self.principal)[1]


def _demand_text(what: str, text: object) -> None:
    if not isinstance(text, str) or not text.strip():
        raise ProviderFaultError(f"the provider named no {what}")


def _demand_somebody(principal: str) -> None:
    if not principal.isprintable():
        escaped = principal[:_MAX_SHOWN].encode("unicode_escape").decode()
        raise LogonDeniedError(f"the client's name has unprintable characters: {escaped}")
    name, realm = split_principal(principal)
    if not name.strip("/ "):
        raise LogonDeniedError("the client has no name")
    if _WELL_KNOWN not in principal:
        return
    is_well_known = name.partition("/")[0] == _WELL_KNOWN
    if is_well_known or (realm is not None and realm.partition(":")[0] == _WELL_KNOWN):
        raise LogonDeniedError(f"the client has a reserved name: {principal[:_MAX_SHOWN]}")
