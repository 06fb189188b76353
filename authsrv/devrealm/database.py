"""The realm's principals and their keys, by way of kdb5_util and kadmin.local."""

from __future__ import annotations

import enum
import re
import secrets
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

from authsrv.devrealm.errors import ProgramError, RealmError
from authsrv.devrealm.keytab import EncryptionType
from authsrv.devrealm.programs import run_program

__all__ = ["AccountMark", "Database", "check_principal"]

_PRINCIPAL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._$-]*(/[A-Za-z0-9][A-Za-z0-9._$-]*)?")
_KEY = re.compile(r"^Key: vno (\d+)", re.MULTILINE)


class AccountMark(enum.Enum):
    """What can be wrong with a user's account, or is asked of it; the value is kadmin's option."""

    DISABLED = "-allow_tix"
    """The KDC gives it no ticket."""
    EXPIRED = "-expire 2000-01-01"
    """Its time is over."""
    OUTDATED = "-pwexpire 2000-01-01"
    """Its password's time is over."""
    MUST_CHANGE = "+needchange"
    """Its password has to be changed first."""
    NEEDS_PREAUTH = "+requires_preauth"
    """Its password is proved before the KDC answers, as in Active Directory."""


def check_principal(name: str) -> str:
    """Make sure that a name, without realm, can stand in krb5.conf and in kadmin.local's commands.

    Returns:
        The name.

    Raises:
        RealmError: It cannot.
    """
    if not _PRINCIPAL.fullmatch(name):
        raise RealmError(f"{name!r} is no name for a user or a service of a development realm")
    return name


class Database:
    """The KDC's database.

    Args:
        environment: Variables that make the programs find the realm's configuration.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment

    def create(self) -> None:
        """Create the database.

        Raises:
            MissingProgramError: kdb5_util is not installed.
            ProgramError: It failed.
        """
        master = secrets.token_hex(16)
        typed = f"{master}\n{master}\n"
        run_program("kdb5_util", "create", "-s", environment=self._environment, typed=typed)

    def add(self, users: Mapping[str, str], services: Iterable[str]) -> None:
        """Add users, by name and password, and services, which get random keys.

        Raises:
            MissingProgramError: kadmin.local is not installed.
            ProgramError: One of them exists already.
            RealmError: A name or a password is not of a form that can be passed on.
        """
        add = "add_principal -clearpolicy"
        people = [f"{add} -pw {_quote(users[user])} {check_principal(user)}" for user in users]
        things = [f"{add} -randkey {check_principal(service)}" for service in services]
        self._execute(*people, *things)

    def add_trust(self, service_realm: str, client_realm: str, password: str) -> None:
        """Add the principal by which users of one realm come to the services of another.

        The password has to be the same in both realms' databases.

        Raises:
            MissingProgramError: kadmin.local is not installed.
            ProgramError: There is such a trust already.
        """
        principal = f"krbtgt/{service_realm}@{client_realm}"
        self._execute(f"add_principal -clearpolicy -pw {_quote(password)} {principal}")

    def rotate(self, service: str, enctypes: Collection[EncryptionType]) -> int:
        """Give a service new keys beside the old ones, as an administrator does.

        Returns:
            The version of the new keys, which are of the usual types if none is given.

        Raises:
            MissingProgramError: kadmin.local is not installed.
            ProgramError: There is no such service.
        """
        types = f" -e {','.join(f'{enctype}:normal' for enctype in enctypes)}" if enctypes else ""
        principal = check_principal(service)
        output = self._execute(
            f"change_password -randkey -keepold{types} {principal}", f"get_principal {principal}"
        )
        return max(int(number) for number in _KEY.findall(output))

    def mark(self, user: str, mark: AccountMark) -> None:
        """Change a user's account.

        Raises:
            MissingProgramError: kadmin.local is not installed.
            ProgramError: There is no such user.
        """
        self._execute(f"modify_principal {mark.value} {check_principal(user)}")

    def set_password(self, user: str, password: str, enctypes: Collection[EncryptionType]) -> None:
        """Give a user a password, and keys of these types alone; of the usual ones if none is.

        Raises:
            MissingProgramError: kadmin.local is not installed.
            ProgramError: There is no such user.
            RealmError: The password is not of a form that can be passed on.
        """
        types = f" -e {','.join(f'{enctype}:normal' for enctype in enctypes)}" if enctypes else ""
        self._execute(f"change_password{types} -pw {_quote(password)} {check_principal(user)}")

    def purge(self, service: str) -> None:
        """Drop all keys of a service but the newest.

        Raises:
            MissingProgramError: kadmin.local is not installed.
            ProgramError: There is no such service.
        """
        self._execute(f"purgekeys {check_principal(service)}")

    def export_keys(self, services: Iterable[str], path: Path) -> None:
        """Write the services' keys, which stay as they are, to a file that does not exist.

        Raises:
            MissingProgramError: kadmin.local is not installed.
            ProgramError: There is no such service, or the file cannot be written.
            RealmError: The path has a character that kadmin.local cannot read.
        """
        names = " ".join(check_principal(service) for service in services)
        self._execute(f"ktadd -norandkey -k {_quote(str(path))} {names}")

    def _execute(self, *commands: str) -> str:
        # On its standard input, not as arguments, which other users can see: passwords are in it.
        done = run_program(
            "kadmin.local", environment=self._environment, typed="\n".join([*commands, ""])
        )
        # It ends with 0 whatever its commands met, but keeps quiet about those that went well.
        if done.stderr:
            raise ProgramError("kadmin.local", done.stderr.strip())
        return done.stdout


def _quote(text: str) -> str:
    if not text.isprintable():
        raise RealmError("a password or path for kadmin.local has a control character in it")
    doubled = text.replace('"', '""')
    return f'"{doubled}"'
