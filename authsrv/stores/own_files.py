"""Files that only this user can touch; where others can, they are refused."""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path

from authsrv.errors import StoreError

__all__ = ["open_own_file", "own_folder"]

_OTHERS = 0o077


def own_folder(path: Path) -> None:
    """Make a folder that only this user can enter, or check that it is one. It blocks.

    In a folder that others can write to, they could plant files and links.

    Raises:
        StoreError: It is not, or there is no place for it.
    """
    try:
        with contextlib.suppress(FileExistsError):
            path.mkdir(mode=0o700)
        found = path.lstat()
    except OSError as error:
        raise StoreError(f"there is no folder {path}: {_reason(error)}") from None
    if not stat.S_ISDIR(found.st_mode) or not _is_private(found):
        raise StoreError(f"{path} is not a folder that only this user can enter")


def open_own_file(path: Path) -> int:
    """Open a file in such a folder for reading and writing, or make it. It blocks.

    Returns:
        Its descriptor, which is the caller's.

    Raises:
        StoreError: It cannot be opened, is a link, or others can touch it.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    try:
        opened = os.open(path, flags, 0o600)
    except OSError as error:
        raise StoreError(f"the store {path} cannot be opened: {_reason(error)}") from None
    found = os.fstat(opened)
    if stat.S_ISREG(found.st_mode) and _is_private(found) and found.st_nlink == 1:
        return opened
    os.close(opened)
    raise StoreError(f"the store {path} is not a file that only this user can read and write")


def _is_private(found: os.stat_result) -> bool:
    return found.st_uid == os.geteuid() and not found.st_mode & _OTHERS


def _reason(error: OSError) -> str:
    return os.strerror(error.errno or 0)
