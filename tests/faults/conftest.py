"""The witness of every test of bad input and faults."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest
from leak_monitor import LeakMonitor

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
