"""What cleans up after us if we are killed.

A process that dies by SIGKILL cleans nothing up. So a shell, in a session of its own, holds the
reading end of a pipe whose writing end only we have. When we are gone, however that came about, the
shell reads the end of the file, ends the KDC and removes the folder. Linux could end the KDC by
itself (PR_SET_PDEATHSIG), but does so when the *thread* that started it ends, needs code between
fork and exec, and leaves the folder.
"""

from __future__ import annotations

import contextlib
import subprocess
from pathlib import Path
from typing import Self

__all__ = ["Guard"]

# Each line replaces what is to be ended: the ids of processes, none or some.
_SCRIPT = """
while read -r line; do processes=$line; done
[ -z "$processes" ] || kill $processes
rm -rf -- "$1"
"""


class Guard:
    """Removes a folder, and ends processes, when this process is gone.

    A context manager; leaving the block calls the guard off.

    Args:
        folder: The folder; it belongs to the realm alone.

    Source: authsrv design.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._processes: set[int] = set()
        self._shell: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self._shell = subprocess.Popen(
            ["/bin/sh", "-c", _SCRIPT, "authsrv-guard", str(self._folder)],
            bufsize=0,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        return self

    def __exit__(self, *_: object) -> None:
        if self._shell is not None:
            # First the shell, then its pipe: it must not see the end of the file.
            self._shell.kill()
            self._shell.wait()
            if self._shell.stdin is not None:
                self._shell.stdin.close()
            self._shell = None

    def watch(self, process: int) -> None:
        """Have a process ended when we are gone.

        Args:
            process: Its id.

        Source: authsrv design.
        """
        self._processes.add(process)
        self._tell()

    def forget(self, process: int) -> None:
        """Leave a process alone from now on; to be called before its id can be used again.

        Args:
            process: Its id.

        Source: authsrv design.
        """
        self._processes.discard(process)
        self._tell()

    def _tell(self) -> None:
        if self._shell is None or self._shell.stdin is None:
            return
        line = " ".join(str(process) for process in sorted(self._processes)) + "\n"
        # Somebody may have ended the shell. The realm works without it.
        with contextlib.suppress(BrokenPipeError):
            self._shell.stdin.write(line.encode())
