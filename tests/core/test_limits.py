"""The bounds: each is greater than zero, or the start fails."""

from __future__ import annotations

import dataclasses
import math

import pytest

from authsrv.core.limits import DEFAULT_LIMITS, Limits
from authsrv.errors import ConfigError

NAMES = [entry.name for entry in dataclasses.fields(Limits)]


@pytest.mark.parametrize("value", [0, -1, -0.5, math.nan])
@pytest.mark.parametrize("name", NAMES)
def test_a_bound_that_is_not_above_zero_is_a_wrong_setting(name: str, value: float) -> None:
    with pytest.raises(ConfigError, match=f"the limit {name} must be greater than zero"):
        Limits(**{name: value})


@pytest.mark.parametrize("name", NAMES)
def test_a_bound_of_one_is_allowed(name: str) -> None:
    assert getattr(Limits(**{name: 1}), name) == 1


def test_the_defaults_take_the_largest_token_of_windows_and_a_handshake_of_three_legs() -> None:
    assert DEFAULT_LIMITS == Limits()
    assert DEFAULT_LIMITS.max_token_bytes >= 65_535
    assert DEFAULT_LIMITS.max_rounds >= 3


def test_bounds_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        DEFAULT_LIMITS.max_rounds = 100  # type: ignore[misc]
