"""The witness of every test of bad input and faults, and the ground of the tables."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from leak_monitor import LeakMonitor
from recipes import Ground

from authsrv.devrealm import Realm
from authsrv.testing.leaks import overhear


@pytest.fixture
def witness(caplog: pytest.LogCaptureFixture) -> Iterator[LeakMonitor]:
    """Hears all loggers at DEBUG, and in the end demands that no token was among it."""
    caplog.set_level(logging.DEBUG)
    witness = LeakMonitor(caplog)
    with overhear(witness.lines):
        yield witness
    assert witness.lines, "the witness heard nothing"
    witness.check()


@pytest.fixture(scope="session")
def chain() -> Iterator[tuple[Realm, Realm, Realm]]:
    """A.TEST is trusted by B.TEST, and that by C.TEST, whose KDC leaves it to the service."""
    lenient = "[realms]\n C.TEST = {\n  reject_bad_transit = false\n }\n"
    with ExitStack() as stack:
        a, b = (stack.enter_context(Realm(name, services=())) for name in ("A.TEST", "B.TEST"))
        c = stack.enter_context(Realm("C.TEST", users=(), configuration=lenient))
        b.trust(a)
        c.trust(b)
        yield a, b, c


@pytest.fixture
def ground(
    kerberos_realm: Realm,
    kerberos_keytab: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> Ground:
    def chain() -> tuple[Realm, Realm, Realm]:
        made: tuple[Realm, Realm, Realm] = request.getfixturevalue("chain")
        return made

    return Ground(kerberos_realm, kerberos_keytab, tmp_path, monkeypatch, chain)
