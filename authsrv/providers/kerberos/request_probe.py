"""Asking libkrb5 again why a request was refused; nothing that is asked here lets anybody in.

libgssapi hides libkrb5's code, and shows a client no more of it than RFC 4120 has numbers for. So
the request is given to krb5_rd_req once more, without any replay cache. And whether a replay cache
is what refused it is told by the difference: the same request, accepted without one.
"""

from __future__ import annotations

import ctypes
import enum
import itertools
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any, Final

import gssapi.raw as gss

from authsrv.codecs.der import reader as der
from authsrv.codecs.der.reader import Reader
from authsrv.codecs.der.types import read_oid
from authsrv.codecs.der.writer import build_frame, encode, encode_field
from authsrv.codecs.kerberos.messages import parse_krb_error
from authsrv.codecs.spnego import KERBEROS
from authsrv.errors import InvalidTokenError
from authsrv.providers.kerberos.library import load_libkrb5

__all__ = [
    "CacheVerdict",
    "ask_libkrb5",
    "can_read_pac",
    "compare_caches",
    "frame_bare_request",
    "permitted_enctypes",
]

# MIT krb5's krb5.h: codes of RFC 4120 are counted from here, and MIT's own follow them.
_TABLE: Final = -1765328384
_REPEAT: Final = 34
_NO_CACHE: Final = b"none:"
_AP_REQ_ID: Final = b"\x01\x00"
_AP_REQ: Final = der.application_tag(14)
_AP_REQ_FIELDS: Final = 5
# RFC 4120 section 5.5.1: the options of an AP-REQ are its field 2, and bit 2 asks for an answer.
_OPTIONS: Final = 2
_MUTUAL_REQUIRED: Final = encode(der.BIT_STRING, bytes.fromhex("0020000000"))

_KERBEROS = gss.OID.from_int_seq(KERBEROS)


class CacheVerdict(enum.Enum):
    """What becomes of a request that was refused, with the replay cache and without it."""

    REPLAY = "replay"
    """Accepted without it; with it, it was seen before."""
    BROKEN = "broken"
    """Accepted without it; with it refused, and not because it was seen before."""
    UNTOLD = "untold"
    """Accepted without it; with it refused, and libkrb5 does not tell why."""
    GOOD = "good"
    """Accepted with it, too, now."""
    REFUSED = "refused"
    """Refused without it: the cache has nothing to do with it."""


class _Data(ctypes.Structure):
    _fields_ = [
        ("magic", ctypes.c_int32),
        ("length", ctypes.c_uint),
        ("data", ctypes.c_char_p),
    ]


def ask_libkrb5(token: bytes, keytab: str) -> int | None:
    """Have libkrb5 judge a request, without a replay cache.

    Args:
        token: The request in GSS-API's frame, not in SPNEGO; from the client, untrusted.
        keytab: The name of the keytab that it was refused with.

    Returns:
        libkrb5's code, counted from that of RFC 4120's error 0: errors of the protocol have the
        numbers of RFC 4120, libkrb5's own have larger ones. 0 if it finds no fault; None where it
        cannot be asked.
    """
    if not keytab:
        return None
    try:
        code = _read_request(_message(token), keytab)
    except (InvalidTokenError, OSError):
        return None
    return code if not code else code - _TABLE


def _read_request(message: bytes, keytab: str) -> int | None:
    auth, keys = ctypes.c_void_p(), ctypes.c_void_p()
    with _context() as (library, context), ExitStack() as cleanup:
        if library.krb5_auth_con_init(context, ctypes.byref(auth)):
            return None
        cleanup.callback(library.krb5_auth_con_free, context, auth)
        # No flags: without DO_TIME it opens no replay cache.
        if library.krb5_auth_con_setflags(context, auth, ctypes.c_int32(0)):
            return None
        if library.krb5_kt_resolve(context, keytab.encode(), ctypes.byref(keys)):
            return None
        cleanup.callback(library.krb5_kt_close, context, keys)
        data = _Data(0, len(message), message)
        code: int = library.krb5_rd_req(
            context, ctypes.byref(auth), ctypes.byref(data), None, keys, None, None
        )
        return code


