"""What a page of another site can make a browser do here, by each way to an identity."""

from __future__ import annotations

from typing import Any

import pytest
from aiohttp import web
from sites import PROOF, Site, Wire, connected, served

from authsrv.aiohttp import AccessRules, Persistence, guard
from authsrv.audit.log import describe
from authsrv.audit.records import RefusedEvent
from authsrv.http.exchange import Requirement

EVIL = {"Origin": "https://evil.test"}
CROSS = {"Sec-Fetch-Site": "cross-site"}
UPGRADE = {"Upgrade": "websocket", "Connection": "Upgrade"}


class Shop(Site):
    """An application that counts what was done in somebody's name."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.done: list[str] = []
        self.app.router.add_route("*", "/do", self.do)

    async def do(self, request: web.Request) -> web.Response:
        answer = await self.tell_name(request)
        self.done.append(answer.text or "")
        return answer


async def post(
    wire: Wire, token: bytes | None, headers: dict[str, str], method: str = "POST"
) -> int:
    return (await wire.ask("/do", method=method, token=token, headers=headers)).status


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Origin": "http://localhost"}, 200),
        ({"Origin": "https://app.example.org", **CROSS}, 200),
        (EVIL, 403),
        (CROSS, 403),
        ({"sec-fetch-site": "SAME-SITE"}, 403),
        ({"Origin": "http://localhost", "origin": "http://localhost"}, 403),
        ({"Sec-Fetch-Site": "same-origin", "sec-fetch-site": "same-origin"}, 403),
    ],
)
@pytest.mark.parametrize("requirement", [Requirement.REQUIRED, Requirement.OPTIONAL])
async def test_who_is_known_is_known_to_no_page_of_another_site(
    requirement: Requirement, headers: dict[str, str], status: int
) -> None:
    shop = Shop(rules=AccessRules(default=requirement), trusted_origins=["https://app.example.org"])
    async with served(shop.app) as port, connected(port) as wire:
        answer = await wire.ask("/do", method="POST", token=b"alice", headers=headers)
    assert answer.status == status
    assert shop.done == (["alice"] if status == 200 else [])
    # The client is authenticated either way, and so is the server.
    assert answer.challenges == [PROOF]


@pytest.mark.parametrize(
    ("requirement", "status"),
    [(Requirement.OPEN, 200), (Requirement.OPTIONAL, 200), (Requirement.REQUIRED, 401)],
)
async def test_who_is_nobody_is_not_concerned(requirement: Requirement, status: int) -> None:
    shop = Shop(rules=AccessRules(default=requirement))
    async with served(shop.app) as port, connected(port) as wire:
        assert await post(wire, None, EVIL | CROSS) == status
    assert shop.done == (["nobody"] if status == 200 else [])


async def test_a_kept_identity_is_ambient_too_and_stays() -> None:
    shop = Shop(persistence=Persistence.CONNECTION)
    async with served(shop.app) as port, connected(port) as wire:
        assert await post(wire, b"alice", {}) == 200
        assert await post(wire, None, CROSS) == 403
        assert await post(wire, None, EVIL) == 403
        assert await post(wire, None, {}) == 200
    assert shop.done == ["alice", "alice"]


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
async def test_a_safe_method_is_answered_but_begins_no_websocket(method: str) -> None:
    shop = Shop()
    async with served(shop.app) as port, connected(port) as wire:
        assert await post(wire, b"alice", EVIL | CROSS, method) == 200
        assert await post(wire, b"alice", EVIL | UPGRADE, method) == 403
        assert await post(wire, b"alice", CROSS | UPGRADE, method) == 403
        assert await post(wire, b"alice", UPGRADE, method) == 200
    assert shop.done == ["alice", "alice"]


async def test_a_method_that_is_overridden_is_what_counts_where_guard_is_asked() -> None:
    @web.middleware
    async def override(request: web.Request, handler: Any) -> web.StreamResponse:
        clone = request.clone(method="POST")
        clone._match_info = await request.app.router.resolve(clone)
        await guard(clone)
        return await handler(clone)

    shop = Shop()
    shop.app.middlewares.append(override)
    async with served(shop.app) as port, connected(port) as wire:
        assert await post(wire, b"alice", EVIL, "GET") == 403
        assert await post(wire, b"alice", {}, "GET") == 200
    assert shop.done == ["alice"]


async def test_the_refusal_is_an_event_that_says_who_was_to_be_used_and_by_whom() -> None:
    shop = Shop()
    async with served(shop.app) as port, connected(port) as wire:
        await post(wire, b"alice", EVIL)
    (event,) = shop.events_of(RefusedEvent)
    line = describe(event)
    assert ' principal="alice" http=403 cause=cross-site ' in line
    assert "https://evil.test" in line
