"""A credential that nobody named: MIT chooses among several, by its own rules and without DNS."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from authsrv.core.results import Continue, Established, Refused
from authsrv.devrealm import Realm
from authsrv.errors import ConfigError, NoCredentialError
from authsrv.providers.base import ContextRequest, InitiatorRequest
from authsrv.providers.gssapi.acceptor import GssapiProvider
from authsrv.providers.gssapi.cache_choice import choose_identity
from authsrv.providers.gssapi.initiator import GssapiInitiatorProvider, InitiatorMechanism

TARGET = "HTTP/localhost"
ALICE, CARLA = "alice@AUTHSRV.TEST", "carla@AUTHSRV.TEST"
SERVICE = "HTTP/localhost@AUTHSRV.TEST"

each_mechanism = pytest.mark.parametrize("mechanism", InitiatorMechanism)


@pytest.fixture
def home(
    kerberos_environment: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


@pytest.fixture(scope="module")
def tickets(kerberos_realm: Realm) -> tuple[Path, Path]:
    kerberos_realm.add_user("carla")
    return kerberos_realm.login("alice"), kerberos_realm.login("carla")


@pytest.fixture
def collection(home: Path, tickets: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> Path:
    """The tickets of two users; those of alice are the primary ones."""
    folder = home / "collection"
    folder.mkdir(mode=0o700)
    for number, cache in enumerate(tickets):
        shutil.copy(cache, folder / f"tkt{number}")
    (folder / "primary").write_text("tkt0\n")
    monkeypatch.setenv("KRB5CCNAME", f"DIR:{folder}")
    return folder


def write_rules(home: Path, *rules: str) -> None:
    (home / ".k5identity").write_text("".join(f"{rule}\n" for rule in rules))


def who_gets_in(keytab: Path, mechanism: InitiatorMechanism, target: str = TARGET) -> str:
    provider = GssapiInitiatorProvider(mechanism=mechanism)
    begun = provider.create_initiator(InitiatorRequest(target)).step(b"")
    if isinstance(begun, Refused):
        raise begun.error
    assert isinstance(begun, Continue)
    accepted = GssapiProvider(keytab).create_context(ContextRequest()).step(begun.token)
    assert isinstance(accepted, Established)
    return accepted.identity.principal


@each_mechanism
@pytest.mark.parametrize(
    ("rule", "chosen"),
    [
        (f"{CARLA} service=HTTP host=localhost", CARLA),
        (f"{CARLA} host=local*", CARLA),
        (f"{CARLA} service=imap", ALICE),
        (f"{CARLA} host=example.org", ALICE),
        ("", ALICE),
    ],
)
def test_rules_for_the_service_choose_among_several(
    home: Path,
    collection: Path,
    kerberos_keytab: Path,
    mechanism: InitiatorMechanism,
    rule: str,
    chosen: str,
) -> None:
    write_rules(home, rule)
    assert who_gets_in(kerberos_keytab, mechanism) == chosen


@each_mechanism
def test_a_rule_for_a_realm_holds_where_the_realm_is_named(
    home: Path, collection: Path, kerberos_keytab: Path, mechanism: InitiatorMechanism
) -> None:
    write_rules(home, f"{CARLA} realm=AUTHSRV.TEST")
    assert who_gets_in(kerberos_keytab, mechanism, f"{TARGET}@AUTHSRV.TEST") == CARLA


@each_mechanism
def test_a_collection_is_good_without_its_primary_cache(
    home: Path, collection: Path, kerberos_keytab: Path, mechanism: InitiatorMechanism
) -> None:
    (collection / "primary").write_text("tkt9\n")
    write_rules(home, f"{CARLA} service=HTTP")
    assert who_gets_in(kerberos_keytab, mechanism) == CARLA


@each_mechanism
@pytest.mark.parametrize("rules", [[], [f"{SERVICE} service=HTTP"]])
def test_the_environments_client_keytab_logs_in(
    home: Path,
    kerberos_keytab: Path,
    mechanism: InitiatorMechanism,
    rules: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write_rules(home, *rules)
    monkeypatch.setenv("KRB5CCNAME", f"FILE:{home}/none")
    monkeypatch.setenv("KRB5_CLIENT_KTNAME", str(kerberos_keytab))
    assert who_gets_in(kerberos_keytab, mechanism) == SERVICE


@each_mechanism
def test_who_was_chosen_is_replaced_by_nobody(
    home: Path, collection: Path, kerberos_keytab: Path, mechanism: InitiatorMechanism
) -> None:
    """A rule names somebody who has no ticket: not another one of ours is sent."""
    write_rules(home, "dora@AUTHSRV.TEST service=HTTP")
    with pytest.raises(NoCredentialError):
        who_gets_in(kerberos_keytab, mechanism)


def test_where_nothing_speaks_for_one_the_default_cache_is_taken(
    home: Path, kerberos_environment: dict[str, str]
) -> None:
    assert choose_identity("HTTP/web.example.org") is None


def test_a_configuration_that_cannot_be_read_is_told(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / "krb5.conf").write_text("[libdefaults\n")
    monkeypatch.setenv("KRB5_CONFIG", str(home / "krb5.conf"))
    with pytest.raises(ConfigError, match="configuration file"):
        choose_identity(TARGET)


def test_choosing_frees_what_it_takes(home: Path, collection: Path) -> None:
    write_rules(home, f"{CARLA} service=HTTP")
    status = Path("/proc/self/statm")
    for _ in range(200):
        choose_identity(TARGET)
    before = int(status.read_text().split()[1])
    for _ in range(10_000):
        choose_identity(TARGET)
    grown = (int(status.read_text().split()[1]) - before) * os.sysconf("SC_PAGE_SIZE")
    assert grown < 500_000
