"""Tickets and authenticators edited with the service's own key.

No KDC would issue such tickets, and no client can make them. But whoever has a ticket can put
whatever it likes into an authenticator.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable

from elements import read_elements

from authsrv.codecs.der.reader import field_tag
from authsrv.codecs.kerberos.messages import ApReq, parse_ap_req, parse_enc_ticket_part
from authsrv.codecs.spnego import unwrap_spnego
from authsrv.providers.kerberos import decryption
from authsrv.providers.kerberos.keytab import KeytabSnapshot

Edit = Callable[[bytes], bytes]
Kind = tuple[int, bytes, int]
"""An encryption type, a key of it, and what it is used for."""

# RFC 4120 section 7.5.1.
_USAGE_TICKET = 2
_USAGE_AUTHENTICATOR = 11
# RFC 4120 section 5.3: the flags are the first field of the ticket's encrypted part; bit 7 is
# "invalid".
_FLAGS = bytes.fromhex("a007030500")
_INVALID = 0x01


def edited(token: bytes, snapshot: KeytabSnapshot, edit: Edit) -> bytes:
    """The same token, whose ticket says something else."""
    ap_req = parse_ap_req(unwrap_spnego(token))
    plain, kind = _open(ap_req, snapshot)
    cipher = ap_req.ticket_cipher
    return with_content(token, cipher, _encrypt(kind, edit(plain), len(cipher) - len(plain)))


def with_authenticator(token: bytes, snapshot: KeytabSnapshot, edit: Edit) -> bytes:
    """The same token, whose authenticator says something else."""
    ap_req = parse_ap_req(unwrap_spnego(token))
    session_key = parse_enc_ticket_part(_open(ap_req, snapshot)[0]).session_key
    kind = ap_req.authenticator_enctype, session_key, _USAGE_AUTHENTICATOR
    cipher = ap_req.authenticator_cipher
    plain = decryption._decrypt(*kind, cipher)
    return with_content(token, cipher, _encrypt(kind, edit(plain), len(cipher) - len(plain)))


def _open(ap_req: ApReq, snapshot: KeytabSnapshot) -> tuple[bytes, Kind]:
    ticket = decryption.open_ticket(ap_req, snapshot)
    return ticket.plain, (ticket.enctype, ticket.key, _USAGE_TICKET)


def with_content(token: bytes, content: bytes, other: bytes) -> bytes:
    """The same token, with other content in the one element that has this content."""
    outermost = read_elements(token)
    (found,) = (
        element for part in outermost for element in part.walk() if element.content == content
    )
    found.content = other
    return b"".join(map(bytes, outermost))


def in_field(number: int, at: int, content: bytes) -> Edit:
    """Put other content into the element at a place inside of a field of the message."""

    def edit(plain: bytes) -> bytes:
        (message,) = read_elements(plain)
        (fields,) = message.inside
        field = next(field for field in fields.inside if field.tag == field_tag(number))
        found = list(field.walk())[at]
        found.content, found.inside = content, []
        return bytes(message)

    return edit


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
    at = plain.index(parse_enc_ticket_part(plain).pac) + 4
    return plain[:at] + b"\x07" + plain[at + 1 :]


def _encrypt(kind: Kind, plain: bytes, more: int) -> bytes:
    """Encrypt with AES, which pads nothing, and needs that many bytes more."""
    enctype, key, usage = kind
    size = len(plain) + more
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
