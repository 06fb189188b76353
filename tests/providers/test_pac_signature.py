"""Attributes of a PAC are those of one that the KDC signed for us, whatever libkrb5 says of it."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from initiators import kerberos_token

from authsrv.codecs.kerberos.messages import parse_ap_req, parse_enc_ticket_part
from authsrv.devrealm import EncryptionType, Realm
from authsrv.providers.kerberos.decryption import open_ticket
from authsrv.providers.kerberos.keytab import KeytabFile, KeytabSnapshot
from authsrv.providers.kerberos.pac_signature import is_signed_for_us

Edit = Callable[[bytes], bytes]

SERVER, KDC, CLIENT = 6, 7, 10
HEADER = 8


@pytest.fixture
def snapshot(kerberos_environment: dict[str, str], kerberos_keytab: Path) -> KeytabSnapshot:
    return KeytabFile(kerberos_keytab).snapshot()


def pac_of(token: bytes, snapshot: KeytabSnapshot) -> bytes:
    pac = parse_enc_ticket_part(open_ticket(parse_ap_req(token), snapshot).plain).pac
    assert pac
    return pac


def entry_of(pac: bytes, kind: int) -> tuple[int, int, int]:
    """MS-PAC section 2.4: where a buffer is described, its size and where it begins."""
    for at in range(HEADER, len(pac), 16):
        found, size, offset = struct.unpack_from("<IIQ", pac, at)
        if found == kind:
            return at, size, offset
    raise AssertionError(kind)


def flipped(kind: int, at: int) -> Edit:
    """Another bit in the content of a buffer."""

    def edit(pac: bytes) -> bytes:
        place = entry_of(pac, kind)[2] + at
        return pac[:place] + bytes((pac[place] ^ 1,)) + pac[place + 1 :]

    return edit


def with_checksum_type(number: int) -> Edit:
    def edit(pac: bytes) -> bytes:
        offset = entry_of(pac, SERVER)[2]
        return pac[:offset] + number.to_bytes(4, "little", signed=True) + pac[offset + 4 :]

    return edit


def renumbered(kind: int, number: int) -> Edit:
    """A buffer of another type."""

    def edit(pac: bytes) -> bytes:
        at = entry_of(pac, kind)[0]
        return pac[:at] + number.to_bytes(4, "little") + pac[at + 4 :]

    return edit


def resized(kind: int, size: int) -> Edit:
    def edit(pac: bytes) -> bytes:
        at = entry_of(pac, kind)[0] + 4
        return pac[:at] + size.to_bytes(4, "little") + pac[at + 4 :]

    return edit


def signed_by_anybody(number: int, digest: Callable[[bytes], Any]) -> Edit:
    """A PAC of two signatures, whose checksum needs no key: MS11-013."""

    def edit(pac: bytes) -> bytes:
        size = 4 + digest(b"").digest_size
        head = struct.pack("<IIIIQIIQ", 2, 0, SERVER, size, 40, KDC, size, 40 + size)
        kind = number.to_bytes(4, "little")
        blank = head + (kind + bytes(size - 4)) * 2
        return blank[:44] + digest(blank).digest() + blank[40 + size :]

    return edit


WRONG: dict[str, Edit] = {
    "a signature of anybody's (MD5)": signed_by_anybody(7, hashlib.md5),
    "a signature of anybody's (SHA-1)": signed_by_anybody(14, hashlib.sha1),
    "another name": flipped(CLIENT, -1),
    "another signature": flipped(SERVER, 4),
    "a checksum of another length": with_checksum_type(19),
    "a checksum for keys of RC4": with_checksum_type(-138),
    "an unknown checksum": with_checksum_type(99),
    "no signature of the server": renumbered(SERVER, 99),
    "no signature of the KDC": renumbered(KDC, 99),
    "a signature twice": renumbered(KDC, SERVER),
    "a signature cut off": resized(SERVER, 12),
    "a signature without content": resized(SERVER, 2),
    "a buffer that goes on behind the end": resized(SERVER, 2**31),
    "another version": lambda pac: pac[:4] + b"\x01" + pac[5:],
    "more buffers than there are": lambda pac: b"\xff\xff" + pac[2:],
    "the end missing": lambda pac: pac[:-1],
    "something behind the end": lambda pac: pac + b"\x00",
    "nothing": lambda pac: b"",
}


@pytest.mark.parametrize("edit", WRONG.values(), ids=WRONG)
def test_what_is_not_signed_is_told_as_such(snapshot: KeytabSnapshot, edit: Edit) -> None:
    token = kerberos_token()
    pac = pac_of(token, snapshot)
    assert is_signed_for_us(pac, token, snapshot)
    assert not is_signed_for_us(edit(pac), token, snapshot)


@pytest.mark.parametrize("enctype", EncryptionType)
def test_signatures_of_every_encryption_type_are_verified(
    enctype: EncryptionType,
    kerberos_realm: Realm,
    kerberos_environment: dict[str, str],
    tmp_path: Path,
) -> None:
    service = f"HTTP/pac{enctype.number}.test"
    kerberos_realm.add_service(service)
    kerberos_realm.rotate_key(service, enctypes=[enctype])
    keytab = kerberos_realm.write_keytab(tmp_path / "keytab", [service])
    token = kerberos_token(service.replace("/", "@"))
    snapshot = KeytabFile(keytab).snapshot()
    pac = pac_of(token, snapshot)
    assert is_signed_for_us(pac, token, snapshot)
    assert not is_signed_for_us(flipped(CLIENT, -1)(pac), token, snapshot)


def test_without_the_key_nothing_is_signed(
    kerberos_realm: Realm, snapshot: KeytabSnapshot, foreign_service: str, tmp_path: Path
) -> None:
    token = kerberos_token()
    keytab = kerberos_realm.write_keytab(tmp_path / "other", ["HTTP/foreign.test"])
    other = KeytabFile(keytab).snapshot()
    assert not is_signed_for_us(pac_of(token, snapshot), token, other)
    assert not is_signed_for_us(pac_of(token, snapshot), b"", snapshot)
