"""Which sessions count: what was asked of the store before is asked again when anything changed."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from authsrv.core.identity import Identity
from authsrv.errors import SessionError, StoreError
from authsrv.service.sign_in.session_keeper import SessionKeeper
from authsrv.sessions.keyring import KeyKind, KeyRing
from authsrv.sessions.sealed import seal_session
from authsrv.sessions.sealing import Audience, Sealer
from authsrv.sessions.session import Session, SessionLengths, begin_session
from authsrv.stores.base import Store
from authsrv.stores.machine import MachineStore
from authsrv.stores.memory import MemoryStore

BEGIN = 1_700_000_000.0
WIKI = Audience("wiki.example.org", "wiki")
ALICE = Identity("alice@EXAMPLE.ORG", "kerberos")


class Clock:
    now = BEGIN

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def sealer() -> Sealer:
    return Sealer(KeyRing.new(KeyKind.SEALING, BEGIN - 100))


def session_of(identity: Identity = ALICE) -> Session:
    return begin_session(identity, SessionLengths(), BEGIN)


class Browser:
    """Sends one session's cookie again and again."""

    def __init__(self, keeper: SessionKeeper, sealer: Sealer, session: Session) -> None:
        self.keeper, self.sealer, self.session = keeper, sealer, session
        self.cookie = seal_session(sealer, session, WIKI, BEGIN)

    async def is_known(self, clock: Clock, audience: Audience = WIKI) -> bool:
        try:
            found = await self.keeper.open(self.sealer, self.cookie, audience, clock.now)
        except SessionError:
            return False
        assert found == self.session
        return True


Revoke = Callable[[SessionKeeper, Session], object]

REVOCATIONS = {
    "the session": lambda keeper, session: keeper.revoke(session, BEGIN + 1),
    "its family": lambda keeper, session: keeper.revoke_family(session, BEGIN + 1),
    "its user": lambda keeper, session: keeper.revoke_user(session.principal, BEGIN + 1),
}


@pytest.mark.parametrize("what", REVOCATIONS)
async def test_a_session_that_counted_a_moment_ago_does_not_once_it_is_revoked(
    what: str, sealer: Sealer, clock: Clock
) -> None:
    keeper = SessionKeeper(MemoryStore(clock=clock))
    browser, other = (Browser(keeper, sealer, session_of()) for _ in range(2))
    bob = Browser(keeper, sealer, session_of(Identity("bob@EXAMPLE.ORG", "kerberos")))
    for _ in range(3):
        clock.now += 1
        assert await browser.is_known(clock)
        assert await other.is_known(clock)
        assert await bob.is_known(clock)
    await REVOCATIONS[what](keeper, browser.session)
    for _ in range(3):
        assert not await browser.is_known(clock)
        assert await other.is_known(clock) is (what != "its user")
        assert await bob.is_known(clock)


async def test_what_another_worker_revokes_is_revoked_here(sealer: Sealer, clock: Clock) -> None:
    with TemporaryDirectory(prefix="authsrv-store-", dir="/dev/shm") as folder:
        path = Path(folder) / "store"
        store = MachineStore(path, max_claims=10_000, clock=clock)
        await asyncio.to_thread(lambda: store.born_at)
        keeper = SessionKeeper(store)
        browser = Browser(keeper, sealer, session_of())
        assert await browser.is_known(clock)
        assert await browser.is_known(clock)
        command = (
            "import asyncio, sys; from authsrv.service.sign_in.session_keeper import SessionKeeper;"
            "from authsrv.stores.machine import MachineStore;"
            "keeper = SessionKeeper(MachineStore(sys.argv[1], clock=lambda: float(sys.argv[2])));"
            "asyncio.run(keeper.revoke_user('alice@EXAMPLE.ORG', float(sys.argv[2])))"
        )
        await run_python(command, str(path), str(clock.now))
        assert not await browser.is_known(clock)
        await asyncio.to_thread(path.unlink)
        with pytest.raises(StoreError):
            await keeper.open(sealer, browser.cookie, WIKI, clock.now)
        await store.close()


async def run_python(command: str, *arguments: str) -> None:
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", command, *arguments)
    assert await process.wait() == 0


async def test_a_cookie_that_was_read_before_is_worth_nothing_elsewhere_or_later(
    sealer: Sealer, clock: Clock
) -> None:
    keeper = SessionKeeper(MemoryStore(clock=clock))
    browser = Browser(keeper, sealer, session_of())
    assert await browser.is_known(clock)
    assert not await browser.is_known(clock, Audience("other.example.org", "wiki"))
    assert not await browser.is_known(clock, Audience("wiki.example.org", "other"))
    with pytest.raises(SessionError, match="other groups"):
        await keeper.open(sealer, browser.cookie, WIKI, clock.now, group_digest="B" * 21 + "A")
    clock.now = browser.session.idle_ends_at - 1
    assert await browser.is_known(clock)
    clock.now += 1
    assert not await browser.is_known(clock)


async def test_a_key_that_is_taken_away_ends_what_it_sealed(sealer: Sealer, clock: Clock) -> None:
    keeper = SessionKeeper(MemoryStore(clock=clock))
    browser = Browser(keeper, sealer, session_of())
    assert await browser.is_known(clock)
    browser.sealer = Sealer(KeyRing.new(KeyKind.SEALING, BEGIN - 100))
    assert not await browser.is_known(clock)


async def test_after_the_clock_was_set_back_the_store_is_asked_anew(
    sealer: Sealer, clock: Clock
) -> None:
    class Counting(MemoryStore):
        asked = 0

        async def get_many(self, *given: object) -> list[bytes | None]:  # type: ignore[override]
            self.asked += 1
            return await super().get_many(*given)  # type: ignore[arg-type]

    store = Counting(clock=clock)
    browser = Browser(SessionKeeper(store), sealer, session_of())
    for now, asked in ((10, 1), (10, 1), (20, 1), (9, 2), (9, 2), (8, 3)):
        clock.now = BEGIN + now
        assert await browser.is_known(clock)
        assert store.asked == asked


async def test_a_store_that_cannot_tell_at_once_is_asked_each_time(
    sealer: Sealer, clock: Clock
) -> None:
    class Far(MemoryStore):
        def state_at_once(self) -> None:  # type: ignore[override]
            return None

    store: Store = Far(clock=clock)
    keeper = SessionKeeper(store)
    browser = Browser(keeper, sealer, session_of())
    assert await browser.is_known(clock)
    await keeper.revoke(browser.session, clock.now)
    assert not await browser.is_known(clock)


async def test_a_session_of_before_the_store_began_does_not_count(
    sealer: Sealer, clock: Clock
) -> None:
    clock.now += 1
    keeper = SessionKeeper(MemoryStore(clock=clock))
    assert not await Browser(keeper, sealer, session_of()).is_known(clock)
    with pytest.raises(SessionError, match="older"):
        await keeper.check(session_of())
    young = replace(session_of(), issued_at=int(BEGIN) + 1)
    await keeper.check(young)
    assert await Browser(keeper, sealer, young).is_known(clock)
