"""What `run_app` asks itself before it listens."""

from __future__ import annotations

import pytest
from aiohttp import web
from sites import Site

from authsrv.aiohttp import AccessRules, AppRunner, Requirement, run_app
from authsrv.aiohttp.selfcheck import ask_itself
from authsrv.errors import ConfigError


async def reroute(app: web.Application) -> None:
    """Let the router lead past every middleware, as a later aiohttp or a start-up hook might."""

    async def past(request: web.Request) -> web.UrlMappingMatchInfo:
        raise web.HTTPOk(text="in")

    app.router.resolve = past  # type: ignore[method-assign]


def test_a_server_that_lets_its_own_stranger_in_does_not_start() -> None:
    site, printed = Site(), list[str]()
    site.app.on_startup.append(reroute)
    with pytest.raises(ConfigError, match=r"/ requires authentication, and answered .* 200"):
        run_app(site.app, host="127.0.0.1", port=0, print=printed.append)
    assert printed == []


@pytest.mark.parametrize("domain", [False, True])
async def test_a_mounted_application_is_asked_and_nothing_is_reported(domain: bool) -> None:
    site, outer = Site(), web.Application()
    if domain:
        outer.add_domain("example.org", site.app)
    else:
        outer.add_subapp("/inner", site.app)
    runner = AppRunner(outer)
    await runner.setup()
    try:
        await ask_itself(runner)
        assert site.auth._decisions
        assert site.events == []
    finally:
        await runner.cleanup()


async def test_where_everything_is_open_nothing_is_asked() -> None:
    site = Site(rules=AccessRules(default=Requirement.OPEN))
    runner = AppRunner(site.app)
    await runner.setup()
    await ask_itself(runner)
    await runner.cleanup()
    assert not site.auth._decisions
