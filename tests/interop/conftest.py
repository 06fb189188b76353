"""The example server in a real realm, and the people who come to it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from people import Person, appear
from serving import Served, hello_command, serve, server_environment

from authsrv.devrealm import Realm


@pytest.fixture(scope="session")
def hello(kerberos_realm: Realm) -> Iterator[Served]:
    """The example server, shared by all clients."""
    command = hello_command(kerberos_realm.keytab, "--service", "HTTP/localhost")
    with serve(command, server_environment(kerberos_realm)) as served:
        yield served


@pytest.fixture(scope="session")
def person(kerberos_realm: Realm) -> Person:
    """Somebody who has logged in. Not alice: other tests log her in and out of the same realm."""
    somebody = appear(kerberos_realm, "ida")
    kerberos_realm.login("ida")
    return somebody


@pytest.fixture(scope="session")
def stranger(kerberos_realm: Realm) -> Person:
    """Somebody who has no ticket."""
    return appear(kerberos_realm, "otto")


@pytest.fixture
def this_process(person: Person, monkeypatch: pytest.MonkeyPatch) -> Person:
    """The person who has logged in, as the user of a client in this process."""
    for name in ("KRB5_CONFIG", "KRB5CCNAME", "KRB5_CLIENT_KTNAME"):
        monkeypatch.setenv(name, person.environment[name])
    monkeypatch.delenv("KRB5_KTNAME", raising=False)
    return person
