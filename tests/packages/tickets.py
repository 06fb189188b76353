"""Tickets edited with the service's own key: what no KDC would issue, and no client can make."""

from __future__ import annotations

import ctypes
from collections.abc import Callable

from authsrv.packages import decryption
from authsrv.packages.keytab import KeytabSnapshot
from authsrv.tokens.kerberos import parse_ap_req
from authsrv.tokens.spnego import unwrap_spnego

# RFC 4120 section 7.5.1.
_USAGE_TICKET = 2
# RFC 4120 section 5.3: the flags are the first field of the ticket's encrypted part; bit 7 is
# "invalid".
_FLAGS = bytes.fromhex("a007030500")
_INVALID = 0x01


def edited(token: bytes, snapshot: KeytabSnapshot, edit: Callable[[bytes], bytes]) -> bytes:
    """The same token, whose ticket says something else, as long as before."""
    ap_req = parse_ap_req(unwrap_spnego(token))
    key = decryption._service_key(ap_req, snapshot)
    enctype = ap_req.ticket_enctype
    plain = decryption._decrypt(enctype, key, _USAGE_TICKET, ap_req.ticket_cipher)
    changed = edit(plain)
    assert changed != plain
    assert len(changed) == len(plain)
    return token.replace(
        ap_req.ticket_cipher, _encrypt(enctype, key, changed, len(ap_req.ticket_cipher))
    )


def flagged_invalid(plain: bytes) -> bytes:
    at = plain.index(_FLAGS) + len(_FLAGS)
    return plain[:at] + bytes((plain[at] | _INVALID,)) + plain[at + 1 :]


def with_another_pac(plain: bytes) -> bytes:
    """MS-PAC section 2.7: the client's name stands in the PAC in UTF-16."""
    assert plain.count("alice".encode("utf-16-le")) >= 1
    return plain.replace("alice".encode("utf-16-le"), "admin".encode("utf-16-le"))


def with_broken_pac(plain: bytes) -> bytes:
    """MS-PAC section 2.3: the number of buffers, and the version, which is 0."""
    header = bytes.fromhex("0400000000000000")
    at = plain.index(header)
    return plain[:at] + bytes.fromhex("0400000007000000") + plain[at + len(header) :]


def _encrypt(enctype: int, key: bytes, plain: bytes, size: int) -> bytes:
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
        ctypes.c_int32(_USAGE_TICKET),
        None,
        ctypes.byref(given),
        ctypes.byref(made),
    )
    assert code == 0
    return cipher_buffer.raw
