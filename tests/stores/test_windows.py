"""Counting in a window, beside a list of all times."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from authsrv.errors import StoreError
from authsrv.stores.windows import count_one


@given(st.lists(st.floats(0, 50), min_size=1, max_size=60), st.floats(0.5, 1_000))
def test_a_count_is_never_too_low_and_too_high_by_an_eighth_of_a_window_at_most(
    steps: list[float], window: float
) -> None:
    state, now, counted = None, 1_700_000_000.0, []
    for step in steps:
        now += step
        counted.append(now)
        state, told, ends_at = count_one(state, window, now)
        rounding = 1e-6 * window
        assert told >= sum(at > now - window + rounding for at in counted)
        assert told <= sum(at > now - window * 9 / 8 - rounding for at in counted)
        assert now + window - rounding < ends_at <= now + window * 9 / 8 + rounding


def test_a_clock_that_is_set_back_forgets_nothing() -> None:
    state, _, ends_at = count_one(None, 80.0, 1_000.0)
    for now in (500.0, 10.0, 999.0):
        state, told, ends_again = count_one(state, 80.0, now)
        assert ends_again == ends_at
    assert told == 4


def test_a_window_of_another_length_counts_all_that_was_there() -> None:
    state, _, _ = count_one(None, 80.0, 1_000.0)
    state, _, _ = count_one(state, 80.0, 1_000.0)
    assert count_one(state, 800.0, 1_001.0)[1] == 3


@pytest.mark.parametrize("state", [b"", b"x", bytes(51), bytes(53)])
def test_what_is_no_count_is_an_error(state: bytes) -> None:
    with pytest.raises(StoreError):
        count_one(state, 1.0, 0.0)


@pytest.mark.parametrize("window", [0.0, -1.0, float("nan")])
def test_a_window_has_a_length(window: float) -> None:
    with pytest.raises(ValueError, match="longer than zero"):
        count_one(None, window, 0.0)
