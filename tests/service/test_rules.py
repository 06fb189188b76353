"""Rules: the first that matches decides, what cannot be told lets nobody in, and nobody is let in
whom a plain reading of the list would not let in."""

from __future__ import annotations

import ipaddress
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from authsrv.core.flags import AscRet
from authsrv.errors import AmbiguousPathError, ConfigError, NoRuleError
from authsrv.http.folding import HeaderNames
from authsrv.http.forwarded import AskedRequest, Host, Scheme
from authsrv.http.paths import PathPattern, Target
from authsrv.service.config.explain import explain
from authsrv.service.sites.groups import GroupSet
from authsrv.service.sites.networks import ClientNetworks, parse_networks
from authsrv.service.sites.people import NameList, Subject, UserList
from authsrv.service.sites.rule import Access, Rule, RuledRequest
from authsrv.service.sites.rules import Ambiguous, RuleList, Ruling, Verdict

ALICE = Subject("alice@EXAMPLE.ORG", "kerberos", groups=GroupSet(frozenset({"staff"})))
ADMIN = replace(ALICE, principal="root@EXAMPLE.ORG", groups=GroupSet(frozenset({"admins"})))
ANYWHERE = ipaddress.ip_address("192.0.2.7")


def paths(*patterns: str) -> tuple[PathPattern, ...]:
    return tuple(PathPattern(each) for each in patterns)


def networks(*texts: str, peers: tuple[str, ...] = ()) -> ClientNetworks:
    return ClientNetworks(parse_networks(texts, "networks"), parse_networks(peers, "peers"))


def get(path: str, **given: Any) -> RuledRequest:
    return RuledRequest(**{"method": "GET", "path": path, "address": ANYWHERE, **given})


def ruled(rules: RuleList, request: RuledRequest, subject: Subject | None = None) -> Ruling:
    return rules.candidates(request).rule_on(subject)


ADMINS_ONLY = RuleList(
    (
        Rule("admins", paths=paths("/admin/**"), groups=NameList(["admins"])),
        Rule("others", Access.DENY, paths=paths("/admin/**")),
        Rule("public", Access.OPEN, paths=paths("/public/**"), methods=frozenset({"GET"})),
        Rule("rest", paths=paths("/**")),
    )
)


@pytest.mark.parametrize(
    ("path", "subject", "verdict", "by"),
    [
        ("/admin/x", ADMIN, Verdict.ALLOWED, "admins"),
        ("/admin", ADMIN, Verdict.ALLOWED, "admins"),
        ("/admin/x", ALICE, Verdict.DENIED, "others"),
        ("/admin/x", None, Verdict.IDENTITY_NEEDED, "admins"),
        ("/administration", ALICE, Verdict.ALLOWED, "rest"),
        ("/public/x", None, Verdict.OPEN, "public"),
        ("/public/x", ALICE, Verdict.OPEN, "public"),
        ("/publicity", None, Verdict.IDENTITY_NEEDED, "rest"),
        ("/", ALICE, Verdict.ALLOWED, "rest"),
    ],
)
def test_the_first_rule_that_matches_decides(
    path: str, subject: Subject | None, verdict: Verdict, by: str
) -> None:
    ruling = ruled(ADMINS_ONLY, get(path), subject)
    assert (ruling.verdict, ruling.rule and ruling.rule.name) == (verdict, by)
    assert ruling.is_yes == (verdict in (Verdict.OPEN, Verdict.ALLOWED))


def test_a_rule_says_nothing_of_those_whom_it_does_not_mean() -> None:
    rules = RuleList((Rule("a", users=UserList(["bob@EXAMPLE.ORG"])), Rule("b")))
    assert ruled(rules, get("/"), ALICE).rule is rules.rules[1]


def test_where_no_rule_matches_nobody_is_let_in_and_nobody_is_asked() -> None:
    rules = RuleList((Rule("a", paths=paths("/a")),))
    for subject in (None, ALICE):
        ruling = ruled(rules, get("/b"), subject)
        assert ruling.verdict is Verdict.DENIED
        assert isinstance(ruling.refusal(), NoRuleError)
    assert not rules.candidates(get("/b")).needs_identity
    assert rules.candidates(get("/a")).needs_identity
    assert ruled(RuleList(()), get("/"), ALICE).verdict is Verdict.DENIED


