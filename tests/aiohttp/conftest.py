from __future__ import annotations

import pytest

from authsrv.aiohttp import NegotiateAuth


@pytest.fixture(params=["at the entrance", "as a middleware"])
def both_places(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run a test with the check at the router, and among the middlewares: nothing may differ."""
    if request.param == "as a middleware":
        monkeypatch.setattr(NegotiateAuth, "_move_to_entrance", lambda self, app: None)