@contextmanager
def _context() -> Iterator[tuple[Any, ctypes.c_void_p]]:
    """A context of this call alone: libkrb5's must not be used by two threads at once."""
    library, context = load_libkrb5(), ctypes.c_void_p()
    if library.krb5_init_context(ctypes.byref(context)):
        raise OSError("libkrb5 gives no context")
    try:
        yield library, context
    finally:
        library.krb5_free_context(context)


def frame_bare_request(token: bytes) -> bytes:
    """Put GSS-API's frame around a request that has none, as those of DCE.

    The token is the client's, untrusted; it comes back as it is where it is no bare request.
    """
    # MS-KILE section 3.1.1.2: DCE style leaves out the frame of RFC 4121 section 4.1.
    if token[:1] != bytes((_AP_REQ,)):
        return token
    return build_frame(KERBEROS, _AP_REQ_ID + token)


def permitted_enctypes() -> frozenset[int] | None:
    """Tell the encryption types that krb5.conf permits.

    Returns:
        Their numbers; None where libkrb5 cannot be asked.
    """
    with suppress(OSError), _context() as (library, context):
        found = ctypes.POINTER(ctypes.c_int32)()
        if library.krb5_get_permitted_enctypes(context, ctypes.byref(found)):
            return None
        numbers = frozenset(itertools.takewhile(bool, (found[at] for at in itertools.count())))
        library.krb5_free_enctypes(context, found)
        return numbers
    return None


def can_read_pac(pac: bytes) -> bool:
    """Tell whether libkrb5 can read a PAC; it refuses a ticket whose PAC it cannot.

    Returns:
        True where libkrb5 cannot be asked, too. Signatures are not looked at, as libkrb5 refuses no
        ticket for them.
    """
    with suppress(OSError), _context() as (library, context):
        parsed = ctypes.c_void_p()
        if library.krb5_pac_parse(context, pac, ctypes.c_size_t(len(pac)), ctypes.byref(parsed)):
            return False
        library.krb5_pac_free(context, parsed)
    return True


def compare_caches(token: bytes, keytab: str, cache: bytes | None) -> CacheVerdict:
    """Accept a request without a replay cache, then with it, and forget both. It blocks.

    Args:
        token: The request in GSS-API's frame, not in SPNEGO; from the client, untrusted.
        keytab: The name of the keytab that it was refused with.
        cache: The replay cache as a credential store names it; None for the process's own.
    """
    if _attempt(token, keytab, _NO_CACHE) is not _ACCEPTED:
        return CacheVerdict.REFUSED
    # It makes a KRB-ERROR only where the client asked for an answer. The option that asks for one
    # is not protected by anything.
    code = _attempt(_demanding_answer(token), keytab, cache)
    if code is _ACCEPTED:
        return CacheVerdict.GOOD
    if code == _UNTOLD:
        return CacheVerdict.UNTOLD
    return CacheVerdict.REPLAY if code == _REPEAT else CacheVerdict.BROKEN


_ACCEPTED: Final = None
_UNTOLD: Final = -1


def _attempt(token: bytes, keytab: str, cache: bytes | None) -> int | None:
    """Accept a request, and tell the code of RFC 4120 that it is refused with, if one is told."""
    store: dict[bytes | str, bytes | str] = {b"keytab": keytab.encode()}
    if cache is not None:
        store[b"rcache"] = cache
    try:
        credential = gss.acquire_cred_from(store, None, mechs=[_KERBEROS], usage="accept").creds
        gss.accept_sec_context(token, credential)
    except gss.GSSError as failed:
        try:
            return parse_krb_error(failed.token or b"").error_code
        except InvalidTokenError:
            return _UNTOLD
    return _ACCEPTED


def _demanding_answer(token: bytes) -> bytes:
    """The same request, with no option but the one that asks for an answer."""
    try:
        request = Reader(Reader(Reader(_message(token)).read(_AP_REQ)).read(der.SEQUENCE))
        fields = [request.read(der.field_tag(number)) for number in range(_AP_REQ_FIELDS)]
    except InvalidTokenError:
        return token
    fields[_OPTIONS] = _MUTUAL_REQUIRED
    written = (encode_field(number, content) for number, content in enumerate(fields))
    return frame_bare_request(encode(_AP_REQ, encode(der.SEQUENCE, *written)))


def _message(token: bytes) -> bytes:
    reader = der.open_frame(token)
    read_oid(reader)
    return reader.take_rest()[len(_AP_REQ_ID) :]
