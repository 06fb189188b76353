"""requests-gssapi against the example server. With REQUIRED, it refuses a server without proof."""

from __future__ import annotations

from collections.abc import Iterator

import gssapi
import pytest
import requests
from people import Person
from requests_gssapi import DISABLED, REQUIRED, HTTPSPNEGOAuth
from serving import Served

pytestmark = pytest.mark.xdist_group("interop")

LARGE = 5_000_000
TIMEOUT_S = 60


@pytest.fixture
def session(this_process: Person) -> Iterator[requests.Session]:
    """A session of somebody who has a ticket, and who demands that the server proves itself."""
    with requests.Session() as session:
        session.trust_env = False
        session.auth = HTTPSPNEGOAuth(mutual_authentication=REQUIRED)
        yield session


def connections(session: requests.Session, url: str) -> int:
    """How many connections the session has opened; it has spoken to this server only."""
    adapter = session.get_adapter(url)
    assert isinstance(adapter, requests.adapters.HTTPAdapter)
    pools = adapter.poolmanager.pools
    return sum(pools[key].num_connections for key in pools.keys())


def test_a_client_that_demands_mutual_authentication_gets_it(
    session: requests.Session, hello: Served, this_process: Person
) -> None:
    answer = session.get(hello.url, timeout=TIMEOUT_S)
    assert answer.status_code == 200
    assert answer.json()["principal"] == this_process.principal
    # The client has verified it: an answer without a proof would have raised.
    assert answer.headers["WWW-Authenticate"].startswith("Negotiate ")


def test_a_client_that_sends_its_token_unasked_is_let_in(
    session: requests.Session, hello: Served, this_process: Person
) -> None:
    session.auth = HTTPSPNEGOAuth(mutual_authentication=REQUIRED, opportunistic_auth=True)
    answer = session.get(hello.url, timeout=TIMEOUT_S)
    assert answer.json()["principal"] == this_process.principal
    assert answer.history == []


def test_a_client_that_does_not_ask_for_proof_is_let_in(
    session: requests.Session, hello: Served, this_process: Person
) -> None:
    session.auth = HTTPSPNEGOAuth(mutual_authentication=DISABLED)
    answer = session.get(hello.url, timeout=TIMEOUT_S)
    assert answer.json()["principal"] == this_process.principal


def test_raw_kerberos_without_negotiation_is_let_in(
    session: requests.Session, hello: Served, this_process: Person
) -> None:
    session.auth = HTTPSPNEGOAuth(
        mutual_authentication=REQUIRED, mech=gssapi.OID.from_int_seq("1.2.840.113554.1.2.2")
    )
    answer = session.get(hello.url, timeout=TIMEOUT_S)
    assert answer.json()["principal"] == this_process.principal


def test_a_large_post_that_is_challenged_keeps_its_connection(
    session: requests.Session, hello: Served, this_process: Person
) -> None:
    answer = session.post(f"{hello.url}/echo", data=bytes(LARGE), timeout=TIMEOUT_S)
    assert [earlier.status_code for earlier in answer.history] == [401]
    assert answer.json() == {"principal": this_process.principal, "length": LARGE}
    assert connections(session, hello.url) == 1


def test_a_refusal_of_the_application_is_proven_too(
    session: requests.Session, hello: Served
) -> None:
    # With REQUIRED, the client would empty an error that the server did not prove to be its own.
    answer = session.get(f"{hello.url}/nothing", timeout=TIMEOUT_S)
    assert answer.status_code == 404
    assert answer.text == "404: Not Found"


def test_many_requests_share_a_connection(session: requests.Session, hello: Served) -> None:
    for _ in range(5):
        assert session.get(hello.url, timeout=TIMEOUT_S).status_code == 200
    assert connections(session, hello.url) == 1


def test_a_client_without_a_ticket_stays_outside(
    session: requests.Session, hello: Served, stranger: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KRB5CCNAME", stranger.environment["KRB5CCNAME"])
    assert session.get(hello.url, timeout=TIMEOUT_S).status_code == 401
