"""SecBuffer and SecBufferDesc: how SSPI calls pass their bytes.

A call takes and gives a description: a sequence of buffers, each with a type that says what its
bytes are. For SPNEGO, Kerberos and NTLM these are a TOKEN and, with channel bindings, one buffer of
type CHANNEL_BINDINGS. Neither class shows a byte of its contents when printed.

The type may be written as in C: as a number, and with the bits of attributes joined to it. What it
is then, `SecBuffer.kind` tells. The names and numbers are those of sspi.h.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator
from dataclasses import dataclass

__all__ = [
    "ATTRIBUTE_MASK",
    "BUFFER_VERSION",
    "BufferAttribute",
    "BufferType",
    "SecBuffer",
    "SecBufferDesc",
]

#: The bits of a native buffer type that hold attributes; the rest is the type.
ATTRIBUTE_MASK = 0xF000_0000

#: The one version of a SecBufferDesc.
BUFFER_VERSION = 0

_ALL_BITS = 0xFFFF_FFFF


class BufferType(enum.IntEnum):
    """What the bytes of a buffer are: SECBUFFER_*."""

    #: Nothing: a place to be filled.
    EMPTY = 0
    #: Bytes to be signed, encrypted or their reverse.
    DATA = 1
    #: A token of the handshake, or the trailer of a message.
    TOKEN = 2
    #: Parameters for the provider.
    PKG_PARAMS = 3
    #: How many bytes of input are missing.
    MISSING = 4
    #: Bytes of input that were not used.
    EXTRA = 5
    #: The trailer of a stream's record.
    STREAM_TRAILER = 6
    #: The header of a stream's record.
    STREAM_HEADER = 7
    #: For the negotiating provider alone.
    NEGOTIATION_INFO = 8
    #: Bytes that fill a message to the length of a block.
    PADDING = 9
    #: Bytes of an encrypted stream.
    STREAM = 10
    #: A list of mechanisms, for the negotiating provider.
    MECHLIST = 11
    #: The signature over such a list.
    MECHLIST_SIGNATURE = 12
    #: The name of the target.
    TARGET = 13
    #: The client's channel, to be compared with what it sent.
    CHANNEL_BINDINGS = 14
    #: The answer to a change of password.
    CHANGE_PASS_RESPONSE = 15
    #: The host of the target.
    TARGET_HOST = 16
    #: A TLS alert.
    ALERT = 17
    #: Application protocols (ALPN).
    APPLICATION_PROTOCOLS = 18
    #: SRTP protection profiles.
    SRTP_PROTECTION_PROFILES = 19
    #: The identifier of an SRTP master key.
    SRTP_MASTER_KEY_IDENTIFIER = 20
    #: Token binding.
    TOKEN_BINDING = 21
    #: A key agreed on beforehand.
    PRESHARED_KEY = 22
    #: The identity of such a key.
    PRESHARED_KEY_IDENTITY = 23
    #: The largest DTLS datagram.
    DTLS_MTU = 24
    #: A TLS extension to be sent.
    SEND_GENERIC_TLS_EXTENSION = 25
    #: TLS extensions that the application wants to see.
    SUBSCRIBE_GENERIC_TLS_EXTENSION = 26
    #: Flags for the provider.
    FLAGS = 27
    #: Traffic secrets of TLS.
    TRAFFIC_SECRETS = 28


class BufferAttribute(enum.IntFlag):
    """What may be done with a buffer; joined to its type by a bitwise or in native structures."""

    #: The provider must not change the bytes, and a signature covers them.
    READONLY_WITH_CHECKSUM = 0x1000_0000
    #: Reserved.
    RESERVED = 0x6000_0000
    #: The provider must not change the bytes, and no signature covers them.
    READONLY = 0x8000_0000


@dataclass(slots=True, repr=False)
class SecBuffer:
    """Bytes with their type; changeable, because a call fills its output buffers in place.

    Args:
        type: What the bytes are: a BufferType or its number, perhaps with bits of BufferAttribute.
        data: The bytes; of input from the client, untrusted.
    """

    type: BufferType | int
    data: bytes = b""

    def __repr__(self) -> str:
        """Print the type and the length, never a byte: the data may be a token or a key."""
        kind = self.kind
        return f"SecBuffer({'unknown' if kind is None else kind.name}, {len(self.data)} bytes)"

    @property
    def kind(self) -> BufferType | None:
        """The type without the bits of attributes; None where sspi.h has no such type."""
        given = self.type
        if given.__class__ is BufferType:
            return given
        return _KINDS.get(given & ~ATTRIBUTE_MASK) if _is_native(given) else None

    @property
    def is_read_only(self) -> bool:
        """Whether its attributes forbid changing the bytes."""
        given = self.type
        return given.__class__ is not BufferType and _is_native(given) and bool(given & _READ_ONLY)


def _is_native(given: object) -> bool:
    """Whether it is a number of 32 bits; callers hand in what they like."""
    return isinstance(given, int) and 0 <= given <= _ALL_BITS


_KINDS = {int(kind): kind for kind in BufferType}
_READ_ONLY = int(BufferAttribute.READONLY | BufferAttribute.READONLY_WITH_CHECKSUM)


@dataclass(frozen=True, slots=True)
class SecBufferDesc:
    """The buffers that one call takes or gives, in their order."""

    buffers: tuple[SecBuffer, ...] = ()
    version: int = BUFFER_VERSION

    def __iter__(self) -> Iterator[SecBuffer]:
        """Go through the buffers in their order."""
        return iter(self.buffers)

    def __len__(self) -> int:
        """Count the buffers."""
        return len(self.buffers)

    def first(self, wanted: BufferType) -> SecBuffer | None:
        """Return the first buffer of a type, itself and not a copy; None if there is none."""
        for buffer in self.buffers:
            if buffer.kind is wanted:
                return buffer
        return None
