"""Every store against the kit, and the kit against stores that are wrong."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from authsrv.stores.base import Claim, Purpose, Store
from authsrv.stores.machine import MachineStore
from authsrv.stores.memory import MemoryStore
from authsrv.testing.stores import CHECKS, Clock, StoreCase, check_store

MOST = 4_096


@pytest.fixture
def folder() -> Iterator[Path]:
    with TemporaryDirectory(prefix="authsrv-store-") as name:
        yield Path(name)


STORES: dict[str, Callable[[Path, Clock], Store]] = {
    "memory": lambda folder, clock: MemoryStore(max_claims=MOST, clock=clock),
    "machine": lambda folder, clock: MachineStore(folder / "store", max_claims=MOST, clock=clock),
}


@pytest.mark.parametrize("check", CHECKS.values(), ids=CHECKS)
@pytest.mark.parametrize("store", STORES.values(), ids=STORES)
def test_a_store_conforms(
    check: Callable[[StoreCase], None], store: Callable[[Path, Clock], Store], folder: Path
) -> None:
    check(StoreCase(lambda clock: store(folder, clock), MOST))


@pytest.mark.parametrize("store", STORES.values(), ids=STORES)
def test_a_full_store_finds_the_few_that_have_expired(
    store: Callable[[Path, Clock], Store], folder: Path
) -> None:
    clock = Clock()
    full = store(folder, clock)

    async def fill() -> None:
        for number in range(MOST):
            key = hashlib.sha256(str(number).encode()).digest()
            life = 10.0 if number % 50 == 0 else 10_000.0
            assert await full.check_and_store(Claim(Purpose.REPLAY, key, clock.now + life))
        clock.now += 100
        for number in range(MOST, MOST + 40):
            key = hashlib.sha256(str(number).encode()).digest()
            assert await full.check_and_store(Claim(Purpose.REPLAY, key, clock.now + 10)), number

    asyncio.run(fill())


class Forgetful(MemoryStore):
    """Forgets every claim at once."""

    def check_at_once(self, claim: Claim) -> bool:
        super().check_at_once(claim)
        return True


class Lenient(MemoryStore):
    """Answers when it cannot know."""

    def check_at_once(self, claim: Claim) -> bool:
        try:
            return super().check_at_once(claim)
        except Exception:
            return True


class Mixing(MemoryStore):
    """Knows no purposes."""

    async def get(self, purpose: Purpose, key: bytes) -> bytes | None:
        return await super().get(Purpose.HAND_OVER, key)


class Keeping(MemoryStore):
    """Does not forget what was taken."""

    async def take(self, purpose: Purpose, key: bytes) -> bytes | None:
        return await super().get(purpose, key)


class Newborn(MemoryStore):
    """Does not know its age."""

    @property
    def born_at(self) -> float:
        return 0.0


class Undercounting(MemoryStore):
    """Counts one too few."""

    async def count(self, purpose: Purpose, key: bytes, window_seconds: float) -> int:
        return max(1, await super().count(purpose, key, window_seconds) - 1)


@pytest.mark.parametrize("kind", [Forgetful, Lenient, Mixing, Keeping, Newborn, Undercounting])
def test_the_kit_finds_what_is_wrong(kind: type[MemoryStore]) -> None:
    with pytest.raises(AssertionError):
        check_store(StoreCase(lambda clock: kind(max_claims=256, clock=clock), 256))


def test_the_kit_finds_nothing_in_a_good_store() -> None:
    check_store(StoreCase(lambda clock: MemoryStore(max_claims=256, clock=clock), 256))
