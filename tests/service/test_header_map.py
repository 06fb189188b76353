"""What an application is told: always all fields, never a control, never another's name."""

from __future__ import annotations

import email.header
from dataclasses import replace
from typing import Any
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from authsrv.errors import ConfigError, ForbiddenError, IdentityTooLargeError
from authsrv.service.sites.groups import GroupSet
from authsrv.service.sites.header_text import Encoding
from authsrv.service.sites.headers import (
    PRESETS,
    Attribute,
    Facts,
    HeaderEvent,
    HeaderField,
    HeaderMap,
)
from authsrv.service.sites.people import NameList, Subject

ALICE = Facts(
    Subject("alice@EXAMPLE.ORG", "kerberos", groups=GroupSet(frozenset({"staff", "admins"}))),
    1_700_000_000.9,
    "Älice Example",
    "alice@example.org",
)


def told(facts: Facts = ALICE, **given: Any) -> dict[str, bytes]:
    rendered = HeaderMap(**given).render(facts)
    assert len(rendered.fields) == len(given["fields"])
    return dict(rendered.fields)


def in_groups(*names: str, is_truncated: bool = False) -> Facts:
    groups = GroupSet(frozenset(names), is_truncated)
    return replace(ALICE, subject=replace(ALICE.subject, groups=groups))


def test_every_attribute_is_told() -> None:
    fields = tuple(HeaderField(f"X-{each.name.replace('_', '-')}", each) for each in Attribute)
    assert told(fields=fields) == {
        "X-PRINCIPAL": b"alice@EXAMPLE.ORG",
        "X-ACCOUNT": b"alice",
        "X-REALM": b"EXAMPLE.ORG",
        "X-NAME": "Älice Example".encode(),
        "X-MAIL": b"alice@example.org",
        "X-GROUPS": b"admins,staff",
        "X-GROUPS-TRUNCATED": b"false",
        "X-MECHANISM": b"kerberos",
        "X-TIME": b"2023-11-14T22:13:20Z",
    }


@pytest.mark.parametrize(
    ("preset", "expected"),
    [
        ("authelia", {"Remote-User": b"alice", "Remote-Groups": b"admins,staff"}),
        (
            "authelia",
            {"Remote-Name": "Älice Example".encode(), "Remote-Email": b"alice@example.org"},
        ),
        ("oauth2-proxy", {"X-Auth-Request-User": b"alice@EXAMPLE.ORG"}),
        ("oauth2-proxy", {"X-Auth-Request-Preferred-Username": b"alice"}),
        ("oauth2-proxy", {"X-Auth-Request-Email": b"alice@example.org"}),
        ("grafana", {"X-WEBAUTH-USER": b"alice", "X-WEBAUTH-GROUPS": b"admins,staff"}),
        ("gitea", {"X-WEBAUTH-USER": b"alice", "X-WEBAUTH-FULLNAME": "Älice Example".encode()}),
        ("jenkins", {"X-Forwarded-User": b"alice", "X-Forwarded-Groups": b"admins|staff"}),
    ],
)
def test_what_applications_expect(preset: str, expected: dict[str, bytes]) -> None:
    assert told(fields=PRESETS[preset]).items() >= expected.items()


def test_a_field_is_there_and_empty_where_nothing_is_known() -> None:
    nobody = replace(in_groups(), name=None, mail=None)
    found = told(nobody, fields=PRESETS["authelia"])
    assert found["Remote-Name"] == found["Remote-Email"] == found["Remote-Groups"] == b""
    headers = HeaderMap(PRESETS["authelia"])
    assert headers.render_nobody().fields == tuple((name, b"") for name in headers.names)
    assert "alice" not in repr(headers.render(ALICE))


@pytest.mark.parametrize(
    ("encoding", "value"),
    [
        (Encoding.UTF_8, "Älice Example".encode()),
        (Encoding.RFC2047, b"=?utf-8?B?w4RsaWNlIEV4YW1wbGU=?="),
        (Encoding.PERCENT, b"%C3%84lice%20Example"),
    ],
)
def test_how_what_is_not_ascii_is_written(encoding: Encoding, value: bytes) -> None:
    assert told(fields=(HeaderField("X-Name", Attribute.NAME, encoding),)) == {"X-Name": value}


