"""What can go wrong with a development realm."""

from __future__ import annotations

from authsrv.errors import LocalError

__all__ = ["MissingProgramError", "ProgramError", "RealmError"]


class RealmError(LocalError):
    """The development realm cannot do what was asked."""


class MissingProgramError(RealmError):
    """A program of MIT krb5, or libfaketime, is not installed.

    Args:
        name: The program or library, such as "krb5kdc".
        package: The Debian package that has it, such as "krb5-kdc".
    """

    def __init__(self, name: str, package: str) -> None:
        super().__init__(
            f"{name} was not found; on Debian and Ubuntu it is in the package {package}: "
            f"apt-get install {package}"
        )
        self.name = name
        self.package = package


class ProgramError(RealmError):
    """A program of MIT krb5 failed.

    Args:
        name: The program, such as "kinit".
        reason: What it wrote about the failure; it holds no password.
    """

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"{name} failed: {reason}")
        self.name = name
        self.reason = reason