@pytest.mark.parametrize(
    "path",
    [
        "/%61dmin",
        "//admin",
        "/admin;x",
        "/a/..;/admin",
        "/a/../admin",
        "\\admin",
        "/admin%00",
        "/admin#/public",
        "/admin%2fx",
        "/%2561dmin",
    ],
)
def test_a_path_that_can_be_misread_matches_no_rule(path: str) -> None:
    with pytest.raises(AmbiguousPathError):
        ADMINS_ONLY.candidates(get(path))
    # And not even one without paths.
    with pytest.raises(AmbiguousPathError):
        RuleList((Rule("all", Access.OPEN),)).candidates(get(path))


LETTING = Rule("rest")
MEANT_FOR_ADMINS = Rule("admins", paths=paths("/admin/**"), groups=NameList(["admins"]))
BOTH = replace(ADMIN, groups=GroupSet(frozenset({"admins", "staff"})))


@pytest.mark.parametrize(
    ("rules", "subject", "verdict"),
    [
        ((LETTING,), ALICE, Verdict.ALLOWED),
        ((LETTING,), None, Verdict.IDENTITY_NEEDED),
        ((Rule("o", Access.OPEN),), None, Verdict.OPEN),
        ((Rule("o", Access.OPEN), LETTING), None, Verdict.IDENTITY_NEEDED),
        ((MEANT_FOR_ADMINS, LETTING), ALICE, Verdict.DENIED),
        ((MEANT_FOR_ADMINS, LETTING), ADMIN, Verdict.ALLOWED),
        ((LETTING, Rule("d", Access.DENY, paths=paths("/x"))), ALICE, Verdict.DENIED),
        ((LETTING, Rule("d", Access.DENY, paths=paths("/x"))), None, Verdict.DENIED),
        ((LETTING, Rule("d", Access.DENY, methods=frozenset({"PUT"}))), ALICE, Verdict.ALLOWED),
        (
            (LETTING, Rule("d", Access.DENY, users=UserList(["bob@EXAMPLE.ORG"]))),
            ALICE,
            Verdict.ALLOWED,
        ),
        (
            (LETTING, Rule("d", Access.DENY, users=UserList(["alice@EXAMPLE.ORG"]))),
            ALICE,
            Verdict.DENIED,
        ),
        ((LETTING, Rule("p", methods=frozenset({"PUT"}))), ALICE, Verdict.DENIED),
        ((LETTING, Rule("n", networks=networks("10.0.0.0/8"))), ALICE, Verdict.DENIED),
        ((LETTING, Rule("k", mechanisms=frozenset({"ntlm"}))), ALICE, Verdict.STEP_UP),
        ((Rule("d", Access.DENY, methods=frozenset({"PUT"})),), ALICE, Verdict.DENIED),
        ((Rule("d", Access.DENY, methods=frozenset({"PUT"})),), None, Verdict.DENIED),
        ((), None, Verdict.DENIED),
        ((), ALICE, Verdict.DENIED),
    ],
)
def test_an_ambiguous_path_has_to_satisfy_every_rule_where_a_site_says_strictest(
    rules: tuple[Rule, ...], subject: Subject | None, verdict: Verdict
) -> None:
    assert ruled(RuleList(rules, Ambiguous.STRICTEST), get("/a//b"), subject).verdict is verdict


def test_strictest_changes_nothing_for_paths_in_normal_form() -> None:
    rules = RuleList(ADMINS_ONLY.rules, Ambiguous.STRICTEST)
    assert ruled(rules, get("/public/x")).verdict is Verdict.OPEN
    assert ruled(rules, get("/public//x"), BOTH).verdict is Verdict.DENIED


