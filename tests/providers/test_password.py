"""Passwords against a real KDC: the right one, each refusal, and a KDC that is not well."""

from __future__ import annotations

import contextlib
import datetime
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import krb5
import pytest
from initiators import newcomer
from keytabs import VERSION_2, record

from authsrv.core.flags import AscRet
from authsrv.core.identity import Identity
from authsrv.devrealm import AccountMark, EncryptionType, Realm
from authsrv.errors import (
    AuthorityError,
    ConfigError,
    KeytabError,
    LogonDeniedError,
    UnavailableError,
)
from authsrv.providers.gssapi.acceptor import GssapiProvider
from authsrv.providers.kerberos import password as password_module
from authsrv.providers.kerberos.keytab import KeytabFile
from authsrv.providers.kerberos.memory_cache import MemoryCache
from authsrv.providers.kerberos.password import PasswordChecker, PasswordRefusal, Told

WRONG = "not the password"


@pytest.fixture
def checker(kerberos_environment: dict[str, str], kerberos_keytab: Path) -> PasswordChecker:
    return PasswordChecker(GssapiProvider(kerberos_keytab), upn_suffixes=["corp.example"])


def refusal(answer: Identity | PasswordRefusal) -> PasswordRefusal:
    assert isinstance(answer, PasswordRefusal)
    assert isinstance(answer.error, LogonDeniedError)
    return answer


def cause(answer: Identity | PasswordRefusal) -> str:
    """The cause of a refusal that tells the client nothing."""
    assert refusal(answer).told is Told.NOTHING
    return refusal(answer).error.detail


@pytest.mark.parametrize(
    "typed",
    [
        "alice",
        " alice ",
        "AUTHSRV\\alice",
        "authsrv.test\\alice",
        "alice@AUTHSRV.TEST",
        "alice@authsrv.test",
    ],
)
def test_the_right_password_makes_an_identity_of_the_acceptor(
    checker: PasswordChecker, kerberos_realm: Realm, typed: str
) -> None:
    identity = checker.check(typed, kerberos_realm.password("alice"))
    assert isinstance(identity, Identity)
    assert identity.principal == "alice@AUTHSRV.TEST"
    assert identity.mechanism == "password"
    assert identity.service == "HTTP/localhost"
    # Nothing was agreed on with the browser, whatever we agreed on with ourselves.
    assert identity.attributes == AscRet(0)
    assert not identity.channel_bound
    assert identity.delegated is None
    left = identity.expires_at
    assert left is not None
    assert datetime.timedelta(0) < left - datetime.datetime.now(datetime.UTC)
    assert left - datetime.datetime.now(datetime.UTC) <= datetime.timedelta(days=1)


def test_a_wrong_password_and_an_unknown_account(checker: PasswordChecker) -> None:
    assert cause(checker.check("alice", WRONG)) == "the password is wrong"
    assert cause(checker.check("nobody", WRONG)) == "the KDC does not know the account"


@pytest.mark.parametrize(
    ("mark", "told"),
    [
        (AccountMark.DISABLED, "the account is disabled or locked out"),
        (AccountMark.EXPIRED, "the account has expired"),
    ],
)
@pytest.mark.parametrize("preauth", [True, False])
def test_a_closed_account_is_told_to_the_log_alone(
    checker: PasswordChecker, kerberos_realm: Realm, mark: AccountMark, told: str, preauth: bool
) -> None:
    """MIT's KDC says it for a wrong password too: told to the client, it would name accounts."""
    user = newcomer(kerberos_realm)
    kerberos_realm.mark_user(user, mark)
    if preauth:
        kerberos_realm.mark_user(user, AccountMark.NEEDS_PREAUTH)
    for password in (kerberos_realm.password(user), WRONG):
        assert cause(checker.check(user, password)).startswith(told)


@pytest.mark.parametrize("mark", [AccountMark.MUST_CHANGE, AccountMark.OUTDATED])
@pytest.mark.parametrize("preauth", [True, False])
def test_an_expired_password_is_told_to_whoever_proved_it(
    checker: PasswordChecker, kerberos_realm: Realm, mark: AccountMark, preauth: bool
) -> None:
    user = newcomer(kerberos_realm)
    kerberos_realm.mark_user(user, mark)
    if preauth:
        kerberos_realm.mark_user(user, AccountMark.NEEDS_PREAUTH)
    proved = refusal(checker.check(user, kerberos_realm.password(user)))
    assert proved.told is Told.MUST_CHANGE
    assert proved.error.detail == "the password has expired or must be changed"
    assert cause(checker.check(user, WRONG)).endswith("another one was typed")


