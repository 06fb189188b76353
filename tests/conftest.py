"""What every test has: a loop that must not block, and a real realm for those that ask for it."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator

import pytest

# Plug-ins of the machine would take part in every negotiation. It is read when libgssapi is loaded.
os.environ["GSS_MECH_CONFIG"] = os.devnull

# In debug mode asyncio warns of what took long on a busy machine, into tests that look at the log.
logging.getLogger("asyncio").setLevel(logging.ERROR)

if sys.platform == "win32":
    # MIT's programs are not there, and neither is the guard against blocking.
    pytest_plugins: list[str] = []
else:
    from blockbuster import BlockBuster, blockbuster_ctx

    from authsrv.devrealm import Realm

    pytest_plugins = ["authsrv.testing.fixtures"]

    @pytest.fixture(scope="session")
    def numeric_service(kerberos_realm: Realm) -> str:
        """A service of the shared realm that is named by its address."""
        kerberos_realm.add_service("HTTP/127.0.0.1")
        return "HTTP/127.0.0.1"

    @pytest.fixture(autouse=True)
    def blockbuster() -> Iterator[BlockBuster]:
        """Fail any test in which code of authsrv blocks the event loop."""
        with blockbuster_ctx("authsrv") as guard:
            # Under coverage, its tracer takes a lock inside of whatever function runs.
            guard.functions["threading.Lock.acquire"].can_block_in(
                "coverage/collector.py", "lock_data"
            )
            yield guard