@pytest.mark.parametrize(
    ("address", "listed", "peers", "is_met", "is_kept_out"),
    [
        ("10.1.2.3", "10.0.0.0/8", (), True, True),
        ("192.0.2.1", "10.0.0.0/8", (), False, False),
        (None, "10.0.0.0/8", (), False, True),
        (None, "0.0.0.0/0", (), False, True),
        ("127.0.0.1", "0.0.0.0/0", (), False, True),
        ("127.0.0.1", "127.0.0.0/8", (), True, True),
        ("127.0.0.1", "127.0.0.1/32", (), True, True),
        ("::1", "::/0", (), False, True),
        ("::1", "::1/128", (), True, True),
        ("10.0.0.9", "10.0.0.0/8", ("10.0.0.9/32",), False, True),
        ("10.0.0.9", "10.0.0.9/32", ("10.0.0.9/32",), True, True),
        ("10.0.0.8", "10.0.0.0/8", ("10.0.0.9/32",), True, True),
        ("2001:db8::1", "2001:db8::/32", (), True, True),
        ("2001:db8::1", "10.0.0.0/8", (), False, False),
    ],
)
def test_a_network_that_cannot_be_told_lets_nobody_in_and_keeps_out(
    address: str | None, listed: str, peers: tuple[str, ...], is_met: bool, is_kept_out: bool
) -> None:
    where = networks(listed, peers=peers)
    request = get("/", address=None if address is None else ipaddress.ip_address(address))
    inside = RuleList((Rule("in", networks=where),))
    assert ruled(inside, request, ALICE).is_yes is is_met
    outside = RuleList((Rule("out", Access.DENY, networks=where), Rule("rest")))
    assert ruled(outside, request, ALICE).is_yes is not is_kept_out


@pytest.mark.parametrize(
    ("method", "has_override", "is_yes"),
    [
        ("GET", False, True),
        ("GET", True, False),
        ("POST", True, False),
        ("POST", False, False),
    ],
)
def test_a_rule_for_a_method_lets_in_no_request_that_asks_for_another_in_a_header(
    method: str, has_override: bool, is_yes: bool
) -> None:
    request = get("/", method=method, has_override=has_override)
    for access in (Access.ALLOW, Access.OPEN):
        rules = RuleList((Rule("get", access, methods=frozenset({"GET"})),))
        assert ruled(rules, request, ALICE).is_yes is is_yes


def test_a_rule_that_denies_a_method_denies_it_in_a_header_too() -> None:
    rules = RuleList((Rule("no", Access.DENY, methods=frozenset({"DELETE"})), Rule("rest")))
    assert ruled(rules, get("/", method="POST"), ALICE).is_yes
    assert not ruled(rules, get("/", method="POST", has_override=True), ALICE).is_yes


def test_a_cut_set_of_groups_takes_comfort_in_no_absence() -> None:
    rules = RuleList((Rule("no", Access.DENY, groups=NameList(["contractors"])), Rule("rest")))
    cut = replace(ALICE, groups=GroupSet(frozenset({"staff"}), is_truncated=True))
    assert ruled(rules, get("/"), ALICE).is_yes
    assert not ruled(rules, get("/"), cut).is_yes
    staff = RuleList((Rule("yes", groups=NameList(["staff"])),))
    admins = RuleList((Rule("yes", groups=NameList(["admins"])),))
    assert ruled(staff, get("/"), cut).is_yes
    assert not ruled(admins, get("/"), cut).is_yes


@pytest.mark.parametrize(
    "name", ["ALICE@EXAMPLE.ORG", "alice@example.org", "\uff41lice@EXAMPLE.ORG"]
)
def test_another_way_to_write_a_name_neither_lets_in_nor_evades(name: str) -> None:
    other = replace(ALICE, principal=name)
    allowed = RuleList((Rule("yes", users=UserList(["alice@EXAMPLE.ORG"])),))
    denied = RuleList((Rule("no", Access.DENY, users=UserList(["alice@EXAMPLE.ORG"])), Rule("r")))
    assert not ruled(allowed, get("/"), other).is_yes
    assert not ruled(denied, get("/"), other).is_yes


