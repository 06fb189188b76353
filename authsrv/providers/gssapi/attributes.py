"""The attributes of an established GSS-API context, by the names of SSPI."""

from __future__ import annotations

from typing import Any

import gssapi.raw as gss

from authsrv.core.attributes import (
    ContextAttribute,
    ContextSizes,
    NegotiationInfo,
    PackageInfo,
    SessionKey,
    attribute_of,
)
from authsrv.core.identity import Identity
from authsrv.errors import UnsupportedFunctionError

__all__ = ["KERBEROS_INFO", "query_context"]

# MIT krb5, gssapi_ext.h: GSS_C_INQ_SSPI_SESSION_KEY.
_SESSION_KEY = gss.OID.from_int_seq("1.2.840.113554.1.2.2.5.5")

_MAX_TOKEN = 65_536
_PROBE = 1 << 16

KERBEROS_INFO = PackageInfo("Kerberos", "MIT Kerberos 5 through GSS-API", max_token=_MAX_TOKEN)
"""What the provider says of itself."""


def query_context(context: Any, identity: Identity, attribute: ContextAttribute) -> object:
    """Tell an attribute of an established gssapi.raw.SecurityContext; see SecurityContext.query.

    Raises:
        UnsupportedFunctionError: Kerberos has no such attribute, or the context does not tell it.
    """
    match attribute:
        case ContextAttribute.SIZES:
            return _sizes(context)
        case ContextAttribute.SESSION_KEY:
            return _session_key(context)
        case ContextAttribute.PACKAGE_INFO:
            return KERBEROS_INFO
        case ContextAttribute.NEGOTIATION_INFO:
            return NegotiationInfo(KERBEROS_INFO)
        case _:
            return attribute_of(identity, attribute)


def _session_key(context: Any) -> SessionKey:
    try:
        return SessionKey(gss.inquire_sec_context_by_oid(context, _SESSION_KEY)[0])
    except gss.GSSError:
        raise UnsupportedFunctionError("the context does not tell its session key") from None


def _sizes(context: Any) -> ContextSizes:
    try:
        # RFC 2744 section 5.21: how large a message fits into a size. A signature is what wrapping
        # without encryption adds.
        signed = _PROBE - gss.wrap_size_limit(context, _PROBE, confidential=False)
        sealed = _PROBE - gss.wrap_size_limit(context, _PROBE, confidential=True)
    except gss.GSSError:
        raise UnsupportedFunctionError("the context does not tell its sizes") from None
    return ContextSizes(_MAX_TOKEN, signed, 1, sealed)
