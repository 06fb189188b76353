"""Gets a page with Heimdal's GSS-API, whose SPNEGO and Kerberos are its own.

by_heimdal.py URL CERTIFICATE [bindings]

The library is called by its C interface (RFC 2744), which it shares with MIT's; python-gssapi is
linked against the latter.
"""

from __future__ import annotations

import ctypes
import hashlib
import ssl
import sys
from ctypes import POINTER, byref, c_char_p, c_size_t, c_uint32, c_void_p
from pathlib import Path

from wire import exchange, open_connection

LIBRARY = "libgssapi.so.3"
MUTUAL = 2
CONTINUE_NEEDED = 1


class Buffer(ctypes.Structure):
    _fields_ = (("length", c_size_t), ("value", c_void_p))


class Oid(ctypes.Structure):
    _fields_ = (("length", c_uint32), ("elements", c_char_p))


class Bindings(ctypes.Structure):
    _fields_ = (
        ("initiator_type", c_uint32),
        ("initiator", Buffer),
        ("acceptor_type", c_uint32),
        ("acceptor", Buffer),
        ("application_data", Buffer),
    )


SPNEGO = Oid(6, bytes.fromhex("2b0601050502"))
HOSTBASED_SERVICE = Oid(10, bytes.fromhex("2a864886f71201020104"))

gss = ctypes.CDLL(LIBRARY)
gss.gss_import_name.argtypes = [c_void_p, POINTER(Buffer), POINTER(Oid), c_void_p]
gss.gss_init_sec_context.argtypes = [
    c_void_p, c_void_p, c_void_p, c_void_p, POINTER(Oid), c_uint32, c_uint32, POINTER(Bindings),
    POINTER(Buffer), c_void_p, POINTER(Buffer), c_void_p, c_void_p,
]  # fmt: skip


def buffer(content: bytes) -> Buffer:
    """A buffer whose memory lives as long as the process."""
    kept = ctypes.create_string_buffer(content, len(content))
    KEPT.append(kept)
    return Buffer(len(content), ctypes.cast(kept, c_void_p))


KEPT: list[object] = []


def demand(major: int, minor: int) -> int:
    if major >> 16:
        sys.exit(f"Heimdal refuses: major {major:#x}, minor {minor}")
    return major


class Initiator:
    """The client's side of a context."""

    def __init__(self, service: bytes, bindings: Bindings | None) -> None:
        self.name, self.context, self.bindings = c_void_p(), c_void_p(), bindings
        self.is_complete = False
        minor = c_uint32()
        given = buffer(service)
        major = gss.gss_import_name(
            byref(minor), byref(given), byref(HOSTBASED_SERVICE), byref(self.name)
        )
        demand(major, minor.value)

    def step(self, token: bytes | None) -> bytes | None:
        if self.is_complete:
            return None
        minor, made = c_uint32(), Buffer()
        given = buffer(token or b"")
        major = gss.gss_init_sec_context(
            byref(minor), None, byref(self.context), self.name, byref(SPNEGO), MUTUAL, 0,
            None if self.bindings is None else byref(self.bindings),
            byref(given), None, byref(made), None, None,
        )  # fmt: skip
        self.is_complete = demand(major, minor.value) != CONTINUE_NEEDED
        return ctypes.string_at(made.value, made.length) if made.value else None


def channel(certificate: Path) -> Bindings:
    der = ssl.PEM_cert_to_DER_cert(certificate.read_text())
    data = b"tls-server-end-point:" + hashlib.sha256(der).digest()
    return Bindings(application_data=buffer(data))


def main(url: str, certificate: str, *mode: str) -> None:
    initiator = Initiator(b"HTTP@localhost", channel(Path(certificate)) if mode else None)
    print(exchange(open_connection(url, certificate), initiator.step))
    print("the server is proved" if initiator.is_complete else "the server is not proved")


main(*sys.argv[1:])
