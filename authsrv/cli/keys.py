"""The command ``authsrv keys``: the keys that cookies are sealed and tokens are signed with."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from authsrv.sessions.keyring import KeyRing

__all__ = ["add_keys_commands"]

_INIT = """\
Make the keys of the service in FOLDER: sealing.json for cookies, signing.json
for tokens. Files that exist are never written over. The user who runs the
service must be the one who runs this, or the files must be given to it.
"""

_ROTATE = """\
Give each file in FOLDER a new key. It is used after a delay; until then every
machine that serves the same sites must have its copy of the files. A running
service reads them by itself. Sessions and tokens made with the keys before go
on: these keys are kept until the longest session is over, seven days.

If a key was stolen, move the files away and run authsrv keys init: then all
sessions end at once.
"""


def add_keys_commands(keys: argparse.ArgumentParser) -> None:
    """Give the parser of ``authsrv keys`` its commands; one imports what it needs when it runs."""
    commands = keys.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name, run, about, more in (
        ("init", _init, "make the keys", _INIT),
        ("rotate", _rotate, "give each ring of keys a new one", _ROTATE),
    ):
        parser = commands.add_parser(
            name,
            help=about,
            description=more,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        parser.add_argument("folder", metavar="FOLDER", help="where the files are")
        parser.set_defaults(run=partial(_run, run))
        if name == "rotate":
            parser.add_argument(
                "--delay",
                type=float,
                metavar="SECONDS",
                help="after what time the new keys are used (default: 300)",
            )


def _init(options: argparse.Namespace, now: float) -> dict[Path, KeyRing]:
    from authsrv.service.key_files import init_keys

    return init_keys(options.folder, now)


def _rotate(options: argparse.Namespace, now: float) -> dict[Path, KeyRing]:
    from authsrv.service.key_files import DEFAULT_DELAY_SECONDS, rotate_keys

    delay = DEFAULT_DELAY_SECONDS if options.delay is None else options.delay
    return rotate_keys(options.folder, now, delay_seconds=delay)


def _run(
    change: Callable[[argparse.Namespace, float], dict[Path, KeyRing]], options: argparse.Namespace
) -> int:
    from authsrv.errors import ConfigError

    try:
        changed = change(options, time.time())
    except ConfigError as error:
        sys.stderr.write(f"authsrv: {error.detail}\n")
        return 1
    for path, ring in changed.items():
        newest = ring.keys[0]
        since = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(newest.used_from))
        count = f"{len(ring.keys)} key{'s' if len(ring.keys) > 1 else ''}"
        print(f"{path}: {count}; the newest, {newest.key_id.hex()}, is used from {since} on")
    return 0
