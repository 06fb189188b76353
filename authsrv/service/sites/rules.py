"""Who may do what on a site: a list of rules, as firewalls have it.

The first rule that matches decides, and where none matches the answer is no. A rule matches if
every condition that it has is met, those on the request (path, method, network) and those on the
client alike: a rule for /admin and the group "admins" says nothing of anybody else, and what comes
below it decides about them. So a rule that lets some into a place is followed by one that keeps
the others out, unless all the rest of the site is theirs, too::

    paths = ["/admin/**"]   groups = ["admins"]
    paths = ["/admin/**"]   access = "deny"
    paths = ["/**"]

A path that is not in normal form matches no rule.
"""

from __future__ import annotations

import enum
import functools
from collections.abc import Iterable
from dataclasses import dataclass, field

from authsrv.core.settings import as_member
from authsrv.errors import AmbiguousPathError, NoRuleError
from authsrv.http.paths import NormalPath, ambiguity_of
from authsrv.service.sites.networks import Fit
from authsrv.service.sites.people import Subject
from authsrv.service.sites.rule import Access, Rule, RuledRequest

__all__ = ["Ambiguous", "Candidates", "RuleList", "Ruling", "Verdict"]

# What rules said lately; it has words for the log, which take longer than to decide.
_MOST_KEPT = 1_024


class Ambiguous(enum.Enum):
    """What becomes of a path that is not in normal form."""

    DENY = "deny"
    STRICTEST = "strictest"
    """It is let in by whom every rule of the site would let in, whatever its paths."""


class Verdict(enum.Enum):
    """What the rules say of a request."""

    OPEN = "open"
    ALLOWED = "allowed"
    DENIED = "denied"
    IDENTITY_NEEDED = "identity-needed"
    """It depends on the client, and it is not known who that is."""
    STEP_UP = "step-up"
    """Who it is would be let in, had it proved that in another way: see the ruling's step_up."""


@dataclass(frozen=True, slots=True)
class Ruling:
    """What the rules say of a request, and why.

    Args:
        verdict: The answer.
        rule: The rule that decided; None where none matched, or all had to.
        step_up: The rule whose conditions on the proof are unmet, if the verdict is STEP_UP.
        cause: The same in words, for the log.
    """

    verdict: Verdict
    rule: Rule | None
    cause: str
    step_up: Rule | None = None
    is_yes: bool = field(init=False)
    """Whether the request is let in."""

    def __post_init__(self) -> None:
        is_yes = self.verdict in (Verdict.OPEN, Verdict.ALLOWED)
        object.__setattr__(self, "is_yes", is_yes)

    def refusal(self) -> NoRuleError:
        """The error that a denial is; of a step-up, too, where no further one is possible."""
        return NoRuleError(self.cause)


@dataclass(frozen=True, slots=True)
class Candidates:
    """The rules that may still match a request: path, method and network are looked at.

    Args:
        request: The request.
        rules: Those rules, in their order, each with how its conditions on the request fit.
        must_all_match: Whether every rule has to be satisfied, since the path is ambiguous.
    """

    request: RuledRequest
    rules: tuple[tuple[Rule, Fit], ...]
    must_all_match: bool = False

    def rule_on(self, subject: Subject | None) -> Ruling:
        """Decide.

        Args:
            subject: The client; None where it is not known who that is. A preflight has none.
        """
        if self.request.is_preflight:
            subject = None
        ruling = self._by_all(subject) if self.must_all_match else self._by_first(subject)
        if ruling.verdict is Verdict.IDENTITY_NEEDED and self.request.is_preflight:
            return Ruling(
                Verdict.DENIED, ruling.rule, f"{ruling.cause}, and preflights come without one"
            )
        return ruling

    @property
    def needs_identity(self) -> bool:
        """Whether it depends on who the client is."""
        return self.rule_on(None).verdict is Verdict.IDENTITY_NEEDED

    def _by_first(self, subject: Subject | None) -> Ruling:
        step_up: Rule | None = None
        for rule, fit in self.rules:
            if subject is None:
                if rule.asks or rule.access is Access.ALLOW:
                    return _needing(rule)
                return _decided(rule)
            if not rule.applies(min(fit, rule.unmet_by_person(subject)[1])):
                continue
            if rule.applies(rule.unmet_by_proof(subject)[1]):
                return _decided(rule) if rule.access is not Access.DENY else _no(rule, step_up)
            if rule.access is Access.ALLOW and step_up is None:
                step_up = rule
        return _no(None, step_up)

    def _by_all(self, subject: Subject | None) -> Ruling:
        letting_in = [(rule, fit) for rule, fit in self.rules if rule.access is not Access.DENY]
        keeping_out = [
            rule for rule, fit in self.rules if rule.access is Access.DENY and fit is not Fit.NO
        ]
        if not letting_in:
            return _no(None, None)
        for rule in [rule for rule in keeping_out if not rule.asks]:
            return _no(rule, None)
        for rule, fit in letting_in:
            if fit is not Fit.YES:
                return _unsatisfied(rule)
        asking = keeping_out + [rule for rule, _ in letting_in if rule.access is Access.ALLOW]
        if not asking:
            return Ruling(Verdict.OPEN, None, _ALL_SATISFIED)
        return _needing(asking[0]) if subject is None else _all_satisfied(asking, subject)


