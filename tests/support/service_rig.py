"""The auth service in a process of its own, and a proxy's view of it: asks and pages as bytes."""

from __future__ import annotations

import contextlib
import http.client
import socket
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path

from serving import Served, serve, server_environment

from authsrv.devrealm import Realm
from authsrv.service.key_files import init_keys

__all__ = [
    "LOGIN_HOST",
    "WIKI",
    "WIKI_HOST",
    "Answer",
    "Rig",
    "ask_headers",
    "cookies_of",
    "run_beside",
    "run_rig",
    "run_service",
    "write_configuration",
]

WIKI, WIKI_HOST, LOGIN_HOST = "wiki", "wiki.example.org", "login.example.org"

SITES = """
[[site]]
name = "wiki"
hosts = ["wiki.example.org"]
headers = { preset = "authelia" }

[[site.rule]]
name = "public"
paths = ["/public/**"]
access = "open"

[[site.rule]]
name = "admin"
paths = ["/admin/**"]
users = ["bob@AUTHSRV.TEST"]

[[site.rule]]
name = "no-admin"
paths = ["/admin/**"]
access = "deny"

[[site.rule]]
name = "rest"
paths = ["/**"]
"""

TEMPLATE = """
keytab = "{keytab}"

[listen]
asks = "unix:{folder}/asks.sock"
pages = "unix:{folder}/pages.sock"

[proxy]
convention = "{convention}"

[keys]
folder = "{folder}/keys"

[store]
path = "{folder}/store/store"

[login]
host = "login.example.org"

{more}
"""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the service answered: the status, all fields by their names in lower case, the body."""

    status: int
    fields: Mapping[str, list[str]]
    text: str

    def field(self, name: str) -> str | None:
        """The one value of a field; None where there is none."""
        values = self.fields.get(name.lower(), [])
        assert len(values) <= 1, f"{name} came {len(values)} times"
        return values[0] if values else None

    @property
    def is_yes(self) -> bool:
        """Whether a proxy would let the request through."""
        return HTTPStatus.OK <= self.status < HTTPStatus.MULTIPLE_CHOICES


@dataclass(frozen=True, slots=True)
class Rig:
    """A service that runs.

    Args:
        folder: Where its files and sockets are.
        served: Its process.
        realm: Its realm.
    """

    folder: Path
    served: Served
    realm: Realm

    def ask(
        self,
        path: str = "/secret",
        *headers: tuple[str, str],
        method: str = "GET",
        host: str = WIKI_HOST,
        site: str = WIKI,
        **more: str,
    ) -> Answer:
        """Ask as nginx does, about a request of a client with these headers."""
        told = ask_headers(path, method=method, host=host, site=site)
        return self.send("asks", "GET", "/ask/nginx", (*told, *headers), **more)

    def page(
        self,
        path: str,
        *headers: tuple[str, str],
        method: str = "GET",
        host: str = WIKI_HOST,
        site: str = WIKI,
        body: bytes | None = None,
    ) -> Answer:
        """Fetch a page as a browser does through nginx."""
        told = ask_headers(path, method=method, host=host, site=site)
        return self.send("pages", method, path, (*told, *headers), body=body)

    def raw(self, listener: str, content: bytes, *, seconds: float = 1.0) -> bytes:
        """Send bytes on one connection; all that comes back until it ends, or nothing more does."""
        answered = b""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(seconds)
            connection.connect(str(self.folder / f"{listener}.sock"))
            connection.sendall(content)
            with contextlib.suppress(TimeoutError):
                while piece := connection.recv(65_536):
                    answered += piece
        return answered

    def first(self, listener: str, content: bytes, method: str = "GET") -> Answer:
        """Send bytes, a request by a method, on one connection; the first answer to them."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(20)
            connection.connect(str(self.folder / f"{listener}.sock"))
            connection.sendall(content)
            response = http.client.HTTPResponse(connection, method=method)
            response.begin()
            return _read(response)

    def send(
        self,
        listener: str,
        method: str,
        target: str,
        headers: Sequence[tuple[str, str]],
        *,
        body: bytes | None = None,
    ) -> Answer:
        """Send one request to a listener, its header fields exactly as they are given."""
        connection = _UnixConnection(str(self.folder / f"{listener}.sock"))
        try:
            connection.putrequest(method, target, skip_host=True, skip_accept_encoding=True)
            for name, value in headers:
                connection.putheader(name, value)
            if body is not None:
                connection.putheader("Content-Length", str(len(body)))
            connection.endheaders(body)
            return _read(connection.getresponse())
        finally:
            connection.close()


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=20)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def _read(response: http.client.HTTPResponse) -> Answer:
    fields: dict[str, list[str]] = {}
    for name, value in response.getheaders():
        fields.setdefault(name.lower(), []).append(value)
    return Answer(response.status, fields, response.read().decode("utf-8", "replace"))


