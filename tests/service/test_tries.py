"""Tries of passwords: who is counted together, who is not, and what a stranger can do to others."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from authsrv.errors import ConfigError, StoreError, TooManyTriesError
from authsrv.service.sign_in.tries import Address, KnownDevice, Tries, TryLimits
from authsrv.stores.memory import MemoryStore

HERE = ip_address("192.0.2.1")
LIMITS = TryLimits(
    window_seconds=900,
    max_tries_per_window=4,
    max_tries_per_pair=3,
    max_tries_per_device=2,
    max_tries_per_address=20,
    max_tries_in_all=50,
)


class Clock:
    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def tries(clock: Clock) -> Tries:
    return Tries(MemoryStore(clock=clock), LIMITS, clock=clock)


async def admitted(
    tries: Tries,
    typed: str,
    *addresses: Address | None,
    device: KnownDevice | None = None,
) -> int:
    """How many tries of an account are let through, one from each address."""
    count = 0
    for address in addresses:
        try:
            await tries.admit(typed, address=address, device=device)
        except TooManyTriesError:
            continue
        count += 1
    return count


def addresses(count: int, first: str = "198.51.100.1") -> list[Address]:
    start = int(ip_address(first))
    return [ip_address(start + number) for number in range(count)]


async def test_strangers_cannot_make_the_kdc_lock_an_account(tries: Tries) -> None:
    assert await admitted(tries, "alice", *addresses(30)) == LIMITS.max_tries_per_window
    assert await admitted(tries, "bob", HERE) == 1


async def test_all_ways_to_type_an_account_are_one(tries: Tries) -> None:
    ways = ["alice", "ALICE", "CORP\\alice", "alice@example.org", "álice", "ａｌｉｃｅ", "alice "]  # noqa: RUF001
    let_through = [
        await admitted(tries, way, where) for way, where in zip(ways, addresses(7), strict=True)
    ]
    assert sum(let_through) == LIMITS.max_tries_per_window


async def test_one_address_does_not_use_up_what_an_account_has(tries: Tries) -> None:
    assert await admitted(tries, "alice", *[HERE] * 10) == LIMITS.max_tries_per_pair
    assert await admitted(tries, "alice", ip_address("203.0.113.9")) == 1


async def test_one_password_over_many_accounts_is_stopped(tries: Tries) -> None:
    let_through = sum([await admitted(tries, f"user{number}", HERE) for number in range(500)])
    assert let_through == LIMITS.max_tries_per_address
    # Those who were not tried any more are not the worse for it.
    assert await admitted(tries, "user499", *addresses(4)) == LIMITS.max_tries_per_window


async def test_many_accounts_from_many_addresses_are_stopped(tries: Tries) -> None:
    tried = zip(range(100), addresses(100), strict=True)
    let_through = [await admitted(tries, f"user{number}", where) for number, where in tried]
    assert sum(let_through) == LIMITS.max_tries_in_all


async def test_strangers_of_many_addresses_do_not_fill_the_store(clock: Clock) -> None:
    store = MemoryStore(max_claims=120_000, clock=clock)
    tries = Tries(store, LIMITS, clock=clock)
    sprayed = zip(range(16_000), addresses(16_000, "10.0.0.1"), strict=True)
    let_through = [await admitted(tries, f"user{number}", where) for number, where in sprayed]
    assert sum(let_through) == LIMITS.max_tries_in_all
    assert await admitted(tries, "alice", HERE, device=KnownDevice.of("alice")) == 1


@pytest.mark.parametrize(
    ("many", "blocks"),
    [
        (addresses(256, "2001:db8:1:2::"), 1),
        ([ip_address("2001:db8:0:1::1"), ip_address("2001:db8:0:2::1")] * 20, 2),
        ([ip_address("192.0.2.1"), ip_address("::ffff:192.0.2.1")] * 20, 1),
        ([ip_address("2001:db8:1:2::1%eth0"), ip_address("2001:db8:1:2::1")] * 20, 1),
        ([None] * 40, 1),
        (addresses(40), 40),
    ],
)
async def test_addresses_are_counted_by_whom_they_belong_to(
    tries: Tries, many: list[Address | None], blocks: int
) -> None:
    let_through = sum(
        [await admitted(tries, f"user{number}", address) for number, address in enumerate(many)]
    )
    assert let_through == min(blocks * LIMITS.max_tries_per_address, len(many))


async def test_a_known_browser_gets_in_while_strangers_try(tries: Tries) -> None:
    for number in range(100):
        await admitted(tries, f"user{number}", ip_address("203.0.113.9"))
    await admitted(tries, "alice", *addresses(60))
    device = KnownDevice.of("CORP\\Alice")
    assert await admitted(tries, "alice", None, device=device) == 1
    # It has a bound of its own, and that of another browser is another one.
    assert await admitted(tries, "alice", *[HERE] * 9, device=device) == 1
    assert await admitted(tries, "alice", HERE, device=KnownDevice.of("alice")) == 1


async def test_the_cookie_of_another_account_counts_for_nothing(tries: Tries) -> None:
    await admitted(tries, "alice", *addresses(4))
    mine = KnownDevice.of("mallory")
    assert await admitted(tries, "alice", *addresses(9), device=mine) == 0


async def test_a_log_in_that_succeeds_begins_anew(tries: Tries) -> None:
    """Whoever types the password right does not run out of tries, as at the KDC."""
    device = KnownDevice.of("alice")
    for _ in range(3):
        for _ in range(2):
            attempt = await tries.admit("alice", address=HERE)
            known = await tries.admit("alice", address=HERE, device=device)
        assert attempt == known
        await tries.succeeded(attempt)
    assert await admitted(tries, "alice", *addresses(9)) == LIMITS.max_tries_per_window


async def test_what_an_attacker_knows_does_not_help_with_others(tries: Tries) -> None:
    """The attacker's own account logs in between the tries of others, from one address."""
    let_through = 0
    for number in range(100):
        let_through += await admitted(tries, f"user{number}", HERE)
        if number % 5 == 0:
            await tries.succeeded(await tries.admit("mallory", address=ip_address("192.0.2.7")))
    assert let_through == LIMITS.max_tries_per_address


