"""Apache with mod_auth_gssapi, apart from any that the system runs."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from programs import find_program, require_file

__all__ = ["run_apache"]

CONF = Path(__file__).with_name("apache.conf")
MODULES = Path("/usr/lib/apache2/modules")
START_S = 15.0
STOP_S = 10.0

PAGES = ("public", "private/page", "private/forbidden/page", "bound/page")


@contextmanager
def run_apache(
    keytab: Path, environment: Mapping[str, str], certificate: Path | None = None
) -> Iterator[int]:
    """Run Apache until the end of the block; gives the port."""
    program = find_apache()
    user = "www-data" if os.geteuid() == 0 else None
    # Its children run as another user, whom the temporary folders of the tests are closed to.
    with tempfile.TemporaryDirectory(prefix="authsrv-apache-") as made:
        root, port = Path(made), free_port()
        conf = fill(root, keytab, Path(environment["KRB5_CONFIG"]), certificate, user)
        command = [program, "-DFOREGROUND", "-f", str(CONF)]
        if certificate is not None:
            command.append("-Dtls")
        for key, value in {"root": root, "port": port, "modules": MODULES}.items():
            command += ["-C", f"Define {key} {value}"]
        if user is not None:
            command += ["-C", f"User {user}", "-C", f"Group {user}"]
        variables = {
            "PATH": os.environ["PATH"],
            "KRB5_CONFIG": str(conf),
            "KRB5RCACHEDIR": str(root / "run"),
        }
        with running(command, variables, root) as process:
            await_port(process, port, root)
            yield port


def find_apache() -> str:
    program = find_program("apache2", package="apache2-bin")
    require_file(MODULES / "mod_auth_gssapi.so", package="libapache2-mod-auth-gssapi")
    return program


def fill(root: Path, keytab: Path, conf: Path, certificate: Path | None, user: str | None) -> Path:
    for page in PAGES:
        path = root / "htdocs" / page
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{page}\n")
    (root / "run").mkdir()
    shutil.copyfile(conf, root / "krb5.conf")
    shutil.copyfile(keytab, root / "keytab")
    if certificate is not None:
        shutil.copyfile(certificate, root / "certificate.pem")
    if user is not None:
        root.chmod(0o755)
        owner = pwd.getpwnam(user)
        for name in ("keytab", "run"):
            os.chown(root / name, owner.pw_uid, owner.pw_gid)
    (root / "keytab").chmod(0o400)
    return root / "krb5.conf"


@contextmanager
def running(
    command: list[str], environment: Mapping[str, str], root: Path
) -> Iterator[subprocess.Popen[bytes]]:
    with (root / "output").open("wb") as output:
        process = subprocess.Popen(
            command, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output
        )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def await_port(process: subprocess.Popen[bytes], port: int, root: Path) -> None:
    give_up = time.monotonic() + START_S
    while time.monotonic() < give_up and process.poll() is None:
        with contextlib.closing(socket.socket()) as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    said = (root / "output").read_text(errors="replace")
    raise AssertionError(f"Apache does not listen: {said}")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
