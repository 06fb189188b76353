"""The conformance kit for stores: what each of them must do, as plain functions.

A store's author writes a `StoreCase`, and calls `check_store`; or goes through CHECKS, so that a
test suite runs and names the checks one by one. A check raises AssertionError with what is wrong.

The checks run event loops of their own.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from authsrv.errors import StoreError
from authsrv.stores.base import LARGEST_VALUE, Claim, Purpose, Store

__all__ = ["CHECKS", "Clock", "StoreCase", "check_store"]

_BEGIN = 1_700_000_000.0
_LIFE = 600.0
_MANY = 50


class Clock:
    """A clock that is set by hand, in Unix seconds."""

    def __init__(self) -> None:
        self.now = _BEGIN

    def __call__(self) -> float:
        """Tell the time."""
        return self.now


@dataclass(frozen=True, slots=True)
class StoreCase:
    """How to make the store to be checked.

    Args:
        make_store: Makes one that is empty, and goes by a clock.
        most_claims: How many claims of tokens that store holds; the check that fills it makes as
            many.
    """

    make_store: Callable[[Clock], Store]
    most_claims: int


_Check = Callable[[StoreCase, Store, Clock], Awaitable[None]]


def _key(name: str = "") -> bytes:
    return hashlib.sha256(name.encode() or os.urandom(16)).digest()


def _claim(key: bytes, clock: Clock, purpose: Purpose = Purpose.REPLAY) -> Claim:
    return Claim(purpose, key, clock.now + _LIFE)


async def _lets_one_thing_be_claimed_once(case: StoreCase, store: Store, clock: Clock) -> None:
    """Of all claims of one thing the first is fresh, and no other, whichever way it is made."""
    claim = _claim(_key(), clock)
    assert await store.check_and_store(claim) is True, "the first claim is not fresh"
    assert await store.check_and_store(claim) is False, "the second claim is fresh"
    assert store.check_at_once(claim) in (False, None), "claimed at once, it is fresh again"
    other = _claim(_key(), clock)
    answer = store.check_at_once(other)
    fresh = await store.check_and_store(other)
    assert fresh is (answer is None), f"{answer} at once, and then {fresh}"


async def _has_one_winner(case: StoreCase, store: Store, clock: Clock) -> None:
    """Of many who claim or take one thing at the same time, one gets it."""
    claim = _claim(_key(), clock)
    answers = await asyncio.gather(*(store.check_and_store(claim) for _ in range(_MANY)))
    assert answers.count(True) == 1, f"{answers.count(True)} claims of one thing are fresh"
    await store.put(Purpose.HAND_OVER, claim.key, b"value", clock.now + _LIFE)
    taken = await asyncio.gather(*(store.take(Purpose.HAND_OVER, claim.key) for _ in range(_MANY)))
    assert taken.count(b"value") == 1, f"{taken.count(b'value')} took one value"


async def _knows_a_claim_by_its_key_alone(case: StoreCase, store: Store, clock: Clock) -> None:
    """Another expiry makes no other claim; another key or purpose does."""
    claim = _claim(_key(), clock)
    await store.check_and_store(claim)
    for later in (1.0, 100.0, 10_000.0):
        again = Claim(claim.purpose, claim.key, claim.expires_at + later)
        assert await store.check_and_store(again) is False, f"fresh with {later} s more"
    for purpose in set(Purpose) - {claim.purpose}:
        assert await store.check_and_store(_claim(claim.key, clock, purpose)), purpose
    assert await store.check_and_store(_claim(_key(), clock)), "another key is not fresh"


async def _remembers_until_it_expires(case: StoreCase, store: Store, clock: Clock) -> None:
    """A claim and a value are there until their expiry, whatever comes meanwhile, and not after."""
    claim = _claim(_key(), clock)
    await store.check_and_store(claim)
    await store.put(Purpose.REVOKED, claim.key, b"value", claim.expires_at)
    while clock.now < claim.expires_at - 1:
        clock.now += (claim.expires_at - clock.now) / 3 + 0.5
        clock.now = min(clock.now, claim.expires_at - 0.5)
        await store.check_and_store(_claim(_key(), clock))
        assert await store.check_and_store(claim) is False, f"forgotten at {clock.now}"
        assert await store.get(Purpose.REVOKED, claim.key) == b"value", clock.now
    clock.now = claim.expires_at
    assert await store.get(Purpose.REVOKED, claim.key) is None, "a value has not expired"
    assert await store.take(Purpose.REVOKED, claim.key) is None, "a value has not expired"
    assert await store.check_and_store(_claim(claim.key, clock)), "a claim has not expired"


async def _keeps_values(case: StoreCase, store: Store, clock: Clock) -> None:
    """A value is told as it was put, the last one, to its purpose and key only, until taken."""
    key, ends = _key(), clock.now + _LIFE
    assert await store.get(Purpose.HAND_OVER, key) is None
    for value in (b"", b"\x00" * LARGEST_VALUE, os.urandom(100)):
        await store.put(Purpose.HAND_OVER, key, value, ends)
        assert await store.get(Purpose.HAND_OVER, key) == value, f"{len(value)} bytes"
    assert await store.get(Purpose.REVOKED, key) is None, "told to another purpose"
    assert await store.get(Purpose.HAND_OVER, _key()) is None, "told for another key"
    assert await store.take(Purpose.HAND_OVER, key) == value
    assert await store.get(Purpose.HAND_OVER, key) is None, "told after it was taken"
    await store.put(Purpose.HAND_OVER, key, b"anew", ends)
    assert await store.take(Purpose.HAND_OVER, key) == b"anew"


async def _tells_several_values(case: StoreCase, store: Store, clock: Clock) -> None:
    """Several keys are told in their order, as each of them would be told alone."""
    keys = [_key(), _key(), _key()]
    await store.put(Purpose.REVOKED, keys[0], b"first", clock.now + _LIFE)
    await store.put(Purpose.REVOKED, keys[2], b"third", clock.now + 1)
    assert [*await store.get_many(Purpose.REVOKED, keys)] == [b"first", None, b"third"]
    assert [*await store.get_many(Purpose.HAND_OVER, keys)] == [None, None, None]
    clock.now += 2
    assert [*await store.get_many(Purpose.REVOKED, keys)] == [b"first", None, None]
    assert [*await store.get_many(Purpose.REVOKED, [])] == []


async def _tells_when_something_changed(case: StoreCase, store: Store, clock: Clock) -> None:
    """Its state is another one after whatever may change an answer; where it tells none, None."""
    key, ends = _key(), clock.now + _LIFE
    await store.get(Purpose.REVOKED, key)
    changes: tuple[Callable[[], Awaitable[object]], ...] = (
        lambda: store.put(Purpose.REVOKED, key, b"value", ends),
        lambda: store.put(Purpose.REVOKED, key, b"other", ends),
        lambda: store.take(Purpose.REVOKED, key),
        lambda: store.count(Purpose.TRIES, key, 60.0),
        lambda: store.check_and_store(_claim(key, clock)),
    )
    for change in changes:
        before = store.state_at_once()
        await store.get_many(Purpose.REVOKED, [key])
        assert store.state_at_once() == before, "it is another one after a question"
        await change()
        after = store.state_at_once()
        assert after is None or after != before, "it is the same after a change"


async def _counts_what_is_in_the_window(case: StoreCase, store: Store, clock: Clock) -> None:
    """A count is never less than what was counted in the window, and forgets what lies before."""
    key, window = _key(), 80.0
    counted: list[float] = []
    for step in (0.0, 1.0, 0.0, 30.0, 9.0, 45.0, 5.0, 79.0, 0.0):
        clock.now += step
        counted.append(clock.now)
        told = await store.count(Purpose.TRIES, key, window)
        least = sum(1 for at in counted if at > clock.now - window)
        most = sum(1 for at in counted if at > clock.now - window * 9 / 8)
        assert least <= told <= most, f"{told} instead of {least} to {most}"
    assert await store.count(Purpose.TRIES, _key(), window) == 1, "another key counts along"
    clock.now += 2 * window
    assert await store.count(Purpose.TRIES, key, window) == 1, "what is long ago counts"


async def _refuses_when_full_and_forgets_nothing(
    case: StoreCase, store: Store, clock: Clock
) -> None:
    """A full store refuses what is new, knows what it knew, and has room when that has expired."""
    first = _claim(_key("0"), clock)
    held = 0
    try:
        for number in range(2 * case.most_claims):
            await store.check_and_store(_claim(_key(str(number)), clock))
            held += 1
        raise AssertionError(f"{held} claims, and it is not full")
    except StoreError:
        assert held == case.most_claims, f"full with {held} claims"
    for _ in range(3):
        assert await store.check_and_store(first) is False, "a full store has forgotten"
    clock.now = first.expires_at + 120
    for _ in range(case.most_claims):
        assert await store.check_and_store(_claim(_key(), clock)), "no room when all has expired"


async def _refuses_when_the_clock_is_set_back(case: StoreCase, store: Store, clock: Clock) -> None:
    """A clock that is set back lets nothing be claimed that was forgotten."""
    claims = [_claim(_key(), clock) for _ in range(_MANY)]
    for claim in claims:
        await store.check_and_store(claim)
    clock.now = claims[0].expires_at + 120
    for _ in range(_MANY):
        await store.check_and_store(_claim(_key(), clock))
    clock.now = claims[0].expires_at - 10
    for claim in claims:
        try:
            assert await store.check_and_store(claim) is False, "forgotten, and fresh again"
        except StoreError:
            continue


async def _takes_a_clock_that_is_set_a_little(case: StoreCase, store: Store, clock: Clock) -> None:
    """A clock that is set back by some seconds does not end the service."""
    for _ in range(_MANY):
        await store.check_and_store(_claim(_key(), clock))
    # What expires now is removed, or not, and the clock goes back to before that.
    for step in (_LIFE + 1, -5.0, _LIFE + 1, -20.0):
        clock.now += step
        for _ in range(_MANY):
            assert await store.check_and_store(_claim(_key(), clock)), f"after {step} s"


async def _refuses_once_closed(case: StoreCase, store: Store, clock: Clock) -> None:
    """A closed store answers nothing, least of all that something is fresh."""
    claim, key = _claim(_key(), clock), _key()
    await store.close()
    await store.close()
    for call in (
        lambda: store.check_and_store(claim),
        lambda: store.put(Purpose.REVOKED, key, b"", clock.now + _LIFE),
        lambda: store.get(Purpose.REVOKED, key),
        lambda: store.get_many(Purpose.REVOKED, [key]),
        lambda: store.take(Purpose.REVOKED, key),
        lambda: store.count(Purpose.TRIES, key, 1.0),
    ):
        try:
            answer = await call()
        except StoreError:
            continue
        raise AssertionError(f"a closed store answers {answer!r}")
    try:
        answer = store.check_at_once(claim)
    except StoreError:
        answer = None
    assert answer is None, f"a closed store answers {answer!r} at once"
    try:
        state = store.state_at_once()
    except StoreError:
        state = None
    assert state is None, f"a closed store has a state: {state!r}"


async def _takes_only_digests_for_keys(case: StoreCase, store: Store, clock: Clock) -> None:
    """A key that is no digest is refused, and so is a value that is too long."""
    ends = clock.now + _LIFE
    for wrong in (b"", b"short", bytes(33)):
        for call in (
            lambda wrong=wrong: store.put(Purpose.REVOKED, wrong, b"", ends),
            lambda wrong=wrong: store.get(Purpose.REVOKED, wrong),
            lambda wrong=wrong: store.take(Purpose.REVOKED, wrong),
            lambda wrong=wrong: store.count(Purpose.TRIES, wrong, 1.0),
        ):
            await _demand_value_error(call)
    await _demand_value_error(
        lambda: store.put(Purpose.REVOKED, _key(), bytes(LARGEST_VALUE + 1), ends)
    )
    await _demand_value_error(lambda: store.put(Purpose.REVOKED, _key(), b"", float("nan")))
    await _demand_value_error(lambda: store.count(Purpose.TRIES, _key(), 0.0))


async def _demand_value_error(call: Callable[[], Awaitable[object]]) -> None:
    try:
        answer = await call()
    except ValueError:
        return
    raise AssertionError(f"what is no key, value or window is taken, with {answer!r}")


async def _tells_its_birth(case: StoreCase, store: Store, clock: Clock) -> None:
    """A new store says that it is new, and goes on to say so."""
    born = clock.now
    await store.check_and_store(_claim(_key(), clock))
    assert store.born_at == born, f"born at {store.born_at} instead of {born}"
    clock.now += 3_600
    assert store.born_at == born, "it is born again"


async def _keeps_keys_to_itself(case: StoreCase, store: Store, clock: Clock) -> None:
    """The repr of a store shows no key."""
    key = _key()
    await store.check_and_store(_claim(key, clock))
    assert repr(key) not in repr(store), "its repr shows a key"
    assert key.hex() not in repr(store), "its repr shows a key"


def _running(check: _Check) -> Callable[[StoreCase], None]:
    async def run(case: StoreCase) -> None:
        clock = Clock()
        store = case.make_store(clock)
        try:
            await check(case, store, clock)
        finally:
            await store.close()

    return lambda case: asyncio.run(run(case))


CHECKS: Mapping[str, Callable[[StoreCase], None]] = MappingProxyType(
    {
        check.__name__[1:]: _running(check)
        for check in (
            _keeps_keys_to_itself,
            _tells_its_birth,
            _lets_one_thing_be_claimed_once,
            _has_one_winner,
            _knows_a_claim_by_its_key_alone,
            _remembers_until_it_expires,
            _keeps_values,
            _tells_several_values,
            _tells_when_something_changed,
            _counts_what_is_in_the_window,
            _refuses_when_full_and_forgets_nothing,
            _refuses_when_the_clock_is_set_back,
            _takes_a_clock_that_is_set_a_little,
            _takes_only_digests_for_keys,
            _refuses_once_closed,
        )
    }
)
"""Every check by its name, which says what a good store does: "has_one_winner"."""


def check_store(case: StoreCase) -> None:
    """Run all checks on a store.

    Raises:
        AssertionError: What is wrong.
    """
    for check in CHECKS.values():
        check(case)
