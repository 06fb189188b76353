"""From the tables of the configuration to rules."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from authsrv.core.flags import AscRet
from authsrv.errors import ConfigError
from authsrv.http.forwarded import METHODS, Network
from authsrv.http.paths import PathPattern
from authsrv.service.config.model import RuleTable, SiteTable
from authsrv.service.config.problems import Findings
from authsrv.service.config.rule_checks import warn_of_rules
from authsrv.service.sites.networks import ClientNetworks, parse_networks
from authsrv.service.sites.people import NameList, UserList
from authsrv.service.sites.rule import Access, Rule
from authsrv.service.sites.rules import Ambiguous, RuleList

__all__ = ["build_rules"]


def build_rules(
    table: SiteTable, peers: tuple[Network, ...], findings: Findings, key: str
) -> RuleList:
    """Make the rules of a site, without those that have errors."""
    rules: list[Rule] = []
    names: set[str] = set()
    for number, entry in enumerate(table.rule or (), 1):
        name = entry.name or f"rule {number}"
        where = f"{key}.rule[{name if entry.name else number}]"
        if name in names:
            findings.error(where, f"two rules of the site have the name {name!r}")
        names.add(name)
        rule = _RuleBuilder(
            entry, name, bool(table.case_insensitive), peers, findings, where
        ).build()
        if rule is not None:
            rules.append(rule)
    made = tuple(rules)
    if len(made) == len(table.rule or ()):
        warn_of_rules(made, findings, f"{key}.rule")
    return RuleList(made, Ambiguous(table.ambiguous or "deny"))


class _RuleBuilder:
    """Makes one rule of its table; each condition that has an error is told."""

    def __init__(
        self,
        table: RuleTable,
        name: str,
        case_insensitive: bool,
        peers: tuple[Network, ...],
        findings: Findings,
        key: str,
    ) -> None:
        self._table = table
        self._name = name
        self._case_insensitive = case_insensitive
        self._peers = peers
        self._findings = findings
        self._key = key
        self._is_good = True

    def build(self) -> Rule | None:
        table = self._table
        made: dict[str, Any] = {
            "paths": self._made("paths", table.paths, self._paths),
            "methods": self._made("methods", table.methods, _methods),
            "networks": self._made("networks", table.networks, self._networks),
            "realms": self._made("realms", table.realms, _names),
            "users": self._made("users", table.users, UserList),
            "groups": self._made("groups", table.groups, _names),
            "mechanisms": frozenset(table.mechanisms or ()) or None,
            "attributes": self._made("attributes", table.attributes, _attributes),
            "channel_bound": table.channel_bound,
            "max_age_seconds": table.max_age_seconds,
        }
        if not self._is_good:
            return None
        users = made["users"]
        if users is not None and users.is_of_any_realm and not table.realms:
            self._findings.error(
                f"{self._key}.users",
                "a pattern without a realm means users of every realm that is trusted",
                "add realms to the rule",
            )
        access = Access(table.access or "allow")
        given = {key: value for key, value in made.items() if value is not None}
        return self._findings.attempt(
            f"{self._key}.access", lambda: Rule(self._name, access, **given)
        )

    def _made(
        self, key: str, texts: Sequence[str] | None, make: Callable[[Sequence[str]], Any]
    ) -> Any:
        if texts is None:
            return None
        made = self._findings.attempt(f"{self._key}.{key}", partial(make, texts))
        self._is_good = self._is_good and made is not None
        return made

    def _paths(self, texts: Sequence[str]) -> tuple[PathPattern, ...]:
        return tuple(PathPattern(text, self._case_insensitive) for text in texts)

    def _networks(self, texts: Sequence[str]) -> ClientNetworks:
        return ClientNetworks(parse_networks(texts, "networks"), self._peers)


def _names(texts: Sequence[str]) -> NameList:
    for text in texts:
        # A pattern that is taken for a name would mean nobody, and keep nobody out.
        if not text.isprintable() or text != text.strip() or "*" in text:
            raise ConfigError(f"{text[:64]!r} is no name; patterns are for users only")
    return NameList(texts)


def _methods(texts: Sequence[str]) -> frozenset[str]:
    unknown = sorted(set(texts) - METHODS)
    if unknown:
        raise ConfigError(
            f"{unknown[0][:64]!r} is no method that is let through; methods are upper-case"
        )
    return frozenset(texts)


def _attributes(texts: Sequence[str]) -> AscRet:
    attributes = AscRet(0)
    for text in texts:
        attributes |= AscRet[text.upper()]
    return attributes
