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
from collections.abc import Callable
from pathlib import Path

from authsrv.core.identity import Identity
from authsrv.errors import AuthsrvError
from authsrv.handshake.acceptor import Acceptor
from authsrv.providers.gssapi.acceptor import GssapiProvider
from authsrv.streams import accept


class LineServer:
    """Greets whoever is authenticated, and answers each line in upper case."""

    def __init__(self, acceptor: Acceptor, log: Callable[[str], None]) -> None:
        self.acceptor = acceptor
        self.log = log

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection, from the handshake to its end."""
        try:
            identity = await accept(self.acceptor, reader, writer)
            self.log(f"{identity.principal} has come")
            await self._answer(identity, reader, writer)
        except AuthsrvError as error:
            self.log(f"refused: {error.code} ({error.detail})")
        except (ConnectionError, ValueError):
            self.log("the client has gone, or sent a line without an end")
        finally:
            writer.close()

    async def _answer(
        self, identity: Identity, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        writer.write(f"welcome {identity.principal}\n".encode())
        while line := await reader.readline():
            writer.write(line.decode(errors="replace").upper().encode())
            await writer.drain()


def tell(line: str) -> None:
    """Print at once, also into a pipe."""
    print(line, flush=True)


def keep_quiet(line: str) -> None:
    """Print nothing."""


async def listen(host: str, port: int, keytab: Path, log: Callable[[str], None] = tell) -> None:
    """Serve until the task is cancelled."""
    async with Acceptor(GssapiProvider(keytab)) as acceptor:
        server = await asyncio.start_server(LineServer(acceptor, log).serve, host, port)
        shown, bound = server.sockets[0].getsockname()[:2]
        tell(f"listening on {shown}:{bound}")
        async with server:
            await server.serve_forever()


def main() -> None:
    """Read the command line and serve."""
    parser = argparse.ArgumentParser(description="A line protocol over TCP with single sign-on.")
    parser.add_argument("--host", default="localhost")
    parser.add_argument("--port", type=int, default=7000)
    parser.add_argument("--keytab", type=Path, required=True, help="the keys of HTTP/<host>")
    parser.add_argument("--quiet", action="store_true", help="no line for each client")
    options = parser.parse_args()
    log = keep_quiet if options.quiet else tell
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(listen(options.host, options.port, options.keytab, log))


if __name__ == "__main__":
    main()
