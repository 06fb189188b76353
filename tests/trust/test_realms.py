"""Users of other realms: trust leads to them, and a setting lets them in or not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gssapi.raw as gss
import pytest
from initiators import KERBEROS_MECH, SPNEGO_MECH
from strategies import STRATEGIES, Way, outcome_of

from authsrv.devrealm import Realm
from authsrv.errors import ConfigError
from authsrv.handshake.acceptor import Acceptor
from authsrv.providers.gssapi.acceptor import GssapiProvider
from authsrv.providers.kerberos.keytab import KeytabFile
from authsrv.providers.scripted import ScriptedProvider

OURS, THEIRS = "OURS.TEST", "THEIRS.TEST"
STRANGER = f"alice@{THEIRS}"
FORBIDDEN = f"forbidden-realm: {STRANGER} is of another realm than {OURS}; name its realm"

each_way = pytest.mark.parametrize(
    "way", [way for name, way in STRATEGIES.items() if name != "provider"], ids=list(STRATEGIES)[1:]
)


@pytest.fixture(scope="module")
def realms() -> Iterator[tuple[Realm, Realm]]:
    with Realm(OURS) as ours, Realm(THEIRS) as theirs:
        ours.trust(theirs)
        yield ours, theirs


@pytest.fixture
def token(realms: tuple[Realm, Realm], monkeypatch: pytest.MonkeyPatch) -> bytes:
    """A token of a user of the other realm for our service; the process is then in our realm."""
    ours, theirs = realms
    theirs.login("alice")
    set_environment(theirs, monkeypatch)
    made = foreign_token(ours.name)
    set_environment(ours, monkeypatch)
    return made


def set_environment(realm: Realm, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in realm.environment().items():
        monkeypatch.setenv(name, value)


def foreign_token(realm: str) -> bytes:
    target = gss.import_name(f"HTTP/localhost@{realm}".encode(), gss.NameType.kerberos_principal)
    credential = gss.acquire_cred(None, mechs=[KERBEROS_MECH, SPNEGO_MECH], usage="initiate").creds
    flags = [gss.RequirementFlag.mutual_authentication]
    made = gss.init_sec_context(target, credential, mech=SPNEGO_MECH, flags=flags).token
    assert made is not None
    return made


@each_way
def test_another_realm_is_refused_and_the_cause_has_the_remedy(
    realms: tuple[Realm, Realm], token: bytes, way: Way
) -> None:
    outcome = outcome_of(way, GssapiProvider(realms[0].keytab), token)
    assert outcome.startswith(FORBIDDEN), outcome


@each_way
@pytest.mark.parametrize("setting", ["*", [OURS, THEIRS], {THEIRS}])
def test_a_realm_that_is_named_is_let_in(
    realms: tuple[Realm, Realm], token: bytes, way: Way, setting: Any
) -> None:
    assert outcome_of(way, GssapiProvider(realms[0].keytab), token, realms=setting) == STRANGER


@each_way
def test_our_own_realm_is_refused_where_others_are_named(
    realms: tuple[Realm, Realm], monkeypatch: pytest.MonkeyPatch, way: Way
) -> None:
    ours, _ = realms
    ours.login("alice")
    set_environment(ours, monkeypatch)
    outcome = outcome_of(way, GssapiProvider(ours.keytab), foreign_token(OURS), realms=(THEIRS,))
    assert outcome.startswith("forbidden-realm: alice@OURS.TEST is of another realm than THEIRS")


def test_the_realms_follow_a_reload_of_the_keytab(
    realms: tuple[Realm, Realm], token: bytes, tmp_path: Path
) -> None:
    """A keytab with keys of both realms lets in both."""
    ours, theirs = realms
    path = tmp_path / "keytab"
    path.write_bytes(ours.keytab.read_bytes())
    provider = GssapiProvider(KeytabFile(path, settle_seconds=0.0))
    assert provider.realms() == {OURS}
    # The records of the second file behind those of the first, without its version.
    path.write_bytes(ours.keytab.read_bytes() + theirs.keytab.read_bytes()[2:])
    provider._look_at = 0.0  # some 0.1 s later
    assert provider.realms() == {OURS, THEIRS}
    assert outcome_of(STRATEGIES["http"], provider, token) == STRANGER


@pytest.mark.parametrize(
    "wrong", ["OURS.TEST", [], [""], [" "], [7], 7, True, b"OURS.TEST", ["a\n"]]
)
def test_anything_else_is_no_setting(wrong: Any) -> None:
    with pytest.raises(ConfigError, match="realms must "):
        Acceptor(ScriptedProvider(), realms=wrong)


def test_a_package_without_a_keytab_lets_in_all_and_start_says_so(
    caplog: pytest.LogCaptureFixture,
) -> None:
    acceptor = Acceptor(ScriptedProvider())
    acceptor.create_handshake().close()
    acceptor.create_handshake().close()
    (line,) = caplog.messages
    assert line.startswith("users of all realms are let in: the provider scripted")
    caplog.clear()
    Acceptor(ScriptedProvider(), realms="*").create_handshake().close()
    assert caplog.messages == []
