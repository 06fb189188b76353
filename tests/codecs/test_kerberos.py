"""Kerberos messages, against tokens of a real realm: see tests/data/README.md."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from authsrv.codecs.der.reader import (
    BIT_STRING,
    GENERAL_STRING,
    GENERALIZED_TIME,
    OCTET_STRING,
    SEQUENCE,
    application_tag,
)
from authsrv.codecs.der.writer import build_frame, encode, encode_field, encode_integer
from authsrv.codecs.kerberos.messages import (
    ApReq,
    KerberosMessage,
    KrbError,
    Outline,
    parse_ap_req,
    parse_authenticator,
    parse_enc_ticket_part,
    parse_kerberos_header,
    parse_krb_error,
    parse_outline,
)
from authsrv.codecs.spnego import IAKERB, KERBEROS, NTLM, build_neg_token_init, unwrap_spnego
from authsrv.errors import InvalidTokenError

DATA = Path(__file__).parents[1] / "data"


def captured(name: str) -> bytes:
    return bytes.fromhex((DATA / f"{name}.hex").read_text())


def text(value: str) -> bytes:
    return encode(GENERAL_STRING, value.encode())


def time(value: str = "20261122222548Z") -> bytes:
    return encode(GENERALIZED_TIME, value.encode())


def name(*components: str) -> bytes:
    names = encode(SEQUENCE, *map(text, components))
    return sequence({0: encode_integer(3), 1: names})


def sequence(fields: dict[int, bytes]) -> bytes:
    return encode(SEQUENCE, *(encode_field(number, value) for number, value in fields.items()))


def encrypted(cipher: bytes) -> bytes:
    return sequence({0: encode_integer(18), 2: encode(OCTET_STRING, cipher)})


def ticket(**changes: bytes) -> bytes:
    fields = {
        0: changes.get("version", encode_integer(5)),
        1: text("AUTHSRV.TEST"),
        2: name("HTTP", "localhost"),
        3: encrypted(b"ticket"),
    }
    return encode(application_tag(1), sequence(fields))


def ap_req(changes: dict[int, bytes] | None = None, tag: int = 14, tail: bytes = b"") -> bytes:
    fields = {
        0: encode_integer(5),
        1: encode_integer(14),
        2: encode(BIT_STRING, bytes(5)),
        3: ticket(),
        4: encrypted(b"authenticator"),
    }
    body = encode(application_tag(tag), sequence(fields | (changes or {})))
    return build_frame(KERBEROS, b"\x01\x00" + body + tail)


def krb_error(changes: dict[int, bytes] | None = None) -> bytes:
    fields = {
        0: encode_integer(5),
        1: encode_integer(30),
        2: time(),
        3: encode_integer(1),
        4: time(),
        5: encode_integer(2),
        6: encode_integer(37),
        7: text("CLIENT.TEST"),
        8: name("alice"),
        9: text("AUTHSRV.TEST"),
        10: name("HTTP", "localhost"),
        11: text("free text"),
        12: encode(OCTET_STRING, b"data"),
    }
    fields |= changes or {}
    present = {number: value for number, value in fields.items() if value}
    return build_frame(KERBEROS, b"\x03\x00" + encode(application_tag(30), sequence(present)))


def enc_ticket_part(changes: dict[int, bytes]) -> bytes:
    fields = {
        0: encode(BIT_STRING, bytes(5)),
        1: sequence({0: encode_integer(18), 1: encode(OCTET_STRING, b"K" * 32)}),
        2: text("AUTHSRV.TEST"),
        3: name("alice"),
        4: sequence({0: encode_integer(1), 1: encode(OCTET_STRING, b"")}),
        5: time("20261122100000Z"),
        6: time("20261122110000Z"),
        7: time("20261122200000Z"),
    }
    present = {number: value for number, value in (fields | changes).items() if value}
    return encode(application_tag(3), sequence(present))


def authenticator(changes: dict[int, bytes]) -> bytes:
    fields = {
        0: encode_integer(5),
        1: text("AUTHSRV.TEST"),
        2: name("alice"),
        4: encode_integer(123_456),
        5: time(),
    }
    return encode(application_tag(2), sequence(fields | changes))


def test_a_request_says_which_key_its_ticket_wants() -> None:
    request = parse_ap_req(captured("krb5_ap_req"))
    assert request.realm == "AUTHSRV.TEST"
    assert request.service == "HTTP/localhost"
    assert request.principal == "HTTP/localhost@AUTHSRV.TEST"
    assert request.ticket_kvno == 2
    assert request.ticket_enctype == 18
    assert request.authenticator_enctype == 18
    assert request.mutual_required
    assert len(request.ticket_cipher) > len(request.authenticator_cipher) > 100
    assert captured("krb5_ap_req").endswith(request.authenticator_cipher)


def test_a_request_says_whether_the_server_must_prove_itself() -> None:
    assert not parse_ap_req(captured("krb5_ap_req_not_mutual")).mutual_required


def test_a_request_under_the_oid_of_windows_is_read() -> None:
    token = captured("krb5_ap_req").replace(b"\x86\x48\x86\xf7\x12", b"\x86\x48\x82\xf7\x12", 1)
    assert parse_ap_req(token) == parse_ap_req(captured("krb5_ap_req"))


def test_a_request_that_was_built_is_read() -> None:
    assert parse_ap_req(ap_req()) == ApReq(
        realm="AUTHSRV.TEST",
        service="HTTP/localhost",
        ticket_kvno=None,
        ticket_enctype=18,
        ticket_cipher=b"ticket",
        authenticator_enctype=18,
        authenticator_cipher=b"authenticator",
        mutual_required=False,
    )


@pytest.mark.parametrize(
    ("bits", "mutual"),
    [("00", False), ("0020", True), ("0020000000", True), ("0040000000", False), ("05e0", True)],
)
def test_the_option_of_mutual_authentication_is_bit_two(bits: str, mutual: bool) -> None:
    token = ap_req({2: encode(BIT_STRING, bytes.fromhex(bits))})
    assert parse_ap_req(token).mutual_required is mutual


def test_a_request_does_not_show_its_ciphertexts() -> None:
    shown = repr(parse_ap_req(ap_req()))
    assert "b'" not in shown
    assert "authenticator_enctype=18" in shown


@pytest.mark.parametrize(
    ("token", "why"),
    [
        (b"", "it is empty"),
        (captured("krb5_ap_req")[:-1], "it is cut off"),
        (captured("krb5_ap_req") + b"\x00", "something follows"),
        (captured("krb5_ap_req")[17:], "it stands without its frame"),
        (captured("spnego_ap_req"), "it stands in SPNEGO"),
        (captured("krb5_ap_rep"), "it is an AP-REP"),
        (captured("krb5_krb_error_wrong_service"), "it is a KRB-ERROR"),
        (build_frame(IAKERB, b"\x01\x00" + b"\x6e\x00"), "it is of another mechanism"),
        (build_frame(KERBEROS, b"\x04\x00" + b"\x6e\x00"), "it is of an unknown kind"),
        (build_frame(KERBEROS, b"\x01"), "its kind is cut off"),
        (build_frame(KERBEROS, b""), "its frame is empty"),
        (build_frame(KERBEROS, b"\x01\x00"), "the message is missing"),
        (ap_req({0: encode_integer(4)}), "the version is another one"),
        (ap_req({1: encode_integer(15)}), "the message type is another one"),
        (ap_req(tag=15), "the application tag is another one"),
        (ap_req({3: ticket(version=encode_integer(4))}), "the ticket's version is another one"),
        (ap_req({4: encrypted(b"")}), "the authenticator is empty"),
        (ap_req({5: encode_integer(1)}), "there is a field too many"),
        (ap_req(tail=b"\x00"), "the message does not fill its frame"),
        (ap_req(tail=captured("krb5_ap_req")), "there are two requests"),
    ],
)
def test_what_is_no_request_is_refused(token: bytes, why: str) -> None:
    with pytest.raises(InvalidTokenError):
        parse_ap_req(token)
    with pytest.raises(InvalidTokenError):
        parse_outline(token)


@pytest.mark.parametrize(
    ("token", "kind"),
    [
        ("krb5_ap_req", KerberosMessage.AP_REQ),
        ("krb5_ap_rep", KerberosMessage.AP_REP),
        ("krb5_krb_error_wrong_service", KerberosMessage.KRB_ERROR),
    ],
)
def test_the_kind_of_a_token_is_told_by_its_id(token: str, kind: KerberosMessage) -> None:
    assert parse_kerberos_header(captured(token)) is kind


def test_the_error_of_mit_inside_spnego_is_read() -> None:
    error = parse_krb_error(captured("spnego_krb_error_replay"))
    assert error.error_code == 34
    assert error.principal == "HTTP/localhost@AUTHSRV.TEST"
    assert error.server_time.replace(microsecond=0) == datetime(
        2026, 11, 22, 22, 25, 48, tzinfo=UTC
    )
    assert error.server_time.microsecond > 0


def test_the_error_of_mit_without_spnego_is_read() -> None:
    error = parse_krb_error(captured("krb5_krb_error_wrong_service"))
    assert (error.error_code, error.realm, error.service) == (35, "AUTHSRV.TEST", "HTTP/other")


def test_an_error_with_every_field_is_read_without_its_text() -> None:
    error = parse_krb_error(krb_error())
    assert error == KrbError(
        37, datetime(2026, 11, 22, 22, 25, 48, 2, tzinfo=UTC), "AUTHSRV.TEST", "HTTP/localhost"
    )
    assert "free text" not in repr(error)


@pytest.mark.parametrize("number", [2, 3, 7, 8, 11, 12])
def test_an_error_without_an_optional_field_is_read(number: int) -> None:
    assert parse_krb_error(krb_error({number: b""})).error_code == 37


@pytest.mark.parametrize(
    "token",
    [
        b"",
        captured("krb5_ap_req"),
        captured("spnego_ap_rep"),
        build_neg_token_init([NTLM]),
        krb_error({0: encode_integer(4)}),
        krb_error({1: encode_integer(14)}),
        krb_error({4: b""}),
        krb_error({5: encode_integer(1_000_000)}),
        krb_error({6: encode_integer(2**31)}),
        krb_error({9: b""}),
        krb_error({10: b""}),
        build_frame(KERBEROS, b"\x03\x00" + b"\x7e\x02\x30\x00"),
    ],
)
def test_what_is_no_error_is_refused(token: bytes) -> None:
    with pytest.raises(InvalidTokenError):
        parse_krb_error(token)


def test_the_decrypted_part_of_a_ticket_is_read() -> None:
    part = parse_enc_ticket_part(captured("enc_ticket_part"))
    assert part.client == "alice@AUTHSRV.TEST"
    assert part.session_key_enctype == 18
    assert len(part.session_key) == 32
    assert part.start_time == datetime(2026, 11, 22, 22, 25, 48, tzinfo=UTC)
    assert part.end_time == datetime(2026, 11, 23, 22, 25, 48, tzinfo=UTC)


def test_a_session_key_is_not_shown() -> None:
    part = replace(parse_enc_ticket_part(captured("enc_ticket_part")), session_key=b"SECRET")
    assert "SECRET" not in repr(part)


def test_a_ticket_begins_at_its_start_time_or_at_the_authentication() -> None:
    both = parse_enc_ticket_part(enc_ticket_part({}))
    assert both.start_time == datetime(2026, 11, 22, 11, tzinfo=UTC)
    without = parse_enc_ticket_part(enc_ticket_part({6: b""}))
    assert without.start_time == datetime(2026, 11, 22, 10, tzinfo=UTC)


def test_a_client_cannot_forge_another_realm() -> None:
    part = parse_enc_ticket_part(enc_ticket_part({3: name("admin@AUTHSRV.TEST"), 2: text("B@C")}))
    assert part.client == r"admin\@AUTHSRV.TEST@B\@C"


def test_the_decrypted_authenticator_is_read() -> None:
    read = parse_authenticator(captured("authenticator"))
    assert read.client_time == datetime(2026, 11, 22, 22, 25, 48, 448_157, tzinfo=UTC)
    assert (read.checksum_bytes, read.subkey_enctype) == (24, 18)


@pytest.mark.parametrize("checksum", [b"", b"seven b"])
@pytest.mark.parametrize("subkey", [None, 18, -138])
def test_an_authenticator_with_checksum_and_subkey_and_without_is_read(
    checksum: bytes, subkey: int | None
) -> None:
    typed = {0: encode_integer(subkey or 0x8003), 1: encode(OCTET_STRING, checksum)}
    fields = {
        0: encode_integer(5),
        1: text("R"),
        2: name("alice"),
        3: sequence(typed) if checksum else b"",
        4: encode_integer(123_456),
        5: time(),
        6: sequence(typed) if subkey else b"",
        7: encode_integer(9),
    }
    present = {number: value for number, value in fields.items() if value}
    read = parse_authenticator(encode(application_tag(2), sequence(present)))
    assert read.client_time == datetime(2026, 11, 22, 22, 25, 48, 123_456, tzinfo=UTC)
    assert (read.checksum_bytes, read.subkey_enctype) == (len(checksum), subkey)


@pytest.mark.parametrize("padding", [b"\x00", b"\x00" * 15, b"\x07" * 7])
def test_padding_behind_a_plaintext_is_read_over(padding: bytes) -> None:
    plain = captured("enc_ticket_part")
    assert parse_enc_ticket_part(plain + padding) == parse_enc_ticket_part(plain)
    plain = captured("authenticator")
    assert parse_authenticator(plain + padding) == parse_authenticator(plain)


@pytest.mark.parametrize(
    "plain",
    [
        b"",
        bytes(64),
        captured("authenticator"),
        enc_ticket_part({7: b""}),
        enc_ticket_part({5: b""}),
    ],
)
def test_what_is_no_part_of_a_ticket_is_refused(plain: bytes) -> None:
    with pytest.raises(InvalidTokenError):
        parse_enc_ticket_part(plain)


@pytest.mark.parametrize(
    "plain",
    [
        b"",
        bytes(64),
        captured("enc_ticket_part"),
        authenticator({0: encode_integer(4)}),
        authenticator({4: encode_integer(-1)}),
    ],
)
def test_what_is_no_authenticator_is_refused(plain: bytes) -> None:
    with pytest.raises(InvalidTokenError):
        parse_authenticator(plain)


PARSERS: list[tuple[str, Callable[[bytes], object]]] = [
    ("krb5_ap_req", parse_ap_req),
    ("krb5_ap_req", parse_outline),
    ("spnego_krb_error_replay", parse_krb_error),
    ("krb5_ap_rep", parse_kerberos_header),
    ("enc_ticket_part", parse_enc_ticket_part),
    ("authenticator", parse_authenticator),
]


@pytest.mark.parametrize(("sample", "parse"), PARSERS)
@settings(deadline=None)
@given(data=st.data())
def test_any_bytes_and_any_changed_message_are_read_or_refused(
    sample: str, parse: Callable[[bytes], object], data: st.DataObject
) -> None:
    whole = captured(sample)
    position = data.draw(st.integers(0, len(whole)))
    cut = data.draw(st.integers(0, 4))
    changed = whole[:position] + data.draw(st.binary(max_size=4)) + whole[position + cut :]
    for token in (changed, data.draw(st.binary(max_size=60))):
        try:
            parse(token)
        except InvalidTokenError:
            continue


@settings(deadline=None)
@given(st.data())
def test_a_request_that_is_changed_outside_of_its_authenticator_keeps_it_or_is_refused(
    data: st.DataObject,
) -> None:
    whole = captured("krb5_ap_req")
    cipher = parse_ap_req(whole).authenticator_cipher
    position = data.draw(st.integers(0, len(whole) - len(cipher) - 1))
    put = data.draw(st.binary(max_size=3))
    changed = whole[:position] + put + whole[position + data.draw(st.integers(0, 3)) :]
    try:
        found = parse_ap_req(changed).authenticator_cipher
    except InvalidTokenError:
        return
    assert found == cipher or cipher not in changed


def outlined(parse: Callable[[bytes], Outline], token: bytes) -> Outline | None:
    try:
        return parse(token)
    except InvalidTokenError:
        return None


def outline_of_whole(token: bytes) -> Outline:
    request = parse_ap_req(token)
    return Outline(request.principal, request.authenticator_cipher)


REQUESTS = [
    captured("krb5_ap_req"),
    captured("krb5_ap_req_not_mutual"),
    captured("windows_ap_req"),
    ap_req(),
]


@settings(deadline=None, max_examples=500)
@given(st.data())
def test_an_outline_is_that_of_the_whole_request(data: st.DataObject) -> None:
    """Whatever was read before: beginnings of good requests are remembered."""
    for number in range(3):
        token = bytearray(unwrap_spnego(data.draw(st.sampled_from(REQUESTS))))
        assert parse_outline(bytes(token)) == outline_of_whole(bytes(token))
        for _ in range(number):
            at = data.draw(st.integers(0, len(token) - 1))
            # Mostly of the same length, as that is what is remembered.
            cut = data.draw(st.sampled_from([1, 1, 1, 2]))
            token[at : at + cut] = data.draw(st.binary(min_size=1, max_size=cut))
        changed = bytes(token)
        assert outlined(parse_outline, changed) == outlined(outline_of_whole, changed)


def test_every_bit_of_a_request_has_a_part_in_its_outline() -> None:
    whole = captured("krb5_ap_req")
    parse_outline(whole)
    for at in range(len(whole)):
        for bit in range(8):
            changed = whole[:at] + bytes((whole[at] ^ 1 << bit,)) + whole[at + 1 :]
            expected = outlined(outline_of_whole, changed)
            assert outlined(parse_outline, changed) == expected, (at, bit)


def test_an_outline_shows_no_ciphertext() -> None:
    outline = parse_outline(captured("krb5_ap_req"))
    assert repr(outline) == "<Outline of a request for HTTP/localhost@AUTHSRV.TEST>"
