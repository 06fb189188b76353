"""What can be asked of an established context: SECPKG_ATTR_*, and the answers.

The names and numbers are those of sspi.h.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field

from authsrv.core.identity import Identity
from authsrv.errors import UnsupportedFunctionError

__all__ = [
    "ContextAttribute",
    "ContextSizes",
    "NegotiationInfo",
    "PackageInfo",
    "SessionKey",
    "attribute_of",
]


class ContextAttribute(enum.IntEnum):
    """What to ask, and in each comment the type of the answer: SECPKG_ATTR_*."""

    #: A ContextSizes.
    SIZES = 0
    #: The name of the authenticated peer, a str.
    NAMES = 1
    #: When the context ends, a datetime in UTC, or None for never.
    LIFESPAN = 2
    #: A SessionKey.
    SESSION_KEY = 9
    #: A PackageInfo.
    PACKAGE_INFO = 10
    #: A NegotiationInfo.
    NEGOTIATION_INFO = 12
    #: What the context has, an AscRet.
    FLAGS = 14
    #: The service principal name that the client asked for, a str.
    CLIENT_SPECIFIED_TARGET = 27


@dataclass(frozen=True, slots=True)
class ContextSizes:
    """How large the context's tokens, signatures and trailers are, in bytes.

    Args:
        max_token: The largest token of a handshake.
        max_signature: The largest signature of a message.
        block_size: What an encrypted message is a multiple of; 1 or 0 for any length.
        security_trailer: The largest trailer of an encrypted message.
    """

    max_token: int
    max_signature: int
    block_size: int
    security_trailer: int


@dataclass(frozen=True, slots=True)
class SessionKey:
    """The key that both sides share, a secret; the repr leaves it out."""

    value: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class PackageInfo:
    """What a provider says of itself.

    Args:
        name: Its name, such as "Negotiate", "Kerberos" or "NTLM".
        comment: What it is, in words.
        capabilities: SECPKG_FLAG_* bits; 0 where they are not known.
        max_token: Its largest token, in bytes.
    """

    name: str
    comment: str = ""
    capabilities: int = 0
    max_token: int = 0


@dataclass(frozen=True, slots=True)
class NegotiationInfo:
    """Which package a negotiation chose."""

    package: PackageInfo


def attribute_of(identity: Identity, attribute: ContextAttribute) -> object:
    """Tell an attribute that the identity knows, so that the provider need not be asked.

    Raises:
        UnsupportedFunctionError: It is none of NAMES, LIFESPAN, FLAGS and CLIENT_SPECIFIED_TARGET,
            or the identity has no service.
    """
    match attribute:
        case ContextAttribute.NAMES:
            return identity.principal
        case ContextAttribute.LIFESPAN:
            return identity.expires_at
        case ContextAttribute.FLAGS:
            return identity.attributes
        case ContextAttribute.CLIENT_SPECIFIED_TARGET if identity.service is not None:
            return identity.service
        case _:
            raise UnsupportedFunctionError(f"the provider cannot tell {attribute.name}")
