"""The main job, for real: a throw-away realm, the example server, curl, and what goes wrong.

    make demo

Starts an MIT realm in a temporary folder and `examples/hello.py` with its keytab, logs in with
`curl --negotiate`, and shows each handshake as the server saw it. Then come the four refusals that
people meet most, each with its cause. Ends with 0 only if all came out as expected.
"""

from __future__ import annotations

import contextlib
import json
import queue
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from authsrv.devrealm import Realm, RealmError

_HELLO = Path(__file__).with_name("hello.py")
_EVENT = re.compile(r"authsrv\.audit (?P<word>\S+) method=")
_LEG = re.compile(
    r"states=(?P<states>\S+) sspi=(?P<sspi>\S+) token=(?P<token>\S+) ms=(?P<ms>[\d.]+)"
)
_CAUSE = re.compile(r" cause=(?P<code>\S+) reason=(?P<text>\"(?:[^\"\\]|\\.)*\")")
_PRINCIPAL = re.compile(r' principal="(?P<principal>[^"]*)"')
_TOKEN = re.compile(r"^> Authorization: (Negotiate \S+)", re.MULTILINE)
_PATIENCE_S = 10.0


@dataclass
class Server:
    """The example server, and the lines of its log as they come."""

    url: str
    lines: queue.Queue[str] = field(default_factory=queue.Queue)

    def events(self, count: int) -> list[str]:
        """Await as many audit events."""
        found: list[str] = []
        with contextlib.suppress(queue.Empty):
            while len(found) < count:
                line = self.lines.get(timeout=_PATIENCE_S)
                if _EVENT.search(line):
                    found.append(line)
        return found


@dataclass(frozen=True)
class Case:
    """One thing to try: the arguments of curl, and what must come of it."""

    title: str
    arguments: tuple[str, ...]
    environment: dict[str, str]
    status: str
    events: tuple[str, ...]
    cause: str = ""


