"""Log-in by password on the loop: one answer and one time for every refusal, and a silent KDC."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from ipaddress import ip_address
from pathlib import Path

import pytest
from initiators import newcomer
from silent_kdc import SilentKDC, write_profile

from authsrv.core.identity import Identity
from authsrv.core.limits import Limits
from authsrv.devrealm import AccountMark, Realm
from authsrv.errors import (
    AuthorityError,
    ConfigError,
    DeadlineError,
    LogonDeniedError,
    OverloadedError,
    StoreError,
    TooManyTriesError,
)
from authsrv.handshake.pool import WorkerPool
from authsrv.providers.gssapi.acceptor import GssapiProvider
from authsrv.providers.kerberos.password import PasswordChecker, PasswordRefusal, Told
from authsrv.service.sign_in.passwords import PasswordLogin
from authsrv.service.sign_in.tries import KnownDevice, Tries, TryLimits
from authsrv.stores.memory import MemoryStore

HERE = ip_address("192.0.2.1")
FLOOR_S = 0.2
WRONG = "not the password"


def make_login(
    keytab: Path, limits: Limits | None = None, store: MemoryStore | None = None
) -> PasswordLogin:
    checker = PasswordChecker(GssapiProvider(keytab))
    tries = Tries(MemoryStore() if store is None else store, TryLimits())
    bounds = Limits(max_workers=4) if limits is None else limits
    return PasswordLogin(checker, tries, limits=bounds, floor_seconds=FLOOR_S)


@pytest.fixture
async def login(
    kerberos_environment: dict[str, str], kerberos_keytab: Path
) -> AsyncIterator[PasswordLogin]:
    login = make_login(kerberos_keytab)
    yield login
    login.close()


@pytest.fixture
def silent_kdc() -> Iterator[SilentKDC]:
    kdc = SilentKDC()
    yield kdc
    kdc.close()


async def refused(
    login: PasswordLogin, typed: str, password: str, device: KnownDevice | None = None
) -> tuple[PasswordRefusal, float]:
    """A refusal, and how long it took."""
    begun_at = time.monotonic()
    answer = await login.log_in(typed, password, address=HERE, device=device)
    assert isinstance(answer, PasswordRefusal)
    return answer, time.monotonic() - begun_at


async def marked(realm: Realm, mark: AccountMark) -> str:
    """Add a user with whom something is the matter."""

    def add() -> str:
        user = newcomer(realm)
        realm.mark_user(user, mark)
        return user

    return await asyncio.to_thread(add)


async def test_the_right_password(login: PasswordLogin, kerberos_realm: Realm) -> None:
    begun_at = time.monotonic()
    answer = await login.log_in("alice", kerberos_realm.password("alice"), address=HERE)
    assert isinstance(answer, Identity)
    assert (answer.principal, answer.mechanism) == ("alice@AUTHSRV.TEST", "password")
    assert time.monotonic() - begun_at < FLOOR_S


async def test_every_refusal_without_proof_is_told_alike_and_takes_as_long(
    login: PasswordLogin, kerberos_realm: Realm
) -> None:
    disabled = await marked(kerberos_realm, AccountMark.DISABLED)
    stale = await marked(kerberos_realm, AccountMark.MUST_CHANGE)
    cases = [
        ("alice", WRONG),
        ("nobody", WRONG),
        ("alice/admin", WRONG),
        ("alice", ""),
        (disabled, kerberos_realm.password(disabled)),
        (stale, WRONG),
    ]
    answers = [await refused(login, *case) for case in cases]
    # Above the cap the KDC is not asked, and nothing of it is told either.
    crowd = [await refused(login, "victim", WRONG) for _ in range(5)]
    assert isinstance(crowd[-1][0].error, TooManyTriesError)
    for answer, seconds in answers + crowd:
        assert answer.told is Told.NOTHING
        assert seconds == pytest.approx(FLOOR_S, abs=FLOOR_S / 2)


async def test_an_expired_password_is_told_at_once(
    login: PasswordLogin, kerberos_realm: Realm
) -> None:
    user = await marked(kerberos_realm, AccountMark.MUST_CHANGE)
    answer, seconds = await refused(login, user, kerberos_realm.password(user))
    assert answer.told is Told.MUST_CHANGE
    assert seconds < FLOOR_S


async def test_above_the_cap_the_right_password_is_not_looked_at(
    login: PasswordLogin, kerberos_realm: Realm
) -> None:
    user = await marked(kerberos_realm, AccountMark.NEEDS_PREAUTH)
    for _ in range(3):
        answer, _ = await refused(login, user, WRONG)
        assert isinstance(answer.error, LogonDeniedError)
    right = kerberos_realm.password(user)
    answer, _ = await refused(login, user, right)
    assert isinstance(answer.error, TooManyTriesError)
    device = KnownDevice.of(user)
    known = await login.log_in(user, right, address=HERE, device=device)
    assert isinstance(known, Identity)
    # The account's counts began anew.
    assert isinstance(await login.log_in(user, right, address=HERE), Identity)


async def test_waiting_for_the_floor_holds_nothing(login: PasswordLogin) -> None:
    begun_at = time.monotonic()
    await asyncio.gather(*(refused(login, f"user{number}", WRONG) for number in range(20)))
    assert time.monotonic() - begun_at < 3 * FLOOR_S


@pytest.mark.parametrize("transport", ["tcp", "udp"])
async def test_a_silent_kdc_holds_up_log_ins_alone_and_these_in_bounds(
    kerberos_environment: dict[str, str],
    kerberos_keytab: Path,
    kerberos_realm: Realm,
    silent_kdc: SilentKDC,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    transport: str,
) -> None:
    login = make_login(kerberos_keytab, Limits(max_workers=2, max_queued=2, step_seconds=0.3))
    tickets = WorkerPool()
    silent = write_profile(tmp_path / "krb5.conf", silent_kdc.port, transport)
    monkeypatch.setenv("KRB5_CONFIG", str(silent))
    begun_at = time.monotonic()
    crowd = (login.log_in(f"user{number}", WRONG, address=None) for number in range(6))
    waiting = asyncio.gather(*crowd, return_exceptions=True)
    await asyncio.sleep(0.1)
    # Tickets are accepted meanwhile, on threads of their own.
    assert await tickets.run(GssapiProvider(kerberos_keytab).realms) == {"AUTHSRV.TEST"}
    answers = await waiting
    assert {type(answer) for answer in answers} == {DeadlineError, OverloadedError}, answers
    assert time.monotonic() - begun_at < 2
    # All threads hang. Once all places are taken by those who gave up, the next are told at once.
    for _ in range(2):
        with pytest.raises(DeadlineError):
            await login.log_in("alice", WRONG, address=HERE)
    begun_at = time.monotonic()
    with pytest.raises(OverloadedError):
        await login.log_in("alice", WRONG, address=HERE)
    assert time.monotonic() - begun_at < 0.2
    # The KDC's connections end, and the next one is well: no restart is needed.
    silent_kdc.close()
    monkeypatch.setenv("KRB5_CONFIG", kerberos_environment["KRB5_CONFIG"])
    assert await log_in_at_last(login, kerberos_realm) == "alice@AUTHSRV.TEST"
    login.close()
    tickets.close()


async def log_in_at_last(login: PasswordLogin, realm: Realm) -> str:
    """Try until a thread is free: libkrb5 sends a datagram again after some seconds only."""
    end = time.monotonic() + 40
    while time.monotonic() < end:
        device = KnownDevice.of("alice")
        try:
            answer = await login.log_in(
                "alice", realm.password("alice"), address=None, device=device
            )
        except (DeadlineError, OverloadedError):
            await asyncio.sleep(0.1)
            continue
        assert isinstance(answer, Identity)
        return answer.principal
    raise AssertionError("the threads hang for ever")


async def test_a_dead_kdc_is_told_as_that(
    kerberos_environment: dict[str, str],
    kerberos_keytab: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kdc = SilentKDC()
    kdc.close()
    monkeypatch.setenv("KRB5_CONFIG", str(write_profile(tmp_path / "krb5.conf", kdc.port, "tcp")))
    login = make_login(kerberos_keytab)
    with pytest.raises(AuthorityError):
        await login.log_in("alice", WRONG, address=HERE)
    login.close()


async def test_without_its_store_nobody_is_let_in(
    kerberos_environment: dict[str, str], kerberos_keytab: Path, kerberos_realm: Realm
) -> None:
    store = MemoryStore()
    await store.close()
    login = make_login(kerberos_keytab, store=store)
    with pytest.raises(StoreError):
        await login.log_in("alice", kerberos_realm.password("alice"), address=HERE)
    login.close()


def test_settings_are_of_their_type(tmp_path: Path) -> None:
    checker = PasswordChecker(GssapiProvider(tmp_path / "keytab"))
    tries = Tries(MemoryStore(), TryLimits())
    with pytest.raises(ConfigError, match="checker"):
        PasswordLogin(tries, tries)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="tries"):
        PasswordLogin(checker, checker)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="floor_seconds"):
        PasswordLogin(checker, tries, floor_seconds=0)
    with pytest.raises(ConfigError, match="limits"):
        Tries(MemoryStore(), {})  # type: ignore[arg-type]
