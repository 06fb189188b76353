"""From what MIT's acceptor answers to an identity, or to why it names nobody.

What MIT does not say by a flag: an anonymous client of PKINIT has a name like everybody else, and
the anonymous flag is not set. Its name's type tells, and the name itself (see Identity).
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterable
from typing import Any, Final

import gssapi.raw as gss

from authsrv.core.identity import DelegatedCredential
from authsrv.errors import LogonDeniedError

__all__ = ["client_name", "delegated_credential", "end_of_ticket", "read_name_attributes"]

# RFC 2743 section 4.5 and RFC 2744 section 5.1.
_ANONYMOUS_NAME: Final = gss.NameType.anonymous
_ANONYMOUS_FLAG: Final = 0x40

# MIT krb5: the attributes of a PAC begin with the name of the whole.
_PAC: Final = "urn:mspac:"


def client_name(answer: Any) -> str:
    """Tell the client's principal, as MIT displays it, from what gss_accept_sec_context answered.

    Raises:
        LogonDeniedError: The client is anonymous, or its name is not UTF-8.
    """
    name = answer.initiator_name
    if name is None or int(answer.flags) & _ANONYMOUS_FLAG:
        raise LogonDeniedError("the client is anonymous")
    shown = gss.display_name(name, True)
    if shown.name_type == _ANONYMOUS_NAME:
        raise LogonDeniedError("the client is anonymous")
    try:
        principal: str = shown.name.decode()
    except UnicodeDecodeError:
        # A replacement character would make two principals one.
        raise LogonDeniedError("the client's name is not UTF-8") from None
    return principal


def end_of_ticket(lifetime: int | None, asked_at: float, skew: int) -> datetime.datetime | None:
    """Tell when the ticket of an established context ends.

    Args:
        lifetime: What gss_accept_sec_context answered, in seconds; None for ever. MIT adds the
            clock skew to it.
        asked_at: The time just before that call, in seconds since the epoch.
        skew: The clock skew in force, in seconds.

    Returns:
        The end, to the second, and never later than the ticket's; None for never.
    """
    if lifetime is None:
        return None
    return datetime.datetime.fromtimestamp(int(asked_at) + lifetime - skew, datetime.UTC)


def read_name_attributes(
    name: Any, wanted: Iterable[str], is_signed: Callable[[bytes], bool]
) -> dict[str, tuple[bytes, ...]]:
    """Read what the issuer says of the client.

    Args:
        name: The client's name in the established context.
        wanted: The attributes to read.
        is_signed: Tells whether a PAC is signed, where attributes of one are wanted: libkrb5 1.21
            to 1.22 authenticate one that is not.

    Returns:
        Those that are there and authenticated.
    """
    values: dict[str, tuple[bytes, ...]] = {}
    wanted = tuple(wanted)
    if not wanted:
        return values
    if any(attribute.startswith(_PAC) for attribute in wanted) and not is_signed(_read_pac(name)):
        wanted = tuple(attribute for attribute in wanted if not attribute.startswith(_PAC))
    for attribute in wanted:
        try:
            told = gss.get_name_attribute(name, attribute.encode())
        except gss.GSSError:
            continue  # this issuer does not say it
        # RFC 6680 section 4: what is not authenticated, anybody may have claimed.
        if told.authenticated:
            values[attribute] = tuple(told.values)
    return values


def _read_pac(name: Any) -> bytes:
    """The whole PAC that libkrb5 reads its attributes from; empty where there is none."""
    try:
        told = gss.get_name_attribute(name, _PAC.encode())
    except gss.GSSError:
        return b""
    return bytes(told.values[0]) if told.values else b""


def delegated_credential(native: Any) -> DelegatedCredential | None:
    """Wrap the gssapi.raw.Creds that the client delegated, if it did."""
    return None if native is None else DelegatedCredential("gssapi", native)