@pytest.mark.parametrize(
    "name", ["a\r\nSet-Cookie: x", "a\0b", " alice", "alice ", "a\u202eb", "\x7f"]
)
@pytest.mark.parametrize("encoding", Encoding)
def test_an_unfit_value_is_empty_and_said(name: str, encoding: Encoding) -> None:
    fields = (HeaderField("X-Name", Attribute.NAME, encoding),)
    rendered = HeaderMap(fields).render(replace(ALICE, name=name))
    assert rendered.fields == (("X-Name", b""),)
    assert rendered.events == ((HeaderEvent.VALUE_UNFIT, "X-Name", 1),)


GROUP_FIELDS = (
    HeaderField("X-Groups", Attribute.GROUPS),
    HeaderField("X-Cut", Attribute.GROUPS_TRUNCATED),
)


@pytest.mark.parametrize("group", ["x,admins", "a\rb", " a", "a ", "a\0", "", "\u2028"])
def test_a_group_that_would_be_read_as_another_is_left_out(group: str) -> None:
    rendered = HeaderMap(GROUP_FIELDS).render(in_groups("staff", group))
    assert rendered.fields == (("X-Groups", b"staff"), ("X-Cut", b"true"))
    assert rendered.events == ((HeaderEvent.GROUP_UNFIT, "X-Groups", 1),)


def test_a_group_with_the_joiner_is_written_with_percent_signs_where_they_are_read() -> None:
    fields = (HeaderField("X-Groups", Attribute.GROUPS, Encoding.PERCENT),)
    assert told(in_groups("x,admins", "a\rb", " c"), fields=fields) == {
        "X-Groups": b"%20c,a%0Db,x%2Cadmins"
    }


@pytest.mark.parametrize("encoding", Encoding)
def test_a_thousand_groups_overflow_by_name(encoding: Encoding) -> None:
    fields = (replace(GROUP_FIELDS[0], encoding=encoding), GROUP_FIELDS[1])
    many = in_groups(*(f"group-{number:04}-ä" for number in range(1_000)))
    rendered = HeaderMap(fields, group_bytes=300).render(many)
    (_, value), cut = rendered.fields
    assert 200 < len(value) <= 300
    assert cut == ("X-Cut", b"true")
    ((event, name, count),) = rendered.events
    assert (event, name) == (HeaderEvent.GROUPS_OVER_BUDGET, "X-Groups")
    assert 950 < count < 1_000


def test_a_set_that_was_cut_before_is_told_to_be_cut() -> None:
    assert told(in_groups("a", is_truncated=True), fields=GROUP_FIELDS)["X-Cut"] == b"true"
    # Whichever of both fields stands first.
    assert told(in_groups("a,b"), fields=GROUP_FIELDS[::-1])["X-Cut"] == b"true"


def test_what_is_too_much_in_all_is_a_denial() -> None:
    headers = HeaderMap(PRESETS["authelia"], total_bytes=256)
    headers.render(ALICE)
    with pytest.raises(IdentityTooLargeError, match="may have 256"):
        headers.render(in_groups(*(f"group-{number}" for number in range(20))))


KNOWN = NameList(["admin@EXAMPLE.ORG", "admin", "admins"])


@pytest.mark.parametrize(
    "principal",
    [
        "ADMIN@EXAMPLE.ORG",
        "\uff41dmin@EXAMPLE.ORG",
        "admin@example.org",
        "Admin@OTHER.ORG",
        "DOM\\ADMIN",
        "\u24d0dmin@EXAMPLE.ORG",
    ],
)
def test_a_name_that_becomes_a_configured_one_by_case_or_form_is_refused(principal: str) -> None:
    headers = HeaderMap(PRESETS["authelia"], known_names=KNOWN)
    with pytest.raises(ForbiddenError, match="differs from a configured one"):
        headers.render(replace(ALICE, subject=Subject(principal, "kerberos")))
    headers.render(replace(ALICE, subject=Subject("admin@EXAMPLE.ORG", "kerberos")))


