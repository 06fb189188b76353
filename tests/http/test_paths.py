"""Which paths are in normal form, and which patterns match them."""

from __future__ import annotations

import posixpath
import re
import unicodedata
from typing import Any
from urllib.parse import quote, unquote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from authsrv.errors import ConfigError, MetadataError
from authsrv.http.paths import MAX_TARGET_CHARACTERS, NormalPath, PathPattern, Target, ambiguity_of

NORMAL = [
    "/",
    "/admin",
    "/admin/",
    "/a/b.html",
    "/.well-known/x",
    "/...",
    "/a..b/.c/d.",
    "/-._~!$&'()*+,=:@",
    "/pages/[id]|x^y",
    "/a%20b",
    "/a%2Bb%3fc%40",
    "/100%25",
    "/100%25/x",
    "/stra%C3%9Fe",
    "/stra%c3%9fe",
    "/%E6%97%A5%E6%9C%AC",
    "/%F0%9F%98%80",
    "/%C2%BD",
]
AMBIGUOUS = {
    "/%61dmin": "needs no encoding",
    "/%2e%2e/admin": "needs no encoding",
    "/a%2D": "needs no encoding",
    "/a%7e": "needs no encoding",
    "//admin": "empty segment",
    "/a//b": "empty segment",
    "/a//": "empty segment",
    "/admin;x": "semicolon",
    "/a/..;/admin": "semicolon",
    "/a/.;/admin": "semicolon",
    "/admin%3bx": "encoded semicolon",
    "\\admin": "does not begin",
    "/a\\b": "backslash",
    "/a%5cb": "encoded backslash",
    "/a%5Cb": "encoded backslash",
    "/a%2fb": "encoded slash",
    "/a%2Fb": "encoded slash",
    "/admin#/public": "number sign",
    "/admin%23": "encoded number sign",
    "/admin%00": "control",
    "/admin%0d%0a": "control",
    "/admin%7F": "control",
    "/%C2%85": "control",
    "/.": "segment of dots",
    "/..": "segment of dots",
    "/a/.": "segment of dots",
    "/a/./b": "segment of dots",
    "/a/../b": "segment of dots",
    "/a%20/..": "segment of dots",
    "/%2561dmin": "encoded twice",
    "/%252e%252e/": "encoded twice",
    "/%252F": "encoded twice",
    "/%25252F": "encoded twice",
    "/a%": "two hexadecimal digits",
    "/a%2": "two hexadecimal digits",
    "/a%zz": "two hexadecimal digits",
    "/%u0061": "two hexadecimal digits",
    "/a b": "must be encoded",
    "/a\tb": "must be encoded",
    "/a\x00": "must be encoded",
    "/a\n": "must be encoded",
    "/a?b": "must be encoded",
    "/<a>": "must be encoded",
    "/adm\xefn": "0x80",
    "/\udcff": "0x80",
    "/\uff41": "0x80",
    "/%ff": "no UTF-8",
    "/%c0%af": "no UTF-8",
    "/%c0%ae%c0%ae/": "no UTF-8",
    "/%ED%A0%80": "no UTF-8",
    "/%C3": "no UTF-8",
    "/a%CC%88": "two parts",
    "/%EF%BC%8Fadmin": "look-alike",
    "/%EF%BC%8E%EF%BC%8E": "look-alike",
    "/%EF%BC%9Bx": "look-alike",
    "/%E2%80%A5/": "look-alike",
    "": "does not begin",
    "admin": "does not begin",
    "*": "does not begin",
    "http://wiki.test/": "does not begin",
}


@pytest.mark.parametrize("path", NORMAL)
def test_a_path_in_normal_form(path: str) -> None:
    assert ambiguity_of(path) is None
    assert PathPattern("/**").matches(path)


@pytest.mark.parametrize(("path", "cause"), AMBIGUOUS.items())
def test_an_ambiguous_path_says_why_and_matches_nothing(path: str, cause: str) -> None:
    assert cause in (ambiguity_of(path) or "")
    for pattern in ("/**", "/*", "/*/**", "/admin", "/admin/**"):
        assert not PathPattern(pattern, case_insensitive=True).matches(path)


