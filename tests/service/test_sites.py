"""Which site a request is of: exactly that of its host, or none."""

from __future__ import annotations

import ipaddress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from authsrv.errors import ConfigError, InsecureSchemeError, MetadataError, UnknownSiteError
from authsrv.http.forwarded import AskedRequest, Host, Scheme
from authsrv.http.paths import Target
from authsrv.service.sites.groups import GroupSet
from authsrv.service.sites.headers import PRESETS, HeaderMap
from authsrv.service.sites.networks import ClientNetworks, parse_networks
from authsrv.service.sites.people import NameList
from authsrv.service.sites.rule import Rule
from authsrv.service.sites.rules import RuleList
from authsrv.service.sites.site import (
    TOKEN_HEADER,
    NegotiateAt,
    NegotiatePolicy,
    Site,
    SiteHost,
    Sites,
)

EVERYWHERE = NegotiatePolicy(((None, NegotiateAt.BOTH),))


def site(name: str, *hosts: str, **given: Any) -> Site:
    scheme = given.pop("scheme", Scheme.HTTPS)
    values: dict[str, Any] = {
        "rules": RuleList(()),
        "negotiate": EVERYWHERE,
        "headers": HeaderMap(),
        **given,
    }
    return Site(name, scheme, tuple(SiteHost.parse(each, scheme) for each in hosts), **values)


SITES = Sites(
    (
        site("wiki", "wiki.test", "wiki.test:8443"),
        site("apps", "*.apps.test", "[2001:db8::1]"),
        site("special", "special.apps.test"),
        site("demo", "localhost:8080", scheme=Scheme.HTTP),
    )
)


def asked(host: str, named: str | None = None, scheme: Scheme = Scheme.HTTPS) -> AskedRequest:
    return AskedRequest("GET", scheme, Host.parse(host), Target("/"), None, named, False)


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("wiki.test", "wiki"),
        ("WIKI.test", "wiki"),
        ("wiki.test:443", "wiki"),
        ("wiki.test:8443", "wiki"),
        ("a.apps.test", "apps"),
        ("[2001:db8::1]", "apps"),
        ("special.apps.test", "special"),
    ],
)
@pytest.mark.parametrize("is_named", [True, False])
def test_the_site_of_a_host(host: str, name: str, is_named: bool) -> None:
    assert SITES.find(asked(host, name if is_named else None)).name == name
    assert SITES[name].covers(Host.parse(host))


@pytest.mark.parametrize(
    "host",
    ["wiki.test:9", "wiki.test:80", "evil.test", "a.b.apps.test", "apps.test", "a.apps.test:8443"],
)
def test_a_host_of_no_site_is_unknown(host: str) -> None:
    with pytest.raises(UnknownSiteError, match="is of no site"):
        SITES.find(asked(host))


@pytest.mark.parametrize(
    "host", ["wiki.test.", "u@wiki.test", "", "wiki.test,evil.test", "wíki.test"]
)
def test_what_is_no_host_is_not_even_looked_up(host: str) -> None:
    with pytest.raises(MetadataError):
        asked(host)


@pytest.mark.parametrize("named", ["apps", "WIKI", "nobody", ""])
def test_a_host_that_is_not_of_the_site_that_the_proxy_names_is_refused(named: str) -> None:
    with pytest.raises(UnknownSiteError, match="the proxy names"):
        SITES.find(asked("wiki.test", named))


def test_plain_http_does_not_reach_a_site_of_https() -> None:
    for host in ("wiki.test", "wiki.test:80", "a.apps.test"):
        with pytest.raises(InsecureSchemeError):
            SITES.find(asked(host, scheme=Scheme.HTTP))
    assert SITES.find(asked("localhost:8080", scheme=Scheme.HTTP)).name == "demo"


