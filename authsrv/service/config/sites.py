"""From the tables of the configuration to sites, and the checks across all of them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from authsrv.core.bindings import BindingPolicy, ChannelBindings, tls_server_end_point
from authsrv.core.realms import ALL_REALMS
from authsrv.http.forwarded import Network, Scheme
from authsrv.service.config.files import read_file
from authsrv.service.config.headers import build_headers
from authsrv.service.config.model import NegotiateTable, SiteTable
from authsrv.service.config.problems import Findings
from authsrv.service.config.rules import build_rules
from authsrv.service.config.services import as_services
from authsrv.service.sites.groups import NOBODY, StaticGroups
from authsrv.service.sites.headers import Attribute
from authsrv.service.sites.networks import ClientNetworks, parse_networks
from authsrv.service.sites.people import NameList, Subject
from authsrv.service.sites.rules import RuleList
from authsrv.service.sites.site import LOGIN_SITE, NegotiateAt, NegotiatePolicy, Site, SiteHost

__all__ = ["Surroundings", "as_realms", "build_sites", "site_key"]

_MAX_CERTIFICATE_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What sites need from the rest of the configuration.

    Args:
        folder: That of the configuration, which relative paths start from.
        peers: The networks of the trusted peers.
        realms: The realms that are let in where a site names none.
        services: The service principal names where a site names none.
        groups: The groups of the file.
        has_groups_file: Whether there is one.
    """

    folder: str
    peers: tuple[Network, ...] = ()
    realms: frozenset[str] | None = None
    services: tuple[str, ...] = ()
    groups: StaticGroups = NOBODY
    has_groups_file: bool = False


def site_key(number: int, table: SiteTable) -> str:
    """How problems call a site: by its name, or its number from 1."""
    return f"site[{table.name or number}]"


def as_realms(names: Sequence[str] | None, findings: Findings, key: str) -> frozenset[str] | None:
    """Take the value of a key `realms`; None where it is missing."""
    for name in names or ():
        if name != ALL_REALMS and ("*" in name or "@" in name or name != name.strip()):
            findings.error(key, f"{name[:64]!r} is no realm", 'write it as "EXAMPLE.ORG"')
    return frozenset(names) if names else None


def build_sites(
    tables: Sequence[SiteTable], around: Surroundings, findings: Findings
) -> tuple[Site, ...]:
    """Make the sites, without those that cannot be made."""
    keys = [site_key(number, table) for number, table in enumerate(tables, 1)]
    rules = [
        build_rules(table, around.peers, findings, key)
        for key, table in zip(keys, tables, strict=True)
    ]
    known = _known_names(rules, around.groups)
    _check_groups(rules, keys, around, findings)
    made = [
        _build_site(table, listed, known, around, findings, key)
        for key, table, listed in zip(keys, tables, rules, strict=True)
    ]
    return tuple(site for site in made if site is not None)


def _build_site(
    table: SiteTable,
    rules: RuleList,
    known: NameList,
    around: Surroundings,
    findings: Findings,
    key: str,
) -> Site | None:
    scheme = Scheme(table.scheme or "https")
    hosts = _hosts(table, scheme, findings, key)
    headers = build_headers(table.headers, known, findings, f"{key}.headers")
    if not table.name:
        findings.error(f"{key}.name", "the site has no name", 'add name = "wiki"')
    if table.name == LOGIN_SITE:
        findings.error(
            f"{key}.name",
            f"{LOGIN_SITE!r} is how the proxy calls the login host",
            "rename the site",
        )
    realms = as_realms(table.realms, findings, f"{key}.realms") or around.realms
    # Only what was given: each default stands in one place.
    given = {
        "has_sessions": table.sessions,
        "has_token_path": table.token_path,
        "sends_token": table.token_header,
        "case_insensitive": table.case_insensitive,
        "idle_seconds": table.idle_seconds,
        "session_seconds": table.session_seconds,
        "password_session_seconds": table.password_session_seconds,
    }
    services = as_services(table.spn, findings, f"{key}.spn") or around.services
    negotiate = _negotiate(table, around.peers, findings, key)
    bindings = _bindings(table, around.folder, findings, key)
    if not (table.name and hosts and headers is not None):
        return None
    site = Site(
        name=table.name,
        scheme=scheme,
        hosts=hosts,
        rules=rules,
        negotiate=negotiate,
        headers=headers,
        bindings=bindings,
        services=services,
        realms=realms,
        **{name: value for name, value in given.items() if value is not None},  # type: ignore[arg-type]
    )
    _check_site(site, table, findings, key)
    return site


