"""Kerberos tokens: what can be read of them without a key, and of their parts once decrypted.

Nothing here decides whether a ticket is good; that is the provider's part. These parsers
serve the diagnosis (which service, key version and encryption type does the ticket want, how far
are the clocks apart) and the replay cache (which authenticator is it). RFC 4121 section 4.1 has the
tokens, RFC 4120 section 5 what is in them.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, NamedTuple, TypeVar

from authsrv.codecs.der import reader as der
from authsrv.codecs.der.reader import SEQUENCE, Reader
from authsrv.codecs.der.types import (
    read_bits,
    read_octets,
    read_oid,
    read_text,
    read_time,
)
from authsrv.codecs.kerberos.authorization import read_pac
from authsrv.codecs.kerberos.types import (
    VERSION,
    EncryptedData,
    enctype_name,
    escape_realm,
    read_constant,
    read_encrypted_data,
    read_int32,
    read_message,
    read_microseconds,
    read_principal_name,
)
from authsrv.codecs.known_prefixes import KnownPrefixes
from authsrv.codecs.spnego import KERBEROS_OIDS, unwrap_spnego
from authsrv.errors import InvalidTokenError

__all__ = [
    "ApReq",
    "Authenticator",
    "EncTicketPart",
    "KerberosMessage",
    "KrbError",
    "Outline",
    "enctype_name",
    "parse_ap_req",
    "parse_asked_service",
    "parse_authenticator",
    "parse_enc_ticket_part",
    "parse_kerberos_header",
    "parse_krb_error",
    "parse_outline",
]

_AP_REQ_TYPE = 14
_KRB_ERROR_TYPE = 30
_TICKET: Final = der.application_tag(1)
_AUTHENTICATOR: Final = der.application_tag(2)
_ENC_TICKET_PART: Final = der.application_tag(3)
_AP_REQ: Final = der.application_tag(_AP_REQ_TYPE)
_KRB_ERROR: Final = der.application_tag(_KRB_ERROR_TYPE)

# RFC 4120 section 5.5.1: use-session-key is bit 1, mutual-required bit 2; bit 0 is the highest.
_MUTUAL_REQUIRED = 0x20

# The fields of an AP-REQ up to its ticket, and those of a ticket up to what is encrypted: RFC 4120
# sections 5.5.1 and 5.3.
*_BEFORE_TICKET, _TICKET_FIELD = map(der.field_tag, range(4))
_VERSION_FIELD, _REALM_FIELD, _NAME_FIELD = map(der.field_tag, range(3))
_AP_REQ_ID: Final = b"\x01\x00"

# The services that tickets say, behind such beginnings, that they are for.
_ASKED: Final[KnownPrefixes[str]] = KnownPrefixes()
# Beginnings that end where the ticket's ciphertext begins: the service, where that ciphertext ends,
# and what stands between it and the authenticator's.
_OUTLINES: Final[KnownPrefixes[tuple[str, int, bytes]]] = KnownPrefixes()

_T = TypeVar("_T")


class KerberosMessage(enum.Enum):
    """What kind of context token it is, by its token id (TOK_ID)."""

    AP_REQ = b"\x01\x00"
    """The client's ticket and authenticator."""
    AP_REP = b"\x02\x00"
    """The acceptor's proof that it could read them."""
    KRB_ERROR = b"\x03\x00"
    """A refusal, with its code."""


_KINDS: Final = {kind.value: kind for kind in KerberosMessage}


@dataclass(frozen=True, slots=True)
class ApReq:
    """A client's request, as far as it is not encrypted. Nothing in it is authenticated.

    Args:
        realm: The realm of the service that the ticket is for.
        service: That service without the realm, such as "HTTP/www.example.com".
        ticket_kvno: The version of the key that the ticket is encrypted with, 0 to
            2**32 - 1, if the KDC said so.
        ticket_enctype: The encryption type of that key.
        ticket_cipher: The encrypted part of the ticket.
        authenticator_enctype: The encryption type of the session key.
        authenticator_cipher: The encrypted authenticator, which no two requests share.
        mutual_required: Whether the client wants the server to prove itself.
    """

    realm: str
    service: str
    ticket_kvno: int | None
    ticket_enctype: int
    ticket_cipher: bytes = field(repr=False)
    authenticator_enctype: int
    authenticator_cipher: bytes = field(repr=False)
    mutual_required: bool

    @property
    def principal(self) -> str:
        """The service with its realm, "HTTP/www.example.com@EXAMPLE.COM"."""
        return f"{self.service}@{escape_realm(self.realm)}"


