"""Keytab files, read strictly: a file that libkrb5 would misread is refused as a whole.

libkrb5 takes a broken record for the end of the file, and reads over the end of a record whose
parts are longer than it is. The format is that of MIT krb5's document "Keytab file format".
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from authsrv.errors import ConfigError

__all__ = ["KEYTAB_VERSION_2", "MAX_KEYTAB_BYTES", "Key", "parse_keytab"]

KEYTAB_VERSION_2: Final = b"\x05\x02"
"""How a keytab of version 2 begins; its numbers are big-endian."""

MAX_KEYTAB_BYTES: Final = 16 * 1024 * 1024
"""A larger file is refused."""

# Version 1 has the byte order of the machine that wrote it, which libkrb5 takes for this one.
_ORDERS: Final = MappingProxyType({b"\x05\x01": "=", KEYTAB_VERSION_2: ">"})


@dataclass(frozen=True, slots=True)
class Key:
    """A record of a keytab.

    Args:
        kvno: The key's version number.
        enctype: The number of its encryption type.
        record: All of it, the key included, as it stands in the file: a secret.
    """

    kvno: int
    enctype: int
    record: bytes = field(repr=False)


def parse_keytab(content: bytes, name: str) -> tuple[Key, ...]:
    """Read a keytab file of version 1 or 2.

    Args:
        content: All of the file.
        name: The file's name, for the error.

    Returns:
        The records in use, in their order, without the holes that removed keys left; none for an
        empty file.

    Raises:
        ConfigError: It is too large, no keytab or cut off, or has a record whose parts are longer
            than the record. The error holds no byte of the file.
    """
    if len(content) > MAX_KEYTAB_BYTES:
        raise ConfigError(f"the keytab {name} is larger than {MAX_KEYTAB_BYTES} bytes")
    if not content:
        return ()
    order = _ORDERS.get(content[:2])
    if order is None:
        raise ConfigError(f"{name} is not a keytab")
    position, keys = 2, []
    while position < len(content):
        if position + 4 > len(content):
            raise ConfigError(f"the keytab {name} is truncated")
        (size,) = struct.unpack_from(f"{order}i", content, position)
        if size == 0:
            break  # libkrb5, too, takes it for the end
        end = position + 4 + abs(size)
        if end > len(content):
            raise ConfigError(f"the keytab {name} is truncated")
        # A negative size is a hole that a removed key left.
        if size > 0:
            try:
                keys.append(_parse_record(content[position:end], order))
            except (struct.error, ValueError):
                raise ConfigError(f"the keytab {name} is broken") from None
        position = end
    return tuple(keys)


def _parse_record(record: bytes, order: str) -> Key:
    """Read a record, its size before it; struct.error or ValueError where its parts overrun it."""
    (components,) = struct.unpack_from(f"{order}H", record, 4)
    # Version 1 counts the realm among the components, and has no type of the name.
    is_version_2 = order == ">"
    position = 6
    for _ in range(components + is_version_2):
        position += 2 + struct.unpack_from(f"{order}H", record, position)[0]
    # The type of the name and the time of writing precede the version.
    position += 8 if is_version_2 else 4
    kvno, enctype, length = struct.unpack_from(f"{order}BHH", record, position)
    position += 5 + length
    if position > len(record):
        raise ValueError("the key is longer than its record")
    if len(record) - position >= 4:
        # The byte has no room for versions above 255: the whole number follows the key. A zero is
        # padding.
        kvno = struct.unpack_from(f"{order}I", record, position)[0] or kvno
    return Key(kvno, enctype, record)
