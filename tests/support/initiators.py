"""The client's side for tests: initiators of MIT's GSS-API and of pyspnego, and wrong tokens."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import gssapi.raw as gss
import spnego

from authsrv.codecs.der.reader import SEQUENCE
from authsrv.codecs.der.writer import encode, encode_oid
from authsrv.codecs.spnego import (
    KERBEROS,
    MS_KERBEROS,
    NEGOEX,
    NegState,
    NegTokenResp,
    build_neg_token_init,
    build_neg_token_resp,
    parse_spnego,
    unwrap_spnego,
)
from authsrv.devrealm import Realm

_NUMBERS = itertools.count(1)

KERBEROS_MECH = gss.OID.from_int_seq(KERBEROS)
SPNEGO_MECH = gss.OID.from_int_seq("1.3.6.1.5.5.2")
MUTUAL = gss.RequirementFlag.mutual_authentication
DCE = 0x1000
"""GSS_C_DCE_STYLE of MIT krb5's gssapi_ext.h: three legs, and requests without a frame."""
DELEGATE = gss.RequirementFlag.delegate_to_peer
INTEGRITY = gss.RequirementFlag.integrity
"""By itself: no mutual authentication, which python-gssapi asks for where no flag is given."""

NTLM_NEGOTIATE = (
    b"NTLMSSP\x00\x01\x00\x00\x00\x97\x82\x08\xe2" + bytes(16) + b"\x0a\x00\x63\x45\x00\x00\x00\x0f"
)
"""A NEGOTIATE_MESSAGE as Windows 10 sends it: MS-NLMP section 2.2.1.1."""

ACCEPT_COMPLETED = bytes.fromhex("a1073005a0030a0100")
"""NegTokenResp(accept-completed), and nothing more."""


class GssapiInitiator:
    """MIT's own initiator; a Client of the conformance kit."""

    def __init__(
        self,
        service: str = "HTTP@localhost",
        *,
        mechanism: Any = SPNEGO_MECH,
        flags: Iterable[Any] = (MUTUAL,),
        bindings: bytes | None = None,
        cache: Path | None = None,
    ) -> None:
        self._name = gss.import_name(service.encode(), gss.NameType.hostbased_service)
        self._mechanism = mechanism
        self._flags = list(flags)
        self._bindings = (
            None if bindings is None else gss.ChannelBindings(application_data=bindings)
        )
        self._credential = None if cache is None else _credential(cache, mechanism)
        self.context: Any = None
        self.is_complete = False

    def step(self, token: bytes | None) -> bytes | None:
        answer = gss.init_sec_context(
            self._name,
            self._credential,
            self.context,
            mech=self._mechanism,
            flags=self._flags,
            channel_bindings=self._bindings,
            input_token=token,
        )
        self.context = answer.context
        self.is_complete = not answer.more_steps
        made: bytes | None = answer.token
        return made

    def session_key(self) -> bytes:
        """The key of the established context, by GSS_C_INQ_SSPI_SESSION_KEY."""
        oid = gss.OID.from_int_seq("1.2.840.113554.1.2.2.5.5")
        key: bytes = gss.inquire_sec_context_by_oid(self.context, oid)[0]
        return key


def _credential(cache: Path, mechanism: Any) -> Any:
    store = {b"ccache": f"FILE:{cache}".encode()}
    return gss.acquire_cred_from(store, None, mechs=[mechanism], usage="initiate").creds


class PyspnegoInitiator:
    """pyspnego's client, whose SPNEGO and NTLM are code of its own; a Client of the kit."""

    def __init__(
        self,
        credential: Any = None,
        *,
        hostname: str = "localhost",
        protocol: str = "negotiate",
        bindings: bytes | None = None,
    ) -> None:
        native = (
            None
            if bindings is None
            else spnego.channel_bindings.GssChannelBindings(application_data=bindings)
        )
        self.context = spnego.client(
            credential,
            hostname=hostname,
            service="HTTP",
            protocol=protocol,
            channel_bindings=native,
        )

    def step(self, token: bytes | None) -> bytes | None:
        return None if self.context.complete else self.context.step(token)


def ntlm_credential(user: str, password: str) -> Any:
    """A credential for NTLM alone, so that a client's mechanism list has no Kerberos in it."""
    nt_hash = spnego._ntlm_raw.crypto.ntowfv1(password).hex()
    return spnego.NTLMHash(user, nt_hash=nt_hash)


class LateInitiator:
    """It offers Kerberos second, so that the ticket comes in the second leg and a MIC in the third.

    RFC 4178 section 5: where the preferred mechanism is not the one chosen, both sides prove with a
    MIC that nobody changed the list. A Client of the kit.
    """

    MECHANISMS = (NEGOEX, KERBEROS)

    def __init__(self, service: str = "HTTP@localhost") -> None:
        self._inner = GssapiInitiator(service, mechanism=KERBEROS_MECH)

    def step(self, token: bytes | None) -> bytes | None:
        if token is None:
            return build_neg_token_init(self.MECHANISMS)
        answer = parse_spnego(token)
        assert isinstance(answer, NegTokenResp)
        if self._inner.context is None:
            return build_neg_token_resp(response_token=self._inner.step(None))
        if answer.response_token:
            self._inner.step(answer.response_token)
        listed = encode(SEQUENCE, *map(encode_oid, self.MECHANISMS))
        if answer.mech_list_mic is not None:
            gss.verify_mic(self._inner.context, listed, answer.mech_list_mic)
        if answer.neg_state is NegState.ACCEPT_COMPLETED:
            return None
        mic = gss.get_mic(self._inner.context, listed)
        return build_neg_token_resp(NegState.ACCEPT_COMPLETED, mech_list_mic=mic)


def fresh_token(service: str = "HTTP@localhost", **settings: Any) -> bytes:
    """A client's first token for a service, by MIT's initiator."""
    token = GssapiInitiator(service, **settings).step(None)
    assert token is not None
    return token


def kerberos_token(service: str = "HTTP@localhost", **settings: Any) -> bytes:
    """A client's first token, Kerberos without SPNEGO."""
    return fresh_token(service, mechanism=KERBEROS_MECH, **settings)


def newcomer(realm: Realm) -> str:
    """A user of the realm whom no other test has met; not logged in."""
    name = f"newcomer{next(_NUMBERS)}"
    realm.add_user(name)
    return name


def rewrapped(token: bytes) -> dict[str, bytes]:
    """The same AP-REQ in every shell that an acceptor takes."""
    raw = unwrap_spnego(token)
    return {
        "raw": raw,
        "as sent": build_neg_token_init([KERBEROS], raw),
        "MS-Kerberos first": build_neg_token_init([MS_KERBEROS, KERBEROS], raw),
        "MS-Kerberos alone": build_neg_token_init([MS_KERBEROS], raw),
        "one more mechanism": build_neg_token_init([KERBEROS, "1.2.3.4"], raw),
    }
