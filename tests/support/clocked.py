"""A service in this process whose clock is moved by the test."""

from __future__ import annotations

import asyncio
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from service_rig import LOGIN_HOST, WIKI_HOST, Rig, write_configuration
from sign_in_sites import SITES

from authsrv.audit.records import AuditEvent, RefusedEvent
from authsrv.devrealm import Realm
from authsrv.service.config.loading import load_settings
from authsrv.service.server import Service

__all__ = ["Clocked", "run_clocked"]

_START_S = 20


@dataclass(slots=True)
class Clocked:
    """A service, and what time it is for it.

    Args:
        rig: How it is asked; it has no process of its own.
        service: Itself.
        events: What it has told its audit.
        ahead_s: How far its clock is ahead of the system's.
    """

    rig: Rig
    service: Service
    events: list[AuditEvent]
    ahead_s: float = field(default=0.0)

    def causes(self) -> list[str]:
        """Why requests were refused, in their order."""
        return [each.error.detail for each in self.events if isinstance(each, RefusedEvent)]


@contextmanager
def run_clocked(
    realm: Realm, monkeypatch: pytest.MonkeyPatch, *, more: str = SITES
) -> Iterator[Clocked]:
    """Run a service with the sites of the sign-in tests on a thread of its own."""
    for name in ("KRB5_CONFIG", "KRB5RCACHEDIR"):
        monkeypatch.setenv(name, realm.environment()[name])
    with tempfile.TemporaryDirectory(prefix="rig-") as name:
        folder = Path(name)
        (folder / "groups.toml").write_text('[groups]\neditors = ["alice@AUTHSRV.TEST"]\n')
        keytab = realm.write_keytab(
            folder / "http.keytab", [f"HTTP/{WIKI_HOST}", f"HTTP/{LOGIN_HOST}"]
        )
        keytab.chmod(0o600)
        settings, _ = load_settings(write_configuration(folder, keytab, more=more))
        events: list[AuditEvent] = []
        state: list[Clocked] = []
        service = Service(
            settings,
            audit=events.append,
            clock=lambda: time.time() + (state[0].ahead_s if state else 0.0),
        )
        with _running(service):
            state.append(Clocked(Rig(folder, None, realm), service, events))  # type: ignore[arg-type]
            yield state[0]


@contextmanager
def _running(service: Service) -> Iterator[None]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        asyncio.run_coroutine_threadsafe(service.start(), loop).result(_START_S)
        try:
            yield
        finally:
            asyncio.run_coroutine_threadsafe(service.stop(), loop).result(_START_S)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(_START_S)
        loop.close()
