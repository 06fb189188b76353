"""What the tests of the providers share: users and services beside alice and HTTP."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from authsrv.devrealm import Realm
from authsrv.providers.replay import MITReplayCache

NTLM_USERS = "DOMAIN:alice:Pässword 1\nDOMAIN:bob:Pässword 2\n"


@pytest.fixture(scope="session")
def foreign_service(kerberos_realm: Realm) -> str:
    """A service of the realm whose keys are not in the realm's keytab, as "class@host"."""
    kerberos_realm.add_service("HTTP/foreign.test")
    return "HTTP@foreign.test"


@pytest.fixture(scope="session", autouse=True)
def memory_swept() -> Iterator[None]:
    """Remove the replay caches that the tests of this process made in memory."""
    yield
    if sys.platform == "win32":
        return
    for label in ("conformance", "test"):
        name = MITReplayCache.in_memory(f"{label}-{os.getpid()}").name
        Path(name.removeprefix("file2:")).unlink(missing_ok=True)


@pytest.fixture
def ntlm_users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The environment in which pyspnego accepts NTLM version 2 from alice and bob of DOMAIN."""
    users = tmp_path / "ntlm-users"
    users.write_text(NTLM_USERS, encoding="utf-8")
    monkeypatch.setenv("NTLM_USER_FILE", str(users))
    monkeypatch.setenv("LM_COMPAT_LEVEL", "5")
    return users
