"""The programs that tests run, and what to install where one is missing."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import NoReturn

import pytest

__all__ = ["find_program", "require_file"]

# An ordinary user's PATH has no sbin.
_BESIDE_PATH = "/usr/sbin"


def find_program(name: str, *, package: str) -> str:
    """The path of a program; the test fails, and names the Debian package, where it is missing.

    A test that is skipped for want of a program is a test that nobody notices missing.
    """
    path = shutil.which(name) or shutil.which(name, path=_BESIDE_PATH)
    if path is None:
        _fail(f"the program {name!r}", package)
    return path


def require_file(path: Path, *, package: str) -> None:
    """Fail the test, and name the Debian package, where a file of it is missing."""
    if not path.exists():
        _fail(str(path), package)


def _fail(what: str, package: str) -> NoReturn:
    pytest.fail(
        f"{what} is missing: install the Debian package {package!r}, as `make test` does",
        pytrace=False,
    )
