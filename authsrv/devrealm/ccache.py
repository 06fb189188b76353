"""A FILE credential cache, as far as its clock is concerned.

The header of the file may hold by how much the KDC's clock differs from that of the machine. MIT's
library writes it at the login and believes it afterwards: every client of it (curl, browsers,
python-gssapi) puts the machine's time plus that offset into its authenticators. So one field in a
file makes a client whose clock is wrong, and no clock has to be touched.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

from authsrv.devrealm.errors import RealmError

__all__ = ["write_clock_offset"]

# MIT krb5, "Credential cache file format": the header is there from version 4 on.
_VERSION_4 = b"\x05\x04"
_DELTA_TIME = 1
_MAX_OFFSET_S = 2**31 - 1


def write_clock_offset(path: Path, seconds: int) -> None:
    """Make clients believe that their machine's clock is wrong.

    Args:
        path: A FILE credential cache of version 4, our own.
        seconds: What they add to the machine's time; negative to subtract.

    Raises:
        RealmError: It is no such file, or the offset has no room in it.
    """
    if abs(seconds) > _MAX_OFFSET_S:
        raise RealmError("the clock offset is too large for a credential cache")
    try:
        content = path.read_bytes()
    except OSError:
        raise RealmError(f"there is no credential cache {path}; log in first") from None
    path.write_bytes(_with_offset(content, seconds))


def _with_offset(content: bytes, seconds: int) -> bytes:
    if content[:2] != _VERSION_4 or len(content) < 4:
        raise RealmError("the credential cache is not of version 4")
    end = 4 + int.from_bytes(content[2:4])
    others = [field for tag, field in _fields(content[4:end]) if tag != _DELTA_TIME]
    offset = struct.pack(">HHii", _DELTA_TIME, 8, seconds, 0)
    header = offset + b"".join(others)
    return _VERSION_4 + struct.pack(">H", len(header)) + header + content[end:]


def _fields(header: bytes) -> Iterator[tuple[int, bytes]]:
    position = 0
    while position + 4 <= len(header):
        tag, length = struct.unpack_from(">HH", header, position)
        yield tag, header[position : position + 4 + length]
        position += 4 + length
