"""On Windows, `setup` needs no keytab: Negotiate is the system's own."""

from __future__ import annotations

import sys

import pytest
from aiohttp import web

from authsrv.aiohttp import setup as installation
from authsrv.aiohttp import setup
from authsrv.errors import ConfigError
from authsrv.providers.scripted import ScriptedPackage
from authsrv.providers.sspi.provider import SspiPackage


@pytest.fixture
def windows(monkeypatch: pytest.MonkeyPatch) -> None:
    """A system that has an SSPI of its own; Windows is one as it is."""
    if sys.platform != "win32":
        monkeypatch.setattr(installation, "_HAS_OWN_SSPI", True)


def test_without_keytab_and_package_the_package_is_negotiate_of_sspi(windows: None) -> None:
    package = setup(web.Application()).acceptor.package
    assert isinstance(package, SspiPackage)
    assert package.package == "Negotiate"
    assert package.credential is None


def test_a_package_that_is_given_is_taken(windows: None) -> None:
    package = ScriptedPackage()
    assert setup(web.Application(), package=package).acceptor.package is package


def test_a_service_without_its_keytab_is_a_wrong_setting(windows: None) -> None:
    with pytest.raises(ConfigError, match="give the keytab"):
        setup(web.Application(), service="HTTP/web.example.org")


@pytest.mark.skipif(sys.platform == "win32", reason="is about the other systems")
def test_elsewhere_a_keytab_or_a_package_is_needed() -> None:
    with pytest.raises(ConfigError, match="give the keytab"):
        setup(web.Application())
