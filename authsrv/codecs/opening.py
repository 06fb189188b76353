"""Whether a token opens a handshake or goes on with one: told from its first bytes."""

from __future__ import annotations

from authsrv.codecs.ntlm import NTLM_SIGNATURE, NTLMMessageType, parse_ntlm_header
from authsrv.codecs.spnego import NegTokenResp, parse_spnego
from authsrv.errors import InvalidTokenError

__all__ = ["begins_handshake", "continues_handshake"]

_NEG_TOKEN_RESP = b"\xa1"

# RFC 2743 section 3.1: the frame of an initial token; RFC 4178 section 4.2: a NegTokenInit without
# it. A NegTokenResp begins with 0xA1.
_INITIAL_TAGS = (0x60, 0xA0)
_CONTINUING = frozenset({_NEG_TOKEN_RESP, NTLM_SIGNATURE[:1]})
_NTLM_NEGOTIATE = b"NTLMSSP\x00\x01\x00\x00\x00"


def begins_handshake(token: bytes) -> bool:
    """Tell whether a token opens a handshake.

    Args:
        token: The token, from the client, untrusted; of any length.

    Returns:
        True for an initial token of GSS-API or SPNEGO and for NTLM's NEGOTIATE_MESSAGE; False for
        all else, tokens that cannot be read included.

    Source: RFC 2743 section 3.1; RFC 4178 section 4.2; MS-NLMP section 2.2.1.1.
    """
    return token[:1] != b"" and (token[0] in _INITIAL_TAGS or token.startswith(_NTLM_NEGOTIATE))


def continues_handshake(token: bytes) -> bool:
    """Tell whether a token goes on with a handshake, and so can begin none.

    Args:
        token: The token, from the client, untrusted; of any length.

    Returns:
        True for a well-formed NegTokenResp and for NTLM's AUTHENTICATE_MESSAGE; False for all else.

    Source: RFC 4178 section 4.2.2; MS-NLMP section 2.2.1.3.
    """
    if token[:1] not in _CONTINUING:
        return False
    try:
        if token.startswith(_NEG_TOKEN_RESP):
            return isinstance(parse_spnego(token), NegTokenResp)
        return (
            token.startswith(NTLM_SIGNATURE)
            and parse_ntlm_header(token) is NTLMMessageType.AUTHENTICATE
        )
    except InvalidTokenError:
        return False