class Outline(NamedTuple):
    """What tells a client's request from others. Nothing in it is authenticated.

    Args:
        asked_service: The service with its realm, as of parse_asked_service.
        authenticator_cipher: The encrypted authenticator, which no two requests share.
    """

    asked_service: str
    authenticator_cipher: bytes

    def __repr__(self) -> str:
        """Show no ciphertext."""
        return f"<Outline of a request for {self.asked_service}>"


@dataclass(frozen=True, slots=True)
class KrbError:
    """An error message of Kerberos, without its free text. Nothing in it is authenticated.

    Args:
        error_code: The code of RFC 4120 section 7.5.9, such as 37 for a clock skew.
        server_time: The sender's clock, UTC, with microseconds.
        realm: The realm of the service that the error is about.
        service: That service without the realm, such as "HTTP/www.example.com".
    """

    error_code: int
    server_time: datetime
    realm: str
    service: str

    @property
    def principal(self) -> str:
        """The service with its realm, "HTTP/www.example.com@EXAMPLE.COM"."""
        return f"{self.service}@{escape_realm(self.realm)}"


@dataclass(frozen=True, slots=True)
class EncTicketPart:
    """The part of a ticket that only the KDC and the service can read.

    Args:
        session_key_enctype: The encryption type of the session key.
        session_key: The session key: a secret.
        client: The principal that the ticket was issued to, "alice@EXAMPLE.COM".
        start_time: When its life begins, UTC; the time of the first authentication where the
            ticket names no other.
        end_time: When its life ends, UTC.
        pac: The privilege attribute certificate as it stands there, not verified; empty if there
            is none.
    """

    session_key_enctype: int
    session_key: bytes = field(repr=False)
    client: str
    start_time: datetime
    end_time: datetime
    pac: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True)
class Authenticator:
    """The part of a request that proves who has the session key, and when.

    Args:
        client_time: The client's clock, UTC, with microseconds.
        checksum_bytes: The length of its checksum, which holds the channel bindings; 0 if it has
            none.
        subkey_enctype: The encryption type of the key that the client proposes, if it does.
    """

    client_time: datetime
    checksum_bytes: int = 0
    subkey_enctype: int | None = None


@dataclass(frozen=True, slots=True)
class _Ticket:
    realm: str
    service: str
    encrypted: EncryptedData


def parse_kerberos_header(token: bytes) -> KerberosMessage:
    """Tell which kind of Kerberos token it is; the message itself is not looked at.

    Args:
        token: A token in GSS-API's frame, not in SPNEGO; untrusted; of any length.

    Raises:
        InvalidTokenError: It is empty, malformed, of another mechanism, or of another kind.
    """
    return _open_frame(token)[0]


def parse_ap_req(token: bytes) -> ApReq:
    """Parse a client's request.

    Args:
        token: A token in GSS-API's frame, not in SPNEGO; untrusted; of any length.

    Raises:
        InvalidTokenError: It is empty, malformed, of another mechanism, or not an AP-REQ.
    """
    kind, body = _open_frame(token)
    if kind is not KerberosMessage.AP_REQ:
        raise InvalidTokenError("the Kerberos token is not an AP-REQ")
    return _read_whole(Reader(body), _AP_REQ, _read_ap_req)


