"""The service behind real proxies, each run from the files of its example directory.

Who has a ticket or a session gets to the application, by the right name, and everybody else is led
to where that can be had. What clients do who want more is in try_service_attacks.py, what happens
to the service in try_service_faults.py. Traefik is not among them: tests/service/test_traefik.py
has what its documentation says.
"""

from __future__ import annotations

import base64
import json
import re
import time

import pytest
from fronts import IDLE_S
from service_rig import LOGIN_HOST
from standing import LOGIN, SESSION, WIKI, Standing
from visitors import web_socket

pytestmark = pytest.mark.timeout(300)


def test_a_ticket_gets_a_program_to_the_application(standing: Standing) -> None:
    browser = standing.browser("alice", has_ticket=True)
    answer = browser.visit(f"{WIKI}/secret?x=1", accept="*/*")
    assert (answer.user, answer.seen["target"]) == ("alice", "/secret?x=1")
    assert answer.one("www-authenticate").startswith("Negotiate ") or standing.front.name == "caddy"


def test_a_program_without_a_ticket_is_asked_for_one(standing: Standing) -> None:
    answer = standing.fetch("/secret")
    assert (answer.status, answer.one("www-authenticate")) == (401, "Negotiate")
    assert not answer.is_from_app
    assert "set-cookie" not in answer.fields


def test_an_open_path_is_there_for_everybody(standing: Standing) -> None:
    answer = standing.fetch("/public/x")
    assert (answer.status, answer.user) == (200, "")


def test_who_opens_a_page_is_led_to_the_form_and_back(standing: Standing) -> None:
    browser = standing.browser()
    way, form = browser.open(f"{WIKI}/secret?x=%20y&z")
    assert way[1].startswith(f"{WIKI}/.authsrv/sign-in?")
    assert way[-1].startswith(f"{LOGIN}/.authsrv/sign-in?order=")
    assert not form.is_from_app
    _, again = browser.sign_in(form, "alice", "not hers")
    assert b'type="password"' in again.body
    way, answer = browser.sign_in(again, "alice", standing.realm.password("alice"))
    assert way[-1] == f"{WIKI}/secret?x=%20y&z"
    assert (answer.user, answer.seen["target"]) == ("alice", "/secret?x=%20y&z")
    assert browser.visit(f"{WIKI}/other").user == "alice"
    refused = browser.visit(f"{WIKI}/admin")
    assert (refused.status, refused.is_from_app) == (403, False)


def test_a_ticket_begins_a_session(standing: Standing) -> None:
    session = standing.session("bob")
    assert standing.fetch("/secret", session).user == "bob"
    assert standing.fetch("/admin/x", session).user == "bob"


def test_the_session_of_one_host_is_nothing_at_the_other(standing: Standing) -> None:
    browser = standing.browser()
    _, form = browser.open(f"{WIKI}/secret")
    browser.sign_in(form, "alice", standing.realm.password("alice"))
    at_login = browser.cookies(LOGIN_HOST)[f"{SESSION}-login"]
    for name in (SESSION, f"{SESSION}-login"):
        assert standing.fetch("/secret", ("Cookie", f"{name}={at_login}")).status == 401


def test_who_signs_out_is_out(standing: Standing) -> None:
    session = standing.session("alice")
    foreign = [session, ("Origin", "https://evil.example")]
    answer = standing.fetch("/.authsrv/sign-out", *foreign, method="POST", body=b"")
    assert answer.status == 403
    assert standing.fetch("/secret", session).user == "alice"
    own = [session, ("Origin", WIKI)]
    assert standing.fetch("/.authsrv/sign-out", *own, method="POST", body=b"").status == 303
    assert standing.fetch("/secret", session).status == 401


def test_a_session_in_use_is_renewed(standing: Standing) -> None:
    browser = standing.browser("alice", has_ticket=True)
    browser.open(f"{WIKI}/secret")
    browser.open(f"{WIKI}/secret")
    before = browser.cookies()[SESSION]
    time.sleep(IDLE_S / 10 + 1)
    way, answer = browser.open(f"{WIKI}/secret?x=1")
    assert (answer.user, answer.seen["target"]) == ("alice", "/secret?x=1")
    # Caddy hands nothing of a yes to the client.
    renewals = [f"{WIKI}/.authsrv/renew?return=/secret%3Fx%3D1", f"{WIKI}/secret?x=1"]
    assert way[1:] == (renewals if standing.front.name == "caddy" else [])
    assert browser.cookies()[SESSION] != before


