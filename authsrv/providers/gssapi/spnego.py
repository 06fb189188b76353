"""SPNEGO on its way into libgssapi: read strictly here first, and rewritten where it must be.

libgssapi 1.21 to 1.22.1 looks for mechListMIC at field 4 of a NegTokenResp, where RFC 4178 section
4.2.2 has it at field 3; and what is malformed there ends the process (krb5 tickets 9183 and 9213).
Acceptor and initiator share that parser. So nothing malformed, and nothing behind field 3, is ever
handed on. And where libgssapi reads field 4, a mechListMIC is put there, so that it is checked.

Which field it reads is found by asking it once, not by its version: distributions mend without
changing the number.
"""

from __future__ import annotations

import enum
import functools
import os
from typing import Any, Final, NamedTuple

import gssapi.raw as gss
import krb5

from authsrv.codecs.der import reader as der
from authsrv.codecs.der.types import read_oid
from authsrv.codecs.known_prefixes import KnownPrefixes
from authsrv.codecs.spnego import (
    KERBEROS,
    KERBEROS_OIDS,
    NTLM,
    NegTokenInit,
    NegTokenResp,
    build_neg_token_init,
    build_neg_token_resp,
    is_spnego,
    parse_spnego,
)
from authsrv.errors import InvalidTokenError, KeytabError, UnexpectedTokenError
from authsrv.providers.gssapi import mechanisms

__all__ = ["MICField", "ReadToken", "mic_field", "read_first", "read_next"]

_AES256 = 18
_KEY_BYTES = 32

# Whether the token at the end, behind such a beginning, is one of Kerberos.
_KNOWN: Final[KnownPrefixes[bool]] = KnownPrefixes()


class MICField(enum.Enum):
    """Where libgssapi looks for mechListMIC in a NegTokenResp."""

    RFC_4178 = 3
    """Where it belongs."""
    MISPLACED = 4
    """One field behind, as krb5 1.21 to 1.22.1 do."""


class ReadToken(NamedTuple):
    """A token that may be handed to libgssapi.

    Args:
        token: What libgssapi is given.
        kerberos: The token of Kerberos in it that an acceptor looks at; None where there is none.
    """

    token: bytes
    kerberos: bytes | None

    def __repr__(self) -> str:
        """Show lengths where tokens are."""
        return f"<ReadToken of {len(self.token)} bytes, {len(self.kerberos or b'')} of Kerberos>"


def read_first(token: bytes) -> ReadToken:
    """Read the first token of a handshake strictly: the client's, untrusted, in SPNEGO or not.

    Raises:
        InvalidTokenError: It is empty, is malformed SPNEGO, has a malformed frame, or is a
            NegTokenResp.
    """
    known = _KNOWN.find(token)
    if known is not None:
        beginning, is_kerberos = known
        return ReadToken(token, token[len(beginning) :] if is_kerberos else None)
    if not token:
        raise InvalidTokenError("the token is empty")
    if not is_spnego(token):
        if token[0] == der.FRAME:
            # Another reading of the lengths must not make it SPNEGO after all.
            read_oid(der.open_frame(token))
        return ReadToken(token, token)
    message = parse_spnego(token)
    if not isinstance(message, NegTokenInit):
        raise InvalidTokenError("the token continues a negotiation, and is not an initial token")
    # RFC 4178 section 4.2.1: the mechToken belongs to the first mechanism of the list.
    carried, is_kerberos = message.mech_token, message.mech_types[0] in KERBEROS_OIDS
    if carried is not None and message.ends_in_mech_token:
        _KNOWN.note(token, len(token) - len(carried), is_kerberos)
    return ReadToken(token, carried if is_kerberos else None)


def read_next(token: bytes) -> ReadToken:
    """Read a later token of a negotiation strictly, and put its MIC where libgssapi looks for it.

    The token is the peer's, untrusted.

    Raises:
        InvalidTokenError: It is malformed, or has a field behind mechListMIC.
        UnexpectedTokenError: It is a NegTokenInit.
        KeytabError: libgssapi could not be asked where it looks for the MIC.
    """
    message = parse_spnego(token)
    if not isinstance(message, NegTokenResp):
        raise UnexpectedTokenError("a NegTokenInit came where a negotiation was to be continued")
    if message.mech_list_mic is not None and mic_field() is MICField.MISPLACED:
        token = build_neg_token_resp(
            message.neg_state,
            message.supported_mech,
            message.response_token,
            message.mech_list_mic,
            mic_field=MICField.MISPLACED.value,
        )
    return ReadToken(token, message.response_token)


@functools.cache
def mic_field() -> MICField:
    """Ask libgssapi, once in a process, where it looks for a mechListMIC.

    Its acceptor is led to the second leg of a negotiation, and given nothing but a MIC: if it sees
    one, it waits for the mechanism's token; if it sees none, the token is empty and so refused.

    Raises:
        KeytabError: libgssapi makes no credential of a key in memory, so it cannot be asked.
    """
    sent = build_neg_token_resp(mech_list_mic=b"MIC")
    try:
        credential = _throw_away_credential()
        first = gss.accept_sec_context(build_neg_token_init([NTLM, KERBEROS]), credential)
    except (gss.GSSError, krb5.Krb5Error):
        raise KeytabError("libgssapi makes no credential of a key in memory") from None
    try:
        gss.accept_sec_context(sent, credential, first.context)
    except gss.GSSError:
        return MICField.MISPLACED
    return MICField.RFC_4178


def _throw_away_credential() -> Any:
    """A credential that opens no ticket: its key is random and forgotten."""
    context = krb5.init_context()
    name = f"MEMORY:authsrv-probe-{os.getpid()}".encode()
    memory = krb5.kt_resolve(context, name)
    principal = krb5.parse_name_flags(context, b"probe/localhost@PROBE")
    key = krb5.init_keyblock(context, _AES256, os.urandom(_KEY_BYTES))
    krb5.kt_add_entry(context, memory, principal, 1, 0, key)
    store: dict[bytes | str, bytes | str] = {b"keytab": name, b"rcache": b"none:"}
    mechs = [mechanisms.KERBEROS, mechanisms.SPNEGO]
    credential = gss.acquire_cred_from(store, None, mechs=mechs, usage="accept").creds
    gss.set_neg_mechs(credential, [mechanisms.KERBEROS])
    return credential
