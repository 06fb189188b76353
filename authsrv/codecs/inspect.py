"""What a token is, told without a key: for logs, the diagnosis, the replay cache and the handshake.

`peek` answers for any bytes, and its answer decides nothing: the provider decides.
`begins_handshake` and `continues_handshake` look at the first bytes and let tokens be refused that
a provider need not see. `authenticator_ciphertext` decides too, so it refuses whatever cannot be
read in exactly one way. A request that it finds is the one that `peek` shows.
"""

from __future__ import annotations

import enum
import hashlib
from dataclasses import dataclass
from typing import Final, NamedTuple

from authsrv.codecs.der import reader as der
from authsrv.codecs.der.types import read_oid
from authsrv.codecs.kerberos.messages import (
    ApReq,
    KerberosMessage,
    parse_ap_req,
    parse_kerberos_header,
)
from authsrv.codecs.ntlm.messages import NTLM_SIGNATURE, NTLMMessageType, parse_ntlm_header
from authsrv.codecs.spnego import (
    KERBEROS_OIDS,
    NegState,
    NegTokenInit,
    NegTokenResp,
    carried_token,
    is_spnego,
    mechanism_name,
    parse_spnego,
)
from authsrv.errors import InvalidTokenError

__all__ = [
    "Framing",
    "Mechanism",
    "TokenForm",
    "TokenPeek",
    "authenticator_ciphertext",
    "begins_handshake",
    "continues_handshake",
    "fingerprint",
    "peek",
]

# MS-NEGOEX section 2.2.6: every message begins with this signature.
_NEGOEX_SIGNATURE: Final = b"NEGOEXTS"
_FINGERPRINT_DIGITS = 12

# RFC 2743 section 3.1: the frame of an initial token; RFC 4178 section 4.2: a NegTokenInit without
# it, and a NegTokenResp; MS-NLMP section 2.2.1.1: a NEGOTIATE_MESSAGE.
_INITIAL_TAGS: Final = (der.FRAME, der.field_tag(0))
_NEG_TOKEN_RESP: Final = bytes((der.field_tag(1),))
_NTLM_NEGOTIATE: Final = NTLM_SIGNATURE + NTLMMessageType.NEGOTIATE.value.to_bytes(4, "little")
_CONTINUING: Final = frozenset({_NEG_TOKEN_RESP, NTLM_SIGNATURE[:1]})


class Mechanism(enum.Enum):
    """The mechanism that a token belongs to."""

    KERBEROS = "Kerberos"
    """A Kerberos token, raw or in SPNEGO."""
    NTLM = "NTLM"
    """An NTLM message, raw or in SPNEGO."""
    SPNEGO = "SPNEGO"
    """A negotiation that carries no token of a mechanism."""
    NEGOEX = "NegoEx"
    """Microsoft's extension of the negotiation."""
    UNKNOWN = "unknown"
    """Malformed, or not known here."""

    @property
    def label(self) -> str:
        """The name for people, such as "Kerberos"."""
        return self.value


class Framing(enum.Enum):
    """Whether a mechanism's token is inside SPNEGO or stands by itself."""

    # RFC 4559 section 4.1 asks for SPNEGO; some clients send the mechanism's token raw.
    SPNEGO = "spnego"
    RAW = "raw"


class TokenForm(enum.Enum):
    """Whether all that was looked at could be read."""

    WELL_FORMED = "well-formed"
    MALFORMED = "malformed"
    """What is told of the token may be wrong."""


@dataclass(frozen=True, slots=True)
class TokenPeek:
    """What can be told of a token without a key. Nothing in it is authenticated.

    Args:
        mechanism: UNKNOWN whenever the token is malformed.
        framing: Of a malformed token, what it seems to be.
        offered: Names of the mechanisms that it offers: the list of a NegTokenInit, or the one
            that a raw token's GSS-API frame names; at most 32.
        neg_state: The state that a NegTokenResp tells.
        length: Bytes of the whole token.
    """

    mechanism: Mechanism
    framing: Framing = Framing.RAW
    offered: tuple[str, ...] = ()
    neg_state: NegState | None = None
    ap_req: ApReq | None = None
    ntlm_type: NTLMMessageType | None = None
    length: int = 0
    form: TokenForm = TokenForm.WELL_FORMED

    @property
    def wellformed(self) -> bool:
        """Whether it could be read."""
        return self.form is TokenForm.WELL_FORMED


class _Content(NamedTuple):
    """What is left of a token once SPNEGO is taken off."""

    mechanism: Mechanism
    form: TokenForm = TokenForm.WELL_FORMED
    ap_req: ApReq | None = None
    ntlm_type: NTLMMessageType | None = None
    offered: tuple[str, ...] = ()


