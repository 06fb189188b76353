"""The header fields: what is a token, what is another scheme, and what is malformed."""

from __future__ import annotations

import base64
import re
import time

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from authsrv.errors import InvalidHeaderError, InvalidTokenError, TokenTooLargeError
from authsrv.http.headers import (
    MAX_TOKEN_BYTES,
    ParsedChallenge,
    build_challenge,
    negotiate_token,
    parse_authorization,
    parse_challenges,
)

# RFC 4648 section 4, written another way than the parser reads it.
BASE64 = re.compile(
    r"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=|[A-Za-z0-9+/]{4})"
)


@pytest.mark.parametrize(
    "value",
    [
        "Negotiate YWJj",
        "negotiate YWJj",
        "NEGOTIATE YWJj",
        "Negotiate   YWJj",
        " \t Negotiate YWJj\t ",
    ],
)
def test_a_token_is_read_whatever_the_case_and_the_blanks_around_it(value: str) -> None:
    assert parse_authorization([value]) == b"abc"


@pytest.mark.parametrize(
    ("value", "token"), [("YQ==", b"a"), ("YWI=", b"ab"), ("+/+/", b"\xfb\xff\xbf")]
)
def test_padding_and_the_signs_of_base64_are_read(value: str, token: bytes) -> None:
    assert parse_authorization([f"Negotiate {value}"]) == token


@pytest.mark.parametrize(
    "values",
    [
        [],
        ["Basic YTpi"],
        ["Bearer a.b-c"],
        ["NTLM TlRMTVNTUAABAAAA"],
        ['Digest realm="Negotiate YWJj"'],
        ["Negotiates YWJj"],
        ["x-token"],
    ],
)
def test_without_a_negotiate_field_there_is_no_token(values: list[str]) -> None:
    assert parse_authorization(values) is None


@pytest.mark.parametrize(
    "value",
    [
        "",
        " ",
        "Negotiate\tYWJj",
        "Negotiate=YWJj",
        "Negotiate, Basic YTpi",
        ",Negotiate YWJj",
        "Basic\x00 YTpi",
        "Négotiate YWJj",
        '"Basic" YTpi',
    ],
)
def test_a_field_that_does_not_begin_with_a_scheme_is_malformed(value: str) -> None:
    with pytest.raises(InvalidHeaderError, match="scheme"):
        parse_authorization([value])


@pytest.mark.parametrize("value", ["Negotiate", "negotiate ", "Negotiate    "])
def test_an_empty_token_is_malformed_and_the_cause_says_so(value: str) -> None:
    with pytest.raises(InvalidTokenError, match="empty"):
        parse_authorization([value])


@pytest.mark.parametrize(
    "encoded",
    [
        "YQ",
        "YQ=",
        "YWI",
        "YWJj=",
        "YWJj====",
        "YQ==YQ==",
        "====",
        "=YWJ",
        "Y=Wj",
        "YW Jj",
        "YWJj YWJj",
        "YWJj,YWJj",
        "YWJj, Basic YTpi",
        "YW\tJ",
        "YW\nJ",
        "-_-_",
        "YWJ\u00e9",
        "YWJ\udc80",
        'a="b"',
        "!!!!",
    ],
)
def test_what_is_not_base64_in_its_strict_form_is_malformed(encoded: str) -> None:
    with pytest.raises(InvalidTokenError, match="not base64"):
        parse_authorization([f"Negotiate {encoded}"])


@pytest.mark.parametrize(
    "values",
    [
        ["Negotiate YWJj", "Negotiate YWJj"],
        ["Basic YTpi", "Negotiate YWJj"],
        ["Basic YTpi", "Basic YTpi"],
        ["", ""],
    ],
)
def test_two_fields_are_malformed_whatever_they_say(values: list[str]) -> None:
    with pytest.raises(InvalidHeaderError, match="more than one"):
        parse_authorization(values)


@pytest.mark.parametrize("size", [1, 2, 3, 4, 100, MAX_TOKEN_BYTES])
def test_a_token_of_exactly_the_limit_is_read_and_a_larger_one_is_not(size: int) -> None:
    fits = build_challenge(bytes(size))
    assert parse_authorization([fits], max_token_bytes=size) == bytes(size)
    assert negotiate_token([fits], max_token_bytes=size) == bytes(size)
    larger = build_challenge(bytes(size + 1))
    with pytest.raises(TokenTooLargeError, match=str(size)):
        parse_authorization([larger], max_token_bytes=size)
    with pytest.raises(TokenTooLargeError):
        negotiate_token([larger], max_token_bytes=size)


