"""Traefik's convention, by requests as its documentation says that it sends them.

Traefik itself is not run: its program cannot be installed here. The documentation is that of
forwardAuth, of the headers middleware and of the entry points, in Traefik 3.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from service_rig import WIKI_HOST, Answer, Rig, cookies_of, run_rig
from test_asks import PAGE, Tickets

from authsrv.devrealm import Realm
from authsrv.service.asks.conventions import TRAEFIK

EXAMPLE = Path(__file__).parents[2] / "examples" / "traefik" / "dynamic.yml"
SESSION = "__Host-authsrv"


@pytest.fixture(scope="module")
def rig(site_realm: Realm) -> Iterator[Rig]:
    with tempfile.TemporaryDirectory(prefix="rig-") as folder:
        with run_rig(Path(folder), site_realm, convention="traefik") as running:
            yield running


def ask(rig: Rig, path: str = "/secret", *fields: tuple[str, str], **told: str) -> Answer:
    """Ask as forwardAuth does of a GET, with the site that the headers middleware sets."""
    sent: Mapping[str, str] = {
        "Host": "127.0.0.1:9180",
        "X-Authsrv-Site": "wiki",
        "X-Forwarded-For": "192.0.2.7",
        "X-Forwarded-Host": WIKI_HOST,
        "X-Forwarded-Method": "GET",
        "X-Forwarded-Port": "443",
        "X-Forwarded-Proto": "https",
        "X-Forwarded-Server": "gateway",
        "X-Forwarded-Uri": path,
        "X-Real-Ip": "192.0.2.7",
        **{name.replace("_", "-"): value for name, value in told.items()},
    }
    return rig.send("asks", "GET", "/ask/traefik", (*sent.items(), *fields))


def test_a_ticket_is_a_yes_with_identity_cookies_and_session(rig: Rig, ticket_of: Tickets) -> None:
    answer = ask(rig, "/secret", ticket_of("alice"), PAGE, ("Cookie", "a=1; __Host-authsrv-out=x"))
    assert (answer.status, answer.field("Remote-User")) == (200, "alice")
    # Traefik cannot rename a field: it replaces the client's Cookie by this one.
    assert answer.field("Cookie") == "a=1"
    assert (answer.field("Set-Cookie") or "").startswith(f"{SESSION}=")
    again = ask(rig, "/secret", ("Cookie", f"a=1; {cookies_of(answer)}"))
    assert (again.status, again.field("Remote-User"), again.field("Cookie")) == (
        200,
        "alice",
        "a=1",
    )


def test_an_open_path_replaces_the_cookies_too(rig: Rig) -> None:
    answer = ask(rig, "/public/x", ("Cookie", f"{SESSION}=x"))
    assert (answer.status, answer.field("Remote-User"), answer.field("Cookie")) == (200, "", "")


def test_who_has_nothing_is_led_as_others_are(rig: Rig) -> None:
    assert (ask(rig).status, ask(rig).field("WWW-Authenticate")) == (401, "Negotiate")
    led = ask(rig, "/secret?x=1", PAGE)
    assert led.status == 401
    where = "/.authsrv/sign-in?return=/secret%3Fx%3D1"
    assert where in led.text
    sent = ask(rig, "/secret?x=1", PAGE, ("Cookie", cookies_of(led)))
    assert (sent.status, sent.field("Location")) == (303, where)


@pytest.mark.parametrize(
    "told",
    [
        {"X_Forwarded_Host": "login.example.org"},
        {"X_Forwarded_Proto": "http"},
        {"X_Forwarded_Uri": "/.authsrv/whoami"},
        {"X_Forwarded_Uri": "/%61dmin"},
        {"X_Authsrv_Site": "login"},
        {"X_Forwarded_Method": "TRACE"},
    ],
)
def test_what_fits_no_site_or_path_is_denied(
    rig: Rig, ticket_of: Tickets, told: dict[str, str]
) -> None:
    answer = ask(rig, "/secret", ticket_of("alice"), **told)
    assert (answer.status, answer.is_yes) == (403, False)


@pytest.mark.parametrize("proto", ["wss", "https"])
def test_a_websocket_is_told_without_an_upgrade(rig: Rig, ticket_of: Tickets, proto: str) -> None:
    # forwardAuth leaves out what is of one connection: Connection and Upgrade.
    key = ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==") if proto == "https" else ("DNT", "1")
    told = {"X_Forwarded_Proto": proto}
    evil, own = ("Origin", "https://evil.example"), ("Origin", f"https://{WIKI_HOST}")
    assert ask(rig, "/live", ticket_of("alice"), evil, key, **told).status == 403
    assert ask(rig, "/live", ticket_of("alice"), own, key, **told).status == 200


def test_the_example_takes_from_the_client_and_hands_on_what_it_must() -> None:
    text = EXAMPLE.read_text(encoding="utf-8")
    identity = {"Remote-User", "Remote-Name", "Remote-Email", "Remote-Groups",
                "Remote-Groups-Truncated", "X-Authsrv-Token"}  # fmt: skip
    removed = set(re.findall(r'^ +([\w-]+): ""$', text, re.MULTILINE))
    assert identity | {"Authorization"} <= removed
    handed_on = text.partition("authResponseHeaders:")[2].partition("addAuthCookies")[0]
    assert set(re.findall(r"- ([\w-]+)$", handed_on, re.MULTILINE)) == identity | {TRAEFIK.cookie}
    assert re.search(r"addAuthCookiesToResponse:\s+- __Host-authsrv\s*\n", text)
    assert "trustForwardHeader: false" in text
    assert f"address: http://127.0.0.1:9180{TRAEFIK.path}\n" in text