PARTS = st.sampled_from(
    "/ // . .. ; %2f %2F %5c \\ # ? %00 %61 a B admin %25 %2561 %C3%A4 %c3 %20 * ** ~ - é \x7f "
    "%3B % %4 %EF%BC%8F %CC%88".split(" ")
)
PATHS = st.lists(st.one_of(PARTS, st.text(max_size=3)), max_size=8).map(
    lambda parts: "/" + "".join(parts)
)


@given(PATHS)
@example("/a/%2e")
@example("/%25%36%31")
def test_every_reader_agrees_about_a_path_in_normal_form(path: str) -> None:
    if ambiguity_of(path) is not None:
        return
    decoded = unquote(path, errors="strict")
    assert unquote(decoded) == decoded
    assert posixpath.normpath(decoded) == (decoded.rstrip("/") or "/")
    assert decoded.count("/") == path.count("/")
    assert path.isascii()
    assert path.isprintable()
    again = quote(decoded, safe="/!$&'()*+,=:@[]|^")
    assert ambiguity_of(again) is None
    assert unquote(again) == decoded


@given(st.text(max_size=12))
def test_any_text_has_a_verdict(path: str) -> None:
    verdict = ambiguity_of(path)
    assert verdict is None or verdict.isascii()


@given(st.lists(st.text(min_size=1, max_size=4), min_size=1, max_size=4))
def test_what_a_careful_client_encodes_is_in_normal_form(segments: list[str]) -> None:
    text = "/".join(unicodedata.normalize("NFC", segment) for segment in segments)
    if re.search(r"[\x00-\x1f\x7f-\x9f/;\\#%\ud800-\udfff]", "".join(segments)):
        return
    if any(segment in (".", "..") for segment in text.split("/")):
        return
    foreign = "".join(sign for sign in text if not sign.isascii())
    if set(unicodedata.normalize("NFKC", foreign)) & set("/\\.;%#?"):
        return
    if not unicodedata.is_normalized("NFC", text):
        return
    assert ambiguity_of("/" + quote(text)) is None


def test_the_target_is_split_at_its_first_question_mark() -> None:
    assert Target.parse("/a?b?c#d") == Target("/a", "b?c#d")
    assert Target.parse("/secret?x=/public") == Target("/secret", "x=/public")
    assert Target.parse("/a") == Target("/a", "")
    assert Target.parse("/admin#/public?x") == Target("/admin#/public", "x")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "*",
        "a",
        "?x",
        "#",
        " /a",
        "\\a",
        "http://wiki.test/secret",
        "HTTPS://wiki.test",
        "wiki.test:443",
        "/" * (MAX_TARGET_CHARACTERS + 1),
        "/a?b c",
        "/a?b\r\nc",
        "/a?\x00",
    ],
)
def test_a_target_in_another_form_is_refused(text: str) -> None:
    with pytest.raises(MetadataError):
        Target.parse(text)


@given(st.text(max_size=20), st.booleans())
def test_a_target_is_refused_or_can_be_put_together_again(text: str, slash: bool) -> None:
    text = f"/{text}" if slash else text
    try:
        target = Target.parse(text)
    except MetadataError:
        return
    assert text in (f"{target.path}?{target.query}", target.path)
    assert Target.parse(target.path) == Target(target.path)


@pytest.mark.parametrize(
    ("pattern", "yes", "no"),
    [
        ("/", ["/"], ["/a"]),
        ("/a/b", ["/a/b"], ["/a", "/a/b/", "/a/bc", "/a/b/c", "/A/b", "/x/a/b"]),
        ("/a/", ["/a/"], ["/a", "/a/b"]),
        ("/public/**", ["/public", "/public/", "/public/a/b/"], ["/publicity", "/", "/x/public"]),
        ("/**", ["/", "/a", "/a/b/"], []),
        ("/*", ["/a", "/%20", "/*"], ["/", "/a/", "/a/b"]),
        ("/a/*/c", ["/a/b/c"], ["/a/c", "/a/b/c/", "/a/b/d"]),
        ("/*/x/**", ["/a/x", "/b/x/y"], ["/x", "/a/y/x"]),
        ("/a@b", ["/a@b", "/a%40b"], ["/a"]),
        ("/%C3%A4", ["/%c3%a4", "/%C3%A4"], ["/%C3%84", "/a"]),
        ("/%2A", ["/*", "/%2a"], ["/a"]),
    ],
)
def test_patterns(pattern: str, yes: list[str], no: list[str]) -> None:
    found = PathPattern(pattern)
    assert [path for path in (*yes, *no) if found.matches(path)] == yes