STEPS: list[tuple[dict[str, Any], dict[str, Any], bool]] = [
    ({"mechanisms": frozenset({"kerberos"})}, {"mechanism": "password"}, False),
    ({"mechanisms": frozenset({"kerberos", "password"})}, {"mechanism": "password"}, True),
    ({"channel_bound": True}, {}, False),
    ({"channel_bound": True}, {"channel_bound": True}, True),
    ({"attributes": AscRet.INTEGRITY}, {}, False),
    ({"attributes": AscRet.INTEGRITY}, {"attributes": AscRet.INTEGRITY}, True),
    ({"max_age_seconds": 60}, {"age_seconds": 61}, False),
    ({"max_age_seconds": 60}, {"age_seconds": 60}, True),
]


@pytest.mark.parametrize(("conditions", "proof", "is_yes"), STEPS)
def test_who_proved_itself_in_another_way_is_told_to_step_up(
    conditions: dict[str, Any], proof: dict[str, Any], is_yes: bool
) -> None:
    strict = Rule("strict", users=UserList(["alice@EXAMPLE.ORG"]), **conditions)
    subject = replace(ALICE, **proof)
    for rest in ((), (Rule("no", Access.DENY),)):
        ruling = ruled(RuleList((strict, *rest)), get("/"), subject)
        expected = (Verdict.ALLOWED, None) if is_yes else (Verdict.STEP_UP, strict)
        assert (ruling.verdict, ruling.step_up) == expected
    # What lets it in as it is, goes before; and whom the rule does not mean, it does not help.
    assert ruled(RuleList((strict, Rule("rest"))), get("/"), subject).is_yes
    bob = replace(subject, principal="bob@EXAMPLE.ORG")
    assert ruled(RuleList((strict,)), get("/"), bob).verdict is Verdict.DENIED


def test_a_rule_that_denies_a_mechanism_is_no_reason_to_step_up() -> None:
    rules = RuleList((Rule("no", Access.DENY, mechanisms=frozenset({"ntlm"})), Rule("rest")))
    assert ruled(rules, get("/"), ALICE).is_yes
    assert ruled(rules, get("/"), replace(ALICE, mechanism="ntlm")).verdict is Verdict.DENIED


def test_preflights_pass_by_an_open_rule_and_never_by_an_identity() -> None:
    preflight = get("/api/x", method="OPTIONS", is_preflight=True)
    closed = RuleList((Rule("api", paths=paths("/api/**")),))
    for subject in (None, ALICE):
        assert ruled(closed, preflight, subject).verdict is Verdict.DENIED
        allowing = Rule("preflights", Access.OPEN, methods=frozenset({"OPTIONS"}))
        opened = RuleList((allowing, *closed.rules))
        assert ruled(opened, preflight, subject).verdict is Verdict.OPEN
    assert not closed.candidates(preflight).needs_identity


@pytest.mark.parametrize(
    ("method", "headers", "expected"),
    [
        ("OPTIONS", [(b"Origin", b"x"), (b"Access-Control-Request-Method", b"PUT")], "preflight"),
        ("OPTIONS", [(b"Origin", b"x")], ""),
        ("GET", [(b"Origin", b"x"), (b"Access-Control-Request-Method", b"PUT")], ""),
        ("POST", [(b"X_HTTP.Method-Override", b"PUT")], "override"),
        ("POST", [(b"X-Method-Override", b"")], "override"),
    ],
)
def test_what_rules_see_of_a_request(
    method: str, headers: list[tuple[bytes, bytes]], expected: str
) -> None:
    host, target = Host("wiki.test"), Target("/a", "b=/public")
    asked = AskedRequest(method, Scheme.HTTPS, host, target, ANYWHERE, "wiki", False)
    seen = RuledRequest.of(asked, HeaderNames.of(headers))
    assert (seen.method, seen.path, seen.address) == (method, "/a", ANYWHERE)
    assert seen.is_preflight is (expected == "preflight")
    assert seen.has_override is (expected == "override")


@pytest.mark.parametrize(
    "condition",
    [
        {"users": UserList(["alice@EXAMPLE.ORG"])},
        {"groups": NameList(["staff"])},
        {"realms": NameList(["EXAMPLE.ORG"])},
        {"mechanisms": frozenset({"kerberos"})},
        {"channel_bound": True},
        {"attributes": AscRet.INTEGRITY},
        {"max_age_seconds": 5},
    ],
)
def test_a_rule_cannot_let_in_everybody_and_ask_who_it_is(condition: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="open"):
        Rule("x", Access.OPEN, **condition)