def parse_outline(token: bytes) -> Outline:
    """Parse a client's request, as parse_ap_req does, for what tells one from another.

    Of a request that differs from one before in nothing but its ciphertexts, only the rest is
    compared: a twentieth of the time.

    Args:
        token: As of parse_ap_req.

    Raises:
        InvalidTokenError: As of parse_ap_req.
    """
    known = _OUTLINES.find(token)
    if known is not None:
        asked, ticket_end, between = known[1]
        if token.startswith(between, ticket_end):
            return Outline(asked, token[ticket_end + len(between) :])
    request = parse_ap_req(token)
    asked, cipher = request.principal, request.authenticator_cipher
    reader = der.open_frame(token)
    read_oid(reader)
    reader.take(len(_AP_REQ_ID))
    reader.enter(_AP_REQ, SEQUENCE)
    reader.skip(*_BEFORE_TICKET, _TICKET_FIELD)
    # Each ciphertext is the last thing in what holds it.
    ticket_end = reader.position
    between = token[ticket_end : len(token) - len(cipher)]
    _OUTLINES.note(token, ticket_end - len(request.ticket_cipher), (asked, ticket_end, between))
    return Outline(asked, cipher)


def parse_asked_service(token: bytes) -> str:
    """Read from a client's request which service its ticket says, in the clear, that it is for.

    It reads no further, and takes a third of the time that parse_ap_req does.

    Args:
        token: A token in GSS-API's frame, or a bare AP-REQ as DCE has it; not in SPNEGO;
            untrusted; of any length.

    Returns:
        The service with its realm, "HTTP/www.example.com@EXAMPLE.COM"; a claim that nothing proves.

    Raises:
        InvalidTokenError: What stands before the claim, or the claim, is malformed.
    """
    known = _ASKED.find(token)
    if known is not None:
        return known[1]
    reader = Reader(token)
    if reader.next_tag != _AP_REQ:
        reader = der.open_frame(token)
        if read_oid(reader) not in KERBEROS_OIDS or reader.take(2) != _AP_REQ_ID:
            raise InvalidTokenError("the Kerberos token is not an AP-REQ")
    reader.enter(_AP_REQ, SEQUENCE)
    reader.skip(*_BEFORE_TICKET)
    reader.enter(_TICKET_FIELD, _TICKET, SEQUENCE)
    reader.skip(_VERSION_FIELD)
    realm, name = Reader(reader.read(_REALM_FIELD)), Reader(reader.read(_NAME_FIELD))
    asked = f"{read_principal_name(name)}@{escape_realm(read_text(realm))}"
    realm.finish()
    name.finish()
    _ASKED.note(token, reader.position, asked)
    return asked


def parse_krb_error(token: bytes) -> KrbError:
    """Parse an error message, such as MIT's acceptor leaves beside a failure.

    Args:
        token: A token in GSS-API's frame, or such a one inside SPNEGO; untrusted; of any length.

    Raises:
        InvalidTokenError: It is empty, malformed, of another mechanism, or not a KRB-ERROR.
    """
    kind, body = _open_frame(unwrap_spnego(token))
    if kind is not KerberosMessage.KRB_ERROR:
        raise InvalidTokenError("the Kerberos token is not a KRB-ERROR")
    return _read_whole(Reader(body), _KRB_ERROR, _read_krb_error)


def parse_enc_ticket_part(plain: bytes) -> EncTicketPart:
    """Parse the decrypted part of a ticket.

    Args:
        plain: The plaintext, with or without padding behind it; issued by the KDC, and a secret.

    Raises:
        InvalidTokenError: It is empty or malformed.
    """
    return read_message(Reader(plain), _ENC_TICKET_PART, _read_enc_ticket_part)


def parse_authenticator(plain: bytes) -> Authenticator:
    """Parse a decrypted authenticator.

    Args:
        plain: The plaintext, with or without padding behind it; made by the client, untrusted.

    Raises:
        InvalidTokenError: It is empty or malformed.
    """
    return read_message(Reader(plain), _AUTHENTICATOR, _read_authenticator)


def _open_frame(token: bytes) -> tuple[KerberosMessage, bytes]:
    if not token:
        raise InvalidTokenError("the token is empty")
    reader = der.open_frame(token)
    if read_oid(reader) not in KERBEROS_OIDS:
        raise InvalidTokenError("the token is not a Kerberos token")
    content = reader.take_rest()
    kind = _KINDS.get(content[:2])
    if kind is None:
        raise InvalidTokenError("the Kerberos token is of an unknown kind")
    return kind, content[2:]


