"""The command ``authsrv check-config``: what is wrong with a configuration, and what it does."""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from authsrv.service.config.settings import Settings

__all__ = ["add_check_config_command"]

_CHECK = """\
Say what is wrong with a configuration: all of it at once. With --url, say what
would happen to a request, and by which rule. With --probe, send the proxy that
stands before the service what strangers might try, and say what was let in.
"""

_CHECK_MORE = """\
The exit code is 0 if the service would start, and 1 if not. A probe makes it 1,
too, if anything was let in, or if it could not be told.

A probe has no credential. It needs the address of a page that strangers must not
get, sends some hundred requests, and sees what a client sees: a name that the
application believes without showing it stays hidden. Whatever is let in reaches
the application.

examples:
  authsrv check-config authsrv.toml --user alice@EXAMPLE.ORG \\
      --url https://wiki.example.org/secret
  authsrv check-config authsrv.toml --probe https://wiki.example.org/secret
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
    parser.add_argument(
        "--probe", metavar="URL", help="try to get this page through the proxy without a credential"
    )
    parser.add_argument(
        "--probe-address", metavar="HOST:PORT", help="connect there, and not to the URL's host"
    )
    parser.add_argument(
        "--insecure-tls", action="store_true", help="do not verify the proxy's certificate"
    )
    parser.set_defaults(run=partial(_run_check, parser))


def _run_check(parser: argparse.ArgumentParser, options: argparse.Namespace) -> int:
    if options.user and not options.url:
        parser.error("--user says what would happen at a --url")
    if (options.probe_address or options.insecure_tls) and not options.probe:
        parser.error("--probe-address and --insecure-tls belong to --probe")
    try:
        from authsrv.core.realms import realm_of
        from authsrv.errors import AuthsrvError, ConfigError
        from authsrv.service.config.loading import load
        from authsrv.service.start import make_service
    except ImportError as error:
        parser.error(f"{error.name} is missing: install authsrv[service]")
    if options.user and not realm_of(options.user):
        parser.error(f"--user: {options.user!a} has no realm: write it as alice@EXAMPLE.ORG")
    loaded = load(options.file)
    for problem in loaded.problems:
        print(problem)
    settings = loaded.settings
    if settings is None:
        return 1
    code = 0
    try:
        make_service(settings, options.file)
    except ConfigError as error:
        print(error.detail)
        code = 1
    else:
        _praise(settings, options)
    # What the rules say, and what the proxy lets in, can be told all the same.
    if options.url:
        _foretell(settings, options)
    if not options.probe:
        return code
    try:
        return code if _probe(settings, options) else 1
    except AuthsrvError as error:
        print(f"there is no probe: {error.detail}")
        return 1


def _praise(settings: Settings, options: argparse.Namespace) -> None:
    sites = settings.sites.sites
    rules = sum(len(site.rules.rules) for site in sites)
    print(f"{options.file} is good: {_counted(len(sites), 'site')}, {_counted(rules, 'rule')}")


def _foretell(settings: Settings, options: argparse.Namespace) -> None:
    from authsrv.errors import AuthsrvError
    from authsrv.service.config.foretell import ForetoldRequest, foretell

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
        print(f"denied: {error.code}: {error.detail}")


def _probe(settings: Settings, options: argparse.Namespace) -> bool:
    """Tell whether nothing was let in."""
    from authsrv.service.config.probe import Way, probe, summarize

    is_verified = not options.insecure_tls
    way = Way.to(options.probe, options.probe_address, is_tls_verified=is_verified)
    coming = probe(settings, options.probe, way)
    print(f"\nprobe of {options.probe} at {way}, without any credential")
    if way.tls is not None and not is_verified:
        print("the certificate is not verified, so this may be another server than it seems")
    findings, topic = [], ""
    for finding in coming:
        if finding.attempt.topic != topic:
            topic = finding.attempt.topic
            print(f"\n{topic}")
        print(f"  {finding}", flush=True)
        findings.append(finding)
    is_good, summary = summarize(findings)
    print(f"\n{summary}")
    return is_good


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
