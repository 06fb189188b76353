"""The command ``authsrv``.

It has to answer ``--help`` at once, so each command imports what it needs when it runs.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from typing import NoReturn

from authsrv import __version__
from authsrv.cli.check_config import add_check_config_command
from authsrv.cli.init import add_init_command
from authsrv.cli.keys import add_keys_commands
from authsrv.cli.realm import add_realm_commands
from authsrv.cli.serve import add_serve_options
from authsrv.cli.sessions import add_sessions_commands

__all__ = ["main"]

_DESCRIPTION = "Windows Integrated Authentication (SPNEGO, Kerberos) for asyncio services."


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command of ``authsrv`` and return its exit code.

    Its arguments are those of the process if none are given.

    Raises:
        SystemExit: The arguments are wrong (2), only help or the version was asked for (0), or a
            signal ended the command.
    """
    given = sys.argv[1:] if arguments is None else list(arguments)
    # What is behind the first "--" is for another program. argparse would read it, too, and how
    # much it takes away differs between versions of Python.
    end = given.index("--") if "--" in given else len(given)
    command = argparse.Namespace(command=given[end + 1 :])
    found, surplus = _build_parser().parse_known_args(given[:end], command)
    if surplus:
        _refuse(surplus, end < len(given))
    run: Callable[[argparse.Namespace], int] = found.run
    return run(found)


def _refuse(surplus: list[str], has_end: bool) -> NoReturn:
    hint = "" if has_end else "; a command to run stands after --"
    _build_parser().error(f"unrecognized arguments: {' '.join(surplus)}{hint}")


def _build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="authsrv", description=_DESCRIPTION)
    parser.add_argument("--version", action="version", version=f"authsrv {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    about = "the keys that cookies are sealed and tokens are signed with"
    keys = commands.add_parser("keys", help=about, description=f"Make and rotate {about}.")
    add_keys_commands(keys)
    serve = commands.add_parser("serve", help="the standalone auth service for reverse proxies")
    add_serve_options(serve)
    about = "the sessions of users"
    sessions = commands.add_parser("sessions", help=about, description=f"End {about}.")
    add_sessions_commands(sessions)
    about = "a throw-away Kerberos realm for development and tests"
    realm = commands.add_parser("realm", help=about, description=f"Work with {about}.")
    add_realm_commands(realm)
    add_init_command(commands.add_parser("init", help="write a first configuration"))
    about = "what is wrong with a configuration, and what it does"
    add_check_config_command(commands.add_parser("check-config", help=about))
    return parser
