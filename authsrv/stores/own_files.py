"""Files that only this user can touch, and the lock on one; where others can, they are refused."""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
import threading
from pathlib import Path

from authsrv.errors import StoreError

__all__ = ["FileLock", "open_own_file", "own_folder"]

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


class FileLock:
    """A lock that one thread of one process has at a time; whoever ends lets it go.

    Not fcntl's locks: those vanish when any other descriptor of the file is closed.

    Args:
        opened: A descriptor of the file, which is the lock's from now on.
    """

    __slots__ = ("_guard", "_opened")

    def __init__(self, opened: int) -> None:
        self._opened = opened
        # Threads share the descriptor, and so the lock of the file.
        self._guard = threading.Lock()

    def try_acquire(self) -> bool:
        """Take the lock if it is free.

        Raises:
            OSError: The file system has no locks, or the lock is closed.
        """
        if not self._guard.acquire(blocking=False):
            return False
        try:
            fcntl.flock(self._opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._guard.release()
            return False
        except BaseException:
            self._guard.release()
            raise
        return True

    def release(self) -> None:
        """Let the lock go; only for whoever has it."""
        try:
            fcntl.flock(self._opened, fcntl.LOCK_UN)
        finally:
            self._guard.release()

    def close(self) -> None:
        """Close the descriptor; whoever has the lock keeps it from everybody for good.

        A forked child closes its own so, and its parent's lock stays as it is.
        """
        opened, self._opened = self._opened, -1
        if opened >= 0:
            os.close(opened)

    def __del__(self) -> None:
        self.close()


def _is_private(found: os.stat_result) -> bool:
    return found.st_uid == os.geteuid() and not found.st_mode & _OTHERS


def _reason(error: OSError) -> str:
    return os.strerror(error.errno or 0)
