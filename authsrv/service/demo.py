"""The demonstration: a realm, nginx, a protected page and a login host, all on this machine.

`authsrv serve --demo` needs no configuration: it writes one into a folder of its own, and removes
it when it ends.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from string import Template

from aiohttp import web

from authsrv.core.limits import DEFAULT_LIMITS
from authsrv.devrealm import Realm
from authsrv.errors import AuthsrvError, ConfigError
from authsrv.service.config.settings import Endpoint
from authsrv.service.key_files import init_keys
from authsrv.service.listeners import Listener
from authsrv.service.run import run_service

__all__ = ["DEFAULT_PORT", "run_demo"]

DEFAULT_PORT = 8480
"""Where nginx listens, on loopback."""

_FILES = Path(__file__).parent / "demo_files"
_USERS = ("alice", "bob")
_HOSTS = ("wiki.localhost", "login.localhost")
_PATIENCE_S = 10.0

_SAID = """\
authsrv runs behind nginx: http://wiki.localhost:{port}/ is protected.

With a ticket, no password is asked for:

  {environment} \\
      curl --negotiate -u : http://wiki.localhost:{port}/

Without one, the way leads to the form. Open http://wiki.localhost:{port}/ in a browser,
and sign in as alice with the password {password}

Ctrl-C ends it; nothing stays. With --port, nginx listens elsewhere.
"""


def run_demo(port: int = DEFAULT_PORT) -> int:
    """Run the demonstration until SIGINT or SIGTERM; gives the exit code.

    Args:
        port: Where nginx listens, on 127.0.0.1.
    """
    try:
        nginx = _find_nginx()
        _check_port(port)
        with (
            tempfile.TemporaryDirectory(prefix="authsrv-demo-") as made,
            Realm(services=[f"HTTP/{host}" for host in _HOSTS], users=_USERS) as realm,
        ):
            folder = Path(made)
            os.environ.update(_own_environment(realm))
            configuration = _configure(folder, realm, port)
            page = Listener(_page_app(), Endpoint(str(folder / "page.sock")), DEFAULT_LIMITS)
            realm.login("alice")
            with _running_nginx(nginx, folder, port):
                run_service(configuration, lambda service: _announce(realm, port), beside=page)
    except AuthsrvError as error:
        print(error.detail, file=sys.stderr)
        return 1
    return 0


def _find_nginx() -> str:
    found = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")
    if found is None:
        raise ConfigError("the demonstration needs nginx; Debian has it in the package nginx-light")
    return found


def _check_port(port: int) -> None:
    """Find out whether the port is free before anything is made for it."""
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OverflowError:
        raise ConfigError(f"{port} is no port: choose one from 1 to 65535 with --port") from None
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise _taken(port) from None
        reason = os.strerror(error.errno or 0)
        raise ConfigError(
            f"nginx cannot listen at port {port} ({reason}): choose another with --port"
        ) from None


def _taken(port: int) -> ConfigError:
    return ConfigError(f"port {port} is taken: choose another with --port")


def _own_environment(realm: Realm) -> dict[str, str]:
    variables = realm.environment("alice")
    return {name: variables[name] for name in ("KRB5_CONFIG", "KRB5RCACHEDIR")}


def _configure(folder: Path, realm: Realm, port: int) -> Path:
    """Write configuration, keys and keytab; gives the path of the first."""
    keytab = realm.write_keytab(folder / "http.keytab", [f"HTTP/{host}" for host in _HOSTS])
    keytab.chmod(0o600)
    init_keys(folder / "keys", time.time())
    # nginx started by root would leave root's files, and could not read them then.
    account = "user root;" if os.geteuid() == 0 else ""
    for name in ("authsrv.toml", "nginx.conf"):
        text = Template((_FILES / name).read_text(encoding="utf-8"))
        path = folder / name
        path.write_text(
            text.substitute(folder=folder, port=port, keytab=keytab, account=account),
            encoding="utf-8",
        )
        path.chmod(0o600)
    return folder / "authsrv.toml"


@contextlib.contextmanager
def _running_nginx(program: str, folder: Path, port: int) -> Iterator[None]:
    with (folder / "nginx.log").open("wb") as log:
        command = [program, "-e", "stderr", "-c", str(folder / "nginx.conf")]
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        _await_nginx(process, folder, port)
        yield
    finally:
        process.terminate()
        process.wait()


def _await_nginx(process: subprocess.Popen[bytes], folder: Path, port: int) -> None:
    # nginx writes its pid once it listens; that somebody listens, proves nothing about nginx.
    give_up = time.monotonic() + _PATIENCE_S
    while process.poll() is None and time.monotonic() < give_up:
        if (folder / "nginx.pid").exists():
            return
        time.sleep(0.05)
    said = (folder / "nginx.log").read_text(encoding="utf-8", errors="replace").strip()
    if os.strerror(errno.EADDRINUSE) in said:
        raise _taken(port)
    raise ConfigError(f"nginx does not start: {said[-300:]}")


def _page_app() -> web.Application:
    """The protected page: it shows what the application is told."""

    async def show(request: web.Request) -> web.Response:
        told = [
            (name, value) for name, value in request.headers.items() if "remote" in name.lower()
        ]
        lines = [f"Hello {request.headers.get('Remote-User', 'stranger')}!", ""]
        lines += [f"{name}: {value}" for name, value in told]
        lines += ["", "Who you are: /.authsrv/whoami   Sign out: /.authsrv/sign-out"]
        return web.Response(text="\n".join(lines) + "\n")

    app = web.Application()
    app.router.add_get("/{path:.*}", show)
    return app


def _announce(realm: Realm, port: int) -> None:
    variables = realm.environment("alice")
    environment = " ".join(f"{name}={variables[name]}" for name in ("KRB5_CONFIG", "KRB5CCNAME"))
    said = _SAID.format(port=port, environment=environment, password=realm.password("alice"))
    print(said, flush=True)
