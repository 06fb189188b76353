"""The handshake messages of MS-NNS section 2.2.1 as bytes: a header, then a token or a code.

The header of five bytes is the kind of the message, the version 1.0, and the payload's size as two
bytes, the higher one first. The payload of a HandshakeError is eight bytes: four of no meaning,
then the code, its highest byte first. The specification says in section 2.2 that integers have
their lowest byte first; .NET, the peer in practice, has it the other way round.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, Final

from authsrv.errors import InvalidTokenError, ProviderFaultError, TokenTooLargeError

__all__ = [
    "MAX_PAYLOAD_BYTES",
    "HandshakeDone",
    "HandshakeError",
    "HandshakeInProgress",
    "HandshakeMessage",
    "MissingBytes",
    "ParsedMessage",
    "build_message",
    "parse_message",
]

MAX_PAYLOAD_BYTES: Final = 0xFFFF
"""The largest payload that a header can announce."""

_HEADER_BYTES = 5
_VERSION = b"\x01\x00"
_ERROR_BYTES = 8


@dataclass(frozen=True, slots=True)
class HandshakeInProgress:
    """A token, and the sender has not ended its part of the handshake.

    Args:
        token: The token, 1 to 65,535 bytes.

    Raises:
        InvalidTokenError: The token is empty.
    """

    message_id: ClassVar[int] = 22
    token: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if not self.token:
            raise InvalidTokenError("a HandshakeInProgress has no token")


@dataclass(frozen=True, slots=True)
class HandshakeDone:
    """The sender's part of the handshake has ended well.

    Args:
        token: Its last token, up to 65,535 bytes, or empty where there is none.
    """

    message_id: ClassVar[int] = 20
    token: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True)
class HandshakeError:
    """The sender has ended the handshake; a message, not an exception.

    Args:
        code: Why, as an HRESULT, or 0x000006FE where the context lacks what the sender requires;
            0 to 0xFFFFFFFF.
    """

    message_id: ClassVar[int] = 21
    code: int


HandshakeMessage = HandshakeInProgress | HandshakeDone | HandshakeError
"""One of the three messages."""

_KNOWN_IDS = frozenset(
    kind.message_id for kind in (HandshakeInProgress, HandshakeDone, HandshakeError)
)


@dataclass(frozen=True, slots=True)
class ParsedMessage:
    """A message that was read, and where it ended.

    Args:
        message: The message.
        used: How many bytes it took; those behind them belong to what comes next.
    """

    message: HandshakeMessage
    used: int


@dataclass(frozen=True, slots=True)
class MissingBytes:
    """The message is not whole.

    Args:
        count: How many bytes are missing at least, 1 or more. It is the exact number once the
            header is there.
    """

    count: int


def parse_message(
    data: bytes, *, max_payload_bytes: int = MAX_PAYLOAD_BYTES
) -> ParsedMessage | MissingBytes:
    """Read the message that some bytes begin with.

    Args:
        data: The bytes, from the peer, untrusted; any number of them.
        max_payload_bytes: The largest payload to read; the header alone is enough to refuse a
            larger one.

    Raises:
        InvalidTokenError: It is none of the three messages, a HandshakeInProgress without a
            token, or a HandshakeError without a code of eight bytes.
        TokenTooLargeError: Its payload is larger than max_payload_bytes.
    """
    # MS-NNS section 3.1.5.2: the version, in bytes 1 and 2, MUST be ignored.
    if len(data) < _HEADER_BYTES:
        return MissingBytes(_HEADER_BYTES - len(data))
    message_id, size = data[0], int.from_bytes(data[3:_HEADER_BYTES], "big")
    if message_id not in _KNOWN_IDS:
        raise InvalidTokenError("the bytes are not a handshake message of MS-NNS")
    if message_id == HandshakeError.message_id and size != _ERROR_BYTES:
        raise InvalidTokenError(f"a HandshakeError has {size} bytes instead of {_ERROR_BYTES}")
    if size > max_payload_bytes:
        raise TokenTooLargeError(f"the token has {size} bytes, the limit is {max_payload_bytes}")
    end = _HEADER_BYTES + size
    if len(data) < end:
        return MissingBytes(end - len(data))
    return ParsedMessage(_read(message_id, data[_HEADER_BYTES:end]), end)


def _read(message_id: int, payload: bytes) -> HandshakeMessage:
    if message_id == HandshakeError.message_id:
        # The first four bytes are reserved, and MUST be ignored.
        return HandshakeError(int.from_bytes(payload[4:], "big"))
    if message_id == HandshakeDone.message_id:
        return HandshakeDone(payload)
    return HandshakeInProgress(payload)


def build_message(message: HandshakeMessage) -> bytes:
    """Write a message: 5 to 65,540 bytes.

    Raises:
        ProviderFaultError: The token is larger than a message can hold.
        OverflowError: The code does not fit in 32 bits.
    """
    if isinstance(message, HandshakeError):
        payload = message.code.to_bytes(4, "big").rjust(_ERROR_BYTES, b"\0")
    else:
        payload = message.token
    if len(payload) > MAX_PAYLOAD_BYTES:
        raise ProviderFaultError(
            f"the provider made a token of {len(payload)} bytes,"
            f" a message holds {MAX_PAYLOAD_BYTES}"
        )
    return bytes((message.message_id,)) + _VERSION + len(payload).to_bytes(2, "big") + payload
