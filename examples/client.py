"""A client with single sign-on: who does a server say that we are?

kinit alice
python examples/client.py --url https://web.example.org/
"""

from __future__ import annotations

import argparse
import asyncio
import sys

from aiohttp import ClientError, ClientSession
from yarl import URL

from authsrv.client import NegotiateClient
from authsrv.errors import AuthsrvError


async def ask(url: URL) -> str:
    """Fetch a page as whoever has logged in."""
    async with (
        NegotiateClient([str(url.origin())]) as negotiate,
        ClientSession(middlewares=(negotiate,)) as session,
        session.get(url) as response,
    ):
        return f"{response.status} {await response.text()}"


def main() -> None:
    """Read the command line, and ask."""
    parser = argparse.ArgumentParser(description="Fetch a page with single sign-on.")
    parser.add_argument("--url", type=URL, required=True, help="http means: without encryption")
    try:
        print(asyncio.run(ask(parser.parse_args().url)))
    except AuthsrvError as error:
        sys.exit(f"{error.code}: {error.detail}")
    except ClientError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
