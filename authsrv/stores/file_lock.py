"""A lock on a file, which is only ever tried: nobody waits in the kernel for a stopped process."""

from __future__ import annotations

import fcntl
import os
import threading

__all__ = ["FileLock"]


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
