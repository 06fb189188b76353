"""What sspi-rs leaves unchecked and untold of NTLM, from the messages themselves.

Its acceptor never compares the client's NTProofStr. It checks the MIC instead, and only where the
client says that there is one: a message without it is let in with any password. And the attributes
that it tells, on either side, are the flags that it was asked for, whatever the peer agreed to.
"""

from __future__ import annotations

import hmac
import struct
from dataclasses import dataclass, field

from authsrv.codecs.ntlm.md4 import md4
from authsrv.codecs.ntlm.messages import NTLMMessageType, parse_ntlm_header
from authsrv.core.credentials import Password
from authsrv.core.flags import AscRet
from authsrv.errors import InvalidTokenError, LogonDeniedError

__all__ = ["agreed_attributes", "is_known_user", "verify_proof"]

# MS-NLMP section 2.2.1.2: where the fields of a CHALLENGE_MESSAGE are.
_CHALLENGE_FLAGS, _SERVER_CHALLENGE, _CHALLENGE_END = 20, 24, 32
# MS-NLMP section 2.2.1.3: where those of an AUTHENTICATE_MESSAGE are.
_RESPONSE, _DOMAIN, _USER, _AUTHENTICATE_FLAGS, _AUTHENTICATE_END = 20, 28, 36, 60, 64
# MS-NLMP section 2.2.2.5.
_UNICODE, _SIGN, _SEAL = 0x01, 0x10, 0x20
# MS-NLMP section 2.2.2.8: the proof, and then what it is made of.
_PROOF = 16

# MS-NLMP section 3.1.1.1: signing brings integrity, replay and sequence detection.
_SIGNED = AscRet.INTEGRITY | AscRet.REPLAY_DETECT | AscRet.SEQUENCE_DETECT
_NOTHING = AscRet(0)


@dataclass(frozen=True, slots=True)
class _Authenticate:
    user: str
    domain: str
    response: bytes = field(repr=False)


def is_known_user(known: Password, user: str, domain: str) -> bool:
    """Tell whether a name, from the client and untrusted, is the one that the password is for.

    Upper and lower case are the same. Where the password has no domain, any domain will do.
    """
    # MS-NLMP section 3.3.2: Uppercase(User).
    is_domain = known.domain is None or domain.casefold() == known.domain.casefold()
    return is_domain and user.casefold() == known.user.casefold()


def verify_proof(known: Password, challenge: bytes, message: bytes) -> None:
    """Check by NTLMv2 that the client knows the password of the user whom the server knows.

    Args:
        known: The user whom the server knows.
        challenge: The CHALLENGE_MESSAGE that the server sent.
        message: The client's AUTHENTICATE_MESSAGE, untrusted, of any length.

    Raises:
        InvalidTokenError: The message is malformed, or its names are not in Unicode.
        LogonDeniedError: It names another user, or does not prove the password by NTLMv2.
    """
    parsed = _parse_authenticate(message)
    if not is_known_user(known, parsed.user, parsed.domain):
        raise LogonDeniedError("the password belongs to another user than the client names")
    # MS-NLMP section 3.3.2: NTOWFv2 and NTProofStr.
    proof, proven = parsed.response[:_PROOF], parsed.response[_PROOF:]
    name = (parsed.user.upper() + parsed.domain).encode("utf-16-le")
    key = _hmac_md5(md4(known.password.encode("utf-16-le")), name)
    expected = _hmac_md5(key, challenge[_SERVER_CHALLENGE:_CHALLENGE_END] + proven)
    if not hmac.compare_digest(expected, proof):
        raise LogonDeniedError("the client does not prove the password, though sspi-rs lets it in")


def agreed_attributes(challenge: bytes, message: bytes) -> AscRet:
    """Tell what protection the two sides of a handshake agreed on.

    Both messages are untrusted and of any length; nothing is agreed on where either is not such a
    message.
    """
    agreed = _flags(challenge, NTLMMessageType.CHALLENGE, _CHALLENGE_FLAGS)
    agreed &= _flags(message, NTLMMessageType.AUTHENTICATE, _AUTHENTICATE_FLAGS)
    signed = _SIGNED if agreed & _SIGN else _NOTHING
    return signed | (AscRet.CONFIDENTIALITY if agreed & _SEAL else _NOTHING)


def _flags(message: bytes, kind: NTLMMessageType, offset: int) -> int:
    try:
        is_kind = parse_ntlm_header(message) is kind
    except InvalidTokenError:
        return 0
    return int.from_bytes(message[offset : offset + 4], "little") if is_kind else 0


def _parse_authenticate(message: bytes) -> _Authenticate:
    is_last = parse_ntlm_header(message) is NTLMMessageType.AUTHENTICATE
    if not is_last or len(message) < _AUTHENTICATE_END:
        raise InvalidTokenError("the token is not an AUTHENTICATE_MESSAGE of NTLM")
    if not message[_AUTHENTICATE_FLAGS] & _UNICODE:
        raise InvalidTokenError("the names in the AUTHENTICATE_MESSAGE are not in Unicode")
    try:
        user, domain = (_read(message, at).decode("utf-16-le") for at in (_USER, _DOMAIN))
    except UnicodeDecodeError:
        user = domain = ""
    if not user:
        raise InvalidTokenError("the AUTHENTICATE_MESSAGE names no user")
    return _Authenticate(user, domain, _read(message, _RESPONSE))


def _read(message: bytes, field_at: int) -> bytes:
    length, _, offset = struct.unpack_from("<HHL", message, field_at)
    content = message[offset : offset + length]
    if len(content) != length:
        raise InvalidTokenError("a field of the AUTHENTICATE_MESSAGE lies outside of it")
    return content


def _hmac_md5(key: bytes, data: bytes) -> bytes:
    return hmac.digest(key, data, "md5")