def test_a_pattern_may_ignore_case_as_some_servers_do() -> None:
    pattern = PathPattern("/Admin/%C3%84/*/**", case_insensitive=True)
    for path in ("/ADMIN/%C3%A4/x", "/admin/%C3%84/X/y"):
        assert pattern.matches(path)
        assert not PathPattern("/Admin/%C3%84/*/**").matches(path.lower())
    assert not pattern.matches("/admi/%C3%A4/x")


def by_regex(pattern: str) -> re.Pattern[str]:
    """Another implementation of patterns, for segments that need no encoding."""
    fixed = pattern.removesuffix("/**")
    text = re.escape(fixed).replace(r"\*", "[^/]+")
    return re.compile(text + ("(?:/.*)?" if pattern.endswith("/**") else ""))


SEGMENT = st.sampled_from(["a", "b", "ab", "A"])


@given(
    st.lists(st.one_of(SEGMENT, st.just("*")), max_size=3),
    st.sampled_from(["", "/", "/**"]),
    st.lists(SEGMENT, max_size=4),
    st.sampled_from(["", "/"]),
)
def test_patterns_match_as_a_regular_expression_would(
    pattern: list[str], tail: str, path: list[str], slash: str
) -> None:
    wanted = "".join(f"/{segment}" for segment in pattern) + tail or "/"
    asked = "".join(f"/{segment}" for segment in path) + slash or "/"
    meant = by_regex(wanted).fullmatch(asked) is not None
    assert PathPattern(wanted).matches(asked) is meant


@pytest.mark.parametrize(
    ("given_", "cause"),
    [
        ({"pattern": ""}, "begin with a slash"),
        ({"pattern": "**"}, "begin with a slash"),
        ({"pattern": "admin"}, "begin with a slash"),
        ({"pattern": "/a*"}, "star"),
        ({"pattern": "/**/a"}, "star"),
        ({"pattern": "/a/**/**"}, "star"),
        ({"pattern": "/a/***"}, "star"),
        ({"pattern": "/a**"}, "star"),
        ({"pattern": "/a//b"}, "empty segment"),
        ({"pattern": "//**"}, "empty segment|star"),
        ({"pattern": "/a/../b"}, "dots"),
        ({"pattern": "/%61"}, "needs no encoding"),
        ({"pattern": "/ä"}, "0x80"),
        ({"pattern": "/a?x"}, "must be encoded"),
        ({"pattern": b"/a"}, "must be of type str"),
        ({"pattern": None}, "must be of type str"),
        ({"pattern": "/a", "case_insensitive": "no"}, "case_insensitive"),
        ({"pattern": "/a", "case_insensitive": 1}, "case_insensitive"),
    ],
)
def test_what_is_no_pattern_is_an_error_at_start(given_: dict[str, Any], cause: str) -> None:
    with pytest.raises(ConfigError, match=cause):
        PathPattern(**given_)


@given(PATHS, PATHS)
def test_any_text_is_a_pattern_or_an_error_of_configuration(text: str, path: str) -> None:
    try:
        pattern = PathPattern(text)
    except ConfigError:
        return
    assert pattern.matches(path) in (True, False)
    if "*" not in text:
        assert pattern.matches(text)


def test_a_path_is_taken_apart_and_decoded() -> None:
    path = NormalPath("/A%20b/c")
    assert path.segments == ["", "A b", "c"]
    assert path.folded == ["", "a b", "c"]
    assert "A b" in repr(path)