def test_an_account_with_keys_of_rc4_alone_is_refused(
    checker: PasswordChecker, kerberos_realm: Realm
) -> None:
    user = newcomer(kerberos_realm)
    kerberos_realm.rekey_user(user, enctypes=[EncryptionType.RC4])
    told = cause(checker.check(user, kerberos_realm.password(user)))
    assert told == "the account has no AES key, or its KDC does not use AES"


@contextlib.contextmanager
def no_kdc(monkeypatch: pytest.MonkeyPatch, folder: Path) -> Iterator[None]:
    """A configuration that names no KDC: whoever asks one nevertheless is unavailable."""
    profile = folder / "no-kdc.conf"
    profile.write_text(
        "[libdefaults]\n default_realm = AUTHSRV.TEST\n dns_lookup_kdc = false\n", encoding="utf-8"
    )
    with monkeypatch.context() as patch:
        patch.setenv("KRB5_CONFIG", str(profile))
        yield


@pytest.mark.parametrize(
    ("typed", "password"),
    [
        ("", "right"),
        ("   ", "right"),
        ("alice", ""),
        ("alice", "\0"),
        ("alice", "right\0x"),
        ("alice", "x" * 1025),
        ("alice", "ü" * 513),
        ("alice", "\ud800"),
        ("alice\0x", "right"),
        ("alice\n", "right"),
        ("al\u200bice", "right"),
        ("al\udc80ice", "right"),
        ("alice@OTHER.TEST", "right"),
        ("alice@OTHER.TEST@AUTHSRV.TEST", "right"),
        ("alice@AUTHSRV.TEST@OTHER.TEST", "right"),
        ("alice\\@AUTHSRV.TEST", "right"),
        ("OTHER\\alice", "right"),
        ("AUTHSRV\\AUTHSRV\\alice", "right"),
        ("AUTHSRV\\alice@OTHER.TEST", "right"),
        ("AUTHSRV\\", "right"),
        ("\\alice", "right"),
        ("@AUTHSRV.TEST", "right"),
        ("alice/admin", "right"),
        ("HTTP/localhost", "right"),
        ("krbtgt/AUTHSRV.TEST", "right"),
        ("alice@", "right"),
        ("a" * 257, "right"),
    ],
)
def test_odd_names_and_passwords_reach_no_kdc(
    checker: PasswordChecker,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    typed: str,
    password: str,
) -> None:
    with no_kdc(monkeypatch, tmp_path):
        told = cause(checker.check(typed, password))
        assert told.startswith("the typed ")
        assert not typed.strip() or typed.strip() not in told
        with pytest.raises(AuthorityError, match="no KDC"):
            checker.check("alice", "right")


def test_a_name_with_another_suffix_is_asked_of_our_own_kdc(checker: PasswordChecker) -> None:
    """MIT's database has no such names; what counts is that our own KDC was asked."""
    assert cause(checker.check("alice@corp.example", WRONG)) == "the KDC does not know the account"


def test_the_longest_password_is_asked(checker: PasswordChecker, kerberos_realm: Realm) -> None:
    user = newcomer(kerberos_realm)
    assert cause(checker.check(user, "x" * 1024)) == "the password is wrong"


def test_a_password_beyond_ascii(checker: PasswordChecker, kerberos_realm: Realm) -> None:
    kerberos_realm.add_user("umlaut", 'Pässwörd "漢" \\')
    assert isinstance(checker.check("umlaut", 'Pässwörd "漢" \\'), Identity)


