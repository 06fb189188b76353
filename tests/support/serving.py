"""Servers in processes of their own, for tests that speak to them as their users would."""

from __future__ import annotations

import os
import re
import selectors
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from authsrv.devrealm import Realm

__all__ = ["HELLO", "Served", "clean_environment", "hello_command", "serve", "server_environment"]

HELLO = Path(__file__).parents[2] / "examples" / "hello.py"

START_S = 30
STOP_S = 15

# What would make a server of the tests behave otherwise than one that a user starts.
OURS_ALONE = ("PYTHONUNBUFFERED", "PYTHONWARNINGS", "PYTHONASYNCIODEBUG")

LISTENING = re.compile(r"listening on .*:(\d+)")


@dataclass(frozen=True, slots=True)
class Served:
    """A server that listens.

    Args:
        process: Its process; its standard output has been read up to the first line.
        line: That line.
        log: What it writes to its standard error.
    """

    process: subprocess.Popen[str]
    line: str
    log: IO[str]

    @property
    def port(self) -> int:
        """The port, by the line that it printed."""
        found = LISTENING.search(self.line)
        assert found, f"the server printed no address: {self.line!r}"
        return int(found[1])

    @property
    def url(self) -> str:
        """Where it is, by the name that its service has in the realm."""
        return f"http://localhost:{self.port}"

    def logged(self) -> str:
        """What it has written to its standard error until now."""
        self.log.seek(0)
        return self.log.read()

    def stop(self) -> int:
        """Ask it to end by SIGTERM; its exit code."""
        self.process.terminate()
        return self.process.wait(STOP_S)


def clean_environment(variables: Mapping[str, str]) -> dict[str, str]:
    """The environment of the tests without anything of Kerberos or of their own, and variables."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("KRB5") and name not in OURS_ALONE
    }
    return {**kept, **variables}


def server_environment(realm: Realm) -> dict[str, str]:
    """What a server needs of a realm: no default keytab, no ticket, no replay cache of others."""
    variables = realm.environment()
    return clean_environment({name: variables[name] for name in ("KRB5_CONFIG", "KRB5RCACHEDIR")})


def hello_command(keytab: Path, *more: str) -> list[str]:
    """How the example is started for a test: on loopback, on any port that is free."""
    where = ["--host", "127.0.0.1", "--port", "0", "--keytab", str(keytab)]
    return [sys.executable, str(HELLO), *where, *more]


@contextmanager
def serve(command: Sequence[str], environment: Mapping[str, str]) -> Iterator[Served]:
    """Start a server, wait until it says that it listens, and end it with the block."""
    with tempfile.TemporaryFile("w+", encoding="utf-8") as log:
        process = subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
        try:
            yield Served(process, _first_line(process, log), log)
        finally:
            _end(process)


def _first_line(process: subprocess.Popen[str], log: IO[str]) -> str:
    assert process.stdout is not None
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        ready = selector.select(START_S)
    line = process.stdout.readline() if ready else ""
    if not line:
        log.seek(0)
        raise AssertionError(f"the server does not listen: {log.read()}")
    return line


def _end(process: subprocess.Popen[str]) -> None:
    process.terminate()
    try:
        process.wait(STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stdout is not None:
        process.stdout.close()
