"""Keytab files, written byte by byte."""

from __future__ import annotations

import os
import struct

__all__ = ["VERSION_1", "VERSION_2", "hole", "record"]

VERSION_1 = b"\x05\x01"
VERSION_2 = b"\x05\x02"


def record(
    host: str,
    kvno: int = 1,
    *,
    version: bytes = VERSION_2,
    realm: str = "R.TEST",
    enctype: int = 18,
    has_long_kvno: bool = True,
) -> bytes:
    """A record with a random key of 32 bytes for HTTP/host@realm.

    Args:
        host: The service's host.
        kvno: The key's version number; its lowest byte stands before the key.
        version: That of the file.
        realm: The service's realm.
        enctype: The number of the key's encryption type.
        has_long_kvno: Whether the whole version number follows the key.
    """
    form, name_type = (">", b"\0\0\0\3") if version == VERSION_2 else ("=", b"")
    # Version 1 counts the realm among the components.
    names = struct.pack(form + "H", 2 if version == VERSION_2 else 3)
    names += b"".join(_counted(name, form) for name in (realm, "HTTP", host))
    key = struct.pack(form + "HH", enctype, 32) + os.urandom(32)
    body = names + name_type + struct.pack(form + "IB", 0, kvno & 0xFF) + key
    if has_long_kvno:
        body += struct.pack(form + "I", kvno)
    return struct.pack(form + "i", len(body)) + body


def hole(size: int) -> bytes:
    """What a key that was removed from a file of version 2 leaves."""
    return struct.pack(">i", -size) + b"\xff" * size


def _counted(text: str, form: str) -> bytes:
    return struct.pack(form + "H", len(text)) + text.encode()
