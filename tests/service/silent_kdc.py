"""KDCs that are not well, and a configuration that leads to them."""

from __future__ import annotations

import contextlib
import socket
import threading
from pathlib import Path

__all__ = ["SilentKDC", "write_profile"]


class SilentKDC:
    """Takes connections and datagrams, and says nothing until it is closed."""

    def __init__(self) -> None:
        self._stream = socket.create_server(("127.0.0.1", 0))
        self.port = self._stream.getsockname()[1]
        self._datagrams = socket.socket(type=socket.SOCK_DGRAM)
        self._datagrams.bind(("127.0.0.1", self.port))
        self._connections: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                self._connections.append(self._stream.accept()[0])

    def close(self) -> None:
        """End, as a process does that is killed: whoever waits learns of it."""
        with contextlib.suppress(OSError):
            self._stream.shutdown(socket.SHUT_RDWR)
        for one in (self._stream, self._datagrams, *self._connections):
            one.close()


def write_profile(path: Path, port: int, transport: str) -> Path:
    """Write a krb5.conf whose KDC is at a port of this machine, by "tcp" or "udp"."""
    limit = 0 if transport == "tcp" else 1465
    path.write_text(
        f"[libdefaults]\n default_realm = AUTHSRV.TEST\n dns_lookup_kdc = false\n"
        f" dns_canonicalize_hostname = false\n udp_preference_limit = {limit}\n"
        f"[realms]\n AUTHSRV.TEST = {{\n  kdc = 127.0.0.1:{port}\n }}\n",
        encoding="utf-8",
    )
    return path