@dataclass(frozen=True, slots=True)
class RuleList:
    """The rules of a site, in their order.

    Args:
        rules: Them; without any, nothing is let in.
        ambiguous: What becomes of a path that is not in normal form.
    """

    rules: tuple[Rule, ...]
    ambiguous: Ambiguous = Ambiguous.DENY

    def __post_init__(self) -> None:
        object.__setattr__(self, "ambiguous", as_member(Ambiguous, self.ambiguous, "ambiguous"))

    def candidates(self, request: RuledRequest) -> Candidates:
        """Decide what can be decided without knowing who the client is.

        Raises:
            AmbiguousPathError: The path is not in normal form, and the site denies such.
        """
        ambiguity = ambiguity_of(request.path)
        if ambiguity is None:
            path = NormalPath(request.path)
            fitting = [
                (rule, fit)
                for rule in self.rules
                if rule.means(path) and rule.applies(fit := rule.unmet_by_request(request)[1])
            ]
            return Candidates(request, tuple(fitting))
        if self.ambiguous is not Ambiguous.STRICTEST:
            raise AmbiguousPathError(ambiguity)
        every = tuple((rule, rule.unmet_by_request(request)[1]) for rule in self.rules)
        return Candidates(request, every, must_all_match=True)

    @property
    def group_names(self) -> frozenset[str]:
        """The groups that the rules name."""
        lists = [rule.groups.names for rule in self.rules if rule.groups is not None]
        return frozenset().union(*lists)

    @property
    def principals(self) -> frozenset[str]:
        """The users that the rules name whole."""
        lists = [rule.users.principals for rule in self.rules if rule.users is not None]
        return frozenset().union(*lists)


_ALL_SATISFIED = "the path is ambiguous, and every rule of the site is satisfied"


@functools.lru_cache(_MOST_KEPT)
def _needing(rule: Rule) -> Ruling:
    return Ruling(Verdict.IDENTITY_NEEDED, rule, f"the rule {rule.name!r} needs an identity")


@functools.lru_cache(_MOST_KEPT)
def _decided(rule: Rule) -> Ruling:
    match rule.access:
        case Access.OPEN:
            return Ruling(Verdict.OPEN, rule, f"the rule {rule.name!r} lets in everybody")
        case Access.ALLOW:
            return Ruling(Verdict.ALLOWED, rule, f"the rule {rule.name!r} lets the client in")
        case Access.DENY:
            return _no(rule, None)


def _no(rule: Rule | None, step_up: Rule | None) -> Ruling:
    cause = "no rule of the site matches" if rule is None else f"the rule {rule.name!r} denies it"
    if step_up is None:
        return Ruling(Verdict.DENIED, rule, cause)
    how = f"{cause}; the rule {step_up.name!r} asks for another proof of the client's identity"
    return Ruling(Verdict.STEP_UP, rule, how, step_up)


def _unsatisfied(rule: Rule) -> Ruling:
    cause = f"the path is ambiguous, and the rule {rule.name!r} is not satisfied"
    return Ruling(Verdict.DENIED, rule, cause)


def _all_satisfied(rules: Iterable[Rule], subject: Subject) -> Ruling:
    step_up: Rule | None = None
    for rule in rules:
        person, proof = rule.unmet_by_person(subject)[1], rule.unmet_by_proof(subject)[1]
        if rule.access is Access.DENY:
            if min(person, proof) is not Fit.NO:
                return _no(rule, None)
        elif person is not Fit.YES:
            return _unsatisfied(rule)
        elif proof is not Fit.YES and step_up is None:
            step_up = rule
    if step_up is not None:
        return _no(None, step_up)
    return Ruling(Verdict.ALLOWED, None, _ALL_SATISFIED)
