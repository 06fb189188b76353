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
from service_rig import LOGIN_HOST, WIKI_HOST
from serving import clean_environment, serve, server_environment
from standing import BY_NAME, Standing, stand

from authsrv.devrealm import Realm

SITE = Path(__file__).with_name("peer_site.py")
ECHO = Path(__file__).with_name("echo_site.py")
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
def site_realm() -> Iterator[Realm]:
    """A realm with the services of the example sites, in which alice and bob have logged in."""
    services = [f"HTTP/{WIKI_HOST}", f"HTTP/{LOGIN_HOST}"]
    with Realm(services=services, users=["alice", "bob"]) as realm:
        for user in ("alice", "bob"):
            realm.login(user)
        yield realm


@pytest.fixture(scope="session")
def app() -> Iterator[int]:
    """The port of an application that tells what it was sent."""
    with serve([sys.executable, str(ECHO)], clean_environment({})) as served:
        yield served.port


@pytest.fixture(scope="session", params=BY_NAME)
def standing(request: pytest.FixtureRequest, app: int, site_realm: Realm) -> Iterator[Standing]:
    """Each proxy with its service, by the files of its example."""
    with stand(BY_NAME[request.param], app, site_realm) as standing:
        yield standing


@pytest.fixture(scope="session")
def table(request: pytest.FixtureRequest) -> dict[str, list[str]]:
    """The lines that are printed at the end, by the name of their table."""
    return request.config.stash.setdefault(TABLES, {})


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for name, lines in terminalreporter.config.stash.get(TABLES, {}).items():
        terminalreporter.section(name)
        terminalreporter.write("\n".join(lines) + "\n")
