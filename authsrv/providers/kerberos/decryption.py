"""What a ticket says inside, for the diagnosis of a refusal: decrypted with the service's own key.

"Clock skew too great" helps nobody; "the client's clock is 420 seconds ahead" does. The client's
time stands in the authenticator, under the session key, which stands in the ticket, under the
service key. libkrb5 has the one function needed, krb5_c_decrypt, and no Python binding of it: it is
called through ctypes in the library that python-gssapi has loaded already. Where that fails for any
reason, the diagnosis goes without; nothing here decides whether anybody is let in.
"""

from __future__ import annotations

import ctypes
import datetime
import functools
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import krb5

from authsrv.codecs.kerberos.messages import ApReq, parse_authenticator, parse_enc_ticket_part
from authsrv.errors import InvalidTokenError
from authsrv.providers.kerberos.keytab import KeytabSnapshot
from authsrv.providers.kerberos.library import load_libkrb5

__all__ = ["OpenTicket", "TicketTimes", "open_ticket", "read_times", "verify_checksum"]

# RFC 4120 section 7.5.1, key usage numbers.
_USAGE_TICKET = 2
_USAGE_AUTHENTICATOR = 11


class _Data(ctypes.Structure):
    _fields_ = [
        ("magic", ctypes.c_int32),
        ("length", ctypes.c_uint),
        ("data", ctypes.c_void_p),
    ]


class _Keyblock(ctypes.Structure):
    _fields_ = [
        ("magic", ctypes.c_int32),
        ("enctype", ctypes.c_int32),
        ("length", ctypes.c_uint),
        ("contents", ctypes.c_void_p),
    ]


class _Checksum(ctypes.Structure):
    _fields_ = [
        ("magic", ctypes.c_int32),
        ("checksum_type", ctypes.c_int32),
        ("length", ctypes.c_uint),
        ("contents", ctypes.c_void_p),
    ]


class _EncData(ctypes.Structure):
    _fields_ = [
        ("magic", ctypes.c_int32),
        ("enctype", ctypes.c_int32),
        ("kvno", ctypes.c_uint),
        ("ciphertext", _Data),
    ]


@dataclass(frozen=True, slots=True)
class TicketTimes:
    """The times in a ticket and its authenticator, and whose it is.

    Args:
        client_time: The client's clock when it made the authenticator, UTC; None if unreadable.
        start_time: When the ticket's life begins, UTC; None if unknown.
        end_time: When the ticket's life ends, UTC.
        client: The principal that the ticket was issued to.
        session_enctype: The encryption type of the session key.
        pac: The ticket's privilege attribute certificate; empty where there is none.
        subkey_enctype: The encryption type of the key in the authenticator, if there is one.
        checksum_bytes: The length of the authenticator's checksum; None if unreadable.
    """

    client_time: datetime.datetime | None
    start_time: datetime.datetime | None
    end_time: datetime.datetime
    client: str = ""
    session_enctype: int = 0
    pac: bytes = field(default=b"", repr=False)
    subkey_enctype: int | None = None
    checksum_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class OpenTicket:
    """A ticket that a key of ours opens.

    Args:
        plain: Its encrypted part, decrypted: a secret.
        enctype: The encryption type of the key.
        key: The key: a secret.
    """

    plain: bytes = field(repr=False)
    enctype: int
    key: bytes = field(repr=False)


def read_times(ap_req: ApReq, snapshot: KeytabSnapshot) -> TicketTimes | None:
    """Read the times of a ticket with the key from a keytab, whatever service it is there for.

    The AP-REQ is the client's, untrusted. As in libkrb5, the name in the ticket is not looked at:
    an account in Active Directory has many names and one key.

    Returns:
        The times, or None where the ticket cannot be decrypted or read, for whatever reason.
    """
    try:
        ticket = parse_enc_ticket_part(open_ticket(ap_req, snapshot).plain)
    except Exception:
        # Numbers that fit no C type, names that are none, a library that is not there: whatever
        # it is, the refusal is certain already and only its words get poorer.
        return None
    authenticator = None
    try:
        plain = _decrypt(
            ap_req.authenticator_enctype,
            ticket.session_key,
            _USAGE_AUTHENTICATOR,
            ap_req.authenticator_cipher,
        )
        authenticator = parse_authenticator(plain)
    except (InvalidTokenError, OSError, LookupError):
        pass
    return TicketTimes(
        authenticator.client_time if authenticator else None,
        ticket.start_time,
        ticket.end_time,
        ticket.client,
        ticket.session_key_enctype,
        ticket.pac,
        authenticator.subkey_enctype if authenticator else None,
        authenticator.checksum_bytes if authenticator else None,
    )


