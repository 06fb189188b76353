"""What is malformed anywhere, and what MIT's acceptor cannot easily be brought to say.

What it does say to each wrong token stands in the table of tests/faults/refusals.py.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable
from pathlib import Path

import pytest
from answers import accept, error_of
from initiators import (
    KERBEROS_MECH,
    NTLM_NEGOTIATE,
    GssapiInitiator,
    fresh_token,
    kerberos_token,
)

from authsrv.codecs.der.reader import (
    GENERAL_STRING,
    GENERALIZED_TIME,
    OCTET_STRING,
    SEQUENCE,
    application_tag,
)
from authsrv.codecs.der.writer import build_frame, encode, encode_field, encode_integer
from authsrv.codecs.kerberos.messages import parse_ap_req
from authsrv.codecs.spnego import (
    KERBEROS,
    NegState,
    build_neg_token_init,
    build_neg_token_resp,
)
from authsrv.core.results import Established, Refused
from authsrv.core.status import GSSCode
from authsrv.errors import (
    AuthsrvError,
    ClockSkewError,
    DeniedError,
    EncryptionTypeError,
    InvalidTokenError,
    KeytabError,
    MechanismError,
    PeerError,
    ProviderFaultError,
    ReplayCacheError,
    ReplayError,
    TicketExpiredError,
    UnknownCauseError,
    WrongServiceError,
)
from authsrv.providers.gssapi.acceptor import GssapiProvider
from authsrv.providers.gssapi.diagnosis import Failure, diagnose
from authsrv.providers.kerberos.decryption import TicketTimes
from authsrv.providers.kerberos.keytab import KeytabEntry, KeytabSnapshot
from authsrv.providers.kerberos.service_names import ServiceNames
from authsrv.testing.leaks import find_leak

DATA = Path(__file__).parent.parent / "data"
LOCALHOST = "HTTP/localhost@AUTHSRV.TEST"


def captured(name: str) -> bytes:
    return bytes.fromhex((DATA / f"{name}.hex").read_text())


def refusal(provider: GssapiProvider, token: bytes) -> AuthsrvError:
    """The error that a token leads to, once it is sure that it shows nothing of the token."""
    result = accept(provider, token)
    error = error_of(result)
    leak = find_leak(f"{result!r} {error} {error!r}", token)
    assert leak is None, leak
    return error


@pytest.fixture
def provider(kerberos_environment: dict[str, str], kerberos_keytab: Path) -> GssapiProvider:
    return GssapiProvider(kerberos_keytab)


NTLM_OFF = "the client sent NTLM, which is off here: it has no Kerberos ticket for this service"


class TestMalformed:
    @pytest.mark.parametrize("make", [fresh_token, kerberos_token])
    def test_a_token_cut_off_anywhere_is_a_broken_token(
        self, provider: GssapiProvider, make: Callable[[], bytes]
    ) -> None:
        token = make()
        for length in range(1, len(token)):
            error = refusal(provider, token[:length])
            assert isinstance(error, InvalidTokenError), (length, error)

    @pytest.mark.parametrize(
        "token",
        [
            captured("spnego_ap_rep"),
            captured("spnego_krb_error_replay"),
            build_neg_token_resp(NegState.ACCEPT_COMPLETED),
            build_neg_token_resp(NegState.REJECT),
            build_neg_token_resp(),
        ],
        ids=["AP-REP", "KRB-ERROR", "accept-completed", "reject", "no state"],
    )
    def test_an_answer_as_the_first_token_is_a_broken_token(
        self, provider: GssapiProvider, token: bytes
    ) -> None:
        """A server hands none to a provider: to it, a handshake is lost."""
        error = refusal(provider, token)
        assert isinstance(error, InvalidTokenError)
        assert error.detail == (
            "the token is malformed: the token continues a negotiation, and is not an initial token"
        )

    def test_every_changed_byte_is_the_clients_fault(self, provider: GssapiProvider) -> None:
        """Whatever a client changes, it does not make the server call itself broken."""
        template = fresh_token()
        ours = (KeytabError, ProviderFaultError, ReplayCacheError)
        for at in range(len(template)):
            token = template[:at] + bytes((template[at] ^ 0xFF,)) + template[at + 1 :]
            result = accept(provider, token)
            if isinstance(result, Refused):
                assert not isinstance(result.error, ours), (at, result.error)


def replaced(elements: bytes, old: bytes, new: bytes) -> bytes:
    """Replace an element of DER, and write all lengths around it anew."""
    written, at = b"", 0
    while at < len(elements):
        size = elements[at + 1]
        start = at + 2
        if size >= 0x80:
            start += size & 0x7F
            size = int.from_bytes(elements[at + 2 : start])
        content = elements[start : start + size]
        if elements[at : start + size] == old:
            written += new
        elif elements[at] & 0x20 and old in content:
            written += encode(elements[at], replaced(content, old, new))
        else:
            written += elements[at : start + size]
        at = start + size
    return written


def numbered(token: bytes, *, enctype: int | None = None, kvno: int | None = None) -> bytes:
    """The token with other numbers at its ticket's ciphertext."""
    request = parse_ap_req(token)
    cipher = encode_field(2, encode(OCTET_STRING, request.ticket_cipher))
    was = request.ticket_enctype, request.ticket_kvno
    will_be = was[0] if enctype is None else enctype, was[1] if kvno is None else kvno
    old, new = (
        encode(
            SEQUENCE,
            encode_field(0, encode_integer(kind)),
            encode_field(1, encode_integer(version or 0)),
            cipher,
        )
        for kind, version in (was, will_be)
    )
    assert replaced(token, old, old) == token
    assert old in token
    return replaced(token, old, new)


