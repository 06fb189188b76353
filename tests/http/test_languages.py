"""The language of a page: what browsers send, and what is no wish at all."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from authsrv.http.languages import choose_language

AVAILABLE = ("en", "de", "de-ch", "fr")


@pytest.mark.parametrize(
    ("value", "language"),
    [
        (None, "en"),
        ("", "en"),
        ("de", "de"),
        ("DE-de", "de"),
        ("de-CH", "de-ch"),
        ("de-CH-1996,fr", "de-ch"),
        ("de-AT,de;q=0.9,en;q=0.8", "de"),
        ("nl,de;q=0.5,fr;q=0.9", "fr"),
        ("nl, pt ;q=0.3", "en"),
        ("de;q=0.8,fr;q=0.8", "de"),
        ("de;q=0,fr;q=0.1", "fr"),
        ("de;q=0", "en"),
        ("de-de,de;q=0", "en"),
        ("*", "en"),
        ("*;q=0.1,de;q=0.5", "de"),
        ("de;q=0.1,*;q=0.5", "en"),
        ("en;q=0,*", "en"),
        ("de\t;\tq=1.000", "de"),
        ("de;Q=1", "de"),
        # What is malformed anywhere is no wish.
        ("de;q=1.5,fr", "en"),
        ("de;q=0.1234", "en"),
        ("de;q=", "en"),
        ("de;level=1", "en"),
        ("de,,fr", "en"),
        ("de_DE", "en"),
        ("../de", "en"),
        ("dé", "en"),
        ("d\u0435", "en"),
        ("de\n", "en"),
        ("abcdefghi", "en"),
        ("de," * 40 + "de", "en"),
        ("de" + " " * 600, "en"),
    ],
)
def test_the_best_wish_that_can_be_met(value: str | None, language: str) -> None:
    assert choose_language(value, AVAILABLE, "en") == language


@given(st.one_of(st.text(max_size=600), st.text("de-*,;q=01. \t", max_size=600)))
def test_whatever_comes_one_of_the_languages_is_chosen(value: str) -> None:
    assert choose_language(value, AVAILABLE, "en") in AVAILABLE


def test_a_long_field_is_read_at_once() -> None:
    begun_at = time.perf_counter()
    for value in ("a-" * 256, ("a" + "-b" * 7 + ";") * 34, "a" + " \t" * 250 + "x", "de," * 170):
        choose_language(value, AVAILABLE, "en")
    assert time.perf_counter() - begun_at < 0.05
