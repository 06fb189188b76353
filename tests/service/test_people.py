"""Users, groups and networks as rules name them."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from authsrv.core.flags import AscRet
from authsrv.core.identity import Identity
from authsrv.errors import ConfigError
from authsrv.service.sites.groups import MAX_GROUPS_FILE_BYTES, GroupSet, StaticGroups
from authsrv.service.sites.networks import ClientNetworks, Fit, parse_networks
from authsrv.service.sites.people import NameList, Subject, UserList, UserPattern, fold_text


@pytest.mark.parametrize(
    ("pattern", "principal", "fit"),
    [
        ("alice@EXAMPLE.ORG", "alice@EXAMPLE.ORG", Fit.YES),
        ("alice@EXAMPLE.ORG", "alice@example.org", Fit.MAYBE),
        ("alice@EXAMPLE.ORG", "malice@EXAMPLE.ORG", Fit.NO),
        ("alice@EXAMPLE.ORG", "alice@EXAMPLE.ORG@EVIL.ORG", Fit.NO),
        (r"alice@EXAMPLE.ORG", r"alice\@EXAMPLE.ORG@EVIL.ORG", Fit.NO),
        ("alice@EXAMPLE.ORG", "alice", Fit.NO),
        ("*@EXAMPLE.ORG", "bob@EXAMPLE.ORG", Fit.YES),
        ("*@EXAMPLE.ORG", "bob@SUB.EXAMPLE.ORG", Fit.NO),
        ("*@EXAMPLE.ORG", r"bob\@EXAMPLE.ORG@EVIL.ORG", Fit.NO),
        ("*@EXAMPLE.ORG", r"bob\@EXAMPLE.ORG", Fit.NO),
        ("*/admin@EXAMPLE.ORG", "bob/admin@EXAMPLE.ORG", Fit.YES),
        ("*/admin@EXAMPLE.ORG", "bob/ADMIN@EXAMPLE.ORG", Fit.MAYBE),
        ("*/admin@EXAMPLE.ORG", "bob@EXAMPLE.ORG", Fit.NO),
        ("svc-*", "svc-web@EXAMPLE.ORG", Fit.YES),
        ("svc-*", "svc-web@EVIL.ORG", Fit.YES),
        ("svc-*", "SVC-web@EXAMPLE.ORG", Fit.MAYBE),
        ("svc-*", "svc-web", Fit.NO),
        ("svc-*", r"EVIL\svc-web", Fit.NO),
        ("DOM\\*", r"DOM\alice", Fit.YES),
        ("DOM\\*", r"dom\alice", Fit.MAYBE),
        # A Kerberos principal with a backslash in its name, which is written escaped.
        ("DOM\\*", r"DOM\\alice@EVIL.ORG", Fit.NO),
        ("DOM\\alice", r"DOM\alice", Fit.YES),
        ("DOM\\alice", "alice@DOM", Fit.NO),
    ],
)
def test_which_users_a_pattern_means(pattern: str, principal: str, fit: Fit) -> None:
    assert UserList([pattern]).fit(principal) is fit


@pytest.mark.parametrize(
    "pattern",
    [
        "",
        "*",
        "**",
        "a*b@R",
        "*a*@R",
        "alice@*",
        "alice@EX*",
        "alice",
        "@R",
        "alice@",
        "*alice",
        "a\nb@R",
        "*@",
    ],
)
def test_what_is_no_user_is_refused(pattern: str) -> None:
    with pytest.raises(ConfigError):
        UserPattern.parse(pattern)


@given(st.text(st.sampled_from("ab*@\\/R"), max_size=8), st.text(st.sampled_from("ab@\\/R")))
def test_a_pattern_fits_what_has_its_text_and_its_realm(pattern: str, principal: str) -> None:
    try:
        users = UserList([pattern])
    except ConfigError:
        return
    if users.fit(principal) is Fit.YES:
        fixed = pattern.replace("*", "")
        assert principal.endswith(fixed) if pattern.startswith("*") else principal.startswith(fixed)
        if "*" not in pattern:
            assert principal == pattern


@given(st.text(max_size=12))
def test_folding_once_is_folding_twice(text: str) -> None:
    assert fold_text(fold_text(text)) == fold_text(text)


def test_a_list_of_names() -> None:
    names = NameList(["Domain Admins", "staff"])
    assert [names.fit(each) for each in ("staff", "STAFF", "sta")] == [Fit.YES, Fit.MAYBE, Fit.NO]
    assert names == NameList(["staff", "Domain Admins"])
    assert hash(names) == hash(NameList(["staff", "Domain Admins"]))
    assert "staff" in repr(names)
    assert names.fit_any(GroupSet(frozenset({"x", "Staff"}))) is Fit.MAYBE
    assert names.fit_any(GroupSet()) is Fit.NO
    assert names.fit_any(GroupSet(is_truncated=True)) is Fit.MAYBE


@pytest.mark.parametrize(
    ("principal", "account", "realm"),
    [
        ("alice@EXAMPLE.ORG", "alice", "EXAMPLE.ORG"),
        ("host/web@EXAMPLE.ORG", "host/web", "EXAMPLE.ORG"),
        (r"a\@b@EXAMPLE.ORG", r"a\@b", "EXAMPLE.ORG"),
        (r"DOM\alice", "alice", "DOM"),
        ("alice", "alice", None),
    ],
)
def test_account_and_realm(principal: str, account: str, realm: str | None) -> None:
    identity = Identity(principal, "kerberos", attributes=AscRet.INTEGRITY, channel_bound=True)
    subject = Subject.of_identity(identity, GroupSet(frozenset({"g"})))
    assert (subject.account, subject.realm) == (account, realm)
    assert (subject.principal, subject.mechanism) == (principal, "kerberos")
    assert (subject.channel_bound, subject.attributes) == (True, AscRet.INTEGRITY)
    assert subject.groups.names == {"g"}


@pytest.mark.parametrize(
    "text",
    ["", "10.0.0.1/8", "10.0.0.0/33", "example.org", "fe80::1%eth0", "::ffff:10.0.0.0/104", "a"],
)
def test_what_is_no_network_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="networks"):
        parse_networks([text], "networks")


@given(st.ip_addresses(), st.lists(st.ip_addresses(network="10.0.0.0/8"), max_size=3))
def test_an_address_is_in_itself(address: ipaddress.IPv4Address, peers: list[object]) -> None:
    mapped = getattr(address, "ipv4_mapped", None)
    if mapped is None and "%" not in str(address):
        networks = ClientNetworks(
            parse_networks([str(address)], "networks"), parse_networks(map(str, peers), "peers")
        )
        assert networks.fit(address) is Fit.YES


GROUPS = b"""
[groups]
admins = ["alice@EXAMPLE.ORG"]
"Domain Users" = ["alice@EXAMPLE.ORG", 'DOM\\bob']
"""


def test_a_file_of_groups() -> None:
    groups = StaticGroups.parse(GROUPS, "groups.toml")
    alice = groups.groups_of(Identity("alice@EXAMPLE.ORG", "kerberos"))
    assert alice == GroupSet(frozenset({"admins", "Domain Users"}))
    assert groups.groups_of(Identity("DOM\\bob", "ntlm")).names == {"Domain Users"}
    assert groups.groups_of(Identity("Alice@EXAMPLE.ORG", "kerberos")) == GroupSet()
    assert groups.names == {"admins", "Domain Users"}


@pytest.mark.parametrize(
    "content",
    {
        "no TOML": b"[groups",
        "no UTF-8": b"\xff",
        "no table": b"",
        "another table": b"[groups]\n[x]\n",
        "no list": b'[groups]\na = "alice@R"',
        "no text": b"[groups]\na = [1]",
        "no realm": b'[groups]\na = ["alice"]',
        "no name": b'[groups]\na = ["@R"]',
        "a pattern of controls": b'[groups]\na = ["al\\nice@R"]',
        "a group with a blank at its end": b'[groups]\n"a " = ["alice@R"]',
        "an empty group name": b'[groups]\n"" = ["alice@R"]',
        "too deep": b"x = " + b"[" * 100_000,
        "too large": b"#" * (MAX_GROUPS_FILE_BYTES + 1),
        "a number without end": b"x = " + b"9" * 5_000,
    }.items(),
    ids=lambda item: item[0],
)
def test_a_broken_file_of_groups_is_refused_as_a_whole(content: tuple[str, bytes]) -> None:
    with pytest.raises(ConfigError, match=r"groups\.toml"):
        StaticGroups.parse(content[1], "groups.toml")


@given(
    st.binary(max_size=200)
    | st.text(max_size=100).map(lambda text: text.encode("utf-8", "replace"))
)
def test_any_file_of_groups_is_read_or_refused(content: bytes) -> None:
    for whole in (content, b"[groups]\n" + content):
        try:
            StaticGroups.parse(whole, "groups.toml")
        except ConfigError:
            continue
