"""A server of authsrv.streams: one handshake after the other on each connection.

usage: stream_server.py PORT KEYTAB
"""

from __future__ import annotations

import asyncio
import contextlib
import sys

import uvloop

from authsrv.errors import AuthsrvError
from authsrv.handshake.acceptor import Acceptor
from authsrv.providers.gssapi.acceptor import GssapiProvider
from authsrv.streams import accept


async def main() -> None:
    """Serve on loopback until ended."""
    port, keytab = int(sys.argv[1]), sys.argv[2]
    acceptor = Acceptor(GssapiProvider(keytab))

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(AuthsrvError, OSError):
            while True:
                await accept(acceptor, reader, writer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main())
