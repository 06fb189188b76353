"""The command ``authsrv sessions``: ends what users have begun."""

from __future__ import annotations

import argparse
import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from authsrv.service.config.settings import Settings

__all__ = ["add_sessions_commands"]

_REVOKE = """\
End all sessions of a user that began until now, on every site, in every process
that uses the store of the configuration. To be run as the user who runs the
service. A user with an account can log in again: disable the account first.
"""


def add_sessions_commands(sessions: argparse.ArgumentParser) -> None:
    """Give the parser of ``authsrv sessions`` its commands."""
    commands = sessions.add_subparsers(title="commands", metavar="COMMAND", required=True)
    revoke = commands.add_parser(
        "revoke",
        help="end all sessions of a user",
        description=_REVOKE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    revoke.add_argument(
        "--user", required=True, metavar="NAME", help="such as alice@EXAMPLE.ORG; case is the same"
    )
    revoke.add_argument("--config", required=True, metavar="FILE", help="such as authsrv.toml")
    revoke.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    import asyncio

    from authsrv.core.realms import realm_of
    from authsrv.errors import AuthsrvError
    from authsrv.service.config.loading import load_settings

    user = options.user
    if not realm_of(user):
        return _fail(f"{user!a} has no realm: write it as alice@EXAMPLE.ORG")
    try:
        settings, _ = load_settings(options.config)
        asyncio.run(_revoke(settings, user))
    except AuthsrvError as error:
        return _fail(error.detail)
    print(f"all sessions of {user} that began until now are over")
    return 0


async def _revoke(settings: Settings, user: str) -> None:
    from authsrv.errors import ConfigError
    from authsrv.service.config.settings import StoreKind
    from authsrv.service.sign_in.session_keeper import SessionKeeper
    from authsrv.service.store_choice import make_store

    if settings.store_kind is not StoreKind.MACHINE:
        raise ConfigError("the store is in the memory of the service: restart it to end sessions")
    store = make_store(settings)
    try:
        await SessionKeeper(store).revoke_user(user, time.time())
    finally:
        await store.close()


def _fail(cause: str) -> int:
    sys.stderr.write(f"authsrv: {cause}\n")
    return 1