def test_the_limit_is_64_kibibytes_where_none_is_given() -> None:
    with pytest.raises(TokenTooLargeError):
        parse_authorization([build_challenge(bytes(65_537))])


def test_an_oversize_token_is_refused_before_it_is_decoded() -> None:
    with pytest.raises(TokenTooLargeError):
        parse_authorization(["Negotiate " + "!" * 1_048_576])


def test_no_error_shows_a_part_of_the_field() -> None:
    for value in ("Negotiate SECRET", "SECRET\x00", "Negotiate SECRETSECRET!"):
        with pytest.raises((InvalidHeaderError, InvalidTokenError)) as caught:
            parse_authorization([value])
        assert "SECRET" not in str(caught.value)
        assert caught.value.__cause__ is None


@settings(deadline=None)
@given(st.text(alphabet="AQYg0+/=", min_size=1, max_size=16))
@example("YQ===")
@example("YQ======")
def test_base64_is_read_exactly_where_the_grammar_allows_it(encoded: str) -> None:
    try:
        token = parse_authorization([f"Negotiate {encoded}"])
    except InvalidTokenError:
        assert BASE64.fullmatch(encoded) is None
    else:
        assert BASE64.fullmatch(encoded) is not None
        assert token == base64.b64decode(encoded)


@settings(deadline=None)
@given(st.lists(st.text(max_size=40), max_size=2), st.booleans())
def test_any_authorization_is_read_or_refused(values: list[str], negotiate: bool) -> None:
    if negotiate:
        values = [f"Negotiate {value}" for value in values]
    try:
        token = parse_authorization(values, max_token_bytes=20)
    except (InvalidHeaderError, InvalidTokenError, TokenTooLargeError):
        return
    assert token is None or 1 <= len(token) <= 20


def test_a_challenge_is_built_bare_or_with_a_token() -> None:
    assert build_challenge() == "Negotiate"
    assert build_challenge(b"") == "Negotiate"
    assert build_challenge(b"a") == "Negotiate YQ=="
    assert "\n" not in build_challenge(bytes(1_000))


@settings(deadline=None)
@given(st.binary(min_size=1, max_size=200))
def test_a_token_is_read_on_both_sides_as_it_was_built(token: bytes) -> None:
    assert parse_authorization([build_challenge(token)]) == token
    assert negotiate_token([build_challenge(token)]) == token


BASIC = ParsedChallenge("Basic", None, (("realm", "x"),))


@pytest.mark.parametrize(
    ("values", "challenges"),
    [
        ([], ()),
        ([""], ()),
        ([" , ,\t"], ()),
        (["Negotiate"], (ParsedChallenge("Negotiate"),)),
        (["Negotiate  "], (ParsedChallenge("Negotiate"),)),
        (["Negotiate YQ=="], (ParsedChallenge("Negotiate", "YQ=="),)),
        (["Negotiate YQ== ,"], (ParsedChallenge("Negotiate", "YQ=="),)),
        (["Bearer a.b_c~d-e/f+g"], (ParsedChallenge("Bearer", "a.b_c~d-e/f+g"),)),
        (['Basic realm="x"'], (BASIC,)),
        (['Basic realm = "x"'], (BASIC,)),
        (["Basic realm\t=\tx"], (BASIC,)),
        (['Negotiate, Basic realm="x"'], (ParsedChallenge("Negotiate"), BASIC)),
        (['Basic realm="x", Negotiate'], (BASIC, ParsedChallenge("Negotiate"))),
        (["Negotiate", 'Basic realm="x"'], (ParsedChallenge("Negotiate"), BASIC)),
        (['Basic realm="x",,Negotiate YQ==,,'], (BASIC, ParsedChallenge("Negotiate", "YQ=="))),
        (["Negotiate,NTLM"], (ParsedChallenge("Negotiate"), ParsedChallenge("NTLM"))),
        (
            ["Negotiate YQ==, NTLM Yg=="],
            (ParsedChallenge("Negotiate", "YQ=="), ParsedChallenge("NTLM", "Yg==")),
        ),
        (["Digest ,realm=x"], (ParsedChallenge("Digest", None, (("realm", "x"),)),)),
        (
            ['Digest realm="a, Negotiate YQ==", qop="auth,auth-int", stale=FALSE, Negotiate'],
            (
                ParsedChallenge(
                    "Digest",
                    None,
                    (("realm", "a, Negotiate YQ=="), ("qop", "auth,auth-int"), ("stale", "FALSE")),
                ),
                ParsedChallenge("Negotiate"),
            ),
        ),
        ([r'Basic realm="a\"b\\c"'], (ParsedChallenge("Basic", None, (("realm", 'a"b\\c'),)),)),
        (['Basic realm=""'], (ParsedChallenge("Basic", None, (("realm", ""),)),)),
        (['Basic realm="Grüße\t"'], (ParsedChallenge("Basic", None, (("realm", "Grüße\t"),)),)),
    ],
)
def test_challenges_are_read_in_their_order(
    values: list[str], challenges: tuple[ParsedChallenge, ...]
) -> None:
    assert parse_challenges(values) == challenges


