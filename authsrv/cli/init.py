"""The command ``authsrv init``: the first configuration of the service."""

from __future__ import annotations

import argparse
import sys
from functools import partial
from pathlib import Path

__all__ = ["add_init_command"]

_INIT = """\
Write authsrv.toml, with comments, and a folder with a configuration of the proxy.
What is not given is asked for. No file is ever overwritten.
"""

_INIT_MORE = """\
example:
  authsrv init --host wiki.example.org --keytab /etc/authsrv/http.keytab \\
      --proxy nginx --output /etc/authsrv
"""


def add_init_command(parser: argparse.ArgumentParser) -> None:
    """Give the parser of ``authsrv init`` its arguments; the service is imported when it runs."""
    parser.description = _INIT
    parser.epilog = _INIT_MORE
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--host", help="the application's host, such as wiki.example.org")
    parser.add_argument("--keytab", metavar="FILE", help="the keytab with the key of HTTP/HOST")
    parser.add_argument("--proxy", help="the reverse proxy, such as nginx")
    parser.add_argument("--login-host", metavar="HOST", help="the host of the password form")
    parser.add_argument("--realm", help="the realm that is let in (default: those of the keytab)")
    parser.add_argument(
        "--sockets",
        metavar="DIR",
        default="/run/authsrv",
        help="the folder of the service's sockets (default: %(default)s)",
    )
    parser.add_argument(
        "--output",
        metavar="DIR",
        type=Path,
        default=Path("."),
        help="the folder to write to (default: this one)",
    )
    parser.set_defaults(run=partial(_run_init, parser))


def _run_init(parser: argparse.ArgumentParser, options: argparse.Namespace) -> int:
    try:
        from authsrv.errors import ConfigError
        from authsrv.service.config.loading import load
        from authsrv.service.config.skeleton import Skeleton, known_proxies, write_folder, write_new
    except ImportError as error:
        parser.error(f"{error.name} is missing: install authsrv[service]")
    proxies = ", ".join(known_proxies())
    try:
        skeleton = Skeleton(
            host=options.host or _ask(parser, "--host", "the application's host"),
            keytab=options.keytab or _ask(parser, "--keytab", "the keytab"),
            proxy=options.proxy or _ask(parser, "--proxy", f"the proxy ({proxies})"),
            login_host=options.login_host,
            realm=options.realm,
            sockets=options.sockets,
        )
        configuration, folder = options.output / "authsrv.toml", options.output / skeleton.proxy
        for path in (configuration, folder):
            if path.is_symlink() or path.exists():
                raise ConfigError(f"{path} is there already, and stays as it is")
        write_new(configuration, skeleton.configuration(), 0o600)
        write_folder(folder, skeleton.proxy_files())
    except ConfigError as error:
        print(f"authsrv: {error.detail}", file=sys.stderr)
        return 1
    print(f"wrote {configuration}\nwrote {folder}")
    for problem in load(configuration).problems:
        print(problem)
    return 0


def _ask(parser: argparse.ArgumentParser, option: str, what: str) -> str:
    if not sys.stdin.isatty():
        parser.error(f"{option} is missing: {what}")
    while True:
        try:
            answer = input(f"{what}: ").strip()
        except EOFError:
            parser.error(f"{option} is missing: {what}")
        if answer:
            return answer