async def test_the_window_passes(tries: Tries, clock: Clock) -> None:
    assert await admitted(tries, "alice", *addresses(9)) == 4
    clock.now += 800
    assert await admitted(tries, "alice", *addresses(9)) == 0
    clock.now += 900 * 9 / 8 + 1
    assert await admitted(tries, "alice", *addresses(9)) == 4


async def test_the_end_of_an_era_brings_nothing_back(tries: Tries, clock: Clock) -> None:
    await admitted(tries, "alice", *addresses(4))
    await tries.succeeded(await tries.admit("alice", address=HERE, device=KnownDevice.of("alice")))
    let_through = 0
    for _ in range(40):
        clock.now += 60
        let_through += await admitted(tries, "alice", *addresses(2))
    # 2,400 s: at most three windows, whatever happens to the eras within them.
    assert 4 <= let_through <= 3 * LIMITS.max_tries_per_window


async def test_what_cannot_be_counted_is_not_let_through(tries: Tries, clock: Clock) -> None:
    store = MemoryStore(clock=clock)
    await store.close()
    with pytest.raises(StoreError):
        await Tries(store, LIMITS, clock=clock).admit("alice", address=HERE)


async def test_the_cause_names_the_counter_and_nobody(tries: Tries) -> None:
    await admitted(tries, "hunter2", *[HERE] * 3)
    with pytest.raises(TooManyTriesError) as caught:
        await tries.admit("hunter2", address=HERE)
    assert caught.value.detail == "more than 3 passwords in 900 s by the counter 'pair'"


@pytest.mark.parametrize(
    "given",
    [
        {"window_seconds": 0},
        {"window_seconds": "900"},
        {"max_tries_per_window": 0},
        {"max_tries_per_window": 2.5},
        {"max_tries_per_device": True},
        {"max_tries_per_address": -1},
        {"max_tries_in_all": None},
        {"max_tries_per_pair": 9},
    ],
)
def test_limits_are_numbers_that_fit(given: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match=next(iter(given))):
        TryLimits(**given)  # type: ignore[arg-type]