class Demo:
    """Runs cases against the server and counts what did not come out as expected."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._surprises = 0
        self.last_token = ""

    @property
    def surprises(self) -> int:
        """How many cases went wrong."""
        return self._surprises

    def play(self, case: Case) -> None:
        """Run curl, show what the server saw, and compare."""
        print(f"\n{case.title}")
        began = time.monotonic()
        done = _curl(case)
        status, body = done.stdout[-3:], done.stdout[:-3].strip()
        for token in _TOKEN.findall(done.stderr):
            self.last_token = token
        events = self._server.events(len(case.events))
        for event in events:
            print("\n".join(_shown(event)))
        print(f"  HTTP {status}  {_first_line(body)}  [{(time.monotonic() - began) * 1000:.0f} ms]")
        self._compare(case, status, events)

    def _compare(self, case: Case, status: str, events: list[str]) -> None:
        words = tuple(match["word"] for line in events if (match := _EVENT.search(line)))
        causes = [match["code"] for line in events if (match := _CAUSE.search(line))]
        as_expected = status == case.status and words == case.events
        if case.cause:
            as_expected = as_expected and case.cause in causes
        if as_expected:
            print("  as expected")
            return
        self._surprises += 1
        print(f"  NOT as expected: wanted {case.status} {case.events} {case.cause}")


def _curl(case: Case) -> subprocess.CompletedProcess[str]:
    command = ["curl", "--silent", "--verbose", "--max-time", "10", "--write-out", "%{http_code}"]
    return subprocess.run(
        [*command, *case.arguments],
        env=case.environment,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def _shown(event: str) -> Iterator[str]:
    """Turn a line of the audit log into lines for people."""
    head, leg = _EVENT.search(event), _LEG.search(event)
    cause, principal = _CAUSE.search(event), _PRINCIPAL.search(event)
    word = head["word"] if head else event
    who = f" {principal['principal']}" if principal else ""
    yield f"  {word}{who}"
    if leg:
        mechanism, _, length = leg["token"].partition(",")
        yield f"    states  {leg['states'].replace('>', ' > ')}"
        yield f"    SSPI    {leg['sspi'].replace('(', ' (')}"
        yield f"    token   {mechanism}, {length.rstrip('B')} bytes; {leg['ms']} ms"
    if cause:
        yield f"    cause   {cause['code']}: {json.loads(cause['text'])}"


def _first_line(body: str) -> str:
    return body.splitlines()[0] if body else ""


@contextlib.contextmanager
def _running_server(keytab: Path, environment: dict[str, str]) -> Iterator[Server]:
    command = [sys.executable, "-u", str(_HELLO), "--host", "127.0.0.1", "--port", "0"]
    process = subprocess.Popen(
        [*command, "--keytab", str(keytab)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    lines: queue.Queue[str] = queue.Queue()
    reader = threading.Thread(target=_read_lines, args=(process, lines), daemon=True)
    reader.start()
    try:
        address = _await_address(lines)
        print(f"the server listens on {address}")
        yield Server(f"http://localhost:{address.rpartition(':')[2]}", lines)
    finally:
        process.terminate()
        process.wait(timeout=_PATIENCE_S)


def _read_lines(process: subprocess.Popen[str], lines: queue.Queue[str]) -> None:
    for line in process.stdout or ():
        lines.put(line.rstrip("\n"))


def _await_address(lines: queue.Queue[str]) -> str:
    while True:
        try:
            line = lines.get(timeout=_PATIENCE_S)
        except queue.Empty:
            raise SystemExit("the server did not start") from None
        if line.startswith("listening on "):
            return line.removeprefix("listening on ")


def _logins(server: Server, alice: dict[str, str]) -> Iterator[Case]:
    negotiate = ("--negotiate", "--user", ":")
    yield Case(
        "Login: alice opens a page with curl --negotiate",
        (*negotiate, f"{server.url}/"),
        alice,
        "200",
        ("established",),
    )
    yield Case(
        "Login: alice posts 100,000 bytes",
        (*negotiate, "--data-binary", "x" * 100_000, f"{server.url}/echo"),
        alice,
        "200",
        ("established",),
    )
    yield Case("No login needed: the public page", (f"{server.url}/public",), alice, "200", ())


def _refusals(
    server: Server, realm: Realm, environments: dict[str, dict[str, str]], token: str
) -> Iterator[Case]:
    negotiate = ("--negotiate", "--user", ":")
    yield Case(
        "Refusal 1: no ticket. bob never ran kinit, and has no answer to the challenge",
        (*negotiate, f"{server.url}/"),
        environments["nobody"],
        "401",
        ("challenged",),
        "no-token",
    )
    yield Case(
        "Refusal 2: a ticket for another service",
        (*negotiate, "--service-name", "other", f"{server.url}/"),
        environments["alice"],
        "401",
        ("refused",),
        "wrong-service",
    )
    yield Case(
        "Refusal 3: a replayed token. Somebody recorded alice's request and sends it again",
        ("--header", f"Authorization: {token}", f"{server.url}/"),
        environments["nobody"],
        "401",
        ("refused",),
        "replay",
    )
    yield Case(
        "Refusal 4: a client clock seven minutes off",
        (*negotiate, f"{server.url}/"),
        environments["skewed"],
        "401",
        ("refused",),
        "clock-skew",
    )


def _environments(realm: Realm, folder: Path) -> dict[str, dict[str, str]]:
    alice = realm.environment("alice")
    realm.login("alice")
    skewed = realm.environment("carol")
    realm.skewed_login("carol", 420)
    nobody = {**alice, "KRB5CCNAME": f"FILE:{folder / 'nobody'}"}
    return {"alice": alice, "skewed": skewed, "nobody": nobody}


def main() -> int:
    """Run the demo and answer the exit code."""
    began = time.monotonic()
    services, users = ("HTTP/localhost", "other/localhost"), ("alice", "carol")
    try:
        with (
            tempfile.TemporaryDirectory(prefix="authsrv-demo-") as folder,
            Realm(services=services, users=users) as realm,
        ):
            print(f"the realm {realm.name} runs, in a temporary folder and on ports of its own")
            environments = _environments(realm, Path(folder))
            keytab = realm.write_keytab(Path(folder) / "http.keytab", ["HTTP/localhost"])
            with _running_server(keytab, environments["alice"]) as server:
                demo = Demo(server)
                for case in _logins(server, environments["alice"]):
                    demo.play(case)
                for case in _refusals(server, realm, environments, demo.last_token):
                    demo.play(case)
    except RealmError as error:
        print(f"the demo cannot run: {error}", file=sys.stderr)
        return 2
    verdict = "all as expected" if not demo.surprises else f"{demo.surprises} NOT as expected"
    print(f"\n{verdict}, in {time.monotonic() - began:.1f} s; nothing is left behind")
    return 1 if demo.surprises else 0


if __name__ == "__main__":
    sys.exit(main())