def test_what_is_no_access_is_refused() -> None:
    with pytest.raises(ConfigError, match="access"):
        Rule("x", "Allow")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="ambiguous"):
        RuleList((), "strict")  # type: ignore[arg-type]


# Names of few letters, so that rules and requests meet.
users = st.sampled_from(["a@R", "b@R", "a@S", "A@R", "B@s"])
groups = st.sampled_from(["g", "h", "G"])
addresses = st.sampled_from([None, "10.0.0.1", "10.1.0.1", "127.0.0.1"])
patterns = st.sampled_from(["/**", "/x/**", "/x", "/*/y"])


@st.composite
def some_rules(draw: st.DrawFn) -> Rule:
    access = draw(st.sampled_from(Access))
    asks = access is not Access.OPEN
    return Rule(
        draw(st.text("rst", min_size=3, max_size=3)),
        access,
        paths(*draw(st.lists(patterns, max_size=2))),
        draw(st.frozensets(st.sampled_from(["GET", "POST"]), max_size=1)),
        draw(st.none() | st.just(networks("10.0.0.0/16")) | st.just(networks("0.0.0.0/0"))),
        NameList(draw(st.lists(st.sampled_from("RS"), min_size=1)))
        if asks and draw(_RARE)
        else None,
        UserList(draw(st.lists(users, min_size=1))) if asks and draw(_RARE) else None,
        NameList(draw(st.lists(groups, min_size=1))) if asks and draw(_RARE) else None,
        draw(st.frozensets(st.sampled_from(["k", "p"]), max_size=1)) if asks else frozenset(),
        asks and draw(_RARE),
    )


_RARE = st.sampled_from([False, False, True])

some_subjects = st.builds(
    Subject,
    users,
    st.sampled_from(["k", "p"]),
    st.booleans(),
    groups=st.builds(GroupSet, st.frozensets(groups), st.booleans()),
)
some_requests = st.builds(
    RuledRequest,
    st.sampled_from(["GET", "POST", "OPTIONS"]),
    st.sampled_from(["/", "/x", "/x/y", "/z/y", "/xy"]),
    addresses.map(lambda text: None if text is None else ipaddress.ip_address(text)),
    st.booleans(),
)


def same(one: str, other: str) -> bool:
    return one.lower() == other.lower()


def naive(rules: tuple[Rule, ...], request: RuledRequest, subject: Subject) -> tuple[str, bool]:
    """A plain reading: for each rule, whether it surely is met, and whether it may be."""
    would_step_up = False
    for rule in rules:
        if rule.paths and not any(each.matches(request.path) for each in rule.paths):
            continue
        sure, possible = True, True
        if rule.methods:
            sure = request.method in rule.methods and not request.has_override
            possible = request.method in rule.methods or request.has_override
        if rule.networks is not None:
            listed = rule.networks.networks[0]
            inside = request.address is not None and request.address in listed
            is_own = inside and request.address.is_loopback
            sure = sure and inside and not is_own
            possible = possible and (inside or request.address is None)
        for wanted, had in (
            (rule.realms and rule.realms.names, [subject.principal.partition("@")[2]]),
            (rule.users and rule.users.texts, [subject.principal]),
            (rule.groups and rule.groups.names, list(subject.groups.names)),
        ):
            if wanted:
                is_cut = wanted is not rule.realms and rule.groups is not None
                is_cut = is_cut and wanted is rule.groups.names and subject.groups.is_truncated
                sure = sure and any(each in wanted for each in had)
                like = any(same(each, name) for each in had for name in wanted)
                possible = possible and (like or is_cut)
        proved = (not rule.mechanisms or subject.mechanism in rule.mechanisms) and (
            not rule.channel_bound or subject.channel_bound
        )
        if rule.access is Access.DENY:
            if possible and proved:
                return "no", would_step_up
        elif sure and proved:
            return rule.access.value, False
        elif sure:
            would_step_up = True
    return "no", would_step_up


