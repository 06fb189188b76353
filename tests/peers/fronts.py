"""The example directories of the service, each run with its proxy, a service and an application.

What runs is the example's own files. Of them only addresses, places of files and sockets, and the
application's port are replaced; each of these has to be found exactly as often as it is said here.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from gateways import await_port, free_port, program, running
from programs import find_program
from service_rig import LOGIN_HOST, WIKI_HOST
from serving import Served, serve, server_environment
from workshop import envoy

from authsrv.devrealm import Realm
from authsrv.service.key_files import init_keys

__all__ = ["FRONTS", "Front", "Place", "Replacements", "make_place", "run_front", "run_service"]

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
IDLE_S = 40

# Old text, new text, and how often it stands in the example.
Replacement = tuple[str, str, int]
# By the name of the file.
Replacements = Mapping[str, tuple[Replacement, ...]]

# nginx keeps bodies in files; the folders of Debian's package are root's.
NGINX_TEMPORARY = "".join(
    f" {kind}_temp_path {{folder}}/{kind};"
    for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
)

TOML: tuple[Replacement, ...] = (
    ("/etc/authsrv/", "{folder}/", 1),
    ("/run/authsrv/", "{folder}/", 2),
    ("/var/lib/authsrv/", "{folder}/", 1),
    ('convention = "nginx"', 'convention = "{name}"', 1),
    # A store that is this service's alone.
    ("[keys]", '[store]\npath = "{folder}/store/store"\n\n[keys]', 1),
    # A rule that not everybody passes, sessions whose renewal is soon due, and tokens.
    (
        'hosts = ["wiki.example.org"]',
        f'hosts = ["wiki.example.org"]\nidle_seconds = {IDLE_S}\ntoken_header = true',
        1,
    ),
    (
        '[[site.rule]]\npaths = ["/**"]',
        '[[site.rule]]\npaths = ["/admin", "/admin/**"]\nusers = ["bob@AUTHSRV.TEST"]\n\n'
        '[[site.rule]]\npaths = ["/admin", "/admin/**"]\naccess = "deny"\n\n'
        '[[site.rule]]\npaths = ["/**"]',
        1,
    ),
)


@dataclass(frozen=True, slots=True)
class Front:
    """A proxy in front of the service and of an application.

    Args:
        name: That of its example's folder, and of its convention.
        main: The file that it is started with.
        command: What starts it with that file.
        replaced: What is replaced in which file.
    """

    name: str
    main: str
    command: Callable[[Path], list[str]]
    replaced: Replacements


@dataclass(frozen=True, slots=True)
class Place:
    """Where a proxy, its service and its application meet.

    Args:
        folder: Sockets, keys, certificates and configurations.
        app: The application's port.
    """

    folder: Path
    app: int


FRONTS = (
    Front(
        "nginx", "nginx.conf",
        lambda conf: [
            program("nginx", "nginx-light"), "-e", "stderr", "-c", str(conf), "-g",
            f"daemon off; pid {conf.parent}/pid;",
        ],
        {
            "nginx.conf": (
                ("user www-data;", "user root;" if os.geteuid() == 0 else "", 1),
                ("listen 443 ssl", "listen 127.0.0.1:{port} ssl", 3),
                ("/etc/nginx/", "{folder}/", 4),
                ("/run/authsrv/", "{folder}/", 2),
                ("server 127.0.0.1:3000", "server 127.0.0.1:{app}", 1),
                ("http {\n", "http {\n access_log off;" + NGINX_TEMPORARY + "\n", 1),
            ),
            "authsrv-page.conf": (),
            "authsrv-application.conf": (),
        },
    ),
    Front(
        "caddy", "Caddyfile",
        lambda conf: [program("caddy", "caddy"), "run", "--config", str(conf)],
        {
            "Caddyfile": (
                ("https://wiki.example.org:443", "https://wiki.example.org:{port}", 1),
                ("https://login.example.org:443", "https://login.example.org:{port}", 1),
                ("https://:443", "https://:{port}", 1),
                ("/etc/caddy/", "{folder}/", 4),
                ("/run/authsrv/", "{folder}/", 3),
                ("127.0.0.1:3000 {", "127.0.0.1:{app} {", 1),
            ),
        },
    ),
    Front(
        "envoy", "envoy.yaml",
        lambda conf: [
            str(envoy()), "--disable-hot-restart", "--concurrency", "1", "--log-level", "error",
            "-c", str(conf),
        ],
        {
            "envoy.yaml": (
                ("address: 0.0.0.0, port_value: 443", "address: 127.0.0.1, port_value: {port}", 1),
                ("/etc/envoy/", "{folder}/", 4),
                ("/run/authsrv/", "{folder}/", 2),
                ("port_value: 3000", "port_value: {app}", 1),
            ),
        },
    ),
    Front(
        "haproxy", "haproxy.cfg",
        lambda conf: [program("haproxy", "haproxy"), "-db", "-f", str(conf)],
        {
            "haproxy.cfg": (
                ("bind :443", "bind 127.0.0.1:{port}", 1),
                ("/etc/haproxy/", "{folder}/", 2),
                ("/run/authsrv/", "{folder}/", 2),
                ("server application 127.0.0.1:3000", "server application 127.0.0.1:{app}", 1),
            ),
            "authsrv.lua": (("/run/authsrv/", "{folder}/", 1),),
        },
    ),
)  # fmt: skip


def replaced(text: str, replacements: tuple[Replacement, ...], **values: object) -> str:
    """Replace texts, each as often as it is said."""
    for old, new, times in replacements:
        found = text.count(old)
        assert found == times, f"{old!r} stands in the example {found} times, not {times}"
        for name, value in values.items():
            new = new.replace(f"{{{name}}}", str(value))
        text = text.replace(old, new)
    return text


def make_place(folder: Path, app: int) -> Place:
    """Make certificates of both hosts, and keys of the service."""
    folder.chmod(0o750)
    (folder / "certificates").mkdir()
    for host in (WIKI_HOST, LOGIN_HOST):
        certificate, key = folder / f"{host}.crt", folder / f"{host}.key"
        command = [find_program("openssl", package="openssl"), "req", "-x509", "-newkey", "ec"]
        command += ["-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
        command += ["-subj", f"/CN={host}", "-addext", f"subjectAltName=DNS:{host}"]
        command += ["-out", str(certificate), "-keyout", str(key)]
        subprocess.run(command, check=True, capture_output=True)
        both = certificate.read_text() + key.read_text()
        (folder / "certificates" / f"{host}.pem").write_text(both)
    init_keys(folder / "keys", 0)
    return Place(folder, app)


@contextmanager
def run_front(
    front: Front, place: Place, more: Replacements | None = None
) -> Iterator[tuple[int, subprocess.Popen[bytes]]]:
    """Run a proxy from its example; gives its port and process.

    Args:
        front: The proxy.
        place: Where it finds the service and the application.
        more: What an operator, or a mistake, changes in which file.
    """
    port = free_port()
    for name, replacements in front.replaced.items():
        text = (EXAMPLES / front.name / name).read_text(encoding="utf-8")
        both = (*(more or {}).get(name, ()), *replacements)
        text = replaced(text, both, port=port, folder=place.folder, app=place.app)
        (place.folder / name).write_text(text, encoding="utf-8")
    with running(front.command(place.folder / front.main), place.folder) as process:
        await_port(process, port, place.folder)
        yield port, process


@contextmanager
def run_service(front: Front, place: Place, realm: Realm) -> Iterator[Served]:
    """Run the service for a proxy, with the configuration of the examples."""
    keytab = place.folder / "http.keytab"
    realm.write_keytab(keytab, [f"HTTP/{WIKI_HOST}", f"HTTP/{LOGIN_HOST}"])
    keytab.chmod(0o600)
    text = (EXAMPLES / "authsrv.toml").read_text(encoding="utf-8")
    conf = place.folder / "authsrv.toml"
    conf.write_text(replaced(text, TOML, folder=place.folder, name=front.name), encoding="utf-8")
    conf.chmod(0o600)
    shutil.rmtree(place.folder / "store", ignore_errors=True)
    command = [sys.executable, "-m", "authsrv", "serve", "--config", str(conf)]
    with serve(command, server_environment(realm)) as served:
        yield served
