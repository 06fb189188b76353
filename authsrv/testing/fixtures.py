"""A pytest plugin with a real Kerberos realm.

In ``conftest.py`` of the project's root::

    pytest_plugins = ["authsrv.testing.fixtures"]

The realm is started when the first test asks for it, once in each process of pytest-xdist, and has
the service ``HTTP/localhost`` and the user ``alice``. A test that needs others adds some
(`Realm.add_service`, `Realm.add_user`), or starts a `Realm` of its own: one that rotates the keys
of ``HTTP/localhost`` takes the ground from under the tests that come after it.

Where the realm's programs are not installed, the tests fail, and the failure names the Debian
package: a test suite that skips its only real test is green for no reason.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from authsrv.devrealm import MissingProgramError, Realm

__all__ = ["kerberos_environment", "kerberos_keytab", "kerberos_realm"]


@pytest.fixture(scope="session")
def kerberos_realm() -> Iterator[Realm]:
    """A running development realm, shared by the tests of this process."""
    with contextlib.ExitStack() as stack:
        try:
            realm = stack.enter_context(Realm())
        except MissingProgramError as error:
            pytest.fail(error.detail, pytrace=False)
        yield realm


@pytest.fixture
def kerberos_environment(kerberos_realm: Realm, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """This process's environment, put into the realm for one test; alice has just logged in.

    The C library reads these variables when a context or a credential is made, so one that was made
    before does not notice them. They are returned for subprocesses that get an environment of their
    own.
    """
    kerberos_realm.login("alice")
    variables = kerberos_realm.environment("alice")
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return variables


@pytest.fixture
def kerberos_keytab(kerberos_realm: Realm) -> Path:
    """The keytab with the realm's keys of ``HTTP/localhost``."""
    return kerberos_realm.keytab
