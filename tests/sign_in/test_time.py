"""Time: when a session ends, what is too late, keys that are rotated, a clock that is set back."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import jwt
import pytest
from clocked import Clocked, run_clocked
from service_rig import cookies_of
from visiting import NAVIGATION, Visitor, location_of

from authsrv.devrealm import Realm
from authsrv.errors import ConfigError

HOUR = 3_600.0
FORMS = "https://forms.example.org"
SITES = """
[[site]]
name = "wiki"
hosts = ["wiki.example.org"]
idle_seconds = 600
session_seconds = 3600
headers = { preset = "authelia" }
[[site.rule]]
name = "fresh"
paths = ["/fresh/**"]
max_age_seconds = 120
[[site.rule]]
name = "fresh-only"
paths = ["/fresh/**"]
access = "deny"
[[site.rule]]
name = "rest"
paths = ["/**"]

[[site]]
name = "forms"
hosts = ["forms.example.org"]
negotiate = "never"
idle_seconds = 600
session_seconds = 3600
rule = [{ paths = ["/**"] }]

[[site]]
name = "pages"
hosts = ["pages.example.org"]
negotiate = "never"
session_seconds = 36000
rule = [{ paths = ["/**"] }]

[[site]]
name = "git"
hosts = ["git.example.org"]
token_header = true
rule = [{ paths = ["/**"] }]
"""


@pytest.fixture
def clocked(people_realm: Realm, monkeypatch: pytest.MonkeyPatch) -> Iterator[Clocked]:
    with run_clocked(people_realm, monkeypatch, more=SITES) as running:
        yield running


def sign_in(clocked: Clocked, visitor: Visitor, url: str) -> None:
    page = visitor.follow(url)
    password = clocked.rig.realm.password("alice")
    assert visitor.submit(page, username="alice", password=password).is_yes


def test_a_session_that_is_not_used_ends(clocked: Clocked) -> None:
    visitor = Visitor(clocked.rig)
    sign_in(clocked, visitor, f"{FORMS}/secret")
    clocked.ahead_s = 599
    assert visitor.open(f"{FORMS}/secret").is_yes
    clocked.ahead_s = 599 + 599
    assert visitor.open(f"{FORMS}/secret").is_yes
    clocked.ahead_s = 599 + 599 + 602
    assert not visitor.open(f"{FORMS}/secret").is_yes


def test_only_what_people_open_keeps_a_session_alive(clocked: Clocked) -> None:
    """A page that fetches in the background does not."""
    visitor = Visitor(clocked.rig)
    sign_in(clocked, visitor, f"{FORMS}/secret")
    clocked.ahead_s = 300
    fetched = visitor.send("GET", f"{FORMS}/secret", (("Sec-Fetch-Mode", "cors"),))
    assert (fetched.is_yes, "set-cookie" in fetched.fields) == (True, False)
    clocked.ahead_s = 602
    assert not visitor.open(f"{FORMS}/secret").is_yes


def test_a_session_that_is_used_ends_as_well(clocked: Clocked) -> None:
    visitor = Visitor(clocked.rig)
    sign_in(clocked, visitor, f"{FORMS}/secret")
    for ahead_s in range(300, 3_600, 300):
        clocked.ahead_s = ahead_s
        assert visitor.open(f"{FORMS}/secret").is_yes
    clocked.ahead_s = 3_602
    assert not visitor.open(f"{FORMS}/secret").is_yes


def test_a_log_in_that_is_too_old_for_one_site_is_good_for_another(clocked: Clocked) -> None:
    """Where it is too old the form comes, and not a code that the site would refuse."""
    visitor = Visitor(clocked.rig)
    sign_in(clocked, visitor, f"{FORMS}/secret")
    clocked.ahead_s = 2 * HOUR
    assert visitor.follow("https://pages.example.org/x").is_yes
    page = visitor.follow(f"{FORMS}/secret")
    assert 'type="password"' in page.text
    password = clocked.rig.realm.password("alice")
    assert visitor.submit(page, username="alice", password=password).is_yes


def test_a_log_in_ends_at_the_login_host_too(clocked: Clocked) -> None:
    visitor = Visitor(clocked.rig)
    sign_in(clocked, visitor, f"{FORMS}/secret")
    clocked.ahead_s = 10 * HOUR + 2
    assert 'type="password"' in visitor.follow("https://pages.example.org/x").text


def test_a_rule_that_wants_a_fresh_log_in_gets_one(clocked: Clocked) -> None:
    visitor = Visitor(clocked.rig)
    sign_in(clocked, visitor, "https://wiki.example.org/secret")
    assert visitor.open("https://wiki.example.org/fresh/x").is_yes
    clocked.ahead_s = 180
    page = visitor.follow("https://wiki.example.org/fresh/x")
    assert 'type="password"' in page.text
    password = clocked.rig.realm.password("alice")
    assert visitor.submit(page, username="alice", password=password).is_yes
    assert visitor.url == "https://wiki.example.org/fresh/x"


def test_a_late_code_is_refused(clocked: Clocked) -> None:
    visitor = Visitor(clocked.rig)
    page = visitor.follow(f"{FORMS}/secret")
    sent = visitor.post(page, username="alice", password=clocked.rig.realm.password("alice"))
    clocked.ahead_s = 62
    late = visitor.open(location_of(sent) or "")
    assert late.status == 403
    assert clocked.causes()[-1] == "the sealed hand-over is over"


def test_a_form_that_was_left_lying_is_refused(clocked: Clocked) -> None:
    visitor = Visitor(clocked.rig)
    page = visitor.follow(f"{FORMS}/secret")
    url = visitor.url
    clocked.ahead_s = 1_700
    assert visitor.open(url).status == 200
    clocked.ahead_s = 1_900
    late = visitor.post(page, username="alice", password=clocked.rig.realm.password("alice"))
    assert late.status == 403
    assert clocked.causes()[-1] == "the sealed order is over"
    assert "set-cookie" not in late.fields


# The clock.


def test_a_clock_that_is_set_back_revives_nothing(clocked: Clocked) -> None:
    """What was issued in what is the future now does not count; nor does it later again."""
    visitor, out = Visitor(clocked.rig), Visitor(clocked.rig)
    clocked.ahead_s = 2 * HOUR
    sign_in(clocked, visitor, f"{FORMS}/secret")
    sign_in(clocked, out, f"{FORMS}/secret")
    kept = dict(out.cookies["forms.example.org"])
    stolen = Visitor(clocked.rig, cookies={"forms.example.org": kept})
    out.send("POST", f"{FORMS}/.authsrv/sign-out", (("Sec-Fetch-Site", "same-origin"),))
    clocked.ahead_s = 0.0
    assert not visitor.open(f"{FORMS}/secret").is_yes
    assert not stolen.open(f"{FORMS}/secret").is_yes
    clocked.ahead_s = 2 * HOUR
    assert not stolen.open(f"{FORMS}/secret").is_yes
    # And who signs in while it is wrong is in.
    clocked.ahead_s = 0.0
    again = Visitor(clocked.rig)
    sign_in(clocked, again, f"{FORMS}/secret")


def test_a_clock_that_is_set_back_a_little_disturbs_nobody(clocked: Clocked) -> None:
    visitor = Visitor(clocked.rig)
    clocked.ahead_s = 30
    sign_in(clocked, visitor, f"{FORMS}/secret")
    clocked.ahead_s = 0.0
    assert visitor.open(f"{FORMS}/secret").is_yes


# Keys.


def rotate(clocked: Clocked, *options: str) -> None:
    folder = str(clocked.rig.folder / "keys")
    command = [sys.executable, "-m", "authsrv", "keys", "rotate", *options, folder]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr


def test_rotated_keys_are_taken_over_while_it_runs(clocked: Clocked, ticket_of: Any) -> None:
    rig = clocked.rig
    where = {"host": "git.example.org", "site": "git"}
    before = rig.ask("/secret", ticket_of(), *NAVIGATION, **where)
    cookie = ("Cookie", cookies_of(before))
    assert clocked.service.refresh_keys() is False
    rotate(clocked)
    assert clocked.service.refresh_keys() is True
    published = rig.page("/.authsrv/keys/git.json", host="login.example.org", site="login")
    known = {each["kid"] for each in json.loads(published.text)["keys"]}
    assert len(known) == 2
    # At first, the keys of before are used; the new ones are known to whoever shares the files.
    early = rig.ask("/secret", cookie, **where)
    old_kid = jwt.get_unverified_header(before.field("X-Authsrv-Token") or "")["kid"]
    assert jwt.get_unverified_header(early.field("X-Authsrv-Token") or "")["kid"] == old_kid
    clocked.ahead_s = 2 * HOUR
    again = rig.ask("/secret", ticket_of(), *NAVIGATION, **where)
    new_kid = jwt.get_unverified_header(again.field("X-Authsrv-Token") or "")["kid"]
    assert new_kid in known - {old_kid}
    clocked.ahead_s = 0.0
    # Sessions of before go on, and so do those of the new key when the clock is right again.
    assert rig.ask("/secret", cookie, **where).is_yes


def test_a_broken_key_file_leaves_the_keys_of_before_in_force(
    clocked: Clocked, ticket_of: Any
) -> None:
    rig = clocked.rig
    before = rig.ask("/secret", ticket_of(), *NAVIGATION)
    folder = rig.folder / "keys"
    for file in folder.iterdir():
        file.write_text("{")
    with pytest.raises(ConfigError, match=str(folder)):
        clocked.service.refresh_keys()
    assert rig.ask("/secret", ("Cookie", cookies_of(before))).is_yes


def test_of_two_key_files_the_good_one_is_taken_over(clocked: Clocked, ticket_of: Any) -> None:
    rig = clocked.rig
    before = cookies_of(rig.ask("/secret", ticket_of(), *NAVIGATION))
    rotate(clocked)
    (rig.folder / "keys" / "signing.json").write_text("{")
    with pytest.raises(ConfigError, match=r"signing\.json"):
        clocked.service.refresh_keys()
    clocked.ahead_s = 2 * HOUR
    after = cookies_of(rig.ask("/secret", ticket_of(), *NAVIGATION))
    # A cookie begins with the number of its key.
    begin = len("__Host-authsrv=") + 12
    assert before[:begin] != after[:begin]
    assert cookies_of(rig.ask("/secret", ticket_of(), *NAVIGATION))[:begin] == after[:begin]
