"""Who the client is: the only thing that a finished handshake may be built from."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from authsrv.errors import PackageFaultError
from authsrv.flags import AscRet

__all__ = ["DelegatedCredential", "Identity"]


def _no_attributes() -> Mapping[str, tuple[bytes, ...]]:
    return _NO_ATTRIBUTES


_NO_FLAGS = AscRet(0)
_NO_ATTRIBUTES: Mapping[str, tuple[bytes, ...]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class DelegatedCredential:
    """A credential that the client handed over, to act in its name towards other services.

    Args:
        package: The security package that received it, such as "gssapi".
        native: The package's own object. For gssapi a `gssapi.raw.Creds`, which is good for the
            mechanism Kerberos alone: told to use SPNEGO, MIT takes the process's own credential
            in its place, silently. Kept out of the repr.

    Source: RFC 2744 section 5.1 (delegated_cred_handle), SSPI ASC_RET_DELEGATE.
    """

    package: str
    native: Any = field(repr=False)


@dataclass(frozen=True, slots=True)
class Identity:
    """An authenticated client. It cannot be built without a principal.

    Args:
        principal: The authenticated name, such as "alice@EXAMPLE.ORG"; not empty, printable.
        mechanism: The mechanism that authenticated it, such as "kerberos"; not empty.
        service: The service principal name that the client asked for, or None if unknown.
        attributes: What the context offers, as SSPI's ASC_RET flags.
        expires_at: When the context ends (UTC), or None for never.
        channel_bound: Whether the client proved that it speaks over the channel we see
            (RFC 5929); False also when no channel bindings were configured.
        delegated: The credential that the client handed over, if it did.
        name_attributes: What the issuer says of the client (RFC 6680), name to values; filled
            where the package was told to read them.

    Raises:
        PackageFaultError: The principal or the mechanism is empty or not printable; a security
            package that names nobody has authenticated nobody.

    Source: authsrv design decision 1; RFC 2743 section 2.2.2 (src_name).
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
        for what, text in (("principal", self.principal), ("mechanism", self.mechanism)):
            if not isinstance(text, str) or not text.strip() or not text.isprintable():
                raise PackageFaultError(f"the security package named no printable {what}")

    @property
    def username(self) -> str:
        """The principal without its realm: "alice" of "alice@EXAMPLE.ORG".

        Two realms may both have an alice: decide by `principal` wherever more than one is trusted.

        Source: RFC 1964 section 2.1.1.
        """
        name, separator, _ = self.principal.rpartition("@")
        return name if separator else self.principal

    @property
    def realm(self) -> str | None:
        """The realm of the principal, or None where the name has none.

        Source: RFC 1964 section 2.1.1.
        """
        _, separator, realm = self.principal.rpartition("@")
        return realm if separator else None
