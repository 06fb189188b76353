"""Chromium, without a display, against the example server.

All that Chromium needs is given on its command line and in a folder of its own: nothing is written
below /etc, where its policies would stand.
"""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
from people import Person
from programs import find_program
from serving import Served

pytestmark = pytest.mark.xdist_group("interop")

LIMIT_S = 90

SWITCHES = [
    "--headless",
    "--no-sandbox",  # its sandbox does not start for root
    "--disable-gpu",
    "--disable-dev-shm-usage",  # containers have little of it
    "--disable-quic",
    "--no-first-run",
    "--no-proxy-server",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--password-store=basic",
]

MAY_AUTHENTICATE = "--auth-server-allowlist=localhost"


@dataclass(frozen=True, slots=True)
class Browser:
    """A browser with a profile of its own.

    Args:
        folder: Its profile, and whatever else it writes.
        program: Where Chromium is.
    """

    folder: Path
    program: str

    def show(self, url: str, who: Person, *switches: str) -> str:
        """Start it, and answer the page as it stands when it has loaded."""
        command = [self.program, *SWITCHES, f"--user-data-dir={self.folder}", *switches]
        process = subprocess.Popen(
            [*command, "--dump-dom", url],
            env=self._environment(who.environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
        )
        try:
            return process.communicate(timeout=LIMIT_S)[0]
        finally:
            _end(process)

    def _environment(self, environment: Mapping[str, str]) -> dict[str, str]:
        names = ("HOME", "TMPDIR", "XDG_CONFIG_HOME", "XDG_CACHE_HOME")
        return {**environment, **dict.fromkeys(names, str(self.folder))}


def _end(process: subprocess.Popen[str]) -> None:
    """End it and all processes that it started: they are one group, which it leads."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    process.wait()


@pytest.fixture
def browser() -> Iterator[Browser]:
    """A browser that has never been started."""
    program = find_program("chromium", package="chromium")
    # Not tmp_path: the browser makes a socket in it, whose path must be short.
    with tempfile.TemporaryDirectory(prefix="chromium-", ignore_cleanup_errors=True) as folder:
        yield Browser(Path(folder), program)


def test_a_browser_signs_in_without_asking(browser: Browser, hello: Served, person: Person) -> None:
    # The first start that sees a Negotiate challenge only takes note that such things exist; from
    # the second one on, the browser loads its GSS-API library in time.
    browser.show(hello.url, person, MAY_AUTHENTICATE)
    page = browser.show(hello.url, person, MAY_AUTHENTICATE)
    assert f'"principal": "{person.principal}"' in page
    assert '"mechanism": "kerberos"' in page


def test_a_browser_without_a_ticket_sees_why_it_stays_outside(
    browser: Browser, hello: Served, stranger: Person
) -> None:
    for _ in range(2):
        page = browser.show(hello.url, stranger, MAY_AUTHENTICATE)
        assert "Authentication is required." in page
        assert "principal" not in page


def test_a_browser_that_may_not_authenticate_here_sees_why_it_stays_outside(
    browser: Browser, hello: Served, person: Person
) -> None:
    for _ in range(2):
        page = browser.show(hello.url, person)
        assert "Authentication is required." in page


def test_a_browser_reads_an_open_page_without_a_ticket(
    browser: Browser, hello: Served, stranger: Person
) -> None:
    assert '"public": true' in browser.show(f"{hello.url}/public", stranger, MAY_AUTHENTICATE)
