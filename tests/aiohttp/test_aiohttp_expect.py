"""A client that waits for 100 Continue before it sends its body."""

from __future__ import annotations

import pytest
from aiohttp import web
from sites import PROOF, Site, connected, field, served

from authsrv.aiohttp import AccessRules
from authsrv.core.results import Continue, Established
from authsrv.providers.scripted import ALICE

EXPECT = {"Expect": "100-continue", "Content-Length": "5"}


async def echo(request: web.Request) -> web.Response:
    return web.Response(text=await request.text())


def uploading(*script: object, **options: object) -> Site:
    site = Site(*script, **options)  # type: ignore[arg-type]
    site.app.router.add_post("/upload", echo)
    return site


@pytest.mark.parametrize("path", ["/upload", "/none"])
@pytest.mark.parametrize("token", [None, b"bad"])
async def test_who_is_refused_gets_the_answer_at_once_and_the_connection_is_closed(
    path: str, token: bytes | None
) -> None:
    site = uploading()
    async with served(site.app) as port, connected(port) as wire:
        await wire.send(path, method="POST", headers=EXPECT, token=token)
        answer = await wire.answer()
        assert (answer.status, answer.challenges) == (401, ["Negotiate"])
        assert answer.headers["Connection"] == "close"
        assert await wire.is_closed()
    assert len(site.events) == 1


async def test_a_client_that_sends_its_body_all_the_same_still_reads_its_401() -> None:
    site = uploading()
    async with served(site.app) as port, connected(port) as wire:
        headers = {**EXPECT, "Content-Length": "1000000"}
        await wire.send("/upload", method="POST", headers=headers)
        wire.writer.write(bytes(1_000_000))
        await wire.writer.drain()
        assert (await wire.answer()).status == 401
        assert await wire.is_closed()


async def test_a_handshake_under_way_asks_for_the_body_and_keeps_the_connection() -> None:
    site = uploading(Continue(b"next"), Established(ALICE, b"proof"))
    async with served(site.app) as port, connected(port) as wire:
        await wire.send("/upload", method="POST", headers=EXPECT, token=b"\x60 initial")
        assert (await wire.answer()).status == 100
        wire.writer.write(b"12345")
        answer = await wire.answer()
        assert (answer.status, answer.challenges) == (401, [field(b"next")])
        await wire.send("/upload", method="POST", headers=EXPECT, token=b"\xa1 following")
        assert (await wire.answer()).status == 100
        wire.writer.write(b"12345")
        answer = await wire.answer()
        assert (answer.status, answer.text, answer.challenges) == (200, "12345", [PROOF])


@pytest.mark.parametrize("rules", [AccessRules(), AccessRules(open_paths=("/upload",))])
async def test_who_is_welcome_is_asked_for_the_body_once(rules: AccessRules) -> None:
    asked: list[str] = []

    async def expect(request: web.Request) -> None:
        asked.append(request.path)
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    site = Site(rules=rules)
    site.app.router.add_post("/upload", echo, expect_handler=expect)
    async with served(site.app) as port, connected(port) as wire:
        begun = site.provider.created
        await wire.send("/upload", method="POST", headers=EXPECT, token=b"alice")
        assert (await wire.answer()).status == 100
        wire.writer.write(b"12345")
        assert (await wire.answer()).text == "12345"
        assert site.provider.created - begun <= 1
    assert asked == ["/upload"]


async def test_what_nobody_can_expect_is_aiohttps_to_refuse() -> None:
    site = uploading()
    async with served(site.app) as port, connected(port) as wire:
        answer = await wire.ask("/upload", method="POST", headers={"Expect": "a miracle"})
    assert answer.status == 417
