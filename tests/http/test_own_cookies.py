"""Our cookies among those of others: one reading, and what neighbours of the domain try."""

from __future__ import annotations

import ast
import time
import unicodedata
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from package_sources import SOURCES

from authsrv.errors import ConfigError, SessionError
from authsrv.http.cookies import (
    MAX_COOKIE_BYTES,
    MAX_COOKIES,
    MAX_FIELD_BYTES,
    MAX_FOREIGN_BYTES,
    OwnCookies,
    build_cookie_deletion,
    build_set_cookie,
)

NAME = "__Host-authsrv"
OWN = OwnCookies((NAME, "__Host-authsrv-tried"))

READ: dict[str, tuple[list[bytes], str | None]] = {
    "no field": ([], None),
    "an empty field": ([b""], None),
    "alone": ([b"__Host-authsrv=abc"], "abc"),
    "among others": ([b"a=1; __Host-authsrv=abc; b=2"], "abc"),
    "blanks around": ([b"a=1;\t __Host-authsrv \t=\t abc \t;b=2"], "abc"),
    "in the second field": ([b"a=1", b"__Host-authsrv=abc"], "abc"),
    "an empty value": ([b"__Host-authsrv="], ""),
    "equals signs in the value": ([b"__Host-authsrv=a==b="], "a==b="),
    "another of ours": ([b"__Host-authsrv-tried=1"], None),
    "a name that ours is the beginning of": ([b"__Host-authsrvx=1"], None),
    "the name as a value": ([b"x=__Host-authsrv"], None),
    "behind a comma, as old servers split": ([b"a=1,__Host-authsrv=evil"], None),
    "a version, as in RFC 2965": ([b"$Version=1; __Host-authsrv=abc"], "abc"),
    "in the quotes of another": ([b'a="; __Host-authsrv=abc; "'], "abc"),
    "broken others": ([b";;=; =x; \xff\xfe=\x00; __Host-authsrv=abc;"], "abc"),
}
REFUSED: dict[str, tuple[list[bytes], str]] = {
    "twice in a field": ([b"__Host-authsrv=a; __Host-authsrv=b"], "2 cookies"),
    "twice the same": ([b"__Host-authsrv=a; __Host-authsrv=a"], "2 cookies"),
    "once in each field": ([b"__Host-authsrv=a", b"__Host-authsrv=b"], "2 cookies"),
    "an unusual blank in front": ([b"__Host-authsrv=a; \xe2\x80\x80__Host-authsrv=b"], "taken for"),
    "a blank of latin-1": ([b"__Host-authsrv=a; \xa0__Host-authsrv=b"], "taken for"),
    "a form feed": ([b"\x0c__Host-authsrv=b"], "taken for"),
    "a null": ([b"__Host-authsrv\x00=b"], "taken for"),
    "another case": ([b"__host-authsrv=b; __Host-authsrv=a"], "taken for"),
    "an alias alone": ([b"__HOST-AUTHSRV=b"], "taken for"),
    "underscores": ([b"__Host_authsrv=b"], "taken for"),
    "in quotes": ([b'"__Host-authsrv"=b'], "taken for"),
    "wide letters": (["__Host-\uff41uthsrv=b".encode()], "taken for"),
    "an old long s": (["__Host-auth\u017frv=b".encode()], "taken for"),
    "a raised a of latin-1": ([b"__Host-\xaauthsrv=b"], "taken for"),
    "bytes that are no UTF-8": ([b"__Host-\xff\xfeauthsrv=b"], "taken for"),
    "without a name": ([b"=__Host-authsrv=b"], "taken for"),
    "without a value": ([b"__Host-authsrv"], "taken for"),
    "a dollar": ([b"$__Host-authsrv=b"], "taken for"),
    "a quoted value": ([b'__Host-authsrv="abc"'], "characters"),
    "a blank in the value": ([b"__Host-authsrv=a b"], "characters"),
    "a comma in the value": ([b"__Host-authsrv=a,b"], "characters"),
    "a backslash in the value": ([b"__Host-authsrv=a\\b"], "characters"),
    "a byte beyond ASCII in the value": ([b"__Host-authsrv=a\xe9"], "characters"),
    "a value too long": ([b"__Host-authsrv=" + b"a" * MAX_COOKIE_BYTES], "4096 bytes"),
    "fields too long": ([b"a" * MAX_FIELD_BYTES, b"b"], "more cookies"),
    "too many": ([b"__Host-authsrv=a" + b";" * MAX_COOKIES], "more cookies"),
    "names that take too long": (
        [b"__Host-authsrv=a", b"\xef\xb7\xba" * (MAX_FOREIGN_BYTES // 3 + 1)],
        "more cookies",
    ),
}


@pytest.mark.parametrize(("fields", "value"), READ.values(), ids=READ)
def test_our_cookie_is_read(fields: list[bytes], value: str | None) -> None:
    assert OWN.read(fields, NAME) == value


@pytest.mark.parametrize(("fields", "cause"), REFUSED.values(), ids=REFUSED)
def test_what_could_be_another_is_no_session_and_says_why(fields: list[bytes], cause: str) -> None:
    with pytest.raises(SessionError, match=cause) as raised:
        OWN.read(fields, NAME)
    assert "=" not in raised.value.detail


def test_a_cookie_of_the_largest_size_is_read() -> None:
    value = "a" * (MAX_COOKIE_BYTES - len(NAME))
    assert OWN.read([f"{NAME}={value}".encode()], NAME) == value


@pytest.mark.parametrize(
    ("fields", "left"),
    [
        ([], b""),
        ([b"a=1;b=2"], b"a=1;b=2"),
        ([b" a=1;;  b = \xff; "], b" a=1;;  b = \xff; "),
        ([b"a=1", b"b=2"], b"a=1; b=2"),
        ([b"__Host-authsrv=x"], b""),
        ([b"a=1; __Host-authsrv=x; b=2"], b"a=1; b=2"),
        ([b"__Host-authsrv=x; a=1"], b"a=1"),
        ([b"a=1; __Host-authsrv=x"], b"a=1"),
        ([b"a=1", b"__Host-authsrv=x", b"b=2"], b"a=1; b=2"),
        ([b"a=1; __Host-authsrv-tried=1; __HOST_AUTHSRV=y; b=\xff"], b"a=1; b=\xff"),
        ([b'a="q;  r"; =__Host-authsrv=x;  b=2'], b'a="q;  r";  b=2'),
    ],
)
def test_the_application_gets_the_others_byte_for_byte(fields: list[bytes], left: bytes) -> None:
    assert OWN.without(fields) == left


PIECES = st.one_of(
    st.sampled_from([raw for fields, _ in (*READ.values(), *REFUSED.values()) for raw in fields]),
    st.sampled_from([b"__Host-authsrv=a", b"a=1", b"b", b"", b"=", b"__Host-authsrv-tried=2"]),
    st.binary(max_size=30),
)
FIELDS = st.lists(st.lists(PIECES, max_size=4).map(b";".join), max_size=4)


@given(FIELDS)
def test_reading_ends_in_a_value_in_none_or_in_no_session(fields: list[bytes]) -> None:
    try:
        value = OWN.read(fields, NAME)
    except SessionError:
        return
    exact = [
        rest.strip(b" \t")
        for piece in b";".join(fields).split(b";")
        for name, equals, rest in [piece.partition(b"=")]
        if equals and name.strip(b" \t") == NAME.encode()
    ]
    assert exact == ([] if value is None else [value.encode()])


def is_too_much(fields: list[bytes]) -> bool:
    """Whether the cookies are more than are looked at, and not merely doubled or odd."""
    try:
        OWN.read(fields, NAME)
    except SessionError as error:
        return "more cookies" in error.detail
    return False


@pytest.mark.parametrize(
    "fields",
    [
        [b"a;" * (MAX_FIELD_BYTES // 2)],
        [b"\xef\xb7\xba=;" * (MAX_FIELD_BYTES // 5)],
        [b"\xef\xb7\xba" * (MAX_FIELD_BYTES // 3)],
        ["\u0390\u0301=;".encode() * (MAX_FIELD_BYTES // 6)],
    ],
)
def test_no_cookies_take_long_to_look_at(fields: list[bytes]) -> None:
    begun_at = time.process_time()
    for _ in range(10):
        assert OWN.without(fields) == b""
        assert is_too_much(fields)
    assert time.process_time() - begun_at < 0.1


@given(FIELDS)
@example([b"__Host-authsrv=a;__Host-authsrv=b"])
def test_nothing_of_ours_is_left_and_nothing_of_others_is_lost(fields: list[bytes]) -> None:
    left = OWN.without(fields)
    assert OWN.without([left]) == left
    assert OWN.read([left], NAME) is None
    assert OWN.read([left], "__Host-authsrv-tried") is None
    if is_too_much(fields):
        assert left == b""
        return
    before = [piece.strip(b" \t") for piece in b";".join(fields).split(b";")]
    after = [piece.strip(b" \t") for piece in left.split(b";")]
    lost = list(before)
    for piece in filter(None, after):
        lost.remove(piece)
    assert all(b"hostauthsrv" in _letters(piece) for piece in filter(None, lost))


def _letters(piece: bytes) -> bytes:
    """Another way to fold: read as either encoding, wide letters made narrow."""
    texts = piece.decode("utf-8", "ignore"), piece.decode("latin-1")
    folded = (unicodedata.normalize("NFKC", text).casefold() for text in texts)
    return b"|".join(
        bytes(ord(sign) for sign in text if sign.isascii() and sign.isalnum()) for text in folded
    )


def test_a_cookie_is_set_for_this_host_alone() -> None:
    assert build_set_cookie(NAME, "a.b-c") == (
        "__Host-authsrv=a.b-c; Path=/; Secure; HttpOnly; SameSite=Lax"
    )
    assert build_set_cookie(NAME, "x", max_age=60) == (
        "__Host-authsrv=x; Max-Age=60; Path=/; Secure; HttpOnly; SameSite=Lax"
    )
    assert build_cookie_deletion(NAME) == (
        "__Host-authsrv=; Max-Age=0; Path=/; Secure; HttpOnly; SameSite=Lax"
    )


@given(st.text(max_size=20))
@example("a;b")
@example("a b")
@example('"a"')
@example("a\r\nSet-Cookie: x=y")
@example("\ud800")
def test_what_is_set_is_read_back_and_all_else_refused(value: str) -> None:
    try:
        line = build_set_cookie(NAME, value)
    except ConfigError:
        return
    pair = line.partition("; ")[0]
    assert OWN.read([pair.encode("ascii")], NAME) == value


@pytest.mark.parametrize(
    "given_",
    [
        {"name": "authsrv"},
        {"name": "__host-x"},
        {"name": "__Host-"},
        {"name": "__Host-a b"},
        {"name": "__Host-a=b"},
        {"name": b"__Host-a"},
        {"value": ""},
        {"value": b"x"},
        {"value": "a" * MAX_COOKIE_BYTES},
        {"max_age": 0},
        {"max_age": -1},
        {"max_age": 1.5},
        {"max_age": True},
    ],
)
def test_a_cookie_that_no_browser_would_take_as_meant_is_not_built(given_: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        build_set_cookie(**{"name": NAME, "value": "x", **given_})


def test_a_value_that_is_refused_is_not_told() -> None:
    with pytest.raises(ConfigError) as raised:
        build_set_cookie(NAME, "s3cret;")
    assert "s3cret" not in raised.value.detail


def test_a_deletion_needs_a_name_of_ours() -> None:
    with pytest.raises(ConfigError, match="__Host-"):
        build_cookie_deletion("sid")


@pytest.mark.parametrize("names", [("sid",), ("__Host-a", "__Host-A"), "__Host-a", (7,)])
def test_names_that_are_not_ours_or_not_two(names: Any) -> None:
    with pytest.raises(ConfigError):
        OwnCookies(names)


def test_nobody_reads_cookies_in_the_way_of_the_http_library() -> None:
    found = [
        f"{source.module}:{node.lineno}"
        for source in SOURCES
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Attribute)
        and node.attr == "cookies"
        and isinstance(node.value, ast.Name)
        and node.value.id == "request"
    ]
    assert found == []
