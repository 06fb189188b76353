"""The auth service, for real: its demonstration behind nginx, with curl as everybody else.

`make demo` ends with it. `authsrv serve --demo` starts a realm, nginx, a protected page and a login
host; curl comes with a ticket, then without one, and then with a password. Ends with 0 only if all
came out as expected.
"""

from __future__ import annotations

import contextlib
import html
import http.client
import os
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urlencode, urljoin, urlsplit

_PATIENCE_S = 30.0
_SHOW_STATUS = "\nHTTP %{http_code}"
_TICKET = re.compile(r"(KRB5_CONFIG)=(\S+) (KRB5CCNAME)=(\S+)")
_PASSWORD = re.compile(r"with the password (\S+)")
_HIDDEN = re.compile(r'type="hidden" name="(\w+)" value="([^"]*)"')


@dataclass(frozen=True)
class Demonstration:
    """What the running demonstration said: where it is, and who may come in how."""

    origin: str
    ticket: dict[str, str]
    password: str

    def curl(self, *arguments: str, **environment: str) -> str:
        """Run curl; gives the status and the body that it ended with."""
        done = subprocess.run(
            ["curl", "--silent", "--max-time", "10", "--write-out", _SHOW_STATUS, *arguments],
            env={**_without_kerberos(), **environment},
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        return done.stdout


def _without_kerberos() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("KRB5")}


@contextlib.contextmanager
def _running() -> Iterator[Demonstration]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "authsrv", "serve", "--demo", "--port", str(port)]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=_without_kerberos()
    )
    try:
        said = _read_until(process, "Ctrl-C ends it")
        ticket, password = _TICKET.search(said), _PASSWORD.search(said)
        if ticket is None or password is None:
            process.terminate()
            raise SystemExit(f"the demonstration did not start: {process.communicate()[1]}")
        variables = {ticket[1]: ticket[2], ticket[3]: ticket[4]}
        yield Demonstration(f"http://wiki.localhost:{port}", variables, password[1])
    finally:
        process.terminate()
        log = process.communicate(timeout=_PATIENCE_S)[1]
        print("\nwhat the service logged:")
        print("\n".join(f"  {line}" for line in log.splitlines()))


def _read_until(process: subprocess.Popen[str], end: str) -> str:
    said = ""
    assert process.stdout is not None
    silence = threading.Timer(_PATIENCE_S, process.kill)
    silence.start()
    try:
        for line in process.stdout:
            said += line
            if end in line:
                break
    finally:
        silence.cancel()
    return said


def _by_ticket(demonstration: Demonstration) -> str:
    where = f"{demonstration.origin}/"
    return demonstration.curl("--negotiate", "--user", ":", where, **demonstration.ticket)


class Browser:
    """As much of a browser as the form needs: it follows redirects, and keeps cookies by host.

    curl would keep no secure cookie of http://wiki.localhost, which browsers do.
    """

    def __init__(self, port: int) -> None:
        self._port = port
        self._cookies: dict[str, dict[str, str]] = {}

    def open(self, url: str, form: dict[str, str] | None = None) -> tuple[int, str]:
        """Fetch a page, or send a form, wherever it leads; gives status and body."""
        for _ in range(10):
            response, body, host = self._fetch(url, form)
            where = response.getheader("Location")
            if where is None:
                return response.status, body
            url, form = urljoin(f"http://{host}", where), None
        return 0, "it goes in circles"

    def _fetch(
        self, url: str, form: dict[str, str] | None
    ) -> tuple[http.client.HTTPResponse, str, str]:
        parts = urlsplit(url)
        cookies = self._cookies.setdefault(parts.netloc, {})
        headers = {"Host": parts.netloc, "Accept": "text/html"}
        headers["Cookie"] = "; ".join(map("=".join, cookies.items()))
        body = None if form is None else urlencode(form)
        if body is not None:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=_PATIENCE_S)
        with contextlib.closing(connection):
            target = f"{parts.path}?{parts.query}" if parts.query else parts.path
            connection.request("GET" if form is None else "POST", target, body, headers)
            response = connection.getresponse()
            for cookie in response.headers.get_all("Set-Cookie", []):
                name, _, value = cookie.partition(";")[0].partition("=")
                cookies[name] = value
            return response, response.read().decode(), parts.netloc


def _by_password(demonstration: Demonstration) -> str:
    browser = Browser(urlsplit(demonstration.origin).port or 80)
    # Where the challenge leads a browser that has no ticket.
    _, form = browser.open(f"{demonstration.origin}/.authsrv/sign-in?return=/&on=1")
    typed = {"username": "alice", "password": demonstration.password}
    fields = {name: html.unescape(value) for name, value in _HIDDEN.findall(form)}
    action = demonstration.origin.replace("wiki", "login") + "/.authsrv/sign-in"
    status, body = browser.open(action, {**fields, **typed})
    return f"{body}\nHTTP {status}"


def main() -> int:
    """Run the pass through the service; gives the exit code."""
    print("\nThe auth service, behind nginx")
    surprises = 0
    with _running() as demonstration:
        cases = (
            ("Login: alice has a ticket, and types nothing", _by_ticket, "Hello alice!", "200"),
            (
                "No ticket: a program is told to bring one",
                lambda it: it.curl(f"{it.origin}/"),
                "Authentication is required.",
                "401",
            ),
            ("Login: alice types her password", _by_password, "Hello alice!", "200"),
        )
        for title, play, text, status in cases:
            shown = play(demonstration)
            print(f"\n{title}\n  HTTP {shown[-3:]}  {shown.splitlines()[0] if shown else ''}")
            is_expected = text in shown and shown.endswith(f"HTTP {status}")
            print("  as expected" if is_expected else "  NOT as expected")
            surprises += not is_expected
    return 1 if surprises else 0


if __name__ == "__main__":
    sys.exit(main())