@given(st.lists(some_rules(), max_size=5), some_requests, some_subjects)
def test_rules_say_what_a_plain_reading_says(
    rules: list[Rule], request: RuledRequest, subject: Subject
) -> None:
    listed = RuleList(tuple(rules))
    ruling = ruled(listed, request, subject)
    word, would_step_up = naive(listed.rules, request, subject)
    expected = {"allow": Verdict.ALLOWED, "open": Verdict.OPEN, "no": Verdict.DENIED}[word]
    assert ruling.verdict is (Verdict.STEP_UP if would_step_up else expected)
    anonymous = ruled(listed, request)
    # Who is not known is never let in where somebody else would not be.
    if anonymous.is_yes:
        assert ruling.is_yes
    if anonymous.verdict is Verdict.DENIED:
        assert not ruling.is_yes


@given(st.lists(some_rules(), max_size=4), some_requests, some_subjects)
def test_strictest_lets_in_only_whom_every_path_would(
    rules: list[Rule], request: RuledRequest, subject: Subject
) -> None:
    listed = RuleList(tuple(rules), Ambiguous.STRICTEST)
    strict = ruled(listed, replace(request, path="/x//y"), subject)
    everywhere = [replace(rule, paths=()) for rule in rules]
    if strict.is_yes:
        for rule in everywhere:
            if rule.access is Access.DENY:
                assert ruled(RuleList((rule, Rule("rest"))), request, subject).is_yes
            else:
                assert ruled(RuleList((rule,)), request, subject).is_yes
        assert any(rule.access is not Access.DENY for rule in rules)


@given(st.lists(some_rules(), max_size=5), some_requests, st.none() | some_subjects)
def test_an_explanation_gives_the_same_answer_and_the_rule_that_decided(
    rules: list[Rule], request: RuledRequest, subject: Subject | None
) -> None:
    listed = RuleList(tuple(rules))
    told = explain(listed, request, subject)
    assert told.ruling == ruled(listed, request, subject)
    if told.ruling.rule is not None:
        last = told.traces[-1]
        assert last.rule is told.ruling.rule
        assert last.unmet is None or last.rule.applies(last.fit)
    else:
        assert len(told.traces) == len(rules)
    for trace in told.traces[: -1 if told.ruling.rule is not None else None]:
        assert trace.unmet is not None
        assert not trace.rule.applies(trace.fit)


def test_an_explanation_in_words() -> None:
    told = explain(ADMINS_ONLY, get("/admin/x"), ALICE)
    assert str(told).splitlines() == [
        "  1. admins (allow): does not match by its groups: admins",
        "  2. others (deny): matches",
        "denied: the rule 'others' denies it",
    ]
    unknown = RuleList((Rule("in", networks=networks("10.0.0.0/8")),))
    assert "does not match, as its networks cannot be told: 10.0.0.0/8" in str(
        explain(unknown, get("/", address=None), ALICE)
    )
    assert "ambiguous-path" in str(explain(ADMINS_ONLY, get("/a//b"), ALICE))


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        (Rule("r", paths=paths("/a", "/b/**")), "paths: /a, /b/**"),
        (Rule("r", methods=frozenset({"PUT", "POST"})), "methods: POST, PUT"),
        (Rule("r", networks=networks("10.0.0.0/8")), "networks: 10.0.0.0/8"),
        (Rule("r", realms=NameList(["OTHER.TEST"])), "realms: OTHER.TEST"),
        (Rule("r", users=UserList(["svc-*", "bob@R.TEST"])), "users: svc-*, bob@R.TEST"),
        (Rule("r", groups=NameList("fedcba")), "groups: a, b, c, d and 2 more"),
        (Rule("r", mechanisms=frozenset({"ntlm"})), "mechanisms: ntlm"),
        (Rule("r", channel_bound=True), "channel_bound: true"),
        (Rule("r", attributes=AscRet.DELEGATE), "attributes: DELEGATE"),
        (Rule("r", max_age_seconds=-1), "max_age_seconds: -1"),
    ],
)
def test_an_explanation_says_what_a_rule_asks(rule: Rule, expected: str) -> None:
    told = explain(RuleList((rule,)), get("/x"), ALICE)
    assert f"r (allow): does not match by its {expected}\n" in str(told)
