"""A real nginx with the example's configuration, in front of a service and an application."""

from __future__ import annotations

import datetime
import json
import os
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from programs import find_program
from waiting import wait_until

__all__ = ["Front", "run_front"]

_EXAMPLE = Path(__file__).parents[2] / "examples" / "nginx"
_HOSTS = ("wiki.example.org", "login.example.org", "sibling.example.org")
# A host of the same registrable domain that the service knows nothing of.
_SIBLING = """
    server {{
        listen 127.0.0.1:{port} ssl;
        server_name sibling.example.org;
        ssl_certificate     {folder}/sibling.example.org.crt;
        ssl_certificate_key {folder}/sibling.example.org.key;
        location / {{ proxy_pass http://127.0.0.1:{application}; proxy_set_header Host $host; }}
    }}
"""
_TEMPORARY = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")

Pages = Mapping[str, tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Front:
    """Where nginx is.

    Args:
        port: Of 127.0.0.1, with TLS for all hosts.
        seen: The paths that the application was asked for, in their order.
    """

    port: int
    seen: list[str]

    @property
    def at(self) -> str:
        """Address and port."""
        return f"127.0.0.1:{self.port}"


@contextmanager
def run_front(folder: Path, sockets: Path, pages: Pages) -> Iterator[Front]:
    """Run nginx and an application behind it until the end of the block.

    Args:
        folder: For its files.
        sockets: The folder of the service's sockets.
        pages: By path, the type and content of pages of the application; any other path is
            answered with a page that tells the header fields of the request as JSON.
    """
    seen: list[str] = []
    with _application(pages, seen) as application:
        port = _free_port()
        for host in _HOSTS:
            _write_certificate(folder, host)
        path = folder / "nginx.conf"
        path.write_text(_configuration(folder, sockets, port, application))
        nginx = find_program("nginx", package="nginx-light")
        with (folder / "nginx.err").open("w") as errors:
            process = subprocess.Popen(
                [nginx, "-e", "stderr", "-c", str(path)], stdin=subprocess.DEVNULL, stderr=errors
            )
        try:
            wait_until(_listens(port, process))
            yield Front(port, seen)
        finally:
            process.terminate()
            process.wait(15)


def _configuration(folder: Path, sockets: Path, port: int, application: int) -> str:
    """The example, with the places that an administrator would change, changed."""
    text = (_EXAMPLE / "nginx.conf").read_text()
    for before, after in (
        ("user www-data;", "user root;" if os.geteuid() == 0 else ""),
        ("listen 443 ssl", f"listen 127.0.0.1:{port} ssl"),
        ("/etc/nginx/", f"{folder}/"),
        ("/run/authsrv/", f"{sockets}/"),
        ("127.0.0.1:3000", f"127.0.0.1:{application}"),
        ("include authsrv-", f"include {_EXAMPLE}/authsrv-"),
    ):
        assert before in text, f"the example has no {before!r} any more"
        text = text.replace(before, after)
    paths = "".join(f"{name}_temp_path {folder}/{name};\n" for name in _TEMPORARY)
    sibling = _SIBLING.format(folder=folder, port=port, application=application)
    text = text.replace("http {", f"http {{\naccess_log {folder}/access.log;\n{paths}{sibling}", 1)
    return f"daemon off;\npid {folder}/nginx.pid;\nerror_log {folder}/error.log info;\n{text}"


def _write_certificate(folder: Path, host: str) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=9))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    (folder / f"{host}.crt").write_bytes(certificate.public_bytes(pem))
    secret = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / f"{host}.key").write_bytes(secret)


@contextmanager
def _application(pages: Pages, seen: list[str]) -> Iterator[int]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.append(self.path)
            told = json.dumps(dict(self.headers.items()))
            echo = f"<!doctype html><title>application</title><pre>{told}</pre>"
            kind, content = pages.get(self.path.partition("?")[0], ("text/html", echo))
            self.send_response(200)
            self.send_header("Content-Type", f"{kind}; charset=utf-8")
            self.send_header("Content-Length", str(len(content.encode())))
            self.send_header("Service-Worker-Allowed", "/")
            self.end_headers()
            self.wfile.write(content.encode())

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield server.server_port
        finally:
            server.shutdown()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


def _listens(port: int, process: subprocess.Popen[bytes]) -> Callable[[], bool]:
    def is_there() -> bool:
        assert process.poll() is None, "nginx has ended"
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            return False
        return True

    return is_there
