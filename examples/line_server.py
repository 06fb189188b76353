"""A line protocol over TCP whose server knows who it talks to.

python examples/line_server.py --host localhost --port 7000 --keytab /etc/http.keytab
kinit alice
python examples/line_client.py --host localhost --port 7000 --line "good morning"

After the handshake the lines are plain: put TLS below them wherever somebody could listen in.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
from pathlib import Path

from authsrv.acceptor import Acceptor
from authsrv.errors import AuthsrvError
from authsrv.identity import Identity
from authsrv.packages.gssapi import GssapiPackage
from authsrv.streams import accept


class LineServer:
    """Greets whoever is authenticated, and answers each line in upper case."""

    def __init__(self, acceptor: Acceptor) -> None:
        self.acceptor = acceptor

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection, from the handshake to its end."""
        try:
            identity = await accept(self.acceptor, reader, writer)
            print(f"{identity.principal} has come", flush=True)
            await self._answer(identity, reader, writer)
        except AuthsrvError as error:
            print(f"refused: {error.slug} ({error.cause})", flush=True)
        except (ConnectionError, ValueError):
            print("the client has gone, or sent a line without an end", flush=True)
        finally:
            writer.close()

    async def _answer(
        self, identity: Identity, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        writer.write(f"welcome {identity.principal}\n".encode())
        while line := await reader.readline():
            writer.write(line.decode(errors="replace").upper().encode())
            await writer.drain()


async def listen(host: str, port: int, keytab: Path) -> None:
    """Serve until the task is cancelled."""
    async with Acceptor(GssapiPackage(keytab)) as acceptor:
        server = await asyncio.start_server(LineServer(acceptor).serve, host, port)
        shown, bound = server.sockets[0].getsockname()[:2]
        print(f"listening on {shown}:{bound}", flush=True)
        async with server:
            await server.serve_forever()


def main() -> None:
    """Read the command line and serve."""
    parser = argparse.ArgumentParser(description="A line protocol over TCP with single sign-on.")
    parser.add_argument("--host", default="localhost")
    parser.add_argument("--port", type=int, default=7000)
    parser.add_argument("--keytab", type=Path, required=True, help="the keys of HTTP/<host>")
    options = parser.parse_args()
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(listen(options.host, options.port, options.keytab))


if __name__ == "__main__":
    main()