@pytest.mark.parametrize(
    "sites",
    [
        (site("a", "a.test"), site("a", "b.test")),
        (site("a", "a.test"), site("b", "a.test")),
        (site("a", "a.test"), site("b", "a.test:443")),
        (site("a", "*.a.test"), site("b", "*.a.test")),
    ],
)
def test_no_two_sites_share_a_name_or_a_host(sites: tuple[Site, ...]) -> None:
    with pytest.raises(ConfigError):
        Sites(sites)


@pytest.mark.parametrize(
    "text",
    ["", "*", "*.test", "*.0.0.1", "Wiki.test", "wiki.test.", "a.*.test", "wíki.test", "a b"],
)
def test_what_is_no_host_of_a_site_is_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        SiteHost.parse(text, Scheme.HTTPS)


def test_a_site_has_hosts_and_types() -> None:
    with pytest.raises(ConfigError, match="no hosts"):
        site("a")
    with pytest.raises(ConfigError, match="scheme"):
        Site("a", "https:", (), RuleList(()), EVERYWHERE, HeaderMap())  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("hosts", "scheme", "is_secure"),
    [
        (["wiki.test"], Scheme.HTTPS, True),
        (["wiki.test"], Scheme.HTTP, False),
        (["localhost:8080", "127.0.0.1", "[::1]:81", "a.localhost"], Scheme.HTTP, True),
        (["localhost", "wiki.test"], Scheme.HTTP, False),
        (["notlocalhost"], Scheme.HTTP, False),
    ],
)
def test_sessions_need_https_or_loopback(hosts: list[str], scheme: Scheme, is_secure: bool) -> None:
    assert site("a", *hosts, scheme=scheme).is_secure is is_secure


def test_the_names_by_which_any_application_is_told() -> None:
    sites = Sites(
        (
            site("a", "a.test", headers=HeaderMap(PRESETS["gitea"])),
            site("b", "b.test", headers=HeaderMap(PRESETS["grafana"]), sends_token=True),
        )
    )
    names = sites.identity_names
    assert {"X-WEBAUTH-FULLNAME", "X-WEBAUTH-GROUPS", TOKEN_HEADER} <= set(names)
    assert len(names) == len(set(names))


def test_which_groups_a_session_has_to_remember() -> None:
    rules = RuleList((Rule("a", groups=NameList(["staff", "admins"])),))
    groups = GroupSet(frozenset({"staff", "chess club"}), is_truncated=True)
    silent = site("a", "a.test", rules=rules)
    assert silent.asked_groups == {"staff", "admins"}
    assert silent.groups_that_matter(groups) == GroupSet(frozenset({"staff"}), is_truncated=True)
    told: tuple[dict[str, Any], ...] = (
        {"headers": HeaderMap(PRESETS["authelia"])},
        {"sends_token": True},
        {"has_token_path": True},
    )
    for telling in told:
        assert site("a", "a.test", rules=rules, **telling).groups_that_matter(groups) == groups


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("10.1.1.1", NegotiateAt.ASK),
        ("10.2.1.1", NegotiateAt.LOGIN),
        ("192.0.2.1", NegotiateAt.NEVER),
        (None, NegotiateAt.NEVER),
    ],
)
def test_where_a_client_is_asked_for_a_ticket(address: str | None, expected: NegotiateAt) -> None:
    def inside(text: str) -> ClientNetworks:
        return ClientNetworks(parse_networks([text], "networks"))

    policy = NegotiatePolicy(
        ((inside("10.1.0.0/16"), NegotiateAt.ASK), (inside("10.0.0.0/8"), NegotiateAt.LOGIN))
    )
    where = None if address is None else ipaddress.ip_address(address)
    assert policy.at(where) is expected
    assert EVERYWHERE.at(where) is NegotiateAt.BOTH


@given(st.text(max_size=20) | st.text(st.sampled_from("wiki.tes*:48[]"), max_size=14))
def test_any_text_is_a_host_or_refused(text: str) -> None:
    try:
        host = SiteHost.parse(text, Scheme.HTTPS)
    except ConfigError:
        return
    assert str(host) == text or text.endswith(":443")
