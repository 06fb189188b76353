"""Looking into a ticket with the service's own key, and never failing because of it."""

from __future__ import annotations

import datetime
from pathlib import Path

import pytest
from initiators import kerberos_token, newcomer

from authsrv.codecs.kerberos.messages import ApReq, parse_ap_req
from authsrv.devrealm import EncryptionType, Realm
from authsrv.providers.kerberos import decryption
from authsrv.providers.kerberos.decryption import TicketTimes, read_times
from authsrv.providers.kerberos.keytab import KeytabFile, KeytabSnapshot

MINUTE = datetime.timedelta(minutes=1)


def now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


@pytest.fixture
def snapshot(kerberos_environment: dict[str, str], kerberos_keytab: Path) -> KeytabSnapshot:
    return KeytabFile(kerberos_keytab).snapshot()


@pytest.fixture
def ap_req(kerberos_environment: dict[str, str]) -> ApReq:
    return parse_ap_req(kerberos_token())


def changed(ap_req: ApReq, **fields: object) -> ApReq:
    from dataclasses import replace

    return replace(ap_req, **fields)  # type: ignore[arg-type]


def test_the_times_of_a_good_ticket_are_read(ap_req: ApReq, snapshot: KeytabSnapshot) -> None:
    times = read_times(ap_req, snapshot)
    assert times is not None
    assert times.client_time is not None
    assert times.start_time is not None
    assert abs(times.client_time - now()) < MINUTE
    assert abs(times.start_time - now()) < MINUTE
    assert abs(times.end_time - times.start_time - datetime.timedelta(days=1)) < MINUTE


def test_the_clients_clock_is_read_and_not_ours(
    kerberos_realm: Realm, snapshot: KeytabSnapshot
) -> None:
    cache = kerberos_realm.skewed_login(newcomer(kerberos_realm), 1000)
    times = read_times(parse_ap_req(kerberos_token(cache=cache)), snapshot)
    assert times is not None
    assert times.client_time is not None
    assert abs(times.client_time - now() - datetime.timedelta(seconds=1000)) < MINUTE


@pytest.mark.parametrize("enctype", [kind for kind in EncryptionType if kind != "arcfour-hmac"])
def test_every_encryption_type_of_a_realm_can_be_read(
    enctype: EncryptionType,
    kerberos_realm: Realm,
    kerberos_environment: dict[str, str],
    tmp_path: Path,
) -> None:
    service = f"HTTP/{enctype.number}.test"
    kerberos_realm.add_service(service)
    kerberos_realm.rotate_key(service, enctypes=[enctype])
    keytab = kerberos_realm.write_keytab(tmp_path / "keytab", [service])
    ap_req = parse_ap_req(kerberos_token(service.replace("/", "@")))
    assert ap_req.ticket_enctype == enctype.number
    times = read_times(ap_req, KeytabFile(keytab).snapshot())
    assert times is not None
    assert times.client_time is not None


def test_without_the_key_nothing_is_read(
    kerberos_realm: Realm, ap_req: ApReq, foreign_service: str, tmp_path: Path
) -> None:
    keytab = kerberos_realm.write_keytab(tmp_path / "other", ["HTTP/foreign.test"])
    assert read_times(ap_req, KeytabFile(keytab).snapshot()) is None


def test_without_any_keytab_nothing_is_read(ap_req: ApReq) -> None:
    assert read_times(ap_req, KeytabSnapshot("", (), None)) is None


@pytest.mark.parametrize(
    "claims",
    [
        {"service": "HTTP/alias.test"},
        {"service": "a\\"},
        {"service": ""},
        {"realm": "OTHER.TEST"},
        {"ticket_kvno": 77},
        {"ticket_kvno": None},
    ],
)
def test_what_our_key_opens_is_read_whatever_it_says_that_it_is_for(
    ap_req: ApReq, snapshot: KeytabSnapshot, claims: dict[str, object]
) -> None:
    """As libkrb5 does: an account in Active Directory has many names and one key."""
    assert read_times(changed(ap_req, **claims), snapshot) == read_times(ap_req, snapshot)


@pytest.mark.parametrize("enctype", [0, 17, 20, 23, 999, -1, 2**31])
def test_with_another_encryption_type_nothing_is_read(
    ap_req: ApReq, snapshot: KeytabSnapshot, enctype: int
) -> None:
    assert read_times(changed(ap_req, ticket_enctype=enctype), snapshot) is None


def flipped(cipher: bytes, at: int) -> bytes:
    return cipher[:at] + bytes((cipher[at] ^ 1,)) + cipher[at + 1 :]


def test_of_an_altered_ticket_nothing_is_read(ap_req: ApReq, snapshot: KeytabSnapshot) -> None:
    for at in (0, len(ap_req.ticket_cipher) // 2, -1):
        cipher = flipped(ap_req.ticket_cipher, at % len(ap_req.ticket_cipher))
        assert read_times(changed(ap_req, ticket_cipher=cipher), snapshot) is None


@pytest.mark.parametrize("length", [0, 1, 15, 16, 28, 29])
def test_of_a_ciphertext_that_is_too_short_nothing_is_read(
    ap_req: ApReq, snapshot: KeytabSnapshot, length: int
) -> None:
    short = ap_req.ticket_cipher[:length]
    assert read_times(changed(ap_req, ticket_cipher=short), snapshot) is None


@pytest.mark.parametrize(
    "fields",
    [
        {"authenticator_enctype": 17},
        {"authenticator_enctype": 19},
        {"authenticator_enctype": 999},
        {"authenticator_cipher": b""},
        {"authenticator_cipher": bytes(100)},
    ],
)
def test_of_an_altered_authenticator_the_ticket_is_read_all_the_same(
    ap_req: ApReq, snapshot: KeytabSnapshot, fields: dict[str, object]
) -> None:
    times = read_times(changed(ap_req, **fields), snapshot)
    assert times is not None
    assert times.client_time is None
    assert times.end_time > now()


def test_where_libkrb5_cannot_be_used_nothing_is_read(
    ap_req: ApReq, snapshot: KeytabSnapshot, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Broken:
        @staticmethod
        def krb5_init_context(_: object) -> int:
            return -1

    monkeypatch.setattr(decryption, "load_libkrb5", lambda: Broken)
    decryption._library.cache_clear()
    try:
        assert read_times(ap_req, snapshot) is None
    finally:
        decryption._library.cache_clear()


def test_the_times_hold_no_key() -> None:
    told = {"client_time", "start_time", "end_time", "client", "session_enctype", "pac"}
    assert set(TicketTimes.__slots__) == told | {"subkey_enctype", "checksum_bytes"}
