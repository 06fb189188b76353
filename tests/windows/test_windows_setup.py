"""On Windows, `setup` needs no keytab: Negotiate is the system's own."""

from __future__ import annotations

import sys

import pytest
from aiohttp import web

from authsrv.aiohttp import install, setup
from authsrv.errors import ConfigError
from authsrv.providers.scripted import ScriptedProvider
from authsrv.providers.sspi.provider import SspiProvider


@pytest.fixture
def windows(monkeypatch: pytest.MonkeyPatch) -> None:
    """A system that has an SSPI of its own; Windows is one as it is."""
    if sys.platform != "win32":
        monkeypatch.setattr(install, "_HAS_OWN_SSPI", True)
        monkeypatch.setattr("authsrv.providers.sspi.provider.IS_SSPI_RS", False)


def test_without_keytab_and_package_the_package_is_negotiate_of_sspi(windows: None) -> None:
    provider = setup(web.Application()).acceptor.provider
    assert isinstance(provider, SspiProvider)
    assert provider.package == "Negotiate"
    assert provider.credential is None


def test_a_package_that_is_given_is_taken(windows: None) -> None:
    provider = ScriptedProvider()
    assert setup(web.Application(), provider=provider).acceptor.provider is provider


def test_a_service_without_its_keytab_is_a_wrong_setting(windows: None) -> None:
    with pytest.raises(ConfigError, match="give the keytab"):
        setup(web.Application(), service="HTTP/web.example.org")


@pytest.mark.skipif(sys.platform == "win32", reason="is about the other systems")
def test_elsewhere_a_keytab_or_a_package_is_needed() -> None:
    with pytest.raises(ConfigError, match="give the keytab"):
        setup(web.Application())
