"""Header names that an application may take for the client's identity."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from authsrv.errors import AliasedHeaderError, ConfigError
from authsrv.http.folding import HeaderNames, IdentityNames, fold_name, nominated_by_connection

NAMES = IdentityNames(("Remote-User", "X-WEBAUTH-USER", "X-Token"), stripped=("Remote-User",))

LET_IN = [
    [],
    [(b"Accept", b"*/*"), (b"Cookie", b"Remote_User=x")],
    [(b"Remote-User", b"alice")],
    [(b"rEMOTE-uSER", b"alice")],
    [(b"Remote-Users", b"x"), (b"A-Remote-User", b"x")],
    [(b"Connection", b"keep-alive, Upgrade")],
]
REFUSED = [
    [(b"Remote_User", b"x")],
    [(b"Remote.User", b"x")],
    [(b"RemoteUser", b"x")],
    [(b"REMOTE~USER!", b"x")],
    [(b"Remote\xe2\x80\x90User", b"x")],
    [(b"X-WebAuth-User", b"x")],
    [(b"X.WEBAUTH_USER", b"x")],
    [(b"Accept", b"x"), (b"x-token", b"x")],
    [(b"Connection", b"Remote-User")],
    [(b"connection", b"close"), (b"Connection", b"close , x_token")],
]


@pytest.mark.parametrize("headers", LET_IN)
def test_other_headers_and_stripped_ones_come_in(headers: list[tuple[bytes, bytes]]) -> None:
    NAMES.check(headers)


@pytest.mark.parametrize("headers", REFUSED)
def test_an_identity_name_is_refused_exact_or_folded(headers: list[tuple[bytes, bytes]]) -> None:
    with pytest.raises(AliasedHeaderError) as raised:
        NAMES.check(headers)
    assert raised.value.detail.isascii()
    assert len(raised.value.detail) < 200


def test_a_long_name_is_cut_in_the_log() -> None:
    with pytest.raises(AliasedHeaderError) as raised:
        NAMES.check([(b"Remote" + b"\xff" * 10_000 + b"User", b"x")])
    assert len(raised.value.detail) < 400


@given(st.binary(max_size=40))
def test_a_fold_is_its_own_fold_and_has_letters_and_digits_only(name: bytes) -> None:
    folded = fold_name(name)
    assert fold_name(folded) == folded
    assert folded == re.sub(rb"[^a-z0-9]", b"", name.lower())


@given(st.lists(st.tuples(st.binary(max_size=20), st.binary(max_size=30)), max_size=5))
def test_any_headers_are_checked_without_another_exception(
    headers: list[tuple[bytes, bytes]],
) -> None:
    nominated_by_connection(headers)
    try:
        NAMES.check(headers)
    except AliasedHeaderError:
        pass


@pytest.mark.parametrize(
    "given_",
    [
        {"names": "Remote-User"},
        {"names": ["Remote-Üser"]},
        {"names": ["--"]},
        {"names": [7]},
        {"names": ["Remote-User"], "stripped": ["Remote_User"]},
    ],
)
def test_names_that_could_not_be_meant(given_: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        IdentityNames(**given_)


def test_the_names_of_a_request_are_looked_at_once() -> None:
    headers = [(b"Cookie", b"a"), (b"X_User", b"b"), (b"x-user", b"c"), (b"COOKIE", b"d")]
    names = HeaderNames.of(headers)
    assert names.by_name == {b"cookie": (0, 3), b"x_user": (1,), b"x-user": (2,)}
    assert names.by_fold == {b"cookie": (0, 3), b"xuser": (1, 2)}
    assert names.folds == {b"cookie", b"xuser"}
    assert HeaderNames.of([(name, b"other") for name, _ in headers]) is names
    assert b"Cookie" in repr(names).encode()


def test_names_that_are_long_together_are_not_kept() -> None:
    headers = [(b"a" * 1_025, b"")]
    assert HeaderNames.of(headers) is not HeaderNames.of(headers)
    assert HeaderNames.of(headers).by_fold == {b"a" * 1_025: (0,)}
