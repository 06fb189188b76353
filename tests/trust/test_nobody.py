"""A client whose name is nobody's is let in by no way; the KDC gives out such tickets for real."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from initiators import fresh_token
from ways import WAYS, Way, outcome_of

from authsrv.devrealm import Realm
from authsrv.devrealm.pkinit import pkinit_configuration
from authsrv.providers.base import SecurityPackage
from authsrv.providers.gssapi.acceptor import GssapiPackage
from authsrv.providers.pyspnego import PyspnegoPackage

WELL_KNOWN = "WELLKNOWN/ORG.H5L.PASSWORD-CHANGE"
ANONYMOUS = "WELLKNOWN/ANONYMOUS"

each_way = pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)


@pytest.fixture(scope="module")
def realm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Realm]:
    """A realm that gives tickets to anonymous clients, as FreeIPA does."""
    folder = tmp_path_factory.mktemp("pkinit")
    with Realm(configuration=pkinit_configuration(folder)) as realm:
        realm.add_user(ANONYMOUS)
        realm.add_user(WELL_KNOWN)
        yield realm


@pytest.fixture(params=["gssapi", "pyspnego"])
def package(
    request: pytest.FixtureRequest, realm: Realm, monkeypatch: pytest.MonkeyPatch
) -> SecurityPackage:
    for name, value in realm.environment().items():
        monkeypatch.setenv(name, value)
    return GssapiPackage(realm.keytab) if request.param == "gssapi" else PyspnegoPackage()


def log_in(realm: Realm, who: str) -> Path:
    return realm.anonymous_login() if who == "kinit -n" else realm.login(who)


@each_way
@pytest.mark.parametrize("who", ["kinit -n", ANONYMOUS, WELL_KNOWN])
def test_a_name_that_is_well_known_is_nobodys(
    realm: Realm, package: SecurityPackage, way: Way, who: str
) -> None:
    token = fresh_token(cache=log_in(realm, who))
    outcome = outcome_of(way, package, token)
    assert outcome.startswith("logon-denied: the client is "), outcome


@each_way
def test_everybody_else_of_that_realm_gets_in(
    realm: Realm, package: SecurityPackage, way: Way
) -> None:
    token = fresh_token(cache=realm.login("alice"))
    assert outcome_of(way, package, token) == "alice@AUTHSRV.TEST"
