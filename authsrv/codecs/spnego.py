"""SPNEGO: the negotiation of a mechanism around the mechanism's own tokens.

A client begins with a NegTokenInit: the mechanisms that it offers, best first, and usually the
first token of the first of them. Everything after that, from either side, is a NegTokenResp:
RFC 4178 section 4.2.

Fields must stand in their order and once. Windows sends a variant of NegTokenInit, NegTokenInit2,
with hints in field 3; they are skipped.
"""

from __future__ import annotations

import enum
import functools
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from authsrv.codecs.der import reader as der
from authsrv.codecs.der.reader import Reader
from authsrv.codecs.der.types import read_enumerated, read_octets, read_oid, read_sequence_of
from authsrv.codecs.der.writer import build_frame, encode, encode_field, encode_integer, encode_oid
from authsrv.errors import InvalidTokenError

__all__ = [
    "IAKERB",
    "KERBEROS",
    "KERBEROS_OIDS",
    "MS_KERBEROS",
    "NEGOEX",
    "NTLM",
    "SPNEGO",
    "NegState",
    "NegTokenInit",
    "NegTokenResp",
    "build_neg_token_init",
    "build_neg_token_resp",
    "carried_token",
    "is_spnego",
    "mechanism_name",
    "parse_spnego",
    "unwrap_spnego",
]

SPNEGO: Final = "1.3.6.1.5.5.2"
"""SPNEGO itself: RFC 4178 section 2."""
KERBEROS: Final = "1.2.840.113554.1.2.2"
"""Kerberos 5: RFC 4121 section 4.1."""
MS_KERBEROS: Final = "1.2.840.48018.1.2.2"
"""Kerberos 5 by the wrong OID of Windows 2000, which Windows offers first to this day: RFC 4178
appendix C."""
NTLM: Final = "1.3.6.1.4.1.311.2.2.10"
"""NTLM: MS-NLMP section 1.9."""
NEGOEX: Final = "1.3.6.1.4.1.311.2.2.30"
"""Extended negotiation: MS-NEGOEX section 1.9."""
IAKERB: Final = "1.3.6.1.5.2.5"
"""Kerberos 5 that reaches its KDC through the acceptor: draft-ietf-kitten-iakerb section 3."""

KERBEROS_OIDS: Final = frozenset({KERBEROS, MS_KERBEROS})
"""The OIDs that stand for Kerberos 5 in tokens."""

_NAMES: Final = {
    SPNEGO: "SPNEGO",
    KERBEROS: "Kerberos",
    MS_KERBEROS: "MS-Kerberos",
    NTLM: "NTLM",
    NEGOEX: "NegoEx",
    IAKERB: "IAKERB",
}

# Windows offers four mechanisms, MIT at most as many; each one costs time before anybody is known.
_MAX_MECHANISMS = 32
_INIT: Final = der.field_tag(0)
_FIRST_FIELD: Final = der.field_tag(0)
_MAX_KNOWN_LIST: Final = 256
_RESP: Final = der.field_tag(1)
_OID_OF_SPNEGO: Final = encode_oid(SPNEGO)


class NegState(enum.Enum):
    """How a negotiation stands, as one side tells the other."""

    ACCEPT_COMPLETED = 0
    """No further token is needed."""
    ACCEPT_INCOMPLETE = 1
    """At least one more token is needed."""
    REJECT = 2
    """The negotiation has failed."""
    REQUEST_MIC = 3
    """The acceptor chose another mechanism than the preferred one: the lists must be checked."""


@dataclass(frozen=True, slots=True, repr=False)
class NegTokenInit:
    """The first token of a client.

    Args:
        mech_types: OIDs with dots, the client's preference first, 1 to 32.
        mech_token: The first token of the first mechanism, if the client sent one; may be empty.
        mech_list_mic: A checksum over mech_types, if the client sent one.
        ends_in_mech_token: Whether mech_token is its last field.
    """

    mech_types: tuple[str, ...]
    mech_token: bytes | None = None
    mech_list_mic: bytes | None = None
    ends_in_mech_token: bool = field(default=False, compare=False)

    def __repr__(self) -> str:
        """Show lengths where tokens are."""
        return (
            f"<NegTokenInit {', '.join(map(mechanism_name, self.mech_types))}; "
            f"token {_size(self.mech_token)}; MIC {_size(self.mech_list_mic)}>"
        )


