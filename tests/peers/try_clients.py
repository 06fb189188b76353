"""Every client logs in for real, and is refused when it may not; README's table is what was seen.

Not part of `make test`, since browsers, compilers and runtimes are large: `make test-clients`.
"""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from callers import CALLERS, Caller, Make, Visit, libsoup
from people import Person
from places import Pair, Sites
from readme import assert_version, rows_below
from workshop import heimdal_kinit

from authsrv.devrealm import Realm

pytestmark = pytest.mark.timeout(300)

LIMIT_S = 150
HEADING = "client"
WHO = re.compile(r"principal=([^,\s]+),bound=(yes|no)")


@dataclass(frozen=True, slots=True)
class Page:
    """What a client showed.

    Args:
        text: All that it printed.
        principal: Whom the site took it for; None if it did not let it in.
        bound: Whether it proved to speak over the site's TLS channel.
    """

    text: str
    principal: str | None
    bound: bool


@dataclass(frozen=True, slots=True)
class Trials:
    """The visits of one client, each made once, when it is asked for."""

    caller: Caller
    sites: Sites
    pair: Pair
    person: Person
    stranger: Person
    seen: dict[tuple[Make, str, str], Page] = field(default_factory=dict, repr=False)

    def visit(self, make: Make, url: str, who: Person) -> Page:
        known = make, url, who.environment["KRB5CCNAME"]
        if known not in self.seen:
            self.seen[known] = self._visit(make, url, who)
        return self.seen[known]

    def _visit(self, make: Make, url: str, who: Person) -> Page:
        conf = Path(who.environment["KRB5_CONFIG"])
        # Not tmp_path: browsers make sockets in it, whose paths must be short.
        with tempfile.TemporaryDirectory(prefix="peer-", ignore_cleanup_errors=True) as made:
            start = make(Visit(url, self.pair.certificate, Path(made), conf))
            done = subprocess.run(
                start.command,
                env=environment(who, Path(made)) | dict(start.variables),
                cwd=made,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                timeout=LIMIT_S,
                check=False,
            )
        found = WHO.search(done.stdout)
        if found is None:
            return Page(done.stdout, None, False)
        return Page(done.stdout, found[1], found[2] == "yes")

    def bindings(self) -> str:
        """What README says of the client's channel bindings."""
        caller, person = self.caller, self.person
        if caller.no_tls:
            return caller.no_tls
        if self.visit(caller.start, self.sites.allow, person).bound:
            return "sent"
        if caller.binding and self.visit(caller.binding, self.sites.allow, person).bound:
            return f"only with {caller.switch}" if caller.switch.startswith("`") else caller.switch
        refused = self.visit(caller.start, self.sites.require, person).text
        endless = ", and it asks without end" if "asks again without end" in refused else ""
        return f"none: `REQUIRE` refuses it{endless}"

    def row(self) -> str:
        return f"| {self.caller.name} | {self.caller.setting or 'nothing'} | {self.bindings()} |"


def environment(who: Person, folder: Path) -> dict[str, str]:
    """A client's environment: its folder is all the home that it has."""
    homes = ("HOME", "TMPDIR", "XDG_CONFIG_HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME")
    quiet = {name: value for name, value in who.environment.items() if "proxy" not in name.lower()}
    return {**quiet, **dict.fromkeys(homes, str(folder))}


@pytest.fixture(scope="session")
def every_trial(sites: Sites, pair: Pair, person: Person, stranger: Person) -> dict[str, Trials]:
    return {caller.name: Trials(caller, sites, pair, person, stranger) for caller in CALLERS}


@pytest.fixture(params=[caller.name for caller in CALLERS])
def trials(request: pytest.FixtureRequest, every_trial: dict[str, Trials]) -> Trials:
    return every_trial[request.param]


def test_somebody_with_a_ticket_is_let_in(trials: Trials) -> None:
    page = trials.visit(trials.caller.start, trials.sites.plain, trials.person)
    assert page.principal == trials.person.principal, page.text


def test_somebody_without_a_ticket_stays_outside(trials: Trials) -> None:
    page = trials.visit(trials.caller.start, trials.sites.plain, trials.stranger)
    assert page.principal is None, page.text


def test_what_a_client_needs_it_really_needs(trials: Trials) -> None:
    assert bool(trials.caller.without) == bool(trials.caller.setting)
    if trials.caller.without:
        page = trials.visit(trials.caller.without, trials.sites.plain, trials.person)
        assert page.principal is None, page.text


def test_bindings_are_required_of_those_who_send_none(trials: Trials) -> None:
    if trials.caller.no_tls:
        page = trials.visit(trials.caller.start, trials.sites.allow, trials.person)
        assert (page.principal, trials.caller.complaint in page.text) == (None, True), page.text
        return
    for make in filter(None, (trials.caller.start, trials.caller.binding)):
        allowed = trials.visit(make, trials.sites.allow, trials.person)
        assert allowed.principal == trials.person.principal, allowed.text
        required = trials.visit(make, trials.sites.require, trials.person)
        assert (required.principal is not None) == allowed.bound, required.text
        assert required.bound == allowed.bound


def test_the_readme_tells_what_was_seen(trials: Trials) -> None:
    assert trials.row() in rows_below(HEADING)


def test_the_readme_tells_of_nothing_else(
    every_trial: dict[str, Trials], table: dict[str, list[str]]
) -> None:
    seen = [trials.row() for trials in every_trial.values()]
    table["clients"] = seen
    assert rows_below(HEADING) == seen


def test_libsoup_trusts_every_server_over_tls(every_trial: dict[str, Trials]) -> None:
    trials = every_trial["libsoup 3"]
    page = trials.visit(libsoup(trusted=""), trials.sites.allow, trials.person)
    assert page.principal == trials.person.principal, page.text


@pytest.mark.parametrize(
    ("name", "package"), [(caller.name, caller.package) for caller in CALLERS if caller.package]
)
def test_the_versions_are_those_of_the_readme(name: str, package: str) -> None:
    assert_version(name, package)


@pytest.fixture
def heimdal_login(kerberos_realm: Realm, person: Person, tmp_path: Path) -> Iterator[Person]:
    """Somebody whose ticket was got by Heimdal's kinit."""
    cache, password = tmp_path / "cache", tmp_path / "password"
    password.write_text(kerberos_realm.password("ida") + "\n")
    variables = person.environment | {"KRB5CCNAME": f"FILE:{cache}"}
    command = [str(heimdal_kinit()), f"--password-file={password}", person.principal]
    done = subprocess.run(command, env=variables, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    yield Person(person.principal, variables)
    os.unlink(cache)


def test_heimdals_own_login_is_good_for_its_client(
    every_trial: dict[str, Trials], heimdal_login: Person
) -> None:
    trials = every_trial["Heimdal 7.8, its GSS-API"]
    page = trials.visit(trials.caller.start, trials.sites.plain, heimdal_login)
    assert page.principal == heimdal_login.principal
    assert "the server is proved" in page.text
