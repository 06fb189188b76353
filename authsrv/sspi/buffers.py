"""The buffers of a call: the token, the channel bindings, and the places for the answer."""

from __future__ import annotations

import struct

from authsrv.core.bindings import BindingPolicy, ChannelBindings
from authsrv.core.buffers import BUFFER_VERSION, BufferType, SecBuffer, SecBufferDesc
from authsrv.core.results import Incomplete, Result
from authsrv.core.status import SecurityStatus
from authsrv.errors import BadBindingsError, ConfigError, InvalidTokenError

__all__ = [
    "check_description",
    "check_output",
    "pack_channel_bindings",
    "read_channel_bindings",
    "read_token",
    "rest_of",
    "unpack_channel_bindings",
    "unused",
    "write_output",
    "write_rest",
]

# An attribute of an enum is looked up by a function in Python, each time.
_TOKEN, _CHANNEL_BINDINGS = BufferType.TOKEN, BufferType.CHANNEL_BINDINGS

# sspi.h, SEC_CHANNEL_BINDINGS: type, length and offset of the initiator's address and of the
# acceptor's, then length and offset of the application data; offsets count from the beginning.
_HEADER = struct.Struct("<8L")


def pack_channel_bindings(bindings: ChannelBindings) -> SecBuffer:
    """Make a SECBUFFER_CHANNEL_BINDINGS with a SEC_CHANNEL_BINDINGS structure."""
    data = bindings.application_data
    header = _HEADER.pack(0, 0, 0, 0, 0, 0, len(data), _HEADER.size)
    return SecBuffer(BufferType.CHANNEL_BINDINGS, header + data)


def unpack_channel_bindings(
    data: bytes, *, policy: BindingPolicy = BindingPolicy.REQUIRE
) -> ChannelBindings:
    """Read a SEC_CHANNEL_BINDINGS structure. Addresses in it are passed over.

    Args:
        data: The structure, from the caller.
        policy: Whether a client that sends no bindings is accepted.

    Raises:
        BadBindingsError: The structure is malformed, is not bytes, or holds no application data.
    """
    if not isinstance(data, bytes | bytearray | memoryview):
        raise BadBindingsError("the channel bindings are not bytes")
    data = bytes(data)
    if len(data) < _HEADER.size:
        raise BadBindingsError("the channel bindings are shorter than their header")
    *_, length, offset = _HEADER.unpack_from(data)
    if not length or offset < _HEADER.size or offset + length > len(data):
        raise BadBindingsError("the channel bindings point outside of their buffer")
    try:
        return ChannelBindings(data[offset : offset + length], policy)
    except ConfigError as error:
        raise BadBindingsError(error.detail) from None


def read_token(buffers: SecBufferDesc | None) -> bytes:
    """Read the peer's token, untrusted, from the input buffers of a call.

    Returns:
        The token; a copy, where the caller could still change it.

    Raises:
        InvalidTokenError: There is no buffer, or the first one is not a SECBUFFER_TOKEN with bytes.
    """
    if not isinstance(buffers, SecBufferDesc) or not buffers.buffers:
        raise InvalidTokenError("the call has no input buffer")
    # SspiAcceptSecurityContextAsync, pInput: the first buffer is the token.
    first = buffers.buffers[0]
    kind = first.kind
    if kind is not _TOKEN:
        name = "buffer of an unknown type" if kind is None else kind.name
        raise InvalidTokenError(f"the first input buffer is a {name}, not a TOKEN")
    if not isinstance(first.data, bytes | bytearray | memoryview):
        raise InvalidTokenError("the first input buffer does not hold bytes")
    return bytes(first.data)


def read_channel_bindings(
    buffers: SecBufferDesc | None, *, policy: BindingPolicy = BindingPolicy.REQUIRE
) -> ChannelBindings | None:
    """Read the channel bindings from the input buffers of a call.

    Returns:
        The bindings, or None if no buffer is a SECBUFFER_CHANNEL_BINDINGS.

    Raises:
        BadBindingsError: As of unpack_channel_bindings.
    """
    bound = None if buffers is None else buffers.first(_CHANNEL_BINDINGS)
    return None if bound is None else unpack_channel_bindings(bound.data, policy=policy)


