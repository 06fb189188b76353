"""The command ``authsrv realm``: a throw-away Kerberos realm around a program."""

from __future__ import annotations

import argparse
from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from authsrv.devrealm import Realm

__all__ = ["add_realm_commands"]

_REALM_RUN = """\
Start a throw-away Kerberos realm with a real KDC, run COMMAND inside it, and
take the realm down when COMMAND has ended. For development and tests.

COMMAND finds these variables, so that MIT Kerberos works in it as client and as
acceptor, and nothing of this machine's own Kerberos is used:

  KRB5_CONFIG    the realm's configuration; its KDC listens on 127.0.0.1 only
  KRB5CCNAME     the first user's credential cache; the user is logged in
  KRB5_KTNAME    a keytab with the keys of all services
"""

_REALM_RUN_MORE = """\
The credential cache of another user stands beside the first one's, and differs
in its end: ccache.alice, ccache.bob. All users are logged in.

The exit code is that of COMMAND; 128 and the signal's number if a signal ended
it; 125 if the realm could not be started; 126 if COMMAND could not be run; 127
if it was not found. SIGINT, SIGTERM and SIGHUP are passed on to COMMAND.

The realm needs MIT Kerberos. Debian has it in the packages krb5-kdc,
krb5-admin-server and krb5-user; --expired and a negative --skew need
libfaketime, too.

example:
  authsrv realm run --service HTTP/localhost -- \\
      sh -c 'python examples/hello.py --keytab "${KRB5_KTNAME#FILE:}"'
  authsrv realm run --expired -- curl --negotiate -u: http://localhost:8080/
"""


def add_realm_commands(realm: argparse.ArgumentParser) -> None:
    """Give the parser of ``authsrv realm`` its commands; a realm is imported when one runs."""
    commands = realm.add_subparsers(title="commands", metavar="COMMAND", required=True)
    parser = commands.add_parser(
        "run",
        help="run a program inside such a realm",
        usage="%(prog)s [OPTION ...] -- COMMAND [ARGUMENT ...]",
        description=_REALM_RUN,
        epilog=_REALM_RUN_MORE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _add_members(parser)
    _add_clocks(parser)
    parser.set_defaults(run=partial(_run_realm, parser))


def _add_members(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--service",
        action="append",
        dest="services",
        metavar="CLASS/HOST",
        help="a service of the realm; may be repeated (default: HTTP/localhost)",
    )
    parser.add_argument(
        "--user",
        action="append",
        dest="users",
        metavar="NAME",
        help="a user of the realm; may be repeated (default: alice)",
    )


def _add_clocks(parser: argparse.ArgumentParser) -> None:
    clocks = parser.add_mutually_exclusive_group()
    clocks.add_argument(
        "--skew",
        type=int,
        metavar="SECONDS",
        help="the users' clocks are ahead by SECONDS, at most 82800; negative: behind",
    )
    clocks.add_argument(
        "--expired",
        action="store_true",
        help="the users' tickets have expired",
    )


def _run_realm(parser: argparse.ArgumentParser, options: argparse.Namespace) -> int:
    if not options.command:
        parser.error("there is no COMMAND after --: write authsrv realm run -- COMMAND")
    from authsrv.devrealm import Realm, RealmError
    from authsrv.devrealm.command import run_in_realm

    users: list[str] = options.users or ["alice"]

    def log_in(realm: Realm) -> None:
        for user in users:
            _log_in(realm, user, options)

    try:
        realm = Realm(services=options.services or ["HTTP/localhost"], users=users)
    except RealmError as error:
        parser.error(error.detail)
    return run_in_realm(options.command, realm=realm, prepare=log_in)


def _log_in(realm: Realm, user: str, options: argparse.Namespace) -> None:
    if options.expired:
        realm.expired_login(user)
    elif options.skew is not None:
        realm.skewed_login(user, options.skew)
    else:
        realm.login(user)
