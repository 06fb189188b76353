"""A process that has Debian's plug-in for NTLM beside Kerberos: what test_mechanisms starts.

    python with_plugin.py KEYTAB

It prints, a line each: what is said to a client that offers NTLM, alone and before Kerberos; what a
credential is made of that Kerberos has none of; what our client offers; and what it says without
a ticket.
"""

from __future__ import annotations

import os
import sys

import gssapi.raw as gss

from authsrv.codecs.spnego import (
    KERBEROS,
    NTLM,
    NegTokenInit,
    NegTokenResp,
    build_neg_token_init,
    parse_spnego,
)
from authsrv.core.results import Continue, Refused, Result
from authsrv.errors import AuthsrvError
from authsrv.providers.base import ContextRequest, InitiatorRequest
from authsrv.providers.gssapi.acceptor import GssapiProvider
from authsrv.providers.gssapi.initiator import GssapiInitiatorProvider
from authsrv.providers.kerberos.keytab import KeytabEntry, KeytabSnapshot

NEGOTIATE = (
    b"NTLMSSP\x00\x01\x00\x00\x00\x97\x82\x08\xe2" + bytes(16) + b"\x0a\x00\x63\x45\0\0\0\x0f"
)


def told(result: Result) -> str:
    if isinstance(result, Refused):
        return result.error.code
    if isinstance(result, Continue):
        answer = parse_spnego(result.token)
        assert isinstance(answer, NegTokenResp)
        return f"continue with {answer.supported_mech}"
    return type(result).__name__


def main() -> None:
    assert any(mech == gss.OID.from_int_seq(NTLM) for mech in gss.indicate_mechs()), "no plug-in"
    provider = GssapiProvider(sys.argv[1])
    provider.check()
    for offered in ([NTLM], [NTLM, KERBEROS]):
        token = build_neg_token_init(offered, NEGOTIATE)
        print(told(provider.create_context(ContextRequest()).step(token)))

    nothing = KeytabSnapshot(
        f"MEMORY:nothing-{os.getpid()}", (KeytabEntry("HTTP/localhost@AUTHSRV.TEST", 1, 18),), None
    )
    try:
        provider._acquire(nothing)
        print("a credential")
    except AuthsrvError as error:
        print(error.code)

    request = InitiatorRequest("HTTP/localhost")
    first = GssapiInitiatorProvider().create_initiator(request).step(b"")
    assert isinstance(first, Continue), first
    message = parse_spnego(first.token)
    assert isinstance(message, NegTokenInit)
    print(NTLM in message.mech_types)
    os.environ["KRB5CCNAME"] = "FILE:/nowhere/at/all"
    print(told(GssapiInitiatorProvider().create_initiator(request).step(b"")))


if __name__ == "__main__":
    main()
