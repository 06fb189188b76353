"""The sites and the people of the trials, and the tables that they print at the end."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from people import Person, appear
from places import Pair, Sites
from programs import find_program
from serving import serve, server_environment

from authsrv.devrealm import Realm

SITE = Path(__file__).with_name("peer_site.py")
TABLES = pytest.StashKey[dict[str, list[str]]]()


@pytest.fixture(scope="session")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    folder = tmp_path_factory.mktemp("certificate")
    made = Pair(folder / "certificate.pem", folder / "key.pem")
    command = [find_program("openssl", package="openssl"), "req", "-x509", "-newkey", "rsa:2048"]
    command += ["-nodes", "-days", "2", "-subj", "/CN=localhost", "-addext"]
    command += ["subjectAltName=DNS:localhost,IP:127.0.0.1", "-out", str(made.certificate)]
    subprocess.run([*command, "-keyout", str(made.key)], check=True, capture_output=True)
    return made


@pytest.fixture(scope="session")
def sites(kerberos_realm: Realm, pair: Pair) -> Iterator[Sites]:
    command = [sys.executable, str(SITE), "--keytab", str(kerberos_realm.keytab)]
    tls = [*command, "--certificate", str(pair.certificate), "--key", str(pair.key), "--policy"]
    variables = server_environment(kerberos_realm)
    with ExitStack() as stack:
        plain, allow, require = (
            stack.enter_context(serve(line, variables))
            for line in (command, [*tls, "allow"], [*tls, "require"])
        )
        secure = [f"https://localhost:{served.port}/" for served in (allow, require)]
        yield Sites(f"{plain.url}/", *secure, plain.logged)


@pytest.fixture(scope="session")
def person(kerberos_realm: Realm) -> Person:
    """Somebody who has logged in."""
    somebody = appear(kerberos_realm, "ida")
    kerberos_realm.login("ida")
    return somebody


@pytest.fixture(scope="session")
def stranger(kerberos_realm: Realm) -> Person:
    """Somebody who has no ticket."""
    return appear(kerberos_realm, "otto")


@pytest.fixture(scope="session")
def table(request: pytest.FixtureRequest) -> dict[str, list[str]]:
    """The lines that are printed at the end, by the name of their table."""
    return request.config.stash.setdefault(TABLES, {})


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for name, lines in terminalreporter.config.stash.get(TABLES, {}).items():
        terminalreporter.section(name)
        terminalreporter.write("\n".join(lines) + "\n")
