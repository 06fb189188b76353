"""The command ``authsrv serve``: the standalone auth service."""

from __future__ import annotations

import argparse
import gc
import sys
from functools import partial
from typing import TYPE_CHECKING

from authsrv.errors import AuthsrvError

if TYPE_CHECKING:
    from authsrv.service.server import Service

__all__ = ["add_serve_options"]

_DESCRIPTION = """\
Answer a reverse proxy's question who a client is, and lead clients who are not
known to where they can say so. Runs until SIGINT or SIGTERM.
"""


def add_serve_options(parser: argparse.ArgumentParser) -> None:
    """Give the parser of ``authsrv serve`` its options; the service is imported when it runs."""
    parser.description = _DESCRIPTION
    chosen = parser.add_mutually_exclusive_group(required=True)
    chosen.add_argument("--config", metavar="FILE", help="the configuration, such as authsrv.toml")
    chosen.add_argument(
        "--demo",
        action="store_true",
        help="a realm, a site and a login host on this machine, behind nginx at --port",
    )
    parser.add_argument(
        "--port",
        type=int,
        default=8480,
        help="where the demonstration's nginx listens on loopback; %(default)s if not given",
    )
    parser.set_defaults(run=partial(_serve, parser))


def _serve(parser: argparse.ArgumentParser, options: argparse.Namespace) -> int:
    if options.demo:
        from authsrv.service.demo import run_demo

        return run_demo(options.port)
    from authsrv.service.run import run_service

    try:
        run_service(options.config, _announce)
    except AuthsrvError as error:
        print(error.detail, file=sys.stderr)
        # Or the interpreter would look at each of some 70,000 objects more than once before it
        # ends, for seconds on a machine that has much to do.
        gc.freeze()
        return 1
    return 0


def _announce(service: Service) -> None:
    # Whoever waits for the line reads a pipe, which Python would fill before it lets go of it.
    print(f"listening: asks at {service.asks.where}, pages at {service.pages.where}", flush=True)
