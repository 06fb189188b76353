"""Reading files that decide about security: whole, bounded, and not before who may write them.

The file that is read is the file that is looked at: it is opened once. Symbolic links are followed,
as configurations of containers are made of them; whoever could change one can write its folder,
which is looked at, too.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Final

from authsrv.service.config.problems import Findings

__all__ = ["Stamp", "check_file", "check_folder", "check_secret_folder", "read_file", "stamp_of"]

Stamp = tuple[int, int, int, int]
"""What shows that a file was changed or replaced: inode, size, and the times of both changes."""

_WRITABLE: Final = stat.S_IWGRP | stat.S_IWOTH
# A group may read it: that is how a service gets at its keys.
_READABLE: Final = stat.S_IROTH


def read_file(
    path: str | os.PathLike[str],
    findings: Findings,
    key: str,
    *,
    max_bytes: int,
    is_secret: bool = False,
) -> bytes | None:
    """Read a file that others must not write.

    Args:
        path: The file.
        findings: Where problems go: with its owner, its mode, and those of its folder.
        key: The key that names it; empty for the configuration itself.
        max_bytes: A larger file is a problem.
        is_secret: Whether others must not read it either.

    Returns:
        Its content, even where its mode is a problem; None where it cannot be read.
    """
    name = os.fspath(path)
    try:
        # A pipe would wait for somebody who writes.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except (OSError, ValueError) as error:
        findings.error(key, f"{name} cannot be read: {_reason(error)}", _remedy_of(error))
        return None
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            findings.error(key, f"{name} is not a regular file")
            return None
        _check_mode(name, found, findings, key, is_secret=is_secret)
        _check_parent(Path(path), findings, key)
        content = _read(descriptor, max_bytes + 1)
    except OSError as error:
        findings.error(key, f"{name} cannot be read: {_reason(error)}")
        return None
    finally:
        os.close(descriptor)
    if len(content) > max_bytes:
        findings.error(key, f"{name} is larger than {max_bytes} bytes")
        return None
    return content


def stamp_of(path: str | os.PathLike[str]) -> Stamp | None:
    """The stamp of a file; None where it cannot be looked at."""
    try:
        found = os.stat(path)
    except (OSError, ValueError):
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def check_file(
    path: str | os.PathLike[str], findings: Findings, key: str, *, is_secret: bool = False
) -> bool:
    """Look at a file that somebody else reads; tell whether it is there and is one.

    Args:
        path: The file.
        findings: Where problems go.
        key: The key that names it.
        is_secret: Whether others must not read it.
    """
    return read_file(path, findings, key, max_bytes=_MAX_BYTES, is_secret=is_secret) is not None


def check_folder(path: str | os.PathLike[str], findings: Findings, key: str) -> bool:
    """Look at a folder that others must not write; tell whether it is there."""
    found = _look_at(path, findings, key)
    if found is None:
        return False
    if not stat.S_ISDIR(found.st_mode):
        findings.error(key, f"{os.fspath(path)} is not a folder")
        return False
    _check_mode(os.fspath(path), found, findings, key, is_secret=False)
    return True


def check_secret_folder(path: str | os.PathLike[str], findings: Findings, key: str) -> None:
    """Look at a folder of secrets, and at each file in it."""
    if not check_folder(path, findings, key):
        return
    try:
        names = sorted(os.listdir(path))
    except OSError as error:
        findings.error(key, f"{os.fspath(path)} cannot be read: {_reason(error)}")
        return
    for name in names:
        file = Path(path) / name
        found = _look_at(file, findings, key)
        if found is not None and stat.S_ISREG(found.st_mode):
            _check_mode(str(file), found, findings, key, is_secret=True)


_MAX_BYTES: Final = 16 * 1024 * 1024


def _read(descriptor: int, limit: int) -> bytes:
    parts, missing = [], limit
    # One call may return less than the file has.
    while missing and (part := os.read(descriptor, missing)):
        parts.append(part)
        missing -= len(part)
    return b"".join(parts)


def _look_at(path: str | os.PathLike[str], findings: Findings, key: str) -> os.stat_result | None:
    try:
        return os.stat(path)
    except (OSError, ValueError) as error:
        findings.error(
            key, f"{os.fspath(path)} cannot be read: {_reason(error)}", _remedy_of(error)
        )
        return None


def _check_parent(path: Path, findings: Findings, key: str) -> None:
    folder = path.absolute().parent
    found = _look_at(folder, findings, key)
    # In a sticky folder, nobody replaces the files of others.
    if found is not None and not found.st_mode & stat.S_ISVTX:
        _check_mode(str(folder), found, findings, key, is_secret=False)


def _check_mode(
    name: str, found: os.stat_result, findings: Findings, key: str, *, is_secret: bool
) -> None:
    if found.st_uid not in (0, os.geteuid()):
        findings.error(
            key,
            f"{name} belongs to the user {found.st_uid}, who can change it",
            "it must belong to root or to the user of the service",
        )
    if found.st_mode & _WRITABLE:
        findings.error(key, f"{name} can be written by others", f"chmod go-w {name}")
    if is_secret and found.st_mode & _READABLE:
        findings.error(
            key, f"{name} is a secret that others can read", f"chmod o-rwx {name}, and renew it"
        )


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.errno is not None:
        return os.strerror(error.errno)
    return "that is no path"


def _remedy_of(error: Exception) -> str:
    if isinstance(error, FileNotFoundError):
        return "make it, or correct the path"
    if isinstance(error, PermissionError):
        return "let the user of the service read it"
    return ""
