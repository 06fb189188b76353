"""What a ticket says of its client beyond the name: the PAC, wherever in the ticket it stands."""

from __future__ import annotations

from authsrv.codecs.der.reader import SEQUENCE, Reader
from authsrv.codecs.der.types import read_octets, read_sequence_of
from authsrv.codecs.kerberos.types import read_int32
from authsrv.errors import InvalidTokenError

__all__ = ["read_pac"]

# RFC 4120 section 5.2.6.1; MS-PAC section 2.2.
_IF_RELEVANT = 1
_WIN2K_PAC = 128
_MAX_ELEMENTS = 64


def read_pac(reader: Reader) -> bytes:
    """Read authorization data, and find the privilege attribute certificate (PAC) in it.

    Args:
        reader: Stands before it, in a ticket that was decrypted.

    Returns:
        The certificate as it stands there, not verified; empty where there is none, or none that
        can be read.
    """
    content = reader.take_rest()
    try:
        for kind, data in _read_elements(content):
            if kind != _IF_RELEVANT:
                continue
            for inner_kind, inner in _read_elements(data):
                if inner_kind == _WIN2K_PAC:
                    return inner
    except InvalidTokenError:
        pass
    return b""


def _read_elements(data: bytes) -> tuple[tuple[int, bytes], ...]:
    return read_sequence_of(Reader(data), _read_element, _MAX_ELEMENTS)


def _read_element(reader: Reader) -> tuple[int, bytes]:
    return reader.within(
        SEQUENCE, lambda inner: (inner.field(0, read_int32), inner.field(1, read_octets))
    )
