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
"""The attributes that SSPI must be asked for; the others are the identity's."""

_EPOCH = datetime.datetime(1601, 1, 1)
_TICKS_PER_MICROSECOND = 10
# Far off either end of any ticket's life: 0 and 0x7FFFFFFFFFFFFFFF mean never, and the calendar of
# Windows' C library ends in 3000.
_FIRST_YEAR, _LAST_YEAR = 1970, 3000


def user_name(context: Any) -> str:
    r"""Ask who the client is.

    Args:
        context: A sspilib.raw.CtxtHandle.

    Returns:
        The name, such as "DOMAIN\alice".

    Raises:
        OSError: SSPI does not tell.

    Source: sspi.h, SECPKG_ATTR_NAMES.
    """
    told = raw.query_context_attributes(context, raw.SecPkgContextNames)
    return str(told.username)


def package_info(context: Any) -> PackageInfo:
    """Ask which package the context is of; of a negotiation, the one that it chose.

    Args:
        context: A sspilib.raw.CtxtHandle.

    Returns:
        The package.

    Raises:
        OSError: SSPI does not tell.

    Source: sspi.h, SECPKG_ATTR_PACKAGE_INFO.
    """
    told = raw.query_context_attributes(context, raw.SecPkgContextPackageInfo)
    return PackageInfo(told.name, told.comment, int(told.capabilities), told.max_token)


def query_native(context: Any, attribute: ContextAttribute) -> object:
    """Ask an attribute that SSPI alone knows.

    Args:
        context: A sspilib.raw.CtxtHandle.
        attribute: One of NATIVE_ATTRIBUTES.

    Returns:
        What ContextAttribute says of it.

    Raises:
        OSError: SSPI does not tell.

    Source: SSPI QueryContextAttributes.
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
    """Read the expiry of a context.

    Args:
        ticks: A TimeStamp: tenths of a microsecond since 1601. Windows counts them in local time,
            as its documentation recommends to packages.

    Returns:
        The time in UTC, or None for never.

    Source: SSPI AcceptSecurityContext, ptsExpiry.
    """
    try:
        time = _EPOCH + datetime.timedelta(microseconds=ticks // _TICKS_PER_MICROSECOND)
    except OverflowError:
        return None
    if not _FIRST_YEAR < time.year < _LAST_YEAR:
        return None
    if sys.platform == "win32":
        return time.astimezone(datetime.UTC)
    return time.replace(tzinfo=datetime.UTC)


def attributes_from_client(flags: int) -> AscRet:
    """Say an initiator's attributes with the bits of AscRet, as identities have them.

    Args:
        flags: ISC_RET_* bits.

    Returns:
        The same by name; what AscRet has no name for is left out.

    Source: sspi.h.
    """
    result = AscRet(0)
    for name, bit in IscRet.__members__.items():
        if flags & bit and name in AscRet.__members__:
            result |= AscRet[name]
    return result