def _hosts(table: SiteTable, scheme: Scheme, findings: Findings, key: str) -> tuple[SiteHost, ...]:
    where = f"{key}.hosts"
    if not table.hosts:
        findings.error(where, "the site has no hosts", 'add hosts = ["wiki.example.org"]')
        return ()
    found: list[SiteHost] = []
    for text in table.hosts:
        host = findings.attempt(where, lambda text=text: SiteHost.parse(text, scheme))  # type: ignore[misc]
        if host is not None:
            found.append(host)
    return tuple(found)


def _negotiate(
    table: SiteTable, peers: tuple[Network, ...], findings: Findings, key: str
) -> NegotiatePolicy:
    where = f"{key}.negotiate"
    entries = table.negotiate or [NegotiateTable(at="both")]
    return NegotiatePolicy(
        tuple(
            (_networks(entry.networks, peers, findings, where), NegotiateAt(entry.at or "both"))
            for entry in entries
        )
    )


def _networks(
    texts: Iterable[str] | None, peers: tuple[Network, ...], findings: Findings, key: str
) -> ClientNetworks | None:
    if texts is None:
        return None
    networks = findings.attempt(key, lambda: parse_networks(texts, "networks"))
    return ClientNetworks(networks or (), peers)


def _bindings(
    table: SiteTable, folder: str, findings: Findings, key: str
) -> ChannelBindings | None:
    policy = table.extended_protection or "off"
    where = f"{key}.certificate"
    if policy == "off":
        if table.certificate:
            findings.warn(where, "it is not used, as extended_protection is off")
        return None
    if not table.certificate:
        findings.error(
            where,
            "extended protection needs the certificate that the proxy shows",
            "name its file, PEM or DER",
        )
        return None
    path = os.path.join(folder, table.certificate)
    content = read_file(path, findings, where, max_bytes=_MAX_CERTIFICATE_BYTES)
    if content is None:
        return None
    return findings.attempt(
        where, lambda: tls_server_end_point(content, policy=BindingPolicy(policy))
    )


def _check_site(site: Site, table: SiteTable, findings: Findings, key: str) -> None:
    if not site.is_secure and site.has_sessions:
        findings.error(
            f"{key}.scheme",
            "a site of plain http cannot have sessions",
            'serve it by https, or set sessions = false and negotiate = "ask"',
        )
    if site.idle_seconds > site.session_seconds:
        findings.error(f"{key}.idle_seconds", "it is more than session_seconds")
    for name in ("ntlm", "password"):
        if not site.is_secure and any(name in rule.mechanisms for rule in site.rules.rules):
            findings.warn(f"{key}.rule", f"over plain http, nobody can prove itself by {name}")
    is_unbound = site.bindings is None or site.bindings.policy is not BindingPolicy.REQUIRE
    if is_unbound and any("ntlm" in rule.mechanisms for rule in site.rules.rules):
        findings.warn(
            f"{key}.extended_protection",
            "NTLM can be relayed here, as channel bindings are not required",
            'set extended_protection = "require"',
        )
    if site.bindings is None and any(rule.channel_bound for rule in site.rules.rules):
        findings.error(
            f"{key}.rule",
            "a rule asks for channel_bound, and the site has no extended protection",
            'set extended_protection = "allow" and certificate',
        )
    _warn_of_accounts(site, findings, key)


def _warn_of_accounts(site: Site, findings: Findings, key: str) -> None:
    tells = any(field.attribute is Attribute.ACCOUNT for field in site.headers.fields)
    many = site.realms is not None and (len(site.realms) > 1 or ALL_REALMS in site.realms)
    if tells and many:
        findings.warn(
            f"{key}.headers",
            "users of several realms may share an account's name, which the application is told",
            "tell it the principal, or let in one realm",
        )


def _known_names(rules: Iterable[RuleList], groups: StaticGroups) -> NameList:
    return NameList(_names(rules, groups))


def _names(rules: Iterable[RuleList], groups: StaticGroups) -> Iterator[str]:
    principals = set(groups.by_principal)
    for listed in rules:
        yield from listed.group_names
        principals |= listed.principals
    yield from groups.names
    for principal in principals:
        yield principal
        yield Subject(principal, "").account


def _check_groups(
    rules: Iterable[RuleList], keys: Iterable[str], around: Surroundings, findings: Findings
) -> None:
    for key, listed in zip(keys, rules, strict=True):
        if not listed.group_names:
            continue
        if not around.has_groups_file:
            findings.error(
                f"{key}.rule",
                "rules name groups, and there is no file that says who is in them",
                "add [groups] with file",
            )
            continue
        for name in sorted(listed.group_names - around.groups.names):
            findings.warn(f"{key}.rule", f"nobody is in the group {name!r}", "is it misspelled?")