@pytest.mark.parametrize(
    "value",
    [
        'realm="x"',
        "=",
        "Negotiate YQ== YQ==",
        "Negotiate YQ==x",
        'Negotiate YQ==, realm="x"',
        'Basic realm="x',
        'Basic realm="x\\"',
        'Basic realm="x" Negotiate',
        'Basic realm="x"y',
        'Basic realm="x", realm="y"',
        'Basic realm="x", REALM="y"',
        'Basic realm="\x00"',
        'Basic realm="a\nb"',
        'Basic realm="\\\x7f"',
        "Basic realm=;",
        "Basic\trealm=x",
        "Basic realm=x\n",
        "Négotiate",
        "Negotiate;",
        '"Negotiate"',
    ],
)
def test_a_malformed_challenge_is_refused(value: str) -> None:
    with pytest.raises(InvalidHeaderError):
        parse_challenges([value])


def test_a_challenge_does_not_show_its_token_nor_values() -> None:
    assert repr(ParsedChallenge("Negotiate", "U0VDUkVU")) == (
        "<ParsedChallenge Negotiate; token of 8 characters; no parameters>"
    )
    shown = repr(ParsedChallenge("Digest", None, (("realm", "SECRET"), ("nonce", "SECRET"))))
    assert shown == "<ParsedChallenge Digest; no token; realm, nonce>"


@pytest.mark.parametrize(
    ("values", "token"),
    [
        ([], None),
        (['Basic realm="x"'], None),
        (["NTLM"], None),
        (["Negotiate"], b""),
        (["negotiate YWJj"], b"abc"),
        (['Basic realm="x", Negotiate YWJj'], b"abc"),
        (['Basic realm="x"', "Negotiate YWJj", "NTLM"], b"abc"),
    ],
)
def test_the_token_of_the_negotiate_challenge_is_found(
    values: list[str], token: bytes | None
) -> None:
    assert negotiate_token(values) == token


@pytest.mark.parametrize(
    "values",
    [
        ["Negotiate YWJj, Negotiate"],
        ["Negotiate", "negotiate"],
        ["Negotiate realm=x"],
        ["Negotiate YW"],
        ["Negotiate a.b~"],
    ],
)
def test_a_negotiate_challenge_that_is_ambiguous_or_no_base64_is_refused(
    values: list[str],
) -> None:
    with pytest.raises(InvalidHeaderError):
        negotiate_token(values)


@settings(deadline=None)
@given(
    st.lists(
        st.text(max_size=30)
        | st.lists(
            st.sampled_from(["Negotiate", "Basic", " ", ",", "=", '"', "\\", "a", "YQ==", "\t"]),
            max_size=12,
        ).map("".join),
        max_size=3,
    )
)
def test_any_challenge_is_read_or_refused(values: list[str]) -> None:
    try:
        challenges = parse_challenges(values)
    except InvalidHeaderError:
        return
    for challenge in challenges:
        assert challenge.scheme
        assert challenge.token68 is None or not challenge.params


@pytest.mark.parametrize(
    "value",
    [
        "a" * 1_000_000,
        "a " * 500_000,
        " " * 1_000_000 + "\x00",
        "," * 1_000_000 + "\x00",
        "A a" + "=" * 1_000_000 + "\x00",
        "A a" + " " * 1_000_000 + "\x00",
        "A a" + "=" * 500_000 + " " * 500_000 + "x",
        "A a=" + '"' + "x" * 1_000_000,
        "A a=" + '"' + "\\" * 1_000_001,
        "A a=" + '"' + "\\x" * 500_000,
        "A a" + " " * 500_000 + "=" + " " * 500_000,
    ],
)
def test_a_long_malformed_field_takes_no_more_than_linear_time(value: str) -> None:
    # Quadratic time would be hours, not seconds: the bound is no measurement of speed.
    begin = time.monotonic()
    try:
        parse_challenges([value])
    except InvalidHeaderError:
        pass
    assert time.monotonic() - begin < 20