@pytest.mark.parametrize("field", ["enctype", "kvno"])
@pytest.mark.parametrize("number", [-(2**31) - 1, -2, 2**31, 2**32 - 1, 2**32, 2**64, 2**200])
def test_numbers_that_fit_nowhere_are_the_clients_fault(
    provider: GssapiProvider, number: int, field: str
) -> None:
    result = accept(provider, numbered(kerberos_token(), **{field: number}))
    if isinstance(result, Established):
        # MIT tries the key all the same where only the version is odd, and the key is right.
        assert field == "kvno"
        assert result.identity.principal == "alice@AUTHSRV.TEST"
    else:
        assert isinstance(result, Refused)
        assert isinstance(result.error, PeerError | DeniedError), result.error


# From here on: what the acceptor cannot easily be brought to say.

ENTRIES = (KeytabEntry(LOCALHOST, 2, 18),)
OURS = KeytabSnapshot("", ENTRIES, None)


def krb_error(code: int) -> bytes:
    """A KRB-ERROR of an acceptor: RFC 4120 section 5.9.1."""
    text = encode(GENERAL_STRING, b"localhost")
    name = encode(
        SEQUENCE, encode_field(0, encode_integer(3)), encode_field(1, encode(SEQUENCE, text))
    )
    fields = [
        encode_field(0, encode_integer(5)),
        encode_field(1, encode_integer(30)),
        encode_field(4, encode(GENERALIZED_TIME, b"20261122222548Z")),
        encode_field(5, encode_integer(0)),
        encode_field(6, encode_integer(code)),
        encode_field(9, encode(GENERAL_STRING, b"AUTHSRV.TEST")),
        encode_field(10, name),
    ]
    message = encode(application_tag(30), encode(SEQUENCE, *fields))
    return build_frame(KERBEROS, b"\x03\x00" + message)


def cause(routine: int, error_token: bytes = b"", token: bytes = b"") -> AuthsrvError:
    token = token or captured("krb5_ap_req")
    return diagnose(Failure(routine << 16, 100_001, token, error_token), OURS, ServiceNames())


@pytest.mark.parametrize("routine", [7, 10])
def test_no_usable_key_is_the_servers_fault_where_there_is_none(routine: int) -> None:
    failure = Failure(routine << 16, 100_001, captured("krb5_ap_req"), b"")
    error = diagnose(failure, KeytabSnapshot("", (), None), ServiceNames())
    assert isinstance(error, KeytabError)
    assert error.native == GSSCode(routine << 16, 100_001)


@pytest.mark.parametrize("routine", [1, 7, 9, 10])
def test_ntlm_is_told_as_such_whatever_code_it_leads_to(routine: int) -> None:
    error = cause(routine, token=NTLM_NEGOTIATE)
    assert isinstance(error, MechanismError)
    assert error.detail == NTLM_OFF


def test_a_code_of_kerberos_that_is_not_known_here_is_told_by_its_number() -> None:
    error = cause(13, krb_error(76))
    assert isinstance(error, UnknownCauseError)
    assert "libkrb5's code is -1765328308" in error.detail


