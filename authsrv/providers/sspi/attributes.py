"""What an established context of SSPI tells: names, keys, sizes, flags and times."""

from __future__ import annotations

import datetime
import sys
from typing import Any

import sspilib.raw as raw

from authsrv.core.attributes import (
    ContextAttribute,
    ContextSizes,
    NegotiationInfo,
    PackageInfo,
    SessionKey,
)
from authsrv.core.flags import AscRet, IscRet

__all__ = [
    "NATIVE_ATTRIBUTES",
    "attributes_from_client",
    "expiry_of",
    "package_info",
    "query_native",
    "user_name",
]

NATIVE_ATTRIBUTES = frozenset(
    {
        ContextAttribute.SIZES,
        ContextAttribute.SESSION_KEY,
        ContextAttribute.PACKAGE_INFO,
        ContextAttribute.NEGOTIATION_INFO,
    }
)
"""The attributes that SSPI is asked for; the others are read from the identity."""

_EPOCH = datetime.datetime(1601, 1, 1)
_TICKS_PER_MICROSECOND = 10
# 0 and 0x7FFFFFFFFFFFFFFF mean never, and lie outside of these years; no ticket's life does. The
# calendar of Windows' C library ends in 3000.
_FIRST_YEAR, _LAST_YEAR = 1970, 3000


def user_name(context: Any) -> str:
    r"""Ask a sspilib.raw.CtxtHandle for the client's name, such as "DOMAIN\alice".

    Raises:
        OSError: SSPI does not tell.
        UnicodeError: The name is not in Unicode.
    """
    told = raw.query_context_attributes(context, raw.SecPkgContextNames)
    return str(told.username)


def package_info(context: Any) -> PackageInfo:
    """Ask a sspilib.raw.CtxtHandle for its package; of a negotiation, the one that was chosen.

    Raises:
        OSError: SSPI does not tell.
    """
    told = raw.query_context_attributes(context, raw.SecPkgContextPackageInfo)
    return PackageInfo(told.name, told.comment, int(told.capabilities), told.max_token)


def query_native(context: Any, attribute: ContextAttribute) -> object:
    """Ask a sspilib.raw.CtxtHandle for one of NATIVE_ATTRIBUTES.

    Raises:
        OSError: SSPI does not tell.
    """
    match attribute:
        case ContextAttribute.SIZES:
            sizes = raw.query_context_attributes(context, raw.SecPkgContextSizes)
            return ContextSizes(
                sizes.max_token, sizes.max_signature, sizes.block_size, sizes.security_trailer
            )
        case ContextAttribute.SESSION_KEY:
            key = raw.query_context_attributes(context, raw.SecPkgContextSessionKey)
            return SessionKey(bytes(key.session_key))
        case ContextAttribute.NEGOTIATION_INFO:
            # sspilib knows no SECPKG_ATTR_NEGOTIATION_INFO; PACKAGE_INFO is of what was chosen.
            return NegotiationInfo(package_info(context))
        case _:
            return package_info(context)


def expiry_of(ticks: int) -> datetime.datetime | None:
    """Read the expiry of a context, in UTC; None for never.

    Args:
        ticks: A TimeStamp: tenths of a microsecond since 1601.
    """
    try:
        time = _EPOCH + datetime.timedelta(microseconds=ticks // _TICKS_PER_MICROSECOND)
    except OverflowError:
        return None
    if not _FIRST_YEAR < time.year < _LAST_YEAR:
        return None
    # SSPI AcceptSecurityContext, ptsExpiry: packages are told to count in local time, and do.
    if sys.platform == "win32":
        return time.astimezone(datetime.UTC)
    return time.replace(tzinfo=datetime.UTC)


def attributes_from_client(flags: int) -> AscRet:
    """Turn ISC_RET_* bits into AscRet, as identities have them; other bits are left out."""
    result = AscRet(0)
    for name, bit in IscRet.__members__.items():
        if flags & bit and name in AscRet.__members__:
            result |= AscRet[name]
    return result
