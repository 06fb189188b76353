"""Which service a ticket is for: its key is proved, its name is a claim in clear text."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from answers import accept, identity_of
from initiators import fresh_token
from strategies import STRATEGIES, Way, outcome_of

from authsrv.codecs.kerberos.messages import parse_asked_service
from authsrv.codecs.spnego import KERBEROS, build_neg_token_init, unwrap_spnego
from authsrv.devrealm import Realm
from authsrv.errors import ConfigError, KeytabError
from authsrv.providers.gssapi.acceptor import GssapiProvider

WEB, HOST, OTHER = "HTTP/localhost", "host/localhost", "HTTP/other"

each_way = pytest.mark.parametrize("way", STRATEGIES.values(), ids=STRATEGIES)


@pytest.fixture(scope="module")
def own_realm() -> Iterator[Realm]:
    with Realm(services=(WEB, HOST, OTHER)) as realm:
        yield realm


@pytest.fixture
def realm(own_realm: Realm, monkeypatch: pytest.MonkeyPatch) -> Realm:
    own_realm.login("alice")
    for name, value in own_realm.environment().items():
        monkeypatch.setenv(name, value)
    return own_realm


def token_for(service: str) -> bytes:
    return fresh_token(service.replace("/", "@"))


def claiming(token: bytes, claimed: bytes, true: bytes) -> bytes:
    """The same ticket with another name in its clear text, as long as the true one.

    Whoever has a ticket for one service of an account can do this; no key is needed.
    """
    raw = unwrap_spnego(token)
    assert len(claimed) == len(true)
    assert raw.count(true) == 1
    return build_neg_token_init([KERBEROS], raw.replace(true, claimed))


@each_way
@pytest.mark.parametrize(
    ("setting", "asked"),
    [
        (None, WEB),
        (None, HOST),
        (WEB, WEB),
        ("http/LOCALHOST", WEB),
        ([OTHER, WEB], WEB),
        ((OTHER, WEB), OTHER),
    ],
)
def test_a_ticket_for_one_of_the_services_is_let_in(
    realm: Realm, way: Way, setting: Any, asked: str
) -> None:
    provider = GssapiProvider(realm.keytab, service=setting)
    assert outcome_of(way, provider, token_for(asked)) == "alice@AUTHSRV.TEST"


@each_way
@pytest.mark.parametrize(("setting", "asked"), [(WEB, HOST), ([WEB, OTHER], HOST), (OTHER, WEB)])
def test_a_ticket_for_another_one_is_not_and_the_cause_names_both(
    realm: Realm, way: Way, setting: Any, asked: str
) -> None:
    provider = GssapiProvider(realm.keytab, service=setting)
    outcome = outcome_of(way, provider, token_for(asked))
    named = setting if isinstance(setting, str) else " or ".join(setting)
    assert outcome == (
        f"wrong-service: the ticket is for {asked}@AUTHSRV.TEST; this service is {named}"
    )


@each_way
def test_a_claim_that_differs_is_refused_though_its_key_is_ours(realm: Realm, way: Way) -> None:
    token = claiming(token_for(WEB), b"elsewhere", b"localhost")
    outcome = outcome_of(way, GssapiProvider(realm.keytab, service=WEB), token)
    assert outcome.startswith(
        "wrong-service: the ticket is for HTTP/elsewhere@AUTHSRV.TEST; this service is"
    ), outcome


def test_an_identity_tells_the_claim(realm: Realm) -> None:
    provider = GssapiProvider(realm.keytab)
    for asked in (WEB, HOST, OTHER):
        assert identity_of(accept(provider, token_for(asked))).service == asked
    # MIT looks for a key that fits, whatever the name: so it is a claim, and no more.
    lie = claiming(token_for(WEB), b"elsewhere", b"localhost")
    assert identity_of(accept(provider, lie)).service == "HTTP/elsewhere"


def test_a_bare_request_has_a_claim_too(realm: Realm) -> None:
    raw = unwrap_spnego(token_for(WEB))
    bare = raw[raw.index(b"\x01\x00\x6e") + 2 :]
    assert parse_asked_service(raw) == parse_asked_service(bare) == f"{WEB}@AUTHSRV.TEST"


def test_no_key_for_any_of_the_services_is_told_at_start(realm: Realm, tmp_path: Path) -> None:
    keytab = realm.write_keytab(tmp_path / "keytab", [WEB])
    GssapiProvider(keytab, service=[WEB, OTHER]).check()
    with pytest.raises(KeytabError, match=f"has no key for {OTHER} or {HOST}"):
        GssapiProvider(keytab, service=[OTHER, HOST]).check()


@pytest.mark.parametrize(
    "wrong", ["", "HTTP", "HTTP/", "/localhost", "HTTP/x@REALM", [], [""], [7], 7, True, b"HTTP/x"]
)
def test_what_is_no_service_is_no_setting(wrong: Any) -> None:
    with pytest.raises(ConfigError):
        GssapiProvider("/nowhere", service=wrong)


def test_a_name_in_a_setting_is_looked_up_nowhere(realm: Realm) -> None:
    """A host that DNS knows as an alias of another one is the host that was named."""
    realm.configure("[libdefaults]\n dns_canonicalize_hostname = true\n rdns = true")
    try:
        provider = GssapiProvider(realm.keytab, service=OTHER)
        assert identity_of(accept(provider, token_for(OTHER))).service == OTHER
    finally:
        realm.configure("")


def test_the_calls_take_a_principal_as_the_service(realm: Realm) -> None:
    from authsrv import sspi

    async def run(principal: str) -> str:
        async with sspi.acquire_credentials(
            "Negotiate", principal=principal, keytab=realm.keytab
        ) as credential:
            async with sspi.ServerContext(credential) as context:
                step = await context.accept(token_for_once)
                return step.status.name

    token_for_once = token_for(WEB)
    assert asyncio.run(run(WEB)) == "SEC_E_OK"
