"""The mechanisms that are asked of libgssapi, as it takes them."""

from __future__ import annotations

from typing import Any, Final

import gssapi.raw as gss

from authsrv.codecs import spnego

__all__ = ["KERBEROS", "SPNEGO"]

KERBEROS: Final[Any] = gss.OID.from_int_seq(spnego.KERBEROS)
SPNEGO: Final[Any] = gss.OID.from_int_seq(spnego.SPNEGO)
