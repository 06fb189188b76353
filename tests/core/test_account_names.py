"""Typed names and passwords: one reading of each, and nothing that libkrb5 would read otherwise."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from authsrv.core.account_names import (
    MAX_NAME_CHARACTERS,
    MAX_PASSWORD_BYTES,
    AccountName,
    HomeDomain,
    encode_password,
    fold_account,
    parse_account_name,
)
from authsrv.errors import ConfigError, LogonDeniedError

HOME = HomeDomain("AD.EXAMPLE.ORG", netbios_names=("CORP",), upn_suffixes=("example.com",))

SPICED = st.text(st.one_of(st.sampled_from("alice@\\/ \0\n\t$.-"), st.characters()), max_size=40)


@pytest.mark.parametrize(
    ("typed", "account"),
    [
        ("alice", AccountName("alice")),
        ("  alice  ", AccountName("alice")),
        ("Alice Miller", AccountName("Alice Miller")),
        ("o'neil", AccountName("o'neil")),
        ("jürgen", AccountName("jürgen")),
        ("AD\\alice", AccountName("alice")),
        ("corp\\alice", AccountName("alice")),
        ("ad.example.org\\alice", AccountName("alice")),
        ("alice@ad.example.org", AccountName("alice")),
        ("alice@Example.COM", AccountName("alice", "Example.COM")),
        ("WS1$", AccountName("WS1$")),
    ],
)
def test_each_way_to_type_an_account_of_ours(typed: str, account: AccountName) -> None:
    assert parse_account_name(typed, HOME) == account


@pytest.mark.parametrize(
    "typed",
    [
        "",
        " ",
        "alice@other.org",
        "alice@example.com.evil.org",
        "alice@example.com@AD.EXAMPLE.ORG",
        "OTHER\\alice",
        "CORP\\alice@example.com",
        "CORP\\",
        "@example.com",
        "alice/admin",
        "al\\@ice",
        "alice\0",
        "alice\x7f",
        "alice\u202e",
        "al\xadice",
        "al\ud800ice",
        "a" * (MAX_NAME_CHARACTERS + 1),
    ],
)
def test_what_is_no_account_of_ours_is_refused_unquoted(typed: str) -> None:
    with pytest.raises(LogonDeniedError) as caught:
        parse_account_name(typed, HOME)
    assert not typed.strip() or typed not in caught.value.detail


@given(SPICED)
def test_an_account_has_nothing_that_libkrb5_reads_as_more_than_a_letter(typed: str) -> None:
    try:
        found = parse_account_name(typed, HOME)
    except LogonDeniedError:
        return
    for part in (found.account, found.upn_suffix or "x"):
        assert part.isprintable()
        assert not set(part) & set("/@\\\0")
        assert part.encode()
    assert found.account.strip()


@given(st.text(max_size=1100))
def test_a_password_is_passed_on_whole_or_not_at_all(typed: str) -> None:
    try:
        encoded = encode_password(typed)
    except LogonDeniedError:
        return
    assert encoded.decode() == typed
    assert 0 < len(encoded) <= MAX_PASSWORD_BYTES
    assert b"\0" not in encoded


@pytest.mark.parametrize(
    "typed",
    [
        "ALICE",
        " alice ",
        "CORP\\alice",
        "alice@example.com",
        "CORP\\Alice@whatever",
        "ａｌｉｃｅ",  # noqa: RUF001 -- full width
        "álicé",
        "a\u0301lice",
        "alice\0",
        "al\xadice",
        "alice$",
        "\u2000alice",
    ],
)
def test_all_ways_to_type_an_account_are_counted_as_one(typed: str) -> None:
    assert fold_account(typed) == "alice"


def test_other_accounts_are_counted_apart() -> None:
    assert len({fold_account(each) for each in ("alice", "bob", "alice2", "al-ice")}) == 4


@given(SPICED)
def test_any_text_is_counted_by_something(typed: str) -> None:
    folded = fold_account(typed)
    folded.encode()
    assert not set(folded) & set("@\\ \0")


@given(st.text("abcäß@\\$ ", max_size=12))
def test_an_account_is_counted_by_the_same_however_it_is_typed(typed: str) -> None:
    try:
        account = parse_account_name(typed, HOME).account
    except LogonDeniedError:
        return
    same = {account, account.upper(), f"CORP\\{account}", f"{account}@example.com", typed}
    assert len({fold_account(each) for each in same}) == 1


@pytest.mark.parametrize("name", ["", " ", "A\\B", "a@b", "a/b", "a\0"])
def test_a_domain_has_a_name(name: str) -> None:
    with pytest.raises(ConfigError):
        HomeDomain(name)
    with pytest.raises(ConfigError):
        HomeDomain("EXAMPLE.ORG", upn_suffixes=(name,))
