"""Chromium without a display, driven by the DevTools protocol over a pipe.

It speaks JSON, a NUL behind each message, on the descriptors 3 and 4:
https://chromedevtools.github.io/devtools-protocol/. Nothing of the machine is touched: its profile
is in a folder of its own, and all names lead to one address.
"""

from __future__ import annotations

import base64
import contextlib
import itertools
import json
import os
import select
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from programs import find_program

__all__ = ["Browser", "BrowserError", "Page", "run_chromium"]

_LIMIT_S = 30.0
_SWITCHES = (
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
    "--ignore-certificate-errors",
    "--disable-features=HttpsUpgrades",
    "--remote-debugging-pipe",
)
# Names that are led to an address are not to be taken for aliases of it: tickets are for names.
_STATE = {"auth": {"disable_negotiate_cname_lookup": True}}
# A shell gives the two ends of the pipes the numbers that are asked for.
_ON_PIPES = 'exec "$@" 3<&"$TO_BROWSER" 4>&"$FROM_BROWSER"'


class BrowserError(Exception):
    """The browser says no to a command."""


@dataclass(slots=True)
class Browser:
    """A browser that runs.

    Args:
        reading: Where its messages come from.
        writing: Where its commands go.
    """

    reading: int
    writing: int
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    _rest: bytes = b""

    def call(self, method: str, session: str | None = None, **given: Any) -> dict[str, Any]:
        """Give a command, and wait for its answer.

        Raises:
            BrowserError: It says no.
        """
        number = next(self._numbers)
        command: dict[str, Any] = {"id": number, "method": method, "params": given}
        if session is not None:
            command["sessionId"] = session
        os.write(self.writing, json.dumps(command).encode() + b"\0")
        while True:
            message = self._read()
            if message.get("id") != number:
                continue
            if "error" in message:
                raise BrowserError(f"{method}: {message['error']['message']}")
            result: dict[str, Any] = message["result"]
            return result

    def open(self, url: str = "about:blank") -> Page:
        """Open a tab."""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        page = Page(self, target, session)
        page.call("Page.enable")
        if url != "about:blank":
            page.go(url)
        return page

    def forget(self) -> None:
        """Forget all cookies."""
        self.call("Storage.clearCookies")

    def cookies(self) -> dict[tuple[str, str], str]:
        """All cookies, by domain and name."""
        found = self.call("Storage.getCookies")["cookies"]
        return {(each["domain"], each["name"]): each["value"] for each in found}

    def urls(self) -> list[str]:
        """The addresses of all tabs."""
        found = self.call("Target.getTargets")["targetInfos"]
        return [each["url"] for each in found if each["type"] == "page"]

    def _read(self) -> dict[str, Any]:
        end = time.monotonic() + _LIMIT_S
        while b"\0" not in self._rest:
            ready = select.select([self.reading], [], [], max(0.0, end - time.monotonic()))[0]
            assert ready, "the browser does not answer"
            piece = os.read(self.reading, 65_536)
            assert piece, "the browser has ended"
            self._rest += piece
        message, _, self._rest = self._rest.partition(b"\0")
        found: dict[str, Any] = json.loads(message)
        return found


@dataclass(frozen=True, slots=True)
class Page:
    """A tab."""

    browser: Browser
    target: str
    session: str

    def call(self, method: str, **given: Any) -> dict[str, Any]:
        """Give a command to this tab."""
        return self.browser.call(method, self.session, **given)

    def go(self, url: str) -> None:
        """Go to a URL, and wait until something has loaded, wherever that is."""
        answer = self.call("Page.navigate", url=url)
        assert "errorText" not in answer or answer["errorText"] == "net::ERR_ABORTED", answer
        self.wait("document.readyState === 'complete'")

    def run(self, script: str) -> Any:
        """Run a script as the page's own, await what it promises, and give its value.

        Raises:
            BrowserError: It throws, or the page goes elsewhere meanwhile.
        """
        answer = self.call(
            "Runtime.evaluate",
            expression=script,
            awaitPromise=True,
            returnByValue=True,
            userGesture=True,
        )
        if "exceptionDetails" in answer:
            thrown = answer["exceptionDetails"].get("exception", {})
            raise BrowserError(str(thrown.get("description") or answer["exceptionDetails"]["text"]))
        return answer["result"].get("value")

    @property
    def url(self) -> str:
        """Where it is."""
        info = self.browser.call("Target.getTargetInfo", targetId=self.target)["targetInfo"]
        return str(info["url"])

    @property
    def text(self) -> str:
        """What can be read on it."""
        return str(self.run("document.body.innerText"))

    def wait(self, condition: str) -> None:
        """Wait until a script says so; a page that goes elsewhere meanwhile does not."""
        self.until(lambda: bool(self.run(condition)), condition)

    def until(self, condition: Callable[[], bool], what: str) -> None:
        """Wait until something holds."""
        end = time.monotonic() + _LIMIT_S
        while True:
            with contextlib.suppress(BrowserError):
                if condition():
                    return
            assert time.monotonic() < end, f"never: {what}; it is at {self.url}"
            time.sleep(0.02)

    def arrive(self, beginning: str) -> None:
        """Wait until it is at a URL that begins so, and has loaded."""
        self.wait(
            f"location.href.startsWith({json.dumps(beginning)})"
            " && document.readyState === 'complete'"
        )

    def picture(self, *, width: int, height: int, scheme: str) -> bytes:
        """A picture, PNG, of a window of a size, in a light or dark scheme."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 500,
        )
        feature = {"name": "prefers-color-scheme", "value": scheme}
        self.call("Emulation.setEmulatedMedia", features=[feature])
        return base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"])


@contextmanager
def run_chromium(environment: Mapping[str, str], at: str, *more: str) -> Iterator[Browser]:
    """Run a browser until the end of the block.

    Args:
        environment: Whose tickets it has.
        at: The address and port where every host is.
        more: Switches.
    """
    program = find_program("chromium", package="chromium")
    # Not a folder of pytest's: the browser makes a socket in it, whose path must be short.
    with tempfile.TemporaryDirectory(prefix="chromium-", ignore_cleanup_errors=True) as folder:
        Path(folder, "Local State").write_text(json.dumps(_STATE))
        commands, to_browser = os.pipe()
        from_browser, messages = os.pipe()
        names = ("HOME", "TMPDIR", "XDG_CONFIG_HOME", "XDG_CACHE_HOME")
        switches = [
            *_SWITCHES,
            f"--user-data-dir={folder}",
            f"--host-resolver-rules=MAP * {at}",
            *more,
        ]
        process = subprocess.Popen(
            ["/bin/bash", "-c", _ON_PIPES, "bash", program, *switches],
            env={
                **environment,
                **dict.fromkeys(names, folder),
                "TO_BROWSER": str(commands),
                "FROM_BROWSER": str(messages),
            },
            pass_fds=(commands, messages),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        os.close(commands)
        os.close(messages)
        try:
            yield Browser(from_browser, to_browser)
        finally:
            os.close(to_browser)
            os.close(from_browser)
            # All processes that it started are one group, which it leads.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