def open_ticket(ap_req: ApReq, snapshot: KeytabSnapshot) -> OpenTicket:
    """Open a ticket, untrusted, with whichever key of a keytab opens it.

    Raises:
        LookupError: No key opens it, or libkrb5 cannot be used.
        OSError: libkrb5 is not there.
        krb5.Krb5Error: There is no such keytab.
    """
    enctype = ap_req.ticket_enctype
    # The keytab object of the snapshot belongs to a context of libkrb5 that other threads use.
    for entry in krb5.kt_resolve(krb5.init_context(), snapshot.name.encode()):
        if entry.key.enctype == enctype:
            with suppress(LookupError):
                key = bytes(entry.key.data)
                plain = _decrypt(enctype, key, _USAGE_TICKET, ap_req.ticket_cipher)
                return OpenTicket(plain, enctype, key)
    raise LookupError("no key opens the ticket")


def verify_checksum(
    ticket: OpenTicket, usage: int, data: bytes, kind: int, checksum: bytes
) -> bool:
    """Verify a checksum that was made with the key of a ticket.

    Args:
        ticket: A ticket that was opened.
        usage: The key usage number of RFC 3961.
        data: What the checksum is over.
        kind: The type of the checksum.
        checksum: The checksum; of the length that its type has.

    Raises:
        LookupError: libkrb5 cannot be used.
        OSError: libkrb5 is not there.
    """
    library, context = _library()
    buffers = [
        ctypes.create_string_buffer(part, len(part)) for part in (ticket.key, data, checksum)
    ]
    key_at, data_at, checksum_at = map(ctypes.addressof, buffers)
    valid = ctypes.c_uint(0)
    code = library.krb5_c_verify_checksum(
        context,
        ctypes.byref(_Keyblock(0, ticket.enctype, len(ticket.key), key_at)),
        ctypes.c_int32(usage),
        ctypes.byref(_Data(0, len(data), data_at)),
        ctypes.byref(_Checksum(0, kind, len(checksum), checksum_at)),
        ctypes.byref(valid),
    )
    return code == 0 and valid.value == 1


@functools.cache
def _library() -> tuple[Any, ctypes.c_void_p]:
    library = load_libkrb5()
    context = ctypes.c_void_p()
    if library.krb5_init_context(ctypes.byref(context)) != 0:
        raise LookupError("libkrb5 gives no context")
    return library, context


def _decrypt(enctype: int, key: bytes, usage: int, cipher: bytes) -> bytes:
    library, context = _library()
    key_buffer = ctypes.create_string_buffer(key, len(key))
    cipher_buffer = ctypes.create_string_buffer(cipher, len(cipher))
    plain_buffer = ctypes.create_string_buffer(len(cipher))
    keyblock = _Keyblock(0, enctype, len(key), ctypes.addressof(key_buffer))
    enc_data = _EncData(0, enctype, 0, _Data(0, len(cipher), ctypes.addressof(cipher_buffer)))
    plain = _Data(0, len(cipher), ctypes.addressof(plain_buffer))
    code = library.krb5_c_decrypt(
        context,
        ctypes.byref(keyblock),
        ctypes.c_int32(usage),
        None,
        ctypes.byref(enc_data),
        ctypes.byref(plain),
    )
    if code != 0:
        raise LookupError("the ciphertext does not decrypt")
    return plain_buffer.raw[: plain.length]
