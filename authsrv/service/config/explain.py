"""Why a request is let in or not: what each rule of the site says of it, for operators."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from authsrv.errors import AmbiguousPathError
from authsrv.service.sites.networks import Fit
from authsrv.service.sites.people import Subject
from authsrv.service.sites.rule import Rule, RuledRequest
from authsrv.service.sites.rules import RuleList, Ruling, Verdict

__all__ = ["Explanation", "RuleTrace", "explain"]

_MAX_SHOWN: Final = 4


@dataclass(frozen=True, slots=True)
class RuleTrace:
    """What became of a rule.

    Args:
        rule: It.
        unmet: The name of the condition that was not met: "paths", "groups"; None if all were.
        fit: How that condition fits.
    """

    rule: Rule
    unmet: str | None
    fit: Fit

    def __str__(self) -> str:
        name = f"{self.rule.name} ({self.rule.access.value})"
        if self.unmet is None:
            return f"{name}: matches"
        asked = _asked(self.rule, self.unmet)
        if self.fit is Fit.MAYBE:
            matches = "matches" if self.rule.applies(Fit.MAYBE) else "does not match"
            return f"{name}: {matches}, as its {self.unmet} cannot be told: {asked}"
        return f"{name}: does not match by its {self.unmet}: {asked}"


@dataclass(frozen=True, slots=True)
class Explanation:
    """What becomes of a request, and why.

    Args:
        ruling: The answer of the rules; the same that the request would get.
        traces: The rules, in their order, up to the one that decides.
    """

    ruling: Ruling
    traces: tuple[RuleTrace, ...]

    def __str__(self) -> str:
        lines = [f"  {number}. {trace}" for number, trace in enumerate(self.traces, 1)]
        return "\n".join([*lines, f"{self.ruling.verdict.value}: {self.ruling.cause}"])


def explain(rules: RuleList, request: RuledRequest, subject: Subject | None) -> Explanation:
    """Tell what the rules say of a request, and what each of them contributed.

    Args:
        rules: Those of the site.
        request: The request.
        subject: The client; None where it is not known who that is.
    """
    try:
        candidates = rules.candidates(request)
    except AmbiguousPathError as error:
        return Explanation(Ruling(Verdict.DENIED, None, f"ambiguous-path: {error.detail}"), ())
    ruling = candidates.rule_on(subject)
    traces = []
    for rule in rules.rules:
        traces.append(_trace(rule, request, subject, is_anywhere=candidates.must_all_match))
        if rule is ruling.rule:
            break
    return Explanation(ruling, tuple(traces))


def _trace(
    rule: Rule, request: RuledRequest, subject: Subject | None, *, is_anywhere: bool
) -> RuleTrace:
    if not is_anywhere and not rule.means_path(request.path):
        return RuleTrace(rule, "paths", Fit.NO)
    found = [rule.unmet_by_request(request)]
    if subject is not None and not request.is_preflight:
        found += [rule.unmet_by_person(subject), rule.unmet_by_proof(subject)]
    unmet, fit = min(found, key=lambda condition: condition[1])
    return RuleTrace(rule, None if fit is Fit.YES else unmet, fit)


def _asked(rule: Rule, condition: str) -> str:
    """What a rule asks by a condition, the first few of many."""
    values: Iterable[object]
    match condition:
        case "paths":
            values = [each.pattern for each in rule.paths]
        case "methods":
            values = sorted(rule.methods)
        case "networks":
            values = () if rule.networks is None else rule.networks.networks
        case "realms":
            values = () if rule.realms is None else sorted(rule.realms.names)
        case "users":
            values = () if rule.users is None else rule.users.texts
        case "groups":
            values = () if rule.groups is None else sorted(rule.groups.names)
        case "mechanisms":
            values = sorted(rule.mechanisms)
        case "attributes":
            values = [each.name for each in rule.attributes]
        case "max_age_seconds":
            values = [rule.max_age_seconds]
        case _:
            values = ["true"]
    texts = [str(each) for each in values]
    more = f" and {len(texts) - _MAX_SHOWN} more" if len(texts) > _MAX_SHOWN else ""
    return ", ".join(texts[:_MAX_SHOWN]) + more