def test_a_websocket_of_the_site_itself_passes(standing: Standing) -> None:
    own = [("Origin", WIKI), standing.session("alice")]
    assert web_socket(standing.port, own) == ["alice", "hello"]
    assert web_socket(standing.port, [*own, ("Sec-Fetch-Site", "same-origin")]) == [
        "alice",
        "hello",
    ]


def test_nothing_of_ours_reaches_the_application(standing: Standing) -> None:
    name, session = standing.session("alice")
    ours = f"a=1; {session}; {SESSION}-tried=x; b=2; \u00a0{SESSION}=x; __host_authsrv_out=x"
    fields = [(name, ours), ("Authorization", "Basic eDp5"), ("X-Authsrv-Verdict", "admitted")]
    answer = standing.fetch("/public/x", *fields)
    assert answer.told("cookie") == ["a=1; b=2"]
    # Envoy alone sends an empty token where there is none.
    seen = str(answer.seen).lower().replace("['x-authsrv-token', '']", "")
    assert "authsrv" not in seen
    assert "eDp5".lower() not in seen
    told = " ".join([*answer.fields, *map(str, answer.fields.values())]).lower()
    assert "remote-user" not in told
    assert "verdict" not in told


def test_cookies_of_the_application_arrive(standing: Standing) -> None:
    _, session = standing.session("alice")
    cookie = f'a=1; {session}; b="x y"; c=\xc3\xa4'
    answer = standing.fetch("/secret", ("Cookie", cookie))
    assert answer.told("cookie") == ['a=1; b="x y"; c=\xc3\xa4']


def test_many_cookies_of_the_application_arrive(standing: Standing) -> None:
    # They go to the service and come back in one field.
    name, session = standing.session("alice")
    many = "; ".join(f"app{number}={'x' * 1_000}" for number in range(12))
    answer = standing.fetch("/secret", (name, f"{many}; {session}"))
    assert answer.told("cookie") == [many]


def test_a_large_ticket_arrives(standing: Standing) -> None:
    # People in many groups have such; this one is no ticket, which the service alone can tell.
    before = len(standing.served.logged())
    size = 45_000
    token = base64.b64encode(b"\xff" * size).decode()
    answer = standing.fetch("/secret", ("Authorization", f"Negotiate {token}"))
    assert answer.status == 401
    assert f"{size}B" in standing.served.logged()[before:]


def test_the_application_gets_the_token_and_none_of_a_client(standing: Standing) -> None:
    own = ("X-Authsrv-Token", "mine")
    for fields in ([standing.session("alice")], [standing.session("alice"), own]):
        (token,) = standing.fetch("/secret", *fields).told("xauthsrvtoken")
        claims = json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))
        assert claims["sub"] == "alice@AUTHSRV.TEST"
    for fields in ([], [own]):
        told = standing.fetch("/public/x", *fields).told("xauthsrvtoken")
        # Envoy alone sends an empty one.
        assert told == ([""] if standing.front.name == "envoy" else [])


def test_a_refusal_tells_its_reference(standing: Standing) -> None:
    answer = standing.fetch("/admin", standing.session("alice"))
    assert (answer.status, answer.is_from_app) == (403, False)
    found = re.search(r"[Rr]eference:? ([0-9A-Za-z-]{6,})", answer.body.decode())
    assert found is not None, answer.body
    assert f"reference={found[1]}" in standing.served.logged()


def test_a_refused_ticket_tells_its_reference(standing: Standing) -> None:
    token = base64.b64encode(b"no ticket at all").decode()
    answer = standing.fetch("/secret", ("Authorization", f"Negotiate {token}"))
    found = re.search(r"[Rr]eference:? ([0-9A-Za-z-]{6,})", answer.body.decode())
    assert (answer.status, found is not None) == (401, True), answer.body


def test_a_host_of_no_site_is_misdirected(standing: Standing) -> None:
    # The name in the handshake is one of the proxy's, and so there is a connection.
    answer = standing.fetch("/", host="unknown.example.org")
    expected = {"nginx": 421, "caddy": 421, "haproxy": 503, "envoy": 403}
    assert (answer.status, answer.is_from_app) == (expected[standing.front.name], False)
    assert b"Welcome" not in answer.body