def test_a_kdc_of_the_same_name_with_other_keys_lets_nobody_in(
    checker: PasswordChecker, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Realm() as false:
        monkeypatch.setenv("KRB5_CONFIG", false.environment()["KRB5_CONFIG"])
        with pytest.raises(KeytabError, match="the keytab is old, or the KDC is not the realm's"):
            checker.check("alice", false.password("alice"))


def test_a_false_kdc_cannot_have_fast_left_out(
    checker: PasswordChecker, kerberos_realm: Realm, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert isinstance(checker.check("alice", kerberos_realm.password("alice")), Identity)
    with Realm() as false:
        monkeypatch.setenv("KRB5_CONFIG", false.environment()["KRB5_CONFIG"])
        for _ in range(2):
            with pytest.raises(AuthorityError, match="does not take our key"):
                checker.check("alice", false.password("alice"))


def test_a_keytab_that_is_not_there_or_has_no_such_service(
    kerberos_environment: dict[str, str], kerberos_keytab: Path, tmp_path: Path
) -> None:
    missing = PasswordChecker(GssapiProvider(tmp_path / "missing"))
    with pytest.raises(KeytabError, match="does not exist"):
        missing.check("alice", "x")
    other = PasswordChecker(GssapiProvider(kerberos_keytab), service="HTTP/other.test")
    with pytest.raises(KeytabError, match=r"no key for HTTP/other\.test"):
        other.check("alice", "x")


def test_of_a_keytab_of_several_realms_the_one_that_is_named_counts(
    kerberos_environment: dict[str, str], kerberos_realm: Realm, tmp_path: Path
) -> None:
    keytab = tmp_path / "several.keytab"
    own = kerberos_realm.keytab.read_bytes().removeprefix(VERSION_2)
    keytab.write_bytes(VERSION_2 + record("a.test", realm="A.TEST") + own)
    provider, password = GssapiProvider(keytab), kerberos_realm.password("alice")
    checker = PasswordChecker(provider, realm=kerberos_realm.name)
    assert isinstance(checker.check("alice", password), Identity)
    of_another = PasswordChecker(provider).check("alice@AUTHSRV.TEST", password)
    assert cause(of_another) == "the typed name is of a domain that is not let in"
    with pytest.raises(KeytabError, match=r"in the realm B\.TEST"):
        PasswordChecker(provider, realm="B.TEST").check("alice", password)


def test_a_service_that_the_kdc_does_not_know(tmp_path: Path) -> None:
    with (
        Realm(services=["HTTP/gone.test"]) as before,
        Realm() as realm,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setenv("KRB5_CONFIG", realm.environment()["KRB5_CONFIG"])
        patch.setenv("KRB5RCACHEDIR", realm.environment()["KRB5RCACHEDIR"])
        checker = PasswordChecker(GssapiProvider(before.keytab))
        with pytest.raises(KeytabError, match="the KDC does not know the service"):
            checker.check("alice", realm.password("alice"))


@pytest.mark.parametrize(("offset_s", "told"), [(-600, "ahead of"), (600, "behind")])
def test_a_clock_that_is_wrong_is_no_wrong_password(offset_s: int, told: str) -> None:
    with Realm(clock_offset_s=offset_s) as realm, pytest.MonkeyPatch.context() as patch:
        for name, value in realm.environment().items():
            patch.setenv(name, value)
        checker = PasswordChecker(GssapiProvider(realm.keytab))
        with pytest.raises(UnavailableError, match=f"our clock is (59.|60.) s {told} the KDC's"):
            checker.check("alice", realm.password("alice"))


def test_a_kdc_that_is_gone_is_told_at_once(
    checker: PasswordChecker, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Realm() as realm:
        environment = realm.environment()
        profile = Path(environment["KRB5_CONFIG"]).read_text(encoding="utf-8")
    gone = Path(os.environ["KRB5RCACHEDIR"]) / "gone.conf"
    gone.write_text(profile, encoding="utf-8")
    monkeypatch.setenv("KRB5_CONFIG", str(gone))
    with pytest.raises(AuthorityError, match="no KDC of the realm answers"):
        checker.check("alice", "x")


@pytest.mark.parametrize(
    "given",
    [
        {"service": 7},
        {"realm": 7},
        {"upn_suffixes": "corp.example"},
        {"netbios_names": [7]},
        {"netbios_names": ["A\\B"]},
        {"upn_suffixes": [""]},
    ],
)
def test_settings_that_cannot_be_meant(given: dict[str, object], tmp_path: Path) -> None:
    with pytest.raises(ConfigError):
        PasswordChecker(GssapiProvider(tmp_path / "keytab"), **given)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="provider"):
        PasswordChecker(KeytabFile(tmp_path / "keytab"))  # type: ignore[arg-type]


def test_no_ticket_of_a_user_stays_behind(
    checker: PasswordChecker, kerberos_realm: Realm, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[MemoryCache] = []

    def make(*tickets: Any) -> MemoryCache:
        made.append(MemoryCache(*tickets))
        assert holds_tickets(made[-1])
        return made[-1]

    monkeypatch.setattr(password_module, "MemoryCache", make)
    assert isinstance(checker.check("alice", kerberos_realm.password("alice")), Identity)
    with Realm() as false:
        monkeypatch.setenv("KRB5_CONFIG", false.environment()["KRB5_CONFIG"])
        checker = PasswordChecker(GssapiProvider(kerberos_realm.keytab))
        with pytest.raises(KeytabError):
            checker.check("alice", false.password("alice"))
    assert [holds_tickets(cache) for cache in made] == [False, False]


def holds_tickets(cache: MemoryCache) -> bool:
    context = krb5.init_context()
    try:
        return list(krb5.cc_resolve(context, cache.name)) != []
    except krb5.Krb5Error:
        return False


def test_many_threads_share_a_checker(checker: PasswordChecker, kerberos_realm: Realm) -> None:
    password = kerberos_realm.password("alice")
    answers: list[object] = []

    def check() -> None:
        for attempt in (password, WRONG, password):
            answers.append(checker.check("alice", attempt))

    threads = [threading.Thread(target=check) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    kinds = [type(answer) for answer in answers]
    assert kinds.count(Identity) == 16
    assert kinds.count(PasswordRefusal) == 8


def test_where_the_kdc_offers_fast_it_is_used(
    kerberos_realm: Realm, kerberos_environment: dict[str, str], tmp_path: Path
) -> None:
    """What the KDC writes of a request tells: an armoured one has a FAST cookie in its padata."""
    trace = tmp_path / "trace"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KRB5_TRACE", str(trace))
        checker = PasswordChecker(GssapiProvider(kerberos_realm.keytab))
        assert isinstance(checker.check("alice", kerberos_realm.password("alice")), Identity)
    assert "FAST armor ccache: MEMORY:authsrv-" in trace.read_text(encoding="utf-8")


def test_an_armour_that_the_kdc_does_not_take_any_more_is_renewed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The key of the ticket-granting service was replaced, and the old one dropped."""
    with Realm() as realm:
        for name, value in realm.environment().items():
            monkeypatch.setenv(name, value)
        checker = PasswordChecker(GssapiProvider(realm.keytab))
        assert isinstance(checker.check("alice", realm.password("alice")), Identity)
        realm.rotate_key(f"krbtgt/{realm.name}")
        realm.drop_old_keys(f"krbtgt/{realm.name}")
        assert isinstance(checker.check("alice", realm.password("alice")), Identity)


def test_the_service_is_the_one_that_is_named(
    kerberos_environment: dict[str, str], kerberos_realm: Realm, kerberos_keytab: Path
) -> None:
    provider = GssapiProvider(kerberos_keytab)
    checker = PasswordChecker(provider, service="http/LOCALHOST")
    identity = checker.check("alice", kerberos_realm.password("alice"))
    assert isinstance(identity, Identity)
    assert identity.service == "HTTP/localhost"
    assert "alice" not in repr(checker)


def test_a_keytab_without_a_service_of_http(tmp_path: Path) -> None:
    with Realm(services=["host/localhost"]) as realm, pytest.MonkeyPatch.context() as patch:
        for name, value in realm.environment().items():
            patch.setenv(name, value)
        provider = GssapiProvider(realm.keytab)
        with pytest.raises(KeytabError, match="no key for a service HTTP/"):
            PasswordChecker(provider).check("alice", realm.password("alice"))
        chosen = PasswordChecker(provider, service="host/localhost")
        assert isinstance(chosen.check("alice", realm.password("alice")), Identity)


def test_a_configuration_that_libkrb5_cannot_read_is_told(
    checker: PasswordChecker, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    broken = tmp_path / "krb5.conf"
    broken.write_text("[libdefaults\n", encoding="utf-8")
    monkeypatch.setenv("KRB5_CONFIG", str(broken))
    with pytest.raises(ConfigError, match="libkrb5 cannot use its configuration file"):
        checker.check("alice", "x")
