"""The servers that are measured: started on a free loopback port, ended with the bench."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path

from faults import BenchError, MissingPeerError, last_line
from measure import cpu_seconds
from workbench import Workbench

__all__ = [
    "Server",
    "free_port",
    "serve_apache",
    "serve_authsrv",
    "serve_offloading",
    "serve_process",
    "serve_streams",
    "serve_to_thread",
]

_SERVERS = Path(__file__).parent / "servers"
_APACHE_MODULES = Path("/usr/lib/apache2/modules")
_START_S = 15.0
_STOP_S = 10.0


@dataclass(frozen=True, slots=True)
class Server:
    """A running server.

    Args:
        name: What it is called in the table.
        port: On 127.0.0.1.
        pid: The root of its process tree.
    """

    name: str
    port: int
    pid: int

    def cpu_seconds(self) -> float:
        """Answer the processor time of its whole process tree so far."""
        return cpu_seconds(self.pid)

    def ask(self, path: str, token: str | None = None) -> tuple[int, bytes]:
        """Send one request on a connection of its own.

        Returns:
            The status and the body.

        Raises:
            OSError: The server does not answer.
        """
        connection = HTTPConnection("127.0.0.1", self.port, timeout=10)
        headers = {} if token is None else {"Authorization": f"Negotiate {token}"}
        try:
            connection.request("GET", path, headers=headers)
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()


@contextmanager
def serve_authsrv(bench: Workbench, name: str, *options: str) -> Iterator[Server]:
    """Run an aiohttp application with our middleware.

    Args:
        bench: Gives keytab, environment and a place for the log.
        name: Of this server, unique in a run.
        options: Further options of servers/authsrv_server.py.
    """
    port = free_port()
    script = [sys.executable, str(_SERVERS / "authsrv_server.py")]
    command = [*script, "--port", str(port), "--keytab", str(bench.keytab), *options]
    with serve_process(
        name, port, command, bench.server_environment(name), bench.scratch
    ) as server:
        yield server


@contextmanager
def serve_streams(bench: Workbench) -> Iterator[Server]:
    """Run a server of authsrv.streams."""
    port = free_port()
    script = [sys.executable, str(_SERVERS / "stream_server.py")]
    environment = bench.server_environment("streams")
    command = [*script, str(port), str(bench.keytab)]
    with serve_process("streams", port, command, environment, bench.scratch) as server:
        yield server


@contextmanager
def serve_to_thread(bench: Workbench) -> Iterator[Server]:
    """Run aiohttp with asyncio.to_thread around pyspnego, the obvious code."""
    port = free_port()
    command = [sys.executable, str(_SERVERS / "to_thread_server.py"), str(port)]
    environment = bench.server_environment("to_thread")
    with serve_process("to_thread", port, command, environment, bench.scratch) as server:
        yield server


@contextmanager
def serve_offloading(bench: Workbench, way: str) -> Iterator[Server]:
    """Run plain aiohttp with one of the ways of servers/offload_server.py."""
    port = free_port()
    script = [sys.executable, str(_SERVERS / "offload_server.py")]
    command = [*script, str(port), str(bench.keytab), way]
    environment = bench.server_environment(f"offload-{way}")
    with serve_process(way, port, command, environment, bench.scratch) as server:
        yield server


@contextmanager
def serve_apache(bench: Workbench) -> Iterator[Server]:
    """Run Apache with mod_auth_gssapi, apart from any that the system runs.

    Raises:
        MissingPeerError: Apache or its module is not installed.
    """
    program = shutil.which("apache2") or shutil.which("apache2", path="/usr/sbin")
    if program is None:
        raise MissingPeerError("apache2 is missing (Debian package apache2-bin)")
    if not (_APACHE_MODULES / "mod_auth_gssapi.so").exists():
        raise MissingPeerError("mod_auth_gssapi is missing (Debian: libapache2-mod-auth-gssapi)")
    root, port = Path(tempfile.mkdtemp(prefix="apache-", dir=bench.scratch)), free_port()
    environment = bench.server_environment("apache")
    user = "www-data" if os.geteuid() == 0 else None
    environment["KRB5_CONFIG"] = _fill_apache_root(root, bench.keytab, environment, user)
    command = [program, "-DFOREGROUND", "-f", str(_SERVERS / "apache.conf")]
    defines = {"root": root, "port": port, "modules": _APACHE_MODULES}
    for key, value in defines.items():
        command += ["-C", f"Define {key} {value}"]
    if user is not None:
        command += ["-C", f"User {user}", "-C", f"Group {user}"]
    with serve_process("apache", port, command, environment, bench.scratch) as server:
        yield server


def _fill_apache_root(
    root: Path, keytab: Path, environment: Mapping[str, str], user: str | None
) -> str:
    """Lay out Apache's folder; its children run as another user and must be able to read it."""
    for folder in (root, root / "htdocs", root / "run"):
        folder.mkdir(exist_ok=True)
        folder.chmod(0o755)
    for page in ("public", "private", "session"):
        (root / "htdocs" / page).write_text("hello\n")
    shutil.copyfile(environment["KRB5_CONFIG"], root / "krb5.conf")
    shutil.copyfile(keytab, root / "keytab")
    if user is not None:
        owner = pwd.getpwnam(user)
        os.chown(root / "keytab", owner.pw_uid, owner.pw_gid)
        os.chown(root / "run", owner.pw_uid, owner.pw_gid)
    (root / "keytab").chmod(0o400)
    (root / "krb5.conf").chmod(0o444)
    return str(root / "krb5.conf")


@contextmanager
def serve_process(
    name: str, port: int, command: Sequence[str], environment: Mapping[str, str], scratch: Path
) -> Iterator[Server]:
    """Run a server.

    Args:
        name: What it is called.
        port: Where it will listen, on 127.0.0.1.
        command: What is run.
        environment: All of its environment.
        scratch: Where its log goes.

    Raises:
        BenchError: It did not come to listen.
    """
    # The kernel ends the server if the bench dies without doing so.
    guarded = ["setpriv", "--pdeathsig", "TERM", *command]
    log = scratch / f"{name}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            guarded,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        _await_start(name, process, port, log)
        yield Server(name, port, process.pid)
    finally:
        _stop(process)


def _await_start(name: str, process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    give_up = time.monotonic() + _START_S
    while time.monotonic() < give_up:
        if process.poll() is not None:
            break
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise BenchError(f"{name} did not start: {last_line(log.read_text(errors='replace'))}")


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(_STOP_S)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def free_port() -> int:
    """Find a port that nobody listens at now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
