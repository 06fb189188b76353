"""A service that the tests of asks and pages share, with a realm of its own."""

from __future__ import annotations

import base64
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from attacked_sites import HOSTS, SITE_OF, run_attacked
from initiators import fresh_token
from service_browser import Browser
from service_rig import WIKI_HOST, Rig, run_rig

from authsrv.devrealm import Realm


@pytest.fixture(scope="session")
def site_realm() -> Iterator[Realm]:
    """A realm with the services of the example sites."""
    services = [f"HTTP/{host}" for host in HOSTS]
    with Realm(services=services, users=["alice", "bob", "carol", "dave"]) as realm:
        yield realm


@pytest.fixture(scope="session")
def rig(site_realm: Realm) -> Iterator[Rig]:
    """A service with the sites of the rig, asked as nginx asks."""
    with tempfile.TemporaryDirectory(prefix="rig-") as folder:
        with run_rig(Path(folder), site_realm) as running:
            yield running


@pytest.fixture(scope="session")
def attacked(site_realm: Realm) -> Iterator[Rig]:
    """A service with the sites that are attacked."""
    with run_attacked(site_realm) as running:
        yield running


@pytest.fixture
def browser_of(attacked: Rig, ticket_of: Callable[..., tuple[str, str]]) -> Callable[..., Browser]:
    """Makes the browser of a user who has tickets, or of one who has none."""

    def make(user: str | None = None, rig: Rig = attacked) -> Browser:
        return Browser(rig, user, ticket_of, dict(SITE_OF))

    return make


@pytest.fixture
def ticket_of(site_realm: Realm, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[str, str]]:
    """Makes the Authorization field of a user who has just logged in; each is good once."""
    monkeypatch.setenv("KRB5_CONFIG", site_realm.environment("alice")["KRB5_CONFIG"])

    def make(user: str, host: str = WIKI_HOST, lifetime_s: int | None = None) -> tuple[str, str]:
        site_realm.login(user, lifetime_s=lifetime_s)
        cache = Path(site_realm.environment(user)["KRB5CCNAME"].removeprefix("FILE:"))
        token = fresh_token(f"HTTP@{host}", cache=cache)
        return ("Authorization", f"Negotiate {base64.b64encode(token).decode()}")

    return make
