"""A setting of the wrong type is an error where it is given, and never another value."""

from __future__ import annotations

import enum
from typing import Any

import pytest

from authsrv.core.settings import as_instance, as_member, as_number, as_texts
from authsrv.errors import ConfigError


class Colour(enum.Enum):
    RED = "red"
    ONE = 1


@pytest.mark.parametrize("given", [Colour.RED, "red"])
def test_a_member_or_its_value_is_the_member(given: Any) -> None:
    assert as_member(Colour, given, "colour") is Colour.RED


@pytest.mark.parametrize("given", ["RED", "Red", "red ", "", None, True, 1.0, b"red", Colour, []])
def test_anything_else_is_an_error_that_names_setting_and_values(given: Any) -> None:
    with pytest.raises(ConfigError, match=r"colour must be one of 'red', 1, not "):
        as_member(Colour, given, "colour")


def test_a_long_text_is_not_told_whole() -> None:
    with pytest.raises(ConfigError) as caught:
        as_member(Colour, "secret" * 20, "colour")
    assert len(str(caught.value)) < 100


def test_an_instance_is_itself() -> None:
    assert as_instance((int, str), "x", "thing") == "x"
    assert as_instance(bool, True, "thing") is True


@pytest.mark.parametrize("given", [None, "1", True, [1]])
def test_another_type_is_an_error(given: Any) -> None:
    with pytest.raises(ConfigError, match="thing must be of type int, not "):
        as_instance(int, given, "thing")


@pytest.mark.parametrize("given", [1, 0.5])
def test_a_number_is_itself(given: float) -> None:
    assert as_number(given, "size") == given


@pytest.mark.parametrize("given", [0, -1, float("nan"), float("inf"), True, "1", None])
def test_no_other_number_is_taken(given: Any) -> None:
    with pytest.raises(ConfigError, match="size must be "):
        as_number(given, "size")


def test_texts_are_a_tuple() -> None:
    assert as_texts(["a", "b"], "names") == ("a", "b")


@pytest.mark.parametrize("given", ["ab", b"ab", None, 1, [1], [None]])
def test_one_text_is_not_several(given: Any) -> None:
    with pytest.raises(ConfigError, match="names must be "):
        as_texts(given, "names")