@dataclass(frozen=True, slots=True, repr=False)
class NegTokenResp:
    """Every token after the first, from either side.

    Args:
        neg_state: How the sender sees the negotiation, if the sender said so.
        supported_mech: The OID, with dots, of the mechanism chosen, if the sender named one.
        response_token: A token of that mechanism, if there is one; may be empty.
        mech_list_mic: A checksum over the list of mechanisms, if there is one.
    """

    neg_state: NegState | None = None
    supported_mech: str | None = None
    response_token: bytes | None = None
    mech_list_mic: bytes | None = None

    def __repr__(self) -> str:
        """Show lengths where tokens are."""
        state = self.neg_state.name if self.neg_state is not None else "no state"
        chosen = mechanism_name(self.supported_mech) if self.supported_mech else "no mechanism"
        return (
            f"<NegTokenResp {state}; {chosen}; "
            f"token {_size(self.response_token)}; MIC {_size(self.mech_list_mic)}>"
        )


def _size(token: bytes | None) -> str:
    return "none" if token is None else f"{len(token)} bytes"


def mechanism_name(oid: str) -> str:
    """Name a mechanism for logs: "Kerberos", or "OID 1.2.3" where the OID is not known here."""
    return _NAMES.get(oid) or f"OID {oid}"


def is_spnego(token: bytes) -> bool:
    """Tell by its first bytes whether a token means to be SPNEGO; it may be malformed all the same.

    Args:
        token: From the client, untrusted; of any length, cut off or not.
    """
    if token[:1] != b"\x60":
        return token[:1] in {b"\xa0", b"\xa1"}
    size = token[1] if len(token) > 1 else 0
    return token.startswith(_OID_OF_SPNEGO, 2 + (size & 0x7F if size >= 0x80 else 0))


def parse_spnego(token: bytes) -> NegTokenInit | NegTokenResp:
    """Parse any token of SPNEGO.

    Args:
        token: From the client, untrusted; of any length. A NegTokenInit may stand in GSS-API's
            frame, as it should, or bare.

    Raises:
        InvalidTokenError: It is empty, not SPNEGO, or malformed.
    """
    if not token:
        raise InvalidTokenError("the token is empty")
    if token[0] != der.FRAME:
        return _read_whole(Reader(token))
    reader = der.open_frame(token)
    if read_oid(reader) != SPNEGO or reader.next_tag != _INIT:
        raise InvalidTokenError("the token in the GSS-API frame is not an initial token of SPNEGO")
    return _read_whole(reader)


def unwrap_spnego(token: bytes) -> bytes:
    """Take the mechanism's own token out of SPNEGO, if it is in SPNEGO.

    Args:
        token: From the client, untrusted; of any length.

    Returns:
        mechToken of a NegTokenInit, responseToken of a NegTokenResp, at least one byte; or the
        token itself if it is not SPNEGO at all.

    Raises:
        InvalidTokenError: It is empty, is malformed SPNEGO, or carries no mechanism's token.
    """
    if token and not is_spnego(token):
        return token
    inner = carried_token(parse_spnego(token))
    if not inner:
        raise InvalidTokenError("the SPNEGO token carries no token of a mechanism")
    return inner


def carried_token(message: NegTokenInit | NegTokenResp) -> bytes | None:
    """Give the mechanism's own token that a message carries; None where it is missing."""
    if isinstance(message, NegTokenInit):
        return message.mech_token
    return message.response_token


def _read_whole(reader: Reader) -> NegTokenInit | NegTokenResp:
    message: NegTokenInit | NegTokenResp
    if reader.next_tag == _RESP:
        message = reader.within(_RESP, lambda inner: inner.within(der.SEQUENCE, _read_resp))
    else:
        message = reader.within(_INIT, lambda inner: inner.within(der.SEQUENCE, _read_init))
    reader.finish()
    return message


