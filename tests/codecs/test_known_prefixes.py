"""What is remembered of tokens never changes what a token is taken for."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from unittest.mock import patch

import pytest
from elements import mutate_element

from authsrv.codecs.kerberos.messages import parse_asked_service
from authsrv.codecs.known_prefixes import KnownPrefixes
from authsrv.codecs.spnego import unwrap_spnego
from authsrv.errors import InvalidTokenError

DATA = Path(__file__).parents[1] / "data"
REQUESTS = [
    unwrap_spnego(bytes.fromhex((DATA / f"{name}.hex").read_text()))
    for name in ("spnego_ap_req", "windows_ap_req")
]


def taken_for(token: bytes) -> str:
    try:
        return parse_asked_service(token)
    except InvalidTokenError as error:
        return error.detail


def altered(token: bytes, chance: random.Random) -> bytes:
    """Another token of the same length."""
    place = chance.randrange(len(token))
    return token[:place] + chance.randbytes(1) + token[place + 1 :]


MUTATIONS: list[Callable[[bytes, random.Random], bytes]] = [altered, mutate_element]


@pytest.mark.parametrize("mutate", MUTATIONS)
@pytest.mark.parametrize("request_token", REQUESTS, ids=["MIT", "Windows"])
def test_a_token_is_taken_for_the_same_whatever_came_before(
    request_token: bytes, mutate: Callable[[bytes, random.Random], bytes]
) -> None:
    chance = random.Random(1)
    tokens = [request_token, *(mutate(request_token, chance) for _ in range(2_000))]
    with patch("authsrv.codecs.kerberos.messages._ASKED", KnownPrefixes()):
        warm = [taken_for(token) for token in (*tokens, *tokens)]
    for token, *seen in zip(tokens, warm, warm[len(tokens) :], strict=False):
        with patch("authsrv.codecs.kerberos.messages._ASKED", KnownPrefixes()):
            assert seen == [taken_for(token)] * 2


@pytest.mark.parametrize("request_token", REQUESTS, ids=["MIT", "Windows"])
def test_what_is_remembered_ends_with_the_claim(request_token: bytes) -> None:
    """The bytes that were read, each of them, and none of what is encrypted."""
    known: KnownPrefixes[str] = KnownPrefixes()
    with patch("authsrv.codecs.kerberos.messages._ASKED", known):
        told = parse_asked_service(request_token)
        found = known.find(request_token)
        assert found is not None
        beginning, value = found
        assert value == told
        service = told.partition("@")[0].rpartition("/")[2]
        assert beginning.endswith(service.encode())


def test_a_token_is_found_by_length_and_beginning() -> None:
    known: KnownPrefixes[int] = KnownPrefixes()
    known.note(b"begin rest", 5, 1)
    assert known.find(b"begin else") == (b"begin", 1)
    assert known.find(b"other rest") is None
    assert known.find(b"begin, and a longer rest") is None


def test_a_client_cannot_make_it_grow() -> None:
    known: KnownPrefixes[int] = KnownPrefixes()
    for length in range(1, 10_000):
        known.note(bytes(length), 1, length)
    for number in range(10_000):
        known.note(number.to_bytes(2, "big"), 2, number)
    known.note(bytes(10_000), 5_000, 0)
    assert known.find(bytes(10_000)) is None
    kept = [known.find(bytes(length)) for length in range(1, 10_000)]
    assert sum(found is not None for found in kept) <= 2_048
    numbers = [known.find(number.to_bytes(2, "big")) for number in range(10_000)]
    assert sum(found is not None for found in numbers) <= 4