def test_a_group_that_becomes_a_configured_one_is_left_out() -> None:
    rendered = HeaderMap(GROUP_FIELDS, known_names=KNOWN).render(in_groups("Admins", "staff"))
    assert rendered.fields[0] == ("X-Groups", b"staff")
    assert rendered.events == ((HeaderEvent.GROUP_UNFIT, "X-Groups", 1),)


@pytest.mark.parametrize("principal", [" alice@R", "al\nice@R", "DOM\\ alice"])
def test_a_name_that_cannot_be_told_is_refused(principal: str) -> None:
    with pytest.raises(ForbiddenError, match="blank"):
        HeaderMap().render(replace(ALICE, subject=Subject(principal, "kerberos")))


@pytest.mark.parametrize(
    "name",
    [
        "",
        "Remote_User",
        "Remote.User",
        "Remote User",
        "X:",
        "Ünder",
        "1User",
        "A" * 65,
        "Host",
        "cookie",
        "Set-Cookie",
        "Content-Length",
        "X-Forwarded-For",
        "X-Original-URI",
        "X-Authsrv-Site",
        "Authorization",
        "Sec-Fetch-Mode",
        "X-ForwardedFor",
    ],
)
def test_a_header_that_means_something_else_cannot_tell_the_identity(name: str) -> None:
    with pytest.raises(ConfigError):
        HeaderField(name, Attribute.ACCOUNT)


@pytest.mark.parametrize("joiner", ["", " ", "a", ",,", "\n", ", \n", "%", "="])
def test_a_joiner_is_one_sign(joiner: str) -> None:
    with pytest.raises(ConfigError, match="joiner"):
        HeaderField("X-Groups", Attribute.GROUPS, joiner=joiner)


def test_two_fields_that_fold_to_one_are_refused() -> None:
    fields = (HeaderField("X-User", Attribute.NAME), HeaderField("Xuser", Attribute.MAIL))
    with pytest.raises(ConfigError, match="twice"):
        HeaderMap(fields)


@pytest.mark.parametrize("limit", ["group_bytes", "total_bytes"])
@pytest.mark.parametrize("value", [0, -1, 1.5, True, "300"])
def test_limits_are_numbers(limit: str, value: Any) -> None:
    with pytest.raises(ConfigError, match=limit):
        HeaderMap(**{limit: value})


def decoded(value: bytes, encoding: Encoding) -> str:
    text = value.decode("utf-8")
    if encoding is Encoding.PERCENT:
        return unquote(text)
    if encoding is Encoding.RFC2047:
        return str(email.header.make_header(email.header.decode_header(text)))
    return text


texts = st.text(max_size=60) | st.text(st.sampled_from("a ,|;:%=?ä\r\n\0\ud800"), max_size=9)


@given(texts, st.sampled_from(Encoding))
def test_a_value_is_read_as_it_was_or_is_empty(name: str, encoding: Encoding) -> None:
    fields = (HeaderField("X-Name", Attribute.NAME, encoding),)
    rendered = HeaderMap(fields, total_bytes=65_536).render(replace(ALICE, name=name))
    ((_, value),) = rendered.fields
    assert not set(value) & {*range(32), 127}
    assert value == value.strip()
    assert bool(rendered.events) == (value == b"" and name != "")
    if value:
        assert decoded(value, encoding) == name


@given(
    st.frozensets(texts, max_size=6),
    st.sampled_from(Encoding),
    st.sampled_from([",", ", ", "|", ";", ":"]),
    st.integers(1, 200),
)
def test_groups_are_read_as_those_that_they_are(
    groups: frozenset[str], encoding: Encoding, joiner: str, budget: int
) -> None:
    fields = (HeaderField("X-Groups", Attribute.GROUPS, encoding, joiner),)
    rendered = HeaderMap(fields, group_bytes=budget, total_bytes=65_536).render(in_groups(*groups))
    ((_, value),) = rendered.fields
    assert len(value) <= budget
    assert not set(value) & {*range(32), 127}
    split = joiner.strip()
    if encoding is Encoding.PERCENT:
        read = [unquote(each.strip()) for each in value.decode().split(split)]
    else:
        read = [each.strip() for each in decoded(value, encoding).split(split)]
    told = [each for each in read if each]
    assert set(told) <= groups
    assert len(told) + sum(count for _, _, count in rendered.events) == len(groups)
