"""pyspnego's initiator over aiohttp's client: another implementation of SPNEGO on the other side.

With `use_negotiate`, the negotiation itself is pyspnego's own code, not MIT's; only the Kerberos
token in it is made by MIT's library.
"""

from __future__ import annotations

import base64
import io
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import aiohttp
import pytest
import spnego
from people import Person
from serving import Served

pytestmark = pytest.mark.xdist_group("interop")

LARGE = 5_000_000

STRATEGIES = {
    "negotiation by pyspnego": ("negotiate", spnego.NegotiateOptions.use_negotiate),
    "raw Kerberos": ("kerberos", spnego.NegotiateOptions.use_gssapi),
}

each_way = pytest.mark.parametrize("way", STRATEGIES)


@dataclass(frozen=True, slots=True)
class Exchange:
    """What came of a handshake.

    Args:
        statuses: The HTTP statuses, in their order.
        answer: The body of the last one, as JSON.
        initiator: The client's side of the context.
    """

    statuses: list[int]
    answer: Any
    initiator: spnego.ContextProxy


@pytest.fixture
async def session(this_process: Person) -> AsyncIterator[aiohttp.ClientSession]:
    """One connection, of somebody who has a ticket."""
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=1)) as session:
        yield session


def begin(way: str) -> spnego.ContextProxy:
    """A new initiator."""
    protocol, options = STRATEGIES[way]
    return spnego.client(hostname="localhost", service="HTTP", protocol=protocol, options=options)


async def exchange(
    session: aiohttp.ClientSession, url: str, way: str, content: bytes | None = None
) -> Exchange:
    """Send a request until its handshake is done; feed the server's proof to the client."""
    initiator = begin(way)
    statuses: list[int] = []
    token = initiator.step()
    while token is not None:
        field = f"Negotiate {base64.b64encode(token).decode()}"
        method = "GET" if content is None else "POST"
        body = None if content is None else io.BytesIO(content)
        request = session.request(method, url, data=body, headers={"Authorization": field})
        async with request as response:
            statuses.append(response.status)
            scheme, _, encoded = response.headers["WWW-Authenticate"].partition(" ")
            assert scheme == "Negotiate"
            token = initiator.step(base64.b64decode(encoded, validate=True))
            answer = await response.json()
    return Exchange(statuses, answer, initiator)


@each_way
async def test_an_independent_initiator_is_let_in_and_believes_the_server(
    session: aiohttp.ClientSession, hello: Served, this_process: Person, way: str
) -> None:
    done = await exchange(session, hello.url, way)
    assert done.answer["principal"] == this_process.principal
    assert done.answer["mechanism"] == "kerberos"
    assert done.initiator.complete
    assert done.initiator.context_attr & spnego.ContextReq.mutual_auth


@each_way
async def test_kerberos_is_done_in_one_leg(
    session: aiohttp.ClientSession, hello: Served, way: str
) -> None:
    assert (await exchange(session, hello.url, way)).statuses == [200]


async def test_a_large_post_with_a_token_arrives_whole(
    session: aiohttp.ClientSession, hello: Served, this_process: Person
) -> None:
    url = f"{hello.url}/echo"
    done = await exchange(session, url, "negotiation by pyspnego", bytes(LARGE))
    assert done.answer == {"principal": this_process.principal, "length": LARGE}


async def test_a_large_post_without_a_token_does_not_hinder_the_next_request(
    session: aiohttp.ClientSession, hello: Served, this_process: Person
) -> None:
    async with session.post(f"{hello.url}/echo", data=io.BytesIO(bytes(LARGE))) as challenged:
        assert challenged.status == 401
        await challenged.read()
    done = await exchange(session, hello.url, "raw Kerberos")
    assert done.answer["principal"] == this_process.principal


async def test_a_token_is_good_for_one_request_only(
    session: aiohttp.ClientSession, hello: Served
) -> None:
    token = begin("negotiation by pyspnego").step()
    assert token is not None
    headers = {"Authorization": f"Negotiate {base64.b64encode(token).decode()}"}
    statuses = []
    for _ in range(2):
        async with session.get(hello.url, headers=headers) as response:
            statuses.append(response.status)
    assert statuses == [200, 401]
    assert "cause=replay" in hello.logged()