def ask_headers(
    path: str = "/secret",
    *,
    method: str = "GET",
    scheme: str = "https",
    host: str = WIKI_HOST,
    address: str = "192.0.2.7",
    site: str = WIKI,
) -> tuple[tuple[str, str], ...]:
    """What the example configuration of nginx tells of a client's request."""
    return (
        ("Host", host),
        ("X-Original-Method", method),
        ("X-Original-Scheme", scheme),
        ("X-Original-Host", host),
        ("X-Original-URI", path),
        ("X-Original-Address", address),
        ("X-Authsrv-Site", site),
    )


def cookies_of(*answers: Answer) -> str:
    """The Cookie field of a browser that got these answers one after the other."""
    kept: dict[str, str] = {}
    for answer in answers:
        for cookie in answer.fields.get("set-cookie", []):
            name, _, value = cookie.partition(";")[0].partition("=")
            if value:
                kept[name] = value
            else:
                kept.pop(name, None)
    return "; ".join(f"{name}={value}" for name, value in kept.items())


def write_configuration(
    folder: Path, keytab: Path, *, convention: str = "nginx", more: str = SITES
) -> Path:
    """Write a configuration and its keys into a folder that only we can read."""
    folder.chmod(0o700)
    if not (folder / "keys").exists():
        init_keys(folder / "keys", 0)
    path = folder / "authsrv.toml"
    path.write_text(TEMPLATE.format(folder=folder, keytab=keytab, convention=convention, more=more))
    path.chmod(0o600)
    return path


@contextmanager
def run_rig(
    folder: Path,
    realm: Realm,
    *,
    convention: str = "nginx",
    more: str = SITES,
    hosts: Sequence[str] = (WIKI_HOST, LOGIN_HOST),
    more_keys: bytes = b"",
    environment: Mapping[str, str] | None = None,
) -> Iterator[Rig]:
    """Run a service for the sites, until the end of the block.

    The realm must have a service HTTP/... for each of the hosts. More keys are records of a keytab,
    as they stand behind its version. The environment is what the service has beside that of the
    realm.
    """
    keytab = realm.write_keytab(folder / "http.keytab", [f"HTTP/{host}" for host in hosts])
    keytab.write_bytes(keytab.read_bytes() + more_keys)
    keytab.chmod(0o600)
    path = write_configuration(folder, keytab, convention=convention, more=more)
    with run_service(path, realm, environment=environment) as served:
        yield Rig(folder, served, realm)


@contextmanager
def run_beside(
    rig: Rig, folder: Path, *, ahead: int = 0, has_own_store: bool = False
) -> Iterator[Rig]:
    """Run one more process with the sites, the keys and the store of a rig, and sockets of its own.

    Args:
        rig: The rig.
        folder: For its sockets.
        ahead: By how many seconds its clock is wrong.
        has_own_store: Whether it begins with a store that is empty.
    """
    path = folder / "authsrv.toml"
    text = (rig.folder / "authsrv.toml").read_text()
    for socket_name in ("asks.sock", "pages.sock"):
        text = text.replace(f"unix:{rig.folder}/{socket_name}", f"unix:{folder}/{socket_name}")
    if has_own_store:
        text = text.replace(f"{rig.folder}/store/", f"{folder}/store/")
    path.write_text(text)
    path.chmod(0o600)
    with run_service(path, rig.realm, ahead=ahead) as served:
        yield Rig(folder, served, rig.realm)


@contextmanager
def run_service(
    path: Path,
    realm: Realm,
    *,
    ahead: int = 0,
    environment: Mapping[str, str] | None = None,
) -> Iterator[Served]:
    """Run `authsrv serve` with a configuration, on a clock that is wrong by so many seconds."""
    command = [sys.executable, "-m", "authsrv", "serve", "--config", str(path)]
    clock: dict[str, str] = {}
    if ahead:
        library = next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))
        clock = {
            "LD_PRELOAD": str(library),
            "FAKETIME": f"{ahead:+d}",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "NO_FAKE_STAT": "1",
        }
    with serve(command, {**server_environment(realm), **(environment or {}), **clock}) as served:
        yield served
