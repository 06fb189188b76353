"""A service with sites of all kinds, a realm of its own, and browsers without a ticket."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path

import pytest
from initiators import fresh_token
from service_rig import LOGIN_HOST, WIKI_HOST, Rig
from sign_in_sites import Tickets, own_rig
from visiting import Visitor

from authsrv.devrealm import Realm


@pytest.fixture(scope="session")
def people_realm() -> Iterator[Realm]:
    """A realm with the services of the sites and the login host."""
    services = [f"HTTP/{WIKI_HOST}", f"HTTP/{LOGIN_HOST}"]
    with Realm(services=services, users=["alice", "bob"]) as realm:
        yield realm


@pytest.fixture(scope="module")
def rig(people_realm: Realm) -> Iterator[Rig]:
    """A service with sites of all kinds, asked as nginx asks; what it counts, begins anew."""
    with own_rig(people_realm) as running:
        yield running


@pytest.fixture
def visitor(rig: Rig) -> Visitor:
    """A browser that has never been anywhere."""
    return Visitor(rig)


@pytest.fixture
def ticket_of(people_realm: Realm, monkeypatch: pytest.MonkeyPatch) -> Tickets:
    """Makes the Authorization field of a user who has just logged in; each is good once."""
    monkeypatch.setenv("KRB5_CONFIG", people_realm.environment("alice")["KRB5_CONFIG"])

    def make(user: str = "alice") -> tuple[str, str]:
        cache = Path(people_realm.environment(user)["KRB5CCNAME"].removeprefix("FILE:"))
        if not cache.exists():
            people_realm.login(user)
        token = fresh_token(f"HTTP@{WIKI_HOST}", cache=cache)
        return ("Authorization", f"Negotiate {base64.b64encode(token).decode()}")

    return make
