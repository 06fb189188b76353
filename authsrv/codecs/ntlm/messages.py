"""NTLM tokens: which of the three messages it is, and nothing more."""

from __future__ import annotations

import enum
from typing import Final

from authsrv.errors import InvalidTokenError

__all__ = ["NTLM_SIGNATURE", "NTLMMessageType", "parse_ntlm_header"]

# MS-NLMP section 2.2.1: every message begins with this, then its type in four bytes.
NTLM_SIGNATURE: Final = b"NTLMSSP\x00"
_TYPE_END = len(NTLM_SIGNATURE) + 4


class NTLMMessageType(enum.Enum):
    """The three messages of NTLM, in their order."""

    NEGOTIATE = 1
    """The client offers what it can."""
    CHALLENGE = 2
    """The server asks for proof."""
    AUTHENTICATE = 3
    """The client gives a name and the proof."""


def parse_ntlm_header(token: bytes) -> NTLMMessageType:
    """Tell which message of NTLM it is; what follows the header is not looked at.

    Args:
        token: A token, not in SPNEGO; from the client, untrusted; of any length.

    Raises:
        InvalidTokenError: It is empty, cut off, not of NTLM, or has an unknown type.
    """
    if not token:
        raise InvalidTokenError("the token is empty")
    if not token.startswith(NTLM_SIGNATURE) or len(token) < _TYPE_END:
        raise InvalidTokenError("the token is not an NTLM message")
    number = int.from_bytes(token[len(NTLM_SIGNATURE) : _TYPE_END], "little")
    try:
        return NTLMMessageType(number)
    except ValueError:
        raise InvalidTokenError("the NTLM message has an unknown type") from None