def _read_init(reader: Reader) -> NegTokenInit:
    listed = reader.read(_FIRST_FIELD)
    # Clients have few lists, and each costs more than all the rest of the token.
    known = _known_mech_types if len(listed) <= _MAX_KNOWN_LIST else _parse_mech_types
    mech_types = known(listed)
    # RFC 4178 section 4.2.1: reqFlags are not protected by anything, so they must not be relied on.
    reader.optional_field(1, lambda flags: flags.read(der.BIT_STRING))
    mech_token = reader.optional_field(2, read_octets)
    if mech_token is not None and reader.next_tag is None:
        return NegTokenInit(mech_types, mech_token, ends_in_mech_token=True)
    mic = reader.optional_field(3, _read_mic_or_hints)
    if mic is None:
        # MS-SPNG section 2.2.1: after the hints of NegTokenInit2 the MIC is field 4.
        mic = reader.optional_field(4, read_octets)
    return NegTokenInit(mech_types, mech_token, mic)


def _parse_mech_types(field: bytes) -> tuple[str, ...]:
    reader = Reader(field)
    mech_types = read_sequence_of(reader, read_oid, _MAX_MECHANISMS)
    reader.finish()
    return mech_types


_known_mech_types = functools.lru_cache(maxsize=64)(_parse_mech_types)


def _read_mic_or_hints(reader: Reader) -> bytes | None:
    if reader.next_tag == der.SEQUENCE:
        return reader.within(der.SEQUENCE, _skip_hints)
    return read_octets(reader)


def _skip_hints(reader: Reader) -> None:
    reader.optional_field(0, der.skip_element)
    reader.optional_field(1, der.skip_element)


def _read_resp(reader: Reader) -> NegTokenResp:
    return NegTokenResp(
        reader.optional_field(0, _read_neg_state),
        reader.optional_field(1, read_oid),
        reader.optional_field(2, read_octets),
        reader.optional_field(3, read_octets),
    )


def _read_neg_state(reader: Reader) -> NegState:
    try:
        return NegState(read_enumerated(reader))
    except ValueError:
        raise InvalidTokenError("the negotiation state is unknown") from None


def build_neg_token_init(
    mech_types: Sequence[str],
    mech_token: bytes | None = None,
    mech_list_mic: bytes | None = None,
) -> bytes:
    """Build a client's first token, in GSS-API's frame.

    Args:
        mech_types: OIDs with dots, preference first; trusted.
        mech_token: The first token of the first mechanism.
        mech_list_mic: A checksum over mech_types.

    Raises:
        ValueError: A text is not an object identifier.
    """
    types = encode(der.SEQUENCE, *map(encode_oid, mech_types))
    token, mic = _octets(2, mech_token), _octets(3, mech_list_mic)
    fields = encode(der.SEQUENCE, encode_field(0, types), token, mic)
    return build_frame(SPNEGO, encode_field(0, fields))


def build_neg_token_resp(
    neg_state: NegState | None = None,
    supported_mech: str | None = None,
    response_token: bytes | None = None,
    mech_list_mic: bytes | None = None,
    *,
    mic_field: int = 3,
) -> bytes:
    """Build any token after the first, bare, as it is sent.

    Args:
        neg_state: How the sender sees the negotiation.
        supported_mech: The OID, with dots, of the mechanism chosen; trusted.
        response_token: A token of that mechanism.
        mech_list_mic: A checksum over the list of mechanisms.
        mic_field: The number of the field of mech_list_mic, for a reader that looks for it
            elsewhere.

    Raises:
        ValueError: The text is not an object identifier.
    """
    state = encode_integer(neg_state.value, der.ENUMERATED) if neg_state is not None else b""
    chosen = encode_oid(supported_mech) if supported_mech is not None else b""
    fields = encode(
        der.SEQUENCE,
        encode_field(0, state),
        encode_field(1, chosen),
        _octets(2, response_token),
        _octets(mic_field, mech_list_mic),
    )
    return encode_field(1, fields)


def _octets(number: int, content: bytes | None) -> bytes:
    return b"" if content is None else encode_field(number, encode(der.OCTET_STRING, content))
