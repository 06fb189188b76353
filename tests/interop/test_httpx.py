"""httpx-gssapi against the example server, from an event loop and without one."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest
from httpx_gssapi import REQUIRED, HTTPSPNEGOAuth
from people import Person
from serving import Served

pytestmark = pytest.mark.xdist_group("interop")

LARGE = 5_000_000
TIMEOUT_S = 60


@pytest.fixture
def client(this_process: Person) -> Iterator[httpx.Client]:
    """A client of somebody who has a ticket, and who demands that the server proves itself."""
    auth = HTTPSPNEGOAuth(mutual_authentication=REQUIRED)
    with httpx.Client(auth=auth, trust_env=False, timeout=TIMEOUT_S) as client:
        yield client


def test_a_client_that_demands_mutual_authentication_gets_it(
    client: httpx.Client, hello: Served, this_process: Person
) -> None:
    answer = client.get(hello.url)
    assert answer.status_code == 200
    assert answer.json()["principal"] == this_process.principal
    assert answer.headers["WWW-Authenticate"].startswith("Negotiate ")


def test_a_large_post_arrives_whole(
    client: httpx.Client, hello: Served, this_process: Person
) -> None:
    answer = client.post(f"{hello.url}/echo", content=bytes(LARGE))
    assert answer.status_code == 200
    assert answer.json() == {"principal": this_process.principal, "length": LARGE}


def test_a_refusal_of_the_application_is_proven_too(client: httpx.Client, hello: Served) -> None:
    answer = client.get(f"{hello.url}/nothing")
    assert (answer.status_code, answer.text) == (404, "404: Not Found")


def test_a_client_without_a_ticket_stays_outside(
    client: httpx.Client, hello: Served, stranger: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KRB5CCNAME", stranger.environment["KRB5CCNAME"])
    answer = client.get(hello.url)
    assert answer.status_code == 401
    assert answer.text == "Authentication is required.\n"


async def test_an_asynchronous_client_is_let_in(hello: Served, this_process: Person) -> None:
    auth = HTTPSPNEGOAuth(mutual_authentication=REQUIRED)
    async with httpx.AsyncClient(auth=auth, trust_env=False, timeout=TIMEOUT_S) as client:
        answer = await client.get(hello.url)
    assert answer.json()["principal"] == this_process.principal
