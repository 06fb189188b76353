"""Every refusal names its cause: by what MIT's acceptor really says to each wrong token."""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from initiators import (
    KERBEROS_MECH,
    NTLM_NEGOTIATE,
    GssapiInitiator,
    fresh_token,
    kerberos_token,
    newcomer,
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
    IAKERB,
    KERBEROS,
    MS_KERBEROS,
    NEGOEX,
    NTLM,
    NegState,
    build_neg_token_init,
    build_neg_token_resp,
    unwrap_spnego,
)
from authsrv.core.results import Established, Refused, Result
from authsrv.core.status import GSSCode
from authsrv.devrealm import EncryptionType, Realm
from authsrv.errors import (
    AuthsrvError,
    BadBindingsError,
    ClockSkewError,
    DeniedError,
    EncryptionTypeError,
    InvalidTokenError,
    KeytabError,
    KeyVersionError,
    LogonDeniedError,
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
from authsrv.providers.replay import MITReplayCache
from authsrv.testing.handshakes import open_context
from authsrv.testing.leaks import find_leak

DATA = Path(__file__).parent.parent / "data"
LOCALHOST = "HTTP/localhost@AUTHSRV.TEST"


def captured(name: str) -> bytes:
    return bytes.fromhex((DATA / f"{name}.hex").read_text())


def ask(provider: GssapiProvider, token: bytes) -> Result:
    with open_context(provider) as context:
        return context.step(token)


def refusal(provider: GssapiProvider, token: bytes) -> AuthsrvError:
    """The error that a token leads to, once it is sure that it shows nothing of the token."""
    result = ask(provider, token)
    assert isinstance(result, Refused), result
    leak = find_leak(f"{result!r} {result.error} {result.error!r}", token)
    assert leak is None, leak
    return result.error


@pytest.fixture
def provider(kerberos_environment: dict[str, str], kerberos_keytab: Path) -> GssapiProvider:
    return GssapiProvider(kerberos_keytab)


class TestTickets:
    def test_for_another_service_tells_both(
        self, provider: GssapiProvider, foreign_service: str
    ) -> None:
        error = refusal(provider, fresh_token(foreign_service))
        assert isinstance(error, WrongServiceError)
        assert error.detail == (
            f"the ticket is for HTTP/foreign.test@AUTHSRV.TEST; the keytab has keys for {LOCALHOST}"
        )

    def test_for_another_service_of_the_same_keytab_tells_both(
        self, kerberos_realm: Realm, provider: GssapiProvider, foreign_service: str, tmp_path: Path
    ) -> None:
        both = ["HTTP/localhost", "HTTP/foreign.test"]
        keytab = kerberos_realm.write_keytab(tmp_path / "both", both)
        limited = GssapiProvider(keytab, service="HTTP/localhost")
        error = refusal(limited, fresh_token(foreign_service))
        assert isinstance(error, WrongServiceError)
        assert error.detail == (
            "the ticket is for HTTP/foreign.test@AUTHSRV.TEST; this service is HTTP/localhost"
        )

    def test_with_another_key_version_tells_both_numbers(
        self, kerberos_realm: Realm, kerberos_environment: dict[str, str], tmp_path: Path
    ) -> None:
        kerberos_realm.add_service("HTTP/versions.test")
        keytab = kerberos_realm.write_keytab(tmp_path / "old", ["HTTP/versions.test"])
        held = {entry.kvno for entry in GssapiProvider(keytab).keytab.snapshot().entries}
        new = kerberos_realm.rotate_key("HTTP/versions.test")
        error = refusal(GssapiProvider(keytab), fresh_token("HTTP@versions.test"))
        assert isinstance(error, KeyVersionError)
        assert held == {new - 1}
        assert error.detail == (
            f"the ticket for HTTP/versions.test@AUTHSRV.TEST has key version {new}; "
            f"the keytab has {new - 1}"
        )

    def test_with_another_encryption_type_tells_both(
        self, kerberos_realm: Realm, provider: GssapiProvider, tmp_path: Path
    ) -> None:
        keytab = kerberos_realm.write_keytab(
            tmp_path / "aes128", ["HTTP/localhost"], enctypes=[EncryptionType.AES128_SHA1]
        )
        error = refusal(GssapiProvider(keytab), fresh_token())
        assert isinstance(error, EncryptionTypeError)
        assert error.detail == (
            f"the ticket for {LOCALHOST} is encrypted with aes256-cts-hmac-sha1-96; "
            "the keytab has only aes128-cts-hmac-sha1-96"
        )

    def test_with_the_right_version_of_another_key_says_what_it_can_be(
        self, kerberos_realm: Realm, provider: GssapiProvider, tmp_path: Path
    ) -> None:
        content = kerberos_realm.keytab.read_bytes()
        entries = provider.keytab.snapshot().entries
        wrong = tmp_path / "wrong"
        # In each record the key is followed by the long version number.
        for entry in entries:
            size = {17: 16, 18: 32}[entry.enctype]
            at = content.index(entry.enctype.to_bytes(2) + size.to_bytes(2)) + 4
            content = content[:at] + bytes(size) + content[at + size :]
        wrong.write_bytes(content)
        error = refusal(GssapiProvider(wrong), fresh_token())
        assert isinstance(error, LogonDeniedError)
        assert error.detail == (
            f"the ticket for {LOCALHOST} was altered, "
            f"or the keytab's key (version {entries[0].kvno}) is not the KDC's"
        )

    def test_that_have_expired_tell_when(
        self, kerberos_realm: Realm, provider: GssapiProvider
    ) -> None:
        cache = kerberos_realm.expired_login(newcomer(kerberos_realm))
        error = refusal(provider, fresh_token(cache=cache))
        assert isinstance(error, TicketExpiredError)
        found = re.fullmatch(r"the ticket expired (\d+) s ago, at (\S+)", error.detail)
        assert found, error.detail
        # An hour behind, and five minutes long.
        assert abs(int(found[1]) - 3300) < 60
        ended = datetime.datetime.fromisoformat(found[2])
        ago = datetime.datetime.now(datetime.UTC) - ended
        assert abs(ago.total_seconds() - int(found[1])) < 60

    def test_that_are_not_valid_yet_tell_from_when_on(
        self, kerberos_realm: Realm, provider: GssapiProvider
    ) -> None:
        cache = kerberos_realm.premature_login(newcomer(kerberos_realm))
        error = refusal(provider, fresh_token(cache=cache))
        assert isinstance(error, TicketExpiredError)
        found = re.fullmatch(r"the ticket is not valid before (\S+)", error.detail)
        assert found, error.detail
        ahead = datetime.datetime.fromisoformat(found[1]) - datetime.datetime.now(datetime.UTC)
        assert abs(ahead.total_seconds() - 3600) < 60

    @pytest.mark.parametrize(
        ("seconds", "words"), [(420, "ahead of ours"), (-420, "behind ours"), (4000, "ahead of")]
    )
    def test_of_a_client_whose_clock_is_wrong_tell_by_how_much(
        self, kerberos_realm: Realm, provider: GssapiProvider, seconds: int, words: str
    ) -> None:
        cache = kerberos_realm.skewed_login(newcomer(kerberos_realm), seconds)
        error = refusal(provider, fresh_token(cache=cache))
        assert isinstance(error, ClockSkewError)
        found = re.fullmatch(r"the client's clock is (\d+) s (.+)", error.detail)
        assert found, error.detail
        assert abs(int(found[1]) - abs(seconds)) < 10
        assert words in found[2]

    @pytest.mark.usefixtures("kerberos_environment")
    def test_that_were_used_before_by_mits_own_cache(self, kerberos_keytab: Path) -> None:
        provider = GssapiProvider(kerberos_keytab, replay=MITReplayCache())
        token = fresh_token()
        assert isinstance(ask(provider, token), Established)
        error = refusal(provider, token)
        assert isinstance(error, ReplayError)
        assert error.detail == "the ticket's authenticator was used before"

    @pytest.mark.parametrize("part", ["ticket_cipher", "authenticator_cipher"])
    @pytest.mark.parametrize("make", [fresh_token, kerberos_token])
    def test_that_were_altered(
        self, provider: GssapiProvider, part: str, make: Callable[[], bytes]
    ) -> None:
        token = make()
        cipher = getattr(parse_ap_req(unwrap_spnego(token)), part)
        altered = token.replace(cipher, cipher[:-1] + bytes((cipher[-1] ^ 1,)))
        assert altered != token
        error = refusal(provider, altered)
        assert isinstance(error, LogonDeniedError)
        assert "was altered" in error.detail

    def test_whose_authenticator_names_another_encryption_type_do_not_blame_the_server(
        self, provider: GssapiProvider
    ) -> None:
        token = kerberos_token()
        request = parse_ap_req(token)
        at = token.index(request.authenticator_cipher)
        kind = token.rindex(request.authenticator_enctype.to_bytes(1), 0, at)
        error = refusal(provider, token[:kind] + b"\x13" + token[kind + 1 :])
        assert isinstance(error, LogonDeniedError)
        assert error.detail == "the ticket's authenticator was altered"

    def test_with_wrong_channel_bindings(self, provider: GssapiProvider) -> None:
        from authsrv.core.bindings import ChannelBindings
        from authsrv.providers.base import ContextRequest

        context = provider.create_context(
            ContextRequest(ChannelBindings(b"tls-server-end-point:a"))
        )
        token = GssapiInitiator(bindings=b"tls-server-end-point:b").step(None) or b""
        result = context.step(token)
        context.delete()
        assert isinstance(result, Refused)
        assert isinstance(result.error, BadBindingsError)
        assert result.error.detail == "the client's channel bindings name another channel"

    def test_keep_the_native_codes_for_the_log(
        self, provider: GssapiProvider, foreign_service: str
    ) -> None:
        native = refusal(provider, fresh_token(foreign_service)).native
        assert isinstance(native, GSSCode)
        assert native.major != 0
        assert re.fullmatch(r"GSS major 0x\w+, minor 0x\w+", str(native))


NTLM_OFF = "the client sent NTLM, which is off here: it has no Kerberos ticket for this service"


class TestMechanisms:
    @pytest.mark.parametrize(
        "token",
        [
            NTLM_NEGOTIATE,
            NTLM_NEGOTIATE[:12],
            build_neg_token_init([NTLM], NTLM_NEGOTIATE),
            build_neg_token_init([NTLM, NEGOEX], NTLM_NEGOTIATE),
        ],
        ids=["raw", "raw, without flags", "in SPNEGO", "in SPNEGO, before NegoEx"],
    )
    def test_ntlm_is_off_and_the_cause_says_so(
        self, provider: GssapiProvider, token: bytes
    ) -> None:
        error = refusal(provider, token)
        assert isinstance(error, MechanismError)
        assert error.detail == NTLM_OFF

    @pytest.mark.parametrize(
        ("token", "offered"),
        [
            (build_frame("1.2.3.4", b"\x01\x00whatever it says"), "OID 1.2.3.4"),
            (build_neg_token_init(["1.2.3.4"], b"its own token"), "OID 1.2.3.4"),
            (build_neg_token_init(["1.2.3.4", NTLM]), "OID 1.2.3.4, NTLM"),
            (build_neg_token_init([IAKERB], b"its own token"), "IAKERB"),
            (build_frame(IAKERB, b"\x05\x01its own token"), "IAKERB"),
        ],
    )
    def test_others_are_named(self, provider: GssapiProvider, token: bytes, offered: str) -> None:
        error = refusal(provider, token)
        assert isinstance(error, MechanismError)
        assert error.detail == f"the client offers {offered}; only Kerberos is accepted here"

    def test_negoex_is_named(self, provider: GssapiProvider) -> None:
        error = refusal(provider, build_neg_token_init([NEGOEX], b"NEGOEXTS" + bytes(88)))
        assert isinstance(error, MechanismError)
        assert error.detail == "the client offers NegoEx; only Kerberos is accepted here"

    @pytest.mark.parametrize("oid", [KERBEROS, MS_KERBEROS])
    def test_kerberos_that_is_not_kerberos_inside_is_malformed(
        self, provider: GssapiProvider, oid: str
    ) -> None:
        error = refusal(provider, build_neg_token_init([oid], b"that is no AP-REQ"))
        assert isinstance(error, InvalidTokenError)


def made_up(name: str) -> bytes:
    raw = captured("krb5_ap_req")
    frame = build_frame
    return {
        "no ASN.1": frame(KERBEROS, b"\x01\x00garbage inside"),
        "an empty AP-REQ": frame(KERBEROS, b"\x01\x00" + encode(application_tag(14))),
        "nothing": frame(KERBEROS, b"\x01\x00"),
        "no token id": frame(KERBEROS, b""),
        "an unknown token id": frame(KERBEROS, b"\x09\x09" + raw[17:]),
        "zeros": frame(KERBEROS, b"\x01\x00" + bytes(500)),
        "another message": frame(KERBEROS, b"\x01\x00" + encode(application_tag(10), bytes(40))),
        "in SPNEGO": build_neg_token_init([KERBEROS], frame(KERBEROS, b"\x01\x00" + b"\xff" * 99)),
    }[name]


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
        "name",
        [
            "no ASN.1",
            "an empty AP-REQ",
            "nothing",
            "no token id",
            "an unknown token id",
            "zeros",
            "another message",
            "in SPNEGO",
        ],
    )
    def test_garbage_in_a_well_formed_frame_is_a_broken_token(
        self, provider: GssapiProvider, name: str
    ) -> None:
        assert isinstance(refusal(provider, made_up(name)), InvalidTokenError)

    @pytest.mark.parametrize(
        "name",
        [
            "krb5_ap_rep",
            "krb5_krb_error_wrong_service",
            "spnego_ap_rep",
            "spnego_krb_error_replay",
        ],
    )
    def test_a_servers_message_as_the_first_token_is_a_broken_token(
        self, provider: GssapiProvider, name: str
    ) -> None:
        assert isinstance(refusal(provider, captured(name)), InvalidTokenError)

    @pytest.mark.parametrize("name", ["krb5_ap_rep", "krb5_krb_error_wrong_service"])
    def test_so_it_is_in_the_shell_of_a_first_token(
        self, provider: GssapiProvider, name: str
    ) -> None:
        token = build_neg_token_init([KERBEROS], captured(name))
        assert isinstance(refusal(provider, token), InvalidTokenError)

    @pytest.mark.parametrize(
        "token",
        [
            b"\x00",
            b"garbage",
            b"\x60",
            b"\x60\x80",
            b"\x60\x84\xff\xff\xff\xff",
            b"\xa1\x00",
            bytes(1000),
            build_neg_token_resp(NegState.ACCEPT_COMPLETED),
            build_neg_token_resp(NegState.REJECT),
            build_neg_token_resp(),
        ],
    )
    def test_what_is_no_token_at_all_is_a_broken_token(
        self, provider: GssapiProvider, token: bytes
    ) -> None:
        assert isinstance(refusal(provider, token), InvalidTokenError)

    def test_every_changed_byte_is_the_clients_fault(self, provider: GssapiProvider) -> None:
        """Whatever a client changes, it does not make the server call itself broken."""
        template = fresh_token()
        ours = (KeytabError, ProviderFaultError, ReplayCacheError)
        for at in range(len(template)):
            token = template[:at] + bytes((template[at] ^ 0xFF,)) + template[at + 1 :]
            result = ask(provider, token)
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
    result = ask(provider, numbered(kerberos_token(), **{field: number}))
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


def test_an_octet_string_in_place_of_a_ticket_is_a_broken_token(provider: GssapiProvider) -> None:
    message = encode(application_tag(14), encode(SEQUENCE, encode(OCTET_STRING, bytes(90))))
    token = build_frame(KERBEROS, b"\x01\x00" + message)
    assert isinstance(refusal(provider, token), InvalidTokenError)


def test_times_are_told_by_the_second_and_without_a_start_not_at_all() -> None:
    from authsrv.providers.gssapi.diagnosis import _not_yet

    now = datetime.datetime.now(datetime.UTC)
    assert _not_yet(TicketTimes(now, None, now)).detail == "the ticket is not valid yet"


def test_the_mechanism_of_a_raw_token_is_no_matter(provider: GssapiProvider) -> None:
    token = GssapiInitiator(mechanism=KERBEROS_MECH).step(None)
    assert isinstance(ask(provider, token or b""), Established)