def check_description(buffers: SecBufferDesc | None) -> SecurityStatus:
    """Tell whether a description is of the version that is known here, and holds buffers.

    Returns:
        SEC_E_INVALID_PARAMETER for another version than SECBUFFER_VERSION, and for a description
        of something else than buffers; else SEC_E_OK, even for what is not a SecBufferDesc, which
        read_token and check_output judge.
    """
    if not isinstance(buffers, SecBufferDesc):
        return SecurityStatus.SEC_E_OK
    version, given = buffers.version, buffers.buffers
    is_known = version.__class__ is int and version == BUFFER_VERSION
    if not is_known or not isinstance(given, tuple | list):
        return SecurityStatus.SEC_E_INVALID_PARAMETER
    for buffer in given:
        if not isinstance(buffer, SecBuffer):
            return SecurityStatus.SEC_E_INVALID_PARAMETER  # type: ignore[unreachable]
    return SecurityStatus.SEC_E_OK


def check_output(buffers: SecBufferDesc | None) -> SecurityStatus:
    """Tell whether the output buffers have a place for a token.

    Returns:
        SEC_E_OK, for None too, where the caller takes the token from the result;
        SEC_E_BUFFER_TOO_SMALL where no buffer is a TOKEN that may be changed;
        SEC_E_INVALID_PARAMETER as of check_description.
    """
    if buffers is None:
        return SecurityStatus.SEC_E_OK
    if not isinstance(buffers, SecBufferDesc):
        return SecurityStatus.SEC_E_BUFFER_TOO_SMALL  # type: ignore[unreachable]  # not typed by all
    if check_description(buffers) is not SecurityStatus.SEC_E_OK:
        return SecurityStatus.SEC_E_INVALID_PARAMETER
    place = _place(buffers, _TOKEN)
    return SecurityStatus.SEC_E_BUFFER_TOO_SMALL if place is None else SecurityStatus.SEC_E_OK


def write_output(buffers: SecBufferDesc | None, token: bytes, rest: bytes = b"") -> SecBufferDesc:
    """Put the token, and what was left over of the input, into the output buffers.

    Args:
        buffers: The buffers to change and return, or None for new ones.
        token: The token for the peer; may be empty.
        rest: What was not used; it goes into an EMPTY buffer, which becomes EXTRA.
    """
    if buffers is None:
        extra = (SecBuffer(BufferType.EXTRA, rest),) if rest else ()
        return SecBufferDesc((SecBuffer(BufferType.TOKEN, token), *extra))
    place = _place(buffers, _TOKEN)
    if place is not None:
        place.data = token
    if rest:
        _fill_empty(buffers, BufferType.EXTRA, rest)
    return buffers


def write_rest(buffers: SecBufferDesc | None, result: Result, rest: bytes) -> None:
    """Tell the caller in an EMPTY input buffer what was left over or is missing.

    What was left over (`rest`) comes back as SECBUFFER_EXTRA; after an Incomplete, the buffer
    becomes SECBUFFER_MISSING, and as long as what is missing.
    """
    if buffers is None:
        return
    if isinstance(result, Incomplete):
        # In C the length of the buffer is the message, too, and it points to nothing.
        _fill_empty(buffers, BufferType.MISSING, bytes(result.missing or 0))
    elif rest:
        _fill_empty(buffers, BufferType.EXTRA, rest)


def rest_of(token: bytes, kept: bytes) -> bytes:
    """Tell what is new in the input of a call that comes after SEC_E_INCOMPLETE_MESSAGE.

    The idiom of callers in C is the whole buffer again, with what was read meanwhile behind it; the
    rest alone is taken, too. They are told apart by their beginning: what begins with all that is
    kept, and is longer, is the whole.

    Args:
        token: The input.
        kept: What is kept of the calls before; empty where the token before was whole.

    Returns:
        What is to be appended to `kept`.
    """
    is_whole = bool(kept) and len(token) > len(kept) and token.startswith(kept)
    return token[len(kept) :] if is_whole else token


def unused(result: Result, token: bytes) -> bytes:
    """Tell what the provider did not use of a token: its last bytes, or none."""
    count = getattr(result, "unused", 0)
    return token[-count:] if count else b""


def _place(buffers: SecBufferDesc, kind: BufferType) -> SecBuffer | None:
    for buffer in buffers.buffers:
        if buffer.kind is kind and not buffer.is_read_only:
            return buffer
    return None


def _fill_empty(buffers: SecBufferDesc, kind: BufferType, data: bytes) -> None:
    place = _place(buffers, BufferType.EMPTY)
    if data and place is not None:
        place.type, place.data = kind, data
