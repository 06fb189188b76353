"""TLS that the service ends itself, on both of its listeners."""

from __future__ import annotations

import socket
import ssl
from pathlib import Path

import pytest
from service_rig import SITES, WIKI_HOST, Rig, ask_headers, run_rig
from websites import make_certificate

from authsrv.devrealm import Realm

ASK = "/ask/nginx"


def spoken_to(rig: Rig, listener: str, target: str, trusted: Path) -> bytes:
    """What a listener answers over TLS, to whoever trusts its certificate alone."""
    context = ssl.create_default_context(cafile=trusted)
    fields = "".join(f"{name}: {value}\r\n" for name, value in ask_headers("/public/x"))
    with socket.socket(socket.AF_UNIX) as plain:
        plain.settimeout(10)
        plain.connect(str(rig.folder / f"{listener}.sock"))
        with context.wrap_socket(plain, server_hostname=WIKI_HOST) as spoken:
            spoken.sendall(f"GET {target} HTTP/1.1\r\n{fields}Connection: close\r\n\r\n".encode())
            said = b""
            while piece := spoken.recv(65_536):
                said += piece
            return said


def test_both_listeners_speak_it_and_nothing_else(tmp_path: Path, site_realm: Realm) -> None:
    made = make_certificate(tmp_path, WIKI_HOST)
    made.path.chmod(0o600)
    tls = f'[listen.tls]\ncertificate = "{made.path}"\nkey = "{made.path}"\n'
    with run_rig(tmp_path, site_realm, more=tls + SITES) as rig:
        assert spoken_to(rig, "asks", ASK, made.path).startswith(b"HTTP/1.1 200 OK\r\n")
        assert spoken_to(rig, "pages", "/nowhere", made.path).startswith(b"HTTP/1.1 404 ")
        with pytest.raises(OSError):  # noqa: PT011 - a reset, or an end
            rig.ask("/public/x")
