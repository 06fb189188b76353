"""What is used of aiohttp beyond its public interface, and with which release it was tried."""

from __future__ import annotations

import ast
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from aiohttp.web_protocol import RequestHandler
from sites import Site

import authsrv.aiohttp
from authsrv.aiohttp import _private, run_app
from authsrv.errors import ConfigError

SOURCES = sorted(Path(authsrv.aiohttp.__file__).parent.glob("*.py"))


def test_the_private_names_were_tried_with_this_release() -> None:
    # If this fails: run the tests of this folder with the new release, and raise TRIED_WITH.
    assert aiohttp.__version__.startswith(f"{_private.TRIED_WITH}.")


@pytest.mark.parametrize("name", _private._NAMES)
def test_a_release_that_has_lost_one_does_not_start(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    holder = next(cls for cls in RequestHandler.__mro__ if name in vars(cls))
    monkeypatch.delattr(holder, name)
    with pytest.raises(ConfigError, match=f"has no .*{name}.*tried with aiohttp"):
        run_app(Site().app, host="127.0.0.1", port=0)


@pytest.mark.parametrize("name", _private._OF_A_SERVER)
def test_a_server_that_has_lost_one_does_not_start(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    init = web.Server.__init__

    def lose(self: web.Server, *args: object, **named: object) -> None:
        init(self, *args, **named)  # type: ignore[arg-type]
        delattr(self, name)

    monkeypatch.setattr(web.Server, "__init__", lose)
    with pytest.raises((ConfigError, AttributeError)):
        run_app(Site().app, host="127.0.0.1", port=0)


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.name)
def test_nobody_else_uses_private_names_of_other_objects(source: Path) -> None:
    if source.name == "_private.py":
        return
    used = [
        node.attr
        for node in ast.walk(ast.parse(source.read_text()))
        if isinstance(node, ast.Attribute)
        and node.attr.startswith("_")
        and not node.attr.startswith("__")
        and not (isinstance(node.value, ast.Name) and node.value.id == "self")
    ]
    assert used == []
