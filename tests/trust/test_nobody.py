"""A client whose name is nobody's is let in by no way; the KDC gives out such tickets for real."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from initiators import fresh_token
from strategies import STRATEGIES, Way, outcome_of

from authsrv.devrealm import Realm
from authsrv.devrealm.pkinit import pkinit_configuration
from authsrv.providers.base import SecurityProvider
from authsrv.providers.gssapi.acceptor import GssapiProvider
from authsrv.providers.pyspnego import PyspnegoProvider

WELL_KNOWN = "WELLKNOWN/ORG.H5L.PASSWORD-CHANGE"
ANONYMOUS = "WELLKNOWN/ANONYMOUS"

each_way = pytest.mark.parametrize("way", STRATEGIES.values(), ids=STRATEGIES)


@pytest.fixture(scope="module")
def realm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Realm]:
    """A realm that gives tickets to anonymous clients, as FreeIPA does."""
    folder = tmp_path_factory.mktemp("pkinit")
    with Realm(configuration=pkinit_configuration(folder)) as realm:
        realm.add_user(ANONYMOUS)
        realm.add_user(WELL_KNOWN)
        yield realm


@pytest.fixture(params=["gssapi", "pyspnego"])
def provider(
    request: pytest.FixtureRequest, realm: Realm, monkeypatch: pytest.MonkeyPatch
) -> SecurityProvider:
    for name, value in realm.environment().items():
        monkeypatch.setenv(name, value)
    return GssapiProvider(realm.keytab) if request.param == "gssapi" else PyspnegoProvider()


def log_in(realm: Realm, who: str) -> Path:
    return realm.anonymous_login() if who == "kinit -n" else realm.login(who)


@each_way
@pytest.mark.parametrize("who", ["kinit -n", ANONYMOUS, WELL_KNOWN])
def test_a_name_that_is_well_known_is_nobodys(
    realm: Realm, provider: SecurityProvider, way: Way, who: str
) -> None:
    token = fresh_token(cache=log_in(realm, who))
    outcome = outcome_of(way, provider, token)
    assert re.match("logon-denied: the client (is anonymous|has a reserved name)", outcome), outcome


@each_way
def test_everybody_else_of_that_realm_gets_in(
    realm: Realm, provider: SecurityProvider, way: Way
) -> None:
    token = fresh_token(cache=realm.login("alice"))
    assert outcome_of(way, provider, token) == "alice@AUTHSRV.TEST"
