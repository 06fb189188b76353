"""The clock skew that krb5.conf allows: how long a ticket is believed, and a replay remembered."""

from __future__ import annotations

import asyncio
import datetime
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from initiators import fresh_token
from old_stores import old_store

from authsrv.core.identity import Identity
from authsrv.core.results import Established, Refused, Result
from authsrv.devrealm import Realm
from authsrv.errors import ConfigError, ReplayError
from authsrv.handshake.acceptor import Acceptor
from authsrv.providers.base import ContextRequest
from authsrv.providers.gssapi.acceptor import GssapiProvider
from authsrv.providers.kerberos import profile as krb5_profile
from authsrv.providers.kerberos.profile import clock_skew, read_clock_skew
from authsrv.providers.pyspnego import PyspnegoProvider

LIFETIME_S = 500


@pytest.fixture(scope="module")
def own_realm() -> Iterator[Realm]:
    with Realm() as realm:
        yield realm


@pytest.fixture
def realm(own_realm: Realm, monkeypatch: pytest.MonkeyPatch) -> Iterator[Realm]:
    """A realm whose krb5.conf is the test's own, and this process in it."""
    for name, value in own_realm.environment().items():
        monkeypatch.setenv(name, value)
    allow(own_realm, "")
    yield own_realm
    allow(own_realm, "")


def allow(realm: Realm, clockskew: str) -> None:
    line = f" clockskew = {clockskew}" if clockskew else ""
    realm.configure(f"[libdefaults]\n{line}")
    krb5_profile._CACHED._until = 0.0  # some second later


def accept(provider: GssapiProvider | PyspnegoProvider, token: bytes) -> Result:
    async def run() -> Result:
        async with Acceptor(provider, realms="*") as acceptor:
            return (await acceptor.create_handshake().advance(token)).result

    return asyncio.run(run())


def identity(result: Result) -> Identity:
    assert isinstance(result, Established), result
    return result.identity


@pytest.mark.parametrize(("written", "seconds"), [("", 300), ("60", 60), ("700", 700), ("0", 0)])
def test_the_skew_is_the_one_that_libkrb5_reads(realm: Realm, written: str, seconds: int) -> None:
    allow(realm, written)
    assert read_clock_skew() == clock_skew() == seconds


@pytest.mark.parametrize("written", ["10m", "five", "-1", "1.5"])
def test_what_is_no_number_of_seconds_lets_nobody_in(realm: Realm, written: str) -> None:
    token = fresh_token(cache=realm.login("alice"))
    allow(realm, written)
    with pytest.raises(ConfigError, match=r"the clockskew in krb5\.conf is no number of seconds"):
        read_clock_skew()
    with pytest.raises(ConfigError, match="clockskew"):
        GssapiProvider(realm.keytab).check()
    for replay in (None, old_store()):
        result = accept(GssapiProvider(realm.keytab, replay=replay), token)
        assert isinstance(result, Refused)
        assert isinstance(result.error, ConfigError)


@pytest.mark.parametrize("skew", [60, 300, 700])
def test_an_identity_ends_with_its_ticket(realm: Realm, skew: int) -> None:
    allow(realm, str(skew))
    began = datetime.datetime.now(datetime.UTC)
    cache = realm.login("alice", lifetime_s=LIFETIME_S)
    provider = GssapiProvider(realm.keytab)
    ends = [identity(accept(provider, fresh_token(cache=cache))).expires_at for _ in range(5)]
    logged_in = began + datetime.timedelta(seconds=LIFETIME_S)
    for end in ends:
        assert end is not None
        assert end.microsecond == 0
        # The KDC counts the life from the second in which it was asked.
        assert -1 <= (end - logged_in).total_seconds() <= 1


@pytest.mark.parametrize("skew", [60, 300, 700])
def test_a_replay_is_remembered_for_as_long_as_its_token_is_believed(
    realm: Realm, skew: int
) -> None:
    allow(realm, str(skew))
    token = fresh_token(cache=realm.login("alice"))
    context = GssapiProvider(realm.keytab, replay=old_store()).create_context(ContextRequest())
    before = time.time()
    result = context.step(token)
    assert isinstance(result, Established)
    (claim,) = result.claims
    # MIT compares whole seconds, the last one included: it takes a token for so long, and a second.
    assert 2 * skew + 1 < claim.expires_at - before < 2 * skew + 10


@pytest.mark.parametrize(
    ("variable", "value"),
    [("KRB5RCACHENAME", "none:"), ("KRB5RCACHETYPE", "none"), (None, "none:")],
)
def test_pyspnego_accepts_nobody_where_replays_would_be_accepted(
    realm: Realm, monkeypatch: pytest.MonkeyPatch, variable: str | None, value: str
) -> None:
    before = PyspnegoProvider()
    cache = realm.login("alice")
    identity(accept(before, fresh_token(cache=cache)))
    if variable is None:
        realm.configure(f"[libdefaults]\n default_rcache_name = {value}")
    else:
        monkeypatch.setenv(variable, value)
    with pytest.raises(ConfigError, match="switches the protection against replays off"):
        PyspnegoProvider()
    result = accept(before, fresh_token(cache=cache))
    assert isinstance(result, Refused)
    assert isinstance(result.error, ConfigError)


def test_a_cache_in_the_keytab_package_is_named_whatever_krb5_conf_says(
    realm: Realm, tmp_path: Path
) -> None:
    realm.configure("[libdefaults]\n default_rcache_name = none:")
    provider, token = GssapiProvider(realm.keytab), fresh_token(cache=realm.login("alice"))
    identity(accept(provider, token))
    result = accept(provider, token)
    assert isinstance(result, Refused)
    assert isinstance(result.error, ReplayError)