def _read_whole(reader: Reader, tag: int, read: Callable[[Reader], _T]) -> _T:
    message = read_message(reader, tag, read)
    reader.finish()
    return message


def _read_ap_req(reader: Reader) -> ApReq:
    read_constant(reader, 0, VERSION)
    read_constant(reader, 1, _AP_REQ_TYPE)
    options = reader.field(2, read_bits)
    ticket = reader.field(3, lambda inner: read_message(inner, _TICKET, _read_ticket))
    authenticator = reader.field(4, read_encrypted_data)
    return ApReq(
        realm=ticket.realm,
        service=ticket.service,
        ticket_kvno=ticket.encrypted.kvno,
        ticket_enctype=ticket.encrypted.enctype,
        ticket_cipher=ticket.encrypted.cipher,
        authenticator_enctype=authenticator.enctype,
        authenticator_cipher=authenticator.cipher,
        mutual_required=bool(options and options[0] & _MUTUAL_REQUIRED),
    )


def _read_ticket(reader: Reader) -> _Ticket:
    read_constant(reader, 0, VERSION)
    return _Ticket(
        reader.field(1, read_text),
        reader.field(2, read_principal_name),
        reader.field(3, read_encrypted_data),
    )


def _read_krb_error(reader: Reader) -> KrbError:
    read_constant(reader, 0, VERSION)
    read_constant(reader, 1, _KRB_ERROR_TYPE)
    reader.optional_field(2, read_time)
    reader.optional_field(3, read_microseconds)
    server_time = reader.field(4, read_time)
    microseconds = reader.field(5, read_microseconds)
    error_code = reader.field(6, read_int32)
    reader.optional_field(7, read_text)
    reader.optional_field(8, read_principal_name)
    realm = reader.field(9, read_text)
    service = reader.field(10, read_principal_name)
    # e-text and e-data: free text, and more, of whoever sent it.
    reader.take_rest()
    return KrbError(error_code, server_time + microseconds, realm, service)


def _read_enc_ticket_part(reader: Reader) -> EncTicketPart:
    reader.field(0, read_bits)
    enctype, session_key = reader.field(1, _read_typed_octets)
    realm = reader.field(2, read_text)
    name = reader.field(3, read_principal_name)
    reader.field(4, der.skip_element)
    auth_time = reader.field(5, read_time)
    # RFC 4120 section 5.3: without a starttime, the authtime takes its place.
    start_time = reader.optional_field(6, read_time) or auth_time
    end_time = reader.field(7, read_time)
    reader.optional_field(8, read_time)
    reader.optional_field(9, der.skip_element)
    pac = reader.optional_field(10, read_pac) or b""
    reader.take_rest()
    return EncTicketPart(
        session_key_enctype=enctype,
        session_key=session_key,
        client=f"{name}@{escape_realm(realm)}",
        start_time=start_time,
        end_time=end_time,
        pac=pac,
    )


def _read_typed_octets(reader: Reader) -> tuple[int, bytes]:
    return reader.within(
        SEQUENCE, lambda inner: (inner.field(0, read_int32), inner.field(1, read_octets))
    )


def _read_authenticator(reader: Reader) -> Authenticator:
    read_constant(reader, 0, VERSION)
    reader.field(1, read_text)
    reader.field(2, read_principal_name)
    # A Checksum has the shape of an EncryptionKey. RFC 4121 section 4.1.1: it holds the bindings.
    checksum = reader.optional_field(3, _read_typed_octets)
    microseconds = reader.field(4, read_microseconds)
    seconds = reader.field(5, read_time)
    subkey = reader.optional_field(6, _read_typed_octets)
    reader.take_rest()
    return Authenticator(
        seconds + microseconds,
        len(checksum[1]) if checksum else 0,
        subkey[0] if subkey else None,
    )
