"""What an application is told of a client: by header fields, and by signed tokens."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import jwt
import pytest
from service_rig import Answer, Rig, cookies_of
from sign_in_sites import own_rig
from visiting import NAVIGATION
from waiting import wait_until

from authsrv.devrealm import Realm

# By preset: what stands in each field for alice, whom nobody has told a name and an address of.
GROUPS = "editors,night shift"
PRESETS = {
    "wiki": {
        "Remote-User": "alice",
        "Remote-Name": "",
        "Remote-Email": "",
        "Remote-Groups": GROUPS,
        "Remote-Groups-Truncated": "false",
    },
    "git": {
        "X-Auth-Request-User": "alice@AUTHSRV.TEST",
        "X-Auth-Request-Preferred-Username": "alice",
        "X-Auth-Request-Email": "",
        "X-Auth-Request-Groups": GROUPS,
        "X-Auth-Request-Groups-Truncated": "false",
    },
    "grafana": {
        "X-WEBAUTH-USER": "alice",
        "X-WEBAUTH-NAME": "",
        "X-WEBAUTH-EMAIL": "",
        "X-WEBAUTH-GROUPS": GROUPS,
        "X-WEBAUTH-GROUPS-TRUNCATED": "false",
    },
    "gitea": {"X-WEBAUTH-USER": "alice", "X-WEBAUTH-EMAIL": "", "X-WEBAUTH-FULLNAME": ""},
    "jenkins": {
        "X-Forwarded-User": "alice",
        "X-Forwarded-DisplayName": "",
        "X-Forwarded-Mail": "",
        "X-Forwarded-Groups": "editors|night shift",
        "X-Forwarded-Groups-Truncated": "false",
    },
}


def told(answer: Answer, site: str) -> dict[str, str | None]:
    return {name: answer.field(name) for name in PRESETS[site]}


@pytest.mark.parametrize("site", PRESETS)
def test_every_preset_tells_the_same_by_ticket_and_by_session(
    rig: Rig, site: str, ticket_of: Any
) -> None:
    where = {"host": f"{site}.example.org", "site": site}
    by_ticket = rig.ask("/secret", ticket_of(), *NAVIGATION, **where)
    assert told(by_ticket, site) == PRESETS[site]
    cookie = ("Cookie", cookies_of(by_ticket))
    by_session = rig.ask("/secret", cookie, **where)
    assert told(by_session, site) == PRESETS[site]


@pytest.mark.parametrize("site", ["wiki", "grafana", "gitea", "jenkins"])
def test_every_field_is_there_and_empty_where_nobody_is_known(rig: Rig, site: str) -> None:
    answer = rig.ask("/public/x", host=f"{site}.example.org", site=site)
    assert answer.is_yes
    assert told(answer, site) == dict.fromkeys(PRESETS[site], "")


@pytest.mark.parametrize("name", [name for fields in PRESETS.values() for name in fields])
def test_a_client_that_sends_one_of_them_is_refused_at_every_site(rig: Rig, name: str) -> None:
    for spelling in (name, name.lower(), name.replace("-", "_")):
        assert rig.ask("/public/x", (spelling, "root")).status == 403


# Tokens.

GIT = {"host": "git.example.org", "site": "git"}
ISSUER, AUDIENCE = "https://login.example.org", "git.example.org"


def key_set(rig: Rig) -> jwt.PyJWKSet:
    """The keys that the service publishes, where its URL says."""
    answer = rig.page("/.authsrv/keys/git.json", host="login.example.org", site="login")
    assert answer.field("Cache-Control") == "public, max-age=300"
    assert "no-store" not in (answer.field("Cache-Control") or "")
    return jwt.PyJWKSet.from_json(answer.text)


def verified(rig: Rig, token: str, **demanded: str) -> dict[str, Any]:
    """What a token says, read as an application is told to read it."""
    header = jwt.get_unverified_header(token)
    assert set(header) == {"alg", "kid", "typ"}
    assert (header["alg"], header["typ"]) == ("ES256", "authsrv+jwt")
    key = next(each for each in key_set(rig).keys if each.key_id == header["kid"])
    demands = {"issuer": ISSUER, "audience": AUDIENCE, **demanded}
    found: dict[str, Any] = jwt.decode(token, key, algorithms=["ES256"], **demands)
    return found


def test_a_token_says_who_the_client_is(rig: Rig, ticket_of: Any) -> None:
    begun = rig.ask("/secret", ticket_of(), *NAVIGATION, **GIT)
    session = rig.ask("/secret", ("Cookie", cookies_of(begun)), **GIT)
    tokens = [answer.field("X-Authsrv-Token") or "" for answer in (begun, session)]
    claims = [verified(rig, token) for token in tokens]
    for claim in claims:
        assert claim["sub"] == "alice@AUTHSRV.TEST"
        assert claim["groups"] == ["editors", "night shift"]
        assert claim["exp"] - claim["iat"] == 300
    assert claims[0]["jti"] != claims[1]["jti"]
    assert "sid" in claims[1]


def test_a_user_in_no_group_has_a_list_without_any(rig: Rig, ticket_of: Any) -> None:
    rig.realm.add_user("loner")
    token = rig.ask("/secret", ticket_of("loner"), **GIT).field("X-Authsrv-Token")
    assert verified(rig, token or "")["groups"] == []


def test_the_site_publishes_the_same_keys(rig: Rig) -> None:
    there = rig.page("/.authsrv/keys/git.json", host="login.example.org", site="login")
    here = rig.page("/.authsrv/keys.json", **GIT)
    assert json.loads(here.text) == json.loads(there.text)
    assert json.loads(here.text)["keys"]
    assert not any("d" in key for key in json.loads(here.text)["keys"])
    for name in ("wiki", "none", "../git", "git"):
        path = f"/.authsrv/keys/{name}" + ("" if name == "git" else ".json")
        answer = rig.page(path, host="login.example.org", site="login")
        assert 400 <= answer.status < 500


@pytest.mark.parametrize(
    "demanded", [{"audience": "wiki.example.org"}, {"issuer": "https://git.example.org"}]
)
def test_a_token_is_for_one_host_of_one_service(
    rig: Rig, ticket_of: Any, demanded: dict[str, str]
) -> None:
    token = rig.ask("/secret", ticket_of(), **GIT).field("X-Authsrv-Token")
    with pytest.raises(jwt.InvalidTokenError):
        verified(rig, token or "", **demanded)


def test_the_header_of_the_token_is_nobodys_to_send(rig: Rig) -> None:
    for name in ("X-Authsrv-Token", "x_authsrv_token"):
        assert rig.ask("/public/x", (name, "x")).status == 403


def test_a_script_of_the_site_gets_a_token_and_of_no_other(rig: Rig, ticket_of: Any) -> None:
    begun = rig.ask("/secret", ticket_of(), *NAVIGATION, **GIT)
    cookie = ("Cookie", cookies_of(begun))
    own = (cookie, ("Sec-Fetch-Site", "same-origin"), ("Origin", "https://git.example.org"))
    answer = rig.page("/.authsrv/token", *own, method="POST", **GIT)
    assert verified(rig, json.loads(answer.text)["token"])["sub"] == "alice@AUTHSRV.TEST"
    assert "Access-Control-Allow-Origin" not in answer.fields
    for foreign in (
        ("Sec-Fetch-Site", "same-site"),
        ("Sec-Fetch-Site", "cross-site"),
        ("Origin", "https://wiki.example.org"),
    ):
        assert rig.page("/.authsrv/token", cookie, foreign, method="POST", **GIT).status == 403
    assert rig.page("/.authsrv/token", *own, **GIT).status == 405
    nobody = rig.page("/.authsrv/token", *own[1:], method="POST", **GIT)
    assert (nobody.status, json.loads(nobody.text)) == (401, {"token": None})


def test_a_site_without_tokens_has_none(rig: Rig, ticket_of: Any) -> None:
    begun = rig.ask("/secret", ticket_of(), *NAVIGATION)
    assert begun.field("X-Authsrv-Token") is None
    cookie = ("Cookie", cookies_of(begun))
    assert rig.page("/.authsrv/token", cookie, method="POST").status == 404
    assert json.loads(rig.page("/.authsrv/keys.json").text) == {"keys": []}


def test_rotated_keys_are_published_without_anybody_saying_so(people_realm: Realm) -> None:
    with own_rig(people_realm) as rig:
        before = {key.key_id for key in key_set(rig).keys}
        command = [sys.executable, "-m", "authsrv", "keys", "rotate", str(rig.folder / "keys")]
        subprocess.run(command, check=True, timeout=30)
        wait_until(lambda: {key.key_id for key in key_set(rig).keys} > before, seconds=20)
        assert "the keys were replaced" in rig.served.logged()
