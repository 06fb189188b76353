"""Which of several identities a client takes for a service: what MIT's own client would choose.

Where a user has tickets as several principals (a collection: DIR, KCM, KEYRING), MIT chooses when
it knows the service: by ~/.k5identity and by the service's realm. It does so for a credential that
is not resolved yet; and every credential that python-gssapi gives out for SPNEGO is, as it asks how
long it lasts. No Python binding has krb5_cc_select, so it is called through ctypes.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from authsrv.errors import ConfigError
from authsrv.providers.kerberos.library import load_libkrb5

__all__ = ["Choice", "choose_identity"]

# RFC 4120 section 6.2. The rules of .k5identity for service and host hold for such names alone.
_NT_SRV_HST: Final = 3
_NOT_FOUND: Final = -1765328243


class _Principal(ctypes.Structure):
    """krb5_principal_data, with its realm (a krb5_data) spelt out."""

    _fields_ = (
        ("magic", ctypes.c_int32),
        ("realm_magic", ctypes.c_int32),
        ("realm_length", ctypes.c_uint),
        ("realm_data", ctypes.c_char_p),
        ("data", ctypes.c_void_p),
        ("length", ctypes.c_int32),
        ("type", ctypes.c_int32),
    )


@dataclass(frozen=True, slots=True)
class Choice:
    """As whom to authenticate, and with which tickets.

    Args:
        principal: The name with its realm.
        cache: The full name of the cache with its tickets; empty where there is none, and the
            principal has to log in first.
    """

    principal: bytes
    cache: bytes


def choose_identity(target: str) -> Choice | None:
    """Choose as whom to ask for a service. It may block, and asks no DNS.

    Args:
        target: The service, such as "HTTP/web.example.org", with or without its realm.

    Returns:
        The choice; None where nothing speaks for one, and the default cache is taken.

    Raises:
        ConfigError: A cache or .k5identity cannot be read, or libkrb5 cannot be loaded. Nothing is
            chosen then, lest a user with several identities appear as the wrong one.
    """
    service, _, realm = target.partition("@")
    with _open_context() as (library, context):
        server = ctypes.POINTER(_Principal)()
        # With an empty realm, libkrb5 guesses as it does for a ticket: by [domain_realm].
        name = f"{service}@{realm}".encode()
        if library.krb5_parse_name(context, name, ctypes.byref(server)):
            raise ConfigError("libkrb5 cannot read the name of the service")
        try:
            server.contents.type = _NT_SRV_HST
            return _select(library, context, server)
        finally:
            library.krb5_free_principal(context, server)


def _select(library: Any, context: ctypes.c_void_p, server: Any) -> Choice | None:
    cache, client = ctypes.c_void_p(), ctypes.c_void_p()
    code = library.krb5_cc_select(context, server, ctypes.byref(cache), ctypes.byref(client))
    try:
        if code not in (0, _NOT_FOUND):
            raise ConfigError(f"libkrb5 cannot choose between credential caches (code {code})")
        if not client:
            return None
        principal = _text(library, context, library.krb5_unparse_name, client)
        full_name = library.krb5_cc_get_full_name
        return Choice(principal, _text(library, context, full_name, cache) if cache else b"")
    finally:
        if cache:
            library.krb5_cc_close(context, cache)
        if client:
            library.krb5_free_principal(context, client)


def _text(library: Any, context: ctypes.c_void_p, name: Any, of: ctypes.c_void_p) -> bytes:
    text = ctypes.c_char_p()
    if name(context, of, ctypes.byref(text)) or text.value is None:
        raise ConfigError("libkrb5 does not tell which credential cache it chose")
    try:
        return text.value
    finally:
        library.krb5_free_string(context, text)


@contextmanager
def _open_context() -> Iterator[tuple[Any, ctypes.c_void_p]]:
    context = ctypes.c_void_p()
    try:
        library = load_libkrb5()
    except OSError:
        raise ConfigError("libkrb5 is not there to choose a credential cache") from None
    if library.krb5_init_context(ctypes.byref(context)):
        raise ConfigError("libkrb5 cannot use its configuration file")
    try:
        yield library, context
    finally:
        library.krb5_free_context(context)
