"""What is probably not meant in a list of rules: told as warnings at start.

A rule says nothing of the clients that it does not let in; a later one may. That is how several
rules for one place work, and also how a place is left open by mistake.
"""

from __future__ import annotations

from collections.abc import Iterator

from authsrv.service.config.problems import Findings
from authsrv.service.sites.rule import Access, Rule

__all__ = ["warn_of_rules"]


def warn_of_rules(rules: tuple[Rule, ...], findings: Findings, key: str) -> None:
    """Warn of rules that never match, or let some in where a later one opens the place to others.

    Args:
        rules: Those of a site, in their order.
        findings: Where the warnings go.
        key: The key of the rules.
    """
    if not rules:
        findings.warn(key, "the site has no rules, so nobody is let in", 'add paths = ["/**"]')
    _warn_of_unreached(rules, findings, key)
    for number, rule in enumerate(rules):
        if rule.access is not Access.ALLOW or not rule.asks_who:
            continue
        wider = _opened_by(rule, rules[number + 1 :])
        if wider is not None:
            findings.warn(
                key,
                f"whom the rule {rule.name!r} does not let in may come in by {wider.name!r}",
                f'put a rule with the same paths and access = "deny" behind {rule.name!r}',
            )


def _warn_of_unreached(rules: tuple[Rule, ...], findings: Findings, key: str) -> None:
    last = next((number for number, rule in enumerate(rules) if _matches_all(rule)), len(rules))
    for rule in rules[last + 1 :]:
        findings.warn(
            key,
            f"the rule {rule.name!r} can never match: {rules[last].name!r} before it always does",
            f"put it before {rules[last].name!r}",
        )


def _matches_all(rule: Rule) -> bool:
    has_all_paths = not rule.paths or any(each.pattern == "/**" for each in rule.paths)
    return has_all_paths and not rule.methods and rule.networks is None and not rule.asks


def _opened_by(rule: Rule, later: tuple[Rule, ...]) -> Rule | None:
    """The first later rule that lets others in to some path of a rule; None where none does."""
    for path in _examples(rule):
        for other in later:
            if not _covers(other, rule, path):
                continue
            if other.access is not Access.DENY and _is_wider(other, rule):
                return other
            if other.access is Access.DENY and not other.asks:
                break
    return None


def _examples(rule: Rule) -> Iterator[str]:
    if not rule.paths:
        yield "/"
    for each in rule.paths:
        pattern = each.pattern
        fixed = pattern.removesuffix("/**")
        example = "/".join("x" if part == "*" else part for part in fixed.split("/"))
        yield f"{example}/x" if pattern.endswith("/**") else example


def _covers(other: Rule, rule: Rule, path: str) -> bool:
    """Whether another rule is about the requests of a rule for a path."""
    return (
        other.means_path(path)
        and (not other.methods or (bool(rule.methods) and rule.methods <= other.methods))
        and (other.networks is None or other.networks == rule.networks)
    )


def _is_wider(other: Rule, rule: Rule) -> bool:
    # Two rules for the very same paths are alternatives, if both ask who comes.
    return not other.asks_who or other.paths != rule.paths
