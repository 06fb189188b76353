"""The programs that tests run, and what to install where one is missing."""

from __future__ import annotations

import shutil

import pytest

__all__ = ["find_program"]


def find_program(name: str, *, package: str) -> str:
    """The path of a program; the test fails, and names the Debian package, where it is missing.

    A test that is skipped for want of a program is a test that nobody notices missing.
    """
    path = shutil.which(name)
    if path is None:
        pytest.fail(
            f"the program {name!r} is missing: install the Debian package {package!r}, "
            "as `make test` does",
            pytrace=False,
        )
    return path