def test_an_error_token_in_spnego_is_read_too() -> None:
    wrapped = build_neg_token_resp(NegState.REJECT, response_token=krb_error(34))
    assert isinstance(cause(13, wrapped), ReplayError)


@pytest.mark.parametrize(
    "error_token",
    [
        build_neg_token_resp(NegState.REJECT),
        build_neg_token_init([KERBEROS], b"inner"),
        b"\xa1\x03garbage",
        b"garbage",
    ],
)
def test_an_error_token_that_says_nothing_leaves_the_cause_unknown(error_token: bytes) -> None:
    error = cause(13, error_token)
    assert isinstance(error, UnknownCauseError)
    assert error.detail == "libkrb5 could not be asked; the ticket could not be opened"


def test_so_does_a_failure_without_any_answer() -> None:
    assert isinstance(cause(13), UnknownCauseError)


@pytest.mark.parametrize("code", [39, 40])
def test_a_version_or_type_that_is_not_kerberos_5_is_a_broken_token(code: int) -> None:
    assert isinstance(cause(13, krb_error(code)), InvalidTokenError)


@pytest.mark.parametrize(
    ("code", "kind", "told"),
    [
        (32, TicketExpiredError, "the ticket has expired"),
        (33, TicketExpiredError, "the ticket is not valid yet"),
        (37, ClockSkewError, "the client's clock differs from ours by more than is allowed"),
        (60, UnknownCauseError, None),
    ],
)
def test_without_a_key_to_look_into_the_ticket_the_cause_goes_without_times(
    code: int, kind: type[AuthsrvError], told: str | None
) -> None:
    error = cause(13, krb_error(code))
    assert isinstance(error, kind)
    assert told is None or error.detail == told


@pytest.mark.parametrize("code", [14, 31, 35, 36, 41, 44, 45])
def test_every_code_about_keys_leads_to_a_look_into_the_keytab(code: int) -> None:
    assert "was altered" in cause(13, krb_error(code)).detail


def test_a_ticket_without_a_key_version_is_compared_by_encryption_type() -> None:
    raw = captured("krb5_ap_req")
    kvno = encode_field(1, encode_integer(2))
    request = parse_ap_req(raw)
    rest = encode_field(2, encode(OCTET_STRING, request.ticket_cipher))
    kind = encode_field(0, encode_integer(18))
    bare = replaced(raw, encode(SEQUENCE, kind, kvno, rest), encode(SEQUENCE, kind, rest))
    assert parse_ap_req(bare).ticket_kvno is None
    assert "was altered" in cause(13, krb_error(44), bare).detail
    other = KeytabSnapshot("", (KeytabEntry(LOCALHOST, 7, 17),), None)
    error = diagnose(Failure(13 << 16, 0, bare, krb_error(44)), other, ServiceNames())
    assert isinstance(error, EncryptionTypeError)


def test_an_empty_keytab_is_told_as_such() -> None:
    failure = Failure(13 << 16, 0, captured("krb5_ap_req"), krb_error(35))
    error = diagnose(failure, KeytabSnapshot("", (), None), ServiceNames())
    assert isinstance(error, WrongServiceError)
    assert error.detail.endswith("the keytab has keys for no service that is known here")


def test_a_keytab_with_many_services_is_told_in_part() -> None:
    entries = tuple(KeytabEntry(f"HTTP/{number}.test@R", 1, 18) for number in range(9))
    failure = Failure(13 << 16, 0, captured("krb5_ap_req"), krb_error(35))
    told = diagnose(failure, KeytabSnapshot("", entries, None), ServiceNames()).detail
    assert "HTTP/3.test@R" in told
    assert "HTTP/4.test@R" not in told


def test_times_are_told_by_the_second_and_without_a_start_not_at_all() -> None:
    from authsrv.providers.gssapi.diagnosis import _not_yet

    now = datetime.datetime.now(datetime.UTC)
    assert _not_yet(TicketTimes(now, None, now)).detail == "the ticket is not valid yet"


def test_the_mechanism_of_a_raw_token_is_no_matter(provider: GssapiProvider) -> None:
    token = GssapiInitiator(mechanism=KERBEROS_MECH).step(None)
    assert isinstance(accept(provider, token or b""), Established)