_MALFORMED: Final = _Content(Mechanism.UNKNOWN, TokenForm.MALFORMED)
_NEGOTIATION: Final = _Content(Mechanism.SPNEGO)


def peek(token: bytes) -> TokenPeek:
    """Tell what a token is, whatever the client sent. It never raises."""
    if is_spnego(token):
        return _peek_spnego(token)
    content = _look_inside(token)
    return _build(Framing.RAW, content, content.offered, None, len(token))


def authenticator_ciphertext(token: bytes) -> bytes:
    """Find the authenticator that makes a Kerberos request unlike every other: the replay key.

    Whoever replays a request can put it into another shell, but cannot change this without the
    session key. So the answer is the same however the request is wrapped, and where the wrapping
    could be read in two ways there is none.

    Args:
        token: From the client, untrusted; of any length. The request may stand raw, in a
            NegTokenInit or in a NegTokenResp.

    Returns:
        The ciphertext; at least one byte.

    Raises:
        InvalidTokenError: It is empty or malformed, or carries no request of Kerberos; or it is a
            NegTokenInit that offers another mechanism before Kerberos.
    """
    return parse_ap_req(_kerberos_token(token)).authenticator_cipher


def fingerprint(token: bytes) -> str:
    """Name a token in logs by the first 12 hexadecimal digits of its SHA-256."""
    return hashlib.sha256(token).hexdigest()[:_FINGERPRINT_DIGITS]


def begins_handshake(token: bytes) -> bool:
    """Tell by its first bytes whether a token is an initial one; it may be malformed all the same.

    Args:
        token: From the client, untrusted; of any length.

    Returns:
        True for an initial token of GSS-API or SPNEGO and for NTLM's NEGOTIATE_MESSAGE.
    """
    return token[:1] != b"" and (token[0] in _INITIAL_TAGS or token.startswith(_NTLM_NEGOTIATE))


def continues_handshake(token: bytes) -> bool:
    """Tell whether a token goes on with a handshake, and so cannot begin one.

    Args:
        token: From the client, untrusted; of any length.

    Returns:
        True for a well-formed NegTokenResp and for NTLM's AUTHENTICATE_MESSAGE.
    """
    if token[:1] not in _CONTINUING:
        return False
    try:
        if token.startswith(_NEG_TOKEN_RESP):
            return isinstance(parse_spnego(token), NegTokenResp)
        return parse_ntlm_header(token) is NTLMMessageType.AUTHENTICATE
    except InvalidTokenError:
        return False


def _kerberos_token(token: bytes) -> bytes:
    if not is_spnego(token):
        return token
    message = parse_spnego(token)
    # RFC 4178 section 4.2.1: mechToken is of the first mechanism. An acceptor that chooses another
    # one does not look at it, and the request that counts comes in a later token.
    if isinstance(message, NegTokenInit) and message.mech_types[0] not in KERBEROS_OIDS:
        raise InvalidTokenError("the token offers another mechanism before Kerberos")
    return carried_token(message) or b""


def _peek_spnego(token: bytes) -> TokenPeek:
    try:
        message = parse_spnego(token)
    except InvalidTokenError:
        return _build(Framing.SPNEGO, _MALFORMED, (), None, len(token))
    inner = carried_token(message)
    content = _look_inside(inner) if inner else _NEGOTIATION
    if isinstance(message, NegTokenInit):
        offered = tuple(map(mechanism_name, message.mech_types))
        return _build(Framing.SPNEGO, content, offered, None, len(token))
    return _build(Framing.SPNEGO, content, (), message.neg_state, len(token))


def _build(
    framing: Framing,
    content: _Content,
    offered: tuple[str, ...],
    neg_state: NegState | None,
    length: int,
) -> TokenPeek:
    return TokenPeek(
        mechanism=content.mechanism,
        framing=framing,
        offered=offered,
        neg_state=neg_state,
        ap_req=content.ap_req,
        ntlm_type=content.ntlm_type,
        length=length,
        form=content.form,
    )


def _look_inside(token: bytes) -> _Content:
    if token.startswith(_NEGOEX_SIGNATURE):
        return _Content(Mechanism.NEGOEX)
    try:
        if token.startswith(NTLM_SIGNATURE):
            return _Content(Mechanism.NTLM, ntlm_type=parse_ntlm_header(token))
        return _look_inside_frame(token)
    except InvalidTokenError:
        return _MALFORMED


def _look_inside_frame(token: bytes) -> _Content:
    oid = read_oid(der.open_frame(token))
    offered = (mechanism_name(oid),)
    if oid not in KERBEROS_OIDS:
        return _Content(Mechanism.UNKNOWN, offered=offered)
    is_request = parse_kerberos_header(token) is KerberosMessage.AP_REQ
    ap_req = parse_ap_req(token) if is_request else None
    return _Content(Mechanism.KERBEROS, ap_req=ap_req, offered=offered)
