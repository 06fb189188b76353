"""Whether a PAC bears the signature that the KDC made with the service's key.

libkrb5 1.21 to 1.22 check it, overwrite what the check said, and call every PAC verified. It is
libkrb5 all the same that computes the checksum here.
"""

from __future__ import annotations

import struct
from typing import Final

from authsrv.codecs.kerberos.messages import parse_ap_req
from authsrv.providers.kerberos.decryption import open_ticket, verify_checksum
from authsrv.providers.kerberos.keytab import KeytabSnapshot
from authsrv.providers.kerberos.request_probe import frame_bare_request

__all__ = ["is_signed_for_us"]

# MS-PAC sections 2.3, 2.4 and 2.8, for the whole module.
_HEADER: Final = struct.Struct("<II")
_BUFFER: Final = struct.Struct("<IIQ")
_KIND: Final = struct.Struct("<i")
_SERVER_SIGNATURE: Final = 6
_KDC_SIGNATURE: Final = 7
_MAX_BUFFERS: Final = 64

# The checksums with a key, and their length: HMAC-MD5, and those of AES with SHA-1 and SHA-2.
_CHECKSUM_BYTES: Final = {-138: 16, 15: 12, 16: 12, 19: 16, 20: 24}
_USAGE: Final = 17


def is_signed_for_us(pac: bytes, token: bytes, snapshot: KeytabSnapshot) -> bool:
    """Tell whether a PAC is signed with the key that opens the ticket that it came in.

    Args:
        pac: The PAC.
        token: The accepted request, without SPNEGO.
        snapshot: The keys that it was accepted with.

    Returns:
        False where that cannot be found out, for whatever reason, too.
    """
    try:
        places = _read_places(pac)
        start, end = places[_SERVER_SIGNATURE]
        (kind,) = _KIND.unpack_from(pac, start)
        size = _CHECKSUM_BYTES[kind]
        # A read-only domain controller writes its number behind it.
        signature = pac[start + _KIND.size : end][:size]
        signed = _without_signatures(pac, places)
        ticket = open_ticket(parse_ap_req(frame_bare_request(token)), snapshot)
        return verify_checksum(ticket, _USAGE, signed, kind, signature)
    except Exception:
        # The ticket was accepted, and what it says of its client beyond the name is left out.
        return False


def _read_places(pac: bytes) -> dict[int, tuple[int, int]]:
    """Where the buffers begin and end, by their type; it raises for what is no PAC."""
    count, version = _HEADER.unpack_from(pac)
    if version != 0 or count > _MAX_BUFFERS:
        raise ValueError("no PAC")
    places: dict[int, tuple[int, int]] = {}
    for number in range(count):
        kind, size, offset = _BUFFER.unpack_from(pac, _HEADER.size + number * _BUFFER.size)
        if offset + size > len(pac):
            raise ValueError("no PAC")
        places[kind] = offset, offset + size
    return places


def _without_signatures(pac: bytes, places: dict[int, tuple[int, int]]) -> bytes:
    signed = bytearray(pac)
    for kind in (_SERVER_SIGNATURE, _KDC_SIGNATURE):
        start, end = places[kind]
        signed[start + _KIND.size : end] = bytes(end - start - _KIND.size)
    return bytes(signed)
