"""Tickets edited with the service's own key: what no KDC would issue, and no client can make."""

from __future__ import annotations

import ctypes
import re
from collections.abc import Callable

from authsrv.packages import decryption
from authsrv.packages.keytab import KeytabSnapshot
from authsrv.tokens.kerberos import parse_ap_req, parse_enc_ticket_part
from authsrv.tokens.spnego import unwrap_spnego

Edit = Callable[[bytes], bytes]

# RFC 4120 section 7.5.1.
_USAGE_TICKET = 2
_USAGE_AUTHENTICATOR = 11
# RFC 4120 section 5.3: the flags are the first field of the ticket's encrypted part; bit 7 is
# "invalid".
_FLAGS = bytes.fromhex("a007030500")
_INVALID = 0x01


def edited(token: bytes, snapshot: KeytabSnapshot, edit: Edit) -> bytes:
    """The same token, whose ticket says something else, as long as before."""
    ap_req = parse_ap_req(unwrap_spnego(token))
    key = decryption._service_key(ap_req, snapshot)
    kind = ap_req.ticket_enctype, key, _USAGE_TICKET
    return token.replace(ap_req.ticket_cipher, _encrypted_anew(ap_req.ticket_cipher, kind, edit))


def with_authenticator(token: bytes, snapshot: KeytabSnapshot, edit: Edit) -> bytes:
    """The same token, whose authenticator says something else, as long as before."""
    ap_req = parse_ap_req(unwrap_spnego(token))
    key = decryption._service_key(ap_req, snapshot)
    plain = decryption._decrypt(ap_req.ticket_enctype, key, _USAGE_TICKET, ap_req.ticket_cipher)
    session_key = parse_enc_ticket_part(plain).session_key
    kind = ap_req.authenticator_enctype, session_key, _USAGE_AUTHENTICATOR
    cipher = ap_req.authenticator_cipher
    return token.replace(cipher, _encrypted_anew(cipher, kind, edit))


def _encrypted_anew(cipher: bytes, kind: tuple[int, bytes, int], edit: Edit) -> bytes:
    enctype, key, usage = kind
    plain = decryption._decrypt(enctype, key, usage, cipher)
    changed = edit(plain)
    assert changed != plain
    assert len(changed) == len(plain)
    return _encrypt(kind, changed, len(cipher))


def with_bad_checksum(plain: bytes) -> bytes:
    """RFC 4121 section 4.1.1: the length of the channel bindings, which is 16, in 24 octets."""
    header = bytes.fromhex("041810000000")
    assert plain.count(header) == 1
    return plain.replace(header, bytes.fromhex("041811000000"))


def flagged_invalid(plain: bytes) -> bytes:
    at = plain.index(_FLAGS) + len(_FLAGS)
    return plain[:at] + bytes((plain[at] | _INVALID,)) + plain[at + 1 :]


def with_another_pac(plain: bytes) -> bytes:
    """MS-PAC section 2.7: the client's name stands in the PAC in UTF-16."""
    assert plain.count("alice".encode("utf-16-le")) >= 1
    return plain.replace("alice".encode("utf-16-le"), "admin".encode("utf-16-le"))


def with_broken_pac(plain: bytes) -> bytes:
    """MS-PAC section 2.3: the number of buffers, and the version, which is 0."""
    found = re.search(rb"[\x04-\x08]\0{7}", plain)
    assert found is not None
    return plain[: found.start() + 4] + b"\x07" + plain[found.start() + 5 :]


def _encrypt(kind: tuple[int, bytes, int], plain: bytes, size: int) -> bytes:
    enctype, key, usage = kind
    library, context = decryption._library()
    key_buffer = ctypes.create_string_buffer(key, len(key))
    plain_buffer = ctypes.create_string_buffer(plain, len(plain))
    cipher_buffer = ctypes.create_string_buffer(size)
    keyblock = decryption._Keyblock(0, enctype, len(key), ctypes.addressof(key_buffer))
    given = decryption._Data(0, len(plain), ctypes.addressof(plain_buffer))
    cipher = decryption._Data(0, size, ctypes.addressof(cipher_buffer))
    made = decryption._EncData(0, enctype, 0, cipher)
    code = library.krb5_c_encrypt(
        context,
        ctypes.byref(keyblock),
        ctypes.c_int32(usage),
        None,
        ctypes.byref(given),
        ctypes.byref(made),
    )
    assert code == 0
    return cipher_buffer.raw
