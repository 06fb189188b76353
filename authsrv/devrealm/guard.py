"""What cleans up after a realm, whatever becomes of us.

A process that dies by SIGKILL cleans nothing up, and a signal can end us between making something
and writing down that it is ours. So a shell, in a session of its own, holds the reading end of a
pipe whose writing end only we have. When we close it, or are gone, the shell reads the end of the
file, ends the KDCs whose ids stand in the folder and removes the folder. Linux could end a KDC by
itself (PR_SET_PDEATHSIG), but does so when the *thread* that started it ends, needs code between
fork and exec, and leaves the folder.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Final, Self

__all__ = ["PROCESS_FILE", "CleanupGuard"]

PROCESS_FILE: Final = "process.id"
"""The file, in the folder or in one below it, with the id of a process that is to be ended."""

# Moved away first: a process that is about to start, and has not written its id yet, cannot do so
# any more, and does not start.
_SCRIPT = f"""
read -r nothing
mv -- "$1" "$1.gone" || exit 0
for file in "$1.gone/{PROCESS_FILE}" "$1.gone"/*/"{PROCESS_FILE}"; do
    [ ! -f "$file" ] || kill "$(cat "$file")"
done
rm -rf -- "$1.gone"
"""


class CleanupGuard:
    """Removes a folder, and ends processes whose ids stand in it, at the end of a block.

    A context manager. It does so as well when this process is gone before. The folder belongs to
    the realm alone, and need not exist yet: made inside the block, it is removed wherever a signal
    strikes.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._shell: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self._shell = subprocess.Popen(
            ["/bin/sh", "-c", _SCRIPT, "authsrv-guard", str(self._folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        return self

    def __exit__(self, *_: object) -> None:
        if self._shell is not None:
            self._shell.communicate()
            self._shell = None
        # Somebody may have ended the shell.
        shutil.rmtree(self._folder, ignore_errors=True)
