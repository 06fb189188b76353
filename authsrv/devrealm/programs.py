"""The programs of MIT krb5: where they are, and running one to its end."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

from authsrv.devrealm.errors import MissingProgramError, ProgramError

__all__ = ["PACKAGES", "find_program", "program_environment", "run_program"]

PACKAGES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "kadmin.local": "krb5-admin-server",
        "kdb5_util": "krb5-kdc",
        "kinit": "krb5-user",
        "krb5kdc": "krb5-kdc",
        "kvno": "krb5-user",
    }
)

# Looked at before PATH: macOS has a kinit of Heimdal on it, which does not go with MIT's KDC.
_HOMEBREW = (
    "/opt/homebrew/opt/krb5/bin",
    "/opt/homebrew/opt/krb5/sbin",
    "/usr/local/opt/krb5/bin",
    "/usr/local/opt/krb5/sbin",
)
# Looked at after PATH: an ordinary user's PATH has no sbin, and SUSE puts MIT krb5 aside.
_BESIDE_PATH = ("/usr/sbin", "/usr/local/sbin", "/usr/lib/mit/sbin", "/usr/lib/mit/bin")

_LIMIT_S = 30.0
_REASON_CHARACTERS = 500


def find_program(name: str) -> Path:
    """Find a program of MIT krb5, one of the keys of `PACKAGES`.

    Raises:
        MissingProgramError: It is not installed, or not where we look.
    """
    places = [*_HOMEBREW, os.environ.get("PATH", os.defpath), *_BESIDE_PATH]
    found = shutil.which(name, path=os.pathsep.join(places))
    if found is None:
        raise MissingProgramError(name, PACKAGES[name])
    return Path(found)


def program_environment(variables: Mapping[str, str]) -> dict[str, str]:
    """Compose the environment of a program of the realm: our own, and these variables."""
    # Their output is read, so it must neither be translated nor hold a trace.
    ours = {name: value for name, value in os.environ.items() if name != "KRB5_TRACE"}
    return {**ours, **variables, "LC_ALL": "C"}


def run_program(
    name: str, *arguments: str, environment: Mapping[str, str], typed: str = ""
) -> subprocess.CompletedProcess[str]:
    """Run a program of MIT krb5 to its end.

    Args:
        name: One of the keys of `PACKAGES`.
        arguments: Its arguments; other users can see them, so no secrets.
        environment: Variables beside our own.
        typed: What it reads from its standard input; may hold a secret.

    Raises:
        MissingProgramError: It is not installed.
        ProgramError: It failed, or did not end within 30 seconds.
    """
    try:
        done = subprocess.run(
            [find_program(name), *arguments],
            env=program_environment(environment),
            input=typed,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=_LIMIT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise ProgramError(name, f"it did not end within {_LIMIT_S:g} s") from None
    if done.returncode:
        raise ProgramError(name, done.stderr.strip()[-_REASON_CHARACTERS:])
    return done
