"""The command ``authsrv check-config``: what is wrong with a configuration, and what it does."""

from __future__ import annotations

import argparse
import sys
from functools import partial
from pathlib import Path

__all__ = ["add_check_config_command"]

_CHECK = """\
Say what is wrong with a configuration: all of it at once. With --url, say what
would happen to a request, and by which rule.
"""

_CHECK_MORE = """\
The exit code is 0 if the service would start, and 1 if not.

example:
  authsrv check-config authsrv.toml --user alice@EXAMPLE.ORG \\
      --url https://wiki.example.org/secret
"""


def add_check_config_command(parser: argparse.ArgumentParser) -> None:
    """Give the parser of ``authsrv check-config`` its arguments."""
    parser.description = _CHECK
    parser.epilog = _CHECK_MORE
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("file", metavar="FILE", type=Path, help="the configuration")
    parser.add_argument("--url", help="the address that is asked for")
    parser.add_argument("--user", metavar="PRINCIPAL", help="who asks (default: nobody known)")
    parser.add_argument("--method", default="GET", help="by which method (default: %(default)s)")
    parser.add_argument(
        "--mechanism",
        choices=["kerberos", "ntlm", "password"],
        default="kerberos",
        help="how the user proved who it is (default: %(default)s)",
    )
    parser.add_argument("--address", metavar="IP", help="from where (default: not known)")
    parser.add_argument(
        "--channel-bound", action="store_true", help="the proof was bound to the channel"
    )
    parser.set_defaults(run=partial(_run_check, parser))


def _run_check(parser: argparse.ArgumentParser, options: argparse.Namespace) -> int:
    if options.user and not options.url:
        parser.error("--user says what would happen at a --url")
    try:
        from authsrv.errors import AuthsrvError
        from authsrv.service.config import load
        from authsrv.service.foretell import ForetoldRequest, foretell
    except ImportError as error:
        parser.error(f"{error.name} is missing: install authsrv[service]")
    loaded = load(options.file)
    for problem in loaded.problems:
        print(problem)
    settings = loaded.settings
    if settings is None:
        return 1
    rules = sum(len(site.rules.rules) for site in settings.sites.sites)
    print(f"{options.file} is good: {len(settings.sites.sites)} sites, {rules} rules")
    if not options.url:
        return 0
    request = ForetoldRequest(
        options.url,
        options.method,
        options.user,
        options.mechanism,
        options.address,
        options.channel_bound,
    )
    try:
        print(foretell(settings, request))
    except AuthsrvError as error:
        print(f"denied: {error.code}: {error.detail}", file=sys.stdout)
    return 0
