"""The example as a program: its one line, its end, and what it refuses to start without."""

from __future__ import annotations

import re
import socket
import subprocess
import sys

import pytest
from people import Person
from programs import find_program
from serving import HELLO, Served, hello_command, serve, server_environment

from authsrv.devrealm import Realm

pytestmark = pytest.mark.xdist_group("interop")


def is_open(port: int) -> bool:
    """Whether anything listens on a port of this machine."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_it_says_in_one_line_where_it_listens(kerberos_realm: Realm) -> None:
    environment = server_environment(kerberos_realm)
    with serve(hello_command(kerberos_realm.keytab), environment) as served:
        assert served.line == f"listening on 127.0.0.1:{served.port}\n"
        assert is_open(served.port)
        served.stop()
        assert served.process.stdout is not None
        assert served.process.stdout.read() == ""


def test_sigterm_ends_it_cleanly(kerberos_realm: Realm) -> None:
    environment = server_environment(kerberos_realm)
    with serve(hello_command(kerberos_realm.keytab), environment) as served:
        assert served.stop() == 0
        assert "Traceback" not in served.logged()
        assert not is_open(served.port)


def test_sigterm_ends_it_cleanly_while_a_client_is_connected(kerberos_realm: Realm) -> None:
    environment = server_environment(kerberos_realm)
    with serve(hello_command(kerberos_realm.keytab), environment) as served:
        with socket.create_connection(("127.0.0.1", served.port)) as client:
            client.sendall(b"GET /public HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert client.recv(15) == b"HTTP/1.1 200 OK"
            assert served.stop() == 0
        assert "Traceback" not in served.logged()


def test_it_does_not_start_without_a_keytab_option() -> None:
    done = subprocess.run(
        [sys.executable, str(HELLO)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 2
    assert "--keytab" in done.stderr


def test_it_starts_with_a_missing_keytab_and_says_so(
    kerberos_realm: Realm, tmp_path_factory: pytest.TempPathFactory
) -> None:
    missing = tmp_path_factory.mktemp("keytabs") / "http.keytab"
    with serve(hello_command(missing), server_environment(kerberos_realm)) as served:
        assert served.stop() == 0
        assert str(missing) in served.logged()


def ask_without_a_token(served: Served) -> None:
    """Be challenged."""
    with socket.create_connection(("127.0.0.1", served.port)) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        assert client.recv(12).startswith(b"HTTP/1.1 401")
        while client.recv(65_536):
            pass


@pytest.mark.parametrize(("options", "lines"), [((), 1), (("--quiet",), 0)])
def test_it_logs_each_request_unless_it_is_told_to_be_quiet(
    kerberos_realm: Realm, options: tuple[str, ...], lines: int
) -> None:
    command = hello_command(kerberos_realm.keytab, *options)
    with serve(command, server_environment(kerberos_realm)) as served:
        ask_without_a_token(served)
        assert served.stop() == 0
        assert served.logged().count(" INFO authsrv.audit challenged ") == lines
        assert served.logged().count("\n") == lines


def test_its_log_names_who_came_and_for_which_service(hello: Served, person: Person) -> None:
    curl = find_program("curl", package="curl")
    subprocess.run(
        [curl, "--disable", "--silent", "--negotiate", "--user", ":", hello.url],
        env=person.environment,
        capture_output=True,
        timeout=60,
        check=True,
    )
    who = f'principal="{person.principal}" service="HTTP/localhost"'
    assert re.search(rf" authsrv\.audit established .* {re.escape(who)} ", hello.logged())


def test_its_log_tells_every_step_and_no_token(hello: Served) -> None:
    with socket.create_connection(("127.0.0.1", hello.port)) as client:
        request = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
        client.sendall(request + b"Authorization: Negotiate c2VjcmV0IHRva2Vu\r\n\r\n")
        assert client.recv(12).startswith(b"HTTP/1.1 401")
        while client.recv(65_536):
            pass
    logged = hello.logged()
    assert "cause=bad-token" in logged
    assert "c2VjcmV0IHRva2Vu" not in logged
    assert "secret token" not in logged
