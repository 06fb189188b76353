"""The client of the line protocol in line_server.py: sends lines, prints what comes back.

kinit alice
python examples/line_client.py --host localhost --port 7000 --line "good morning"
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Iterable

from authsrv.core.flags import AscRet
from authsrv.errors import AuthsrvError
from authsrv.handshake.initiator import Initiator
from authsrv.providers.base import InitiatorRequest
from authsrv.providers.gssapi.initiator import GssapiInitiatorProvider
from authsrv.streams import initiate


async def converse(host: str, port: int, request: InitiatorRequest, lines: Iterable[str]) -> None:
    """Authenticate, then send each line and print its answer."""
    reader, writer = await asyncio.open_connection(host, port)
    try:
        async with Initiator(GssapiInitiatorProvider()) as initiator:
            server = await initiate(initiator, request, reader, writer)
        print(f"connected to {server.principal}", flush=True)
        await _print_line(reader)
        waiting = iter(lines)
        # Standard input may wait for a person.
        while (line := await asyncio.to_thread(next, waiting, None)) is not None:
            writer.write(line.rstrip("\n").encode() + b"\n")
            await writer.drain()
            await _print_line(reader)
    finally:
        writer.close()


async def _print_line(reader: asyncio.StreamReader) -> None:
    line = await reader.readline()
    if not line:
        raise ConnectionError("the server has closed the connection")
    print(line.decode().rstrip("\n"), flush=True)


def main() -> None:
    """Read the command line, and converse."""
    parser = argparse.ArgumentParser(description="Send lines to line_server.py as yourself.")
    parser.add_argument("--host", default="localhost")
    parser.add_argument("--port", type=int, default=7000)
    parser.add_argument("--service", default="HTTP/localhost", help="the name of the service")
    parser.add_argument("--line", action="append", help="may be repeated (default: standard input)")
    options = parser.parse_args()
    # The server has to prove that it is the service.
    request = InitiatorRequest(options.service, required=AscRet.MUTUAL_AUTH)
    try:
        asyncio.run(converse(options.host, options.port, request, options.line or sys.stdin))
    except AuthsrvError as error:
        sys.exit(f"{error.code}: {error.detail}")
    except OSError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
