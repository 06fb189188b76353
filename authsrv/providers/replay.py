"""Replay protection: how a token is kept from being accepted twice, and where.

Which choice protects what:

`MITReplayCache()`, the default
    MIT's own replay cache, a file shared by all processes of one user on one machine. It outlives a
    restart and a reboot. This is the safe choice for several workers.
`MITReplayCache.in_memory()`
    The same file format in memory-backed storage: shared by the processes of one user on one
    machine, outlives a restart, not a reboot.
`ProcessReplayCache()`
    A table in this process, MIT's switched off. It protects exactly one process: a second worker
    would accept the token again, and so would the same one after a restart. It is for servers that
    run one process and restart rarely.

A store that is shared by several machines would be another class with the same two members.

Our own cache is keyed on the ciphertext of the authenticator inside the AP-REQ, never on the whole
token: whoever replays can put the same AP-REQ into another SPNEGO shell, but cannot change the
ciphertext without the session key. A token in which no AP-REQ can be read strictly is refused.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from authsrv.core.settings import as_instance, as_number
from authsrv.errors import ConfigError, ReplayCacheError, ReplayError
from authsrv.providers.kerberos.profile import clock_skew

__all__ = ["MITReplayCache", "ProcessReplayCache", "ReplayProtection", "find_cache_fault"]

# The authenticator's time may lie as far ahead of ours as the clock skew allows, and the token is
# good until it lies as far behind: RFC 4120 section 3.2.3.
_SKEW_SPAN = 2
# MIT compares whole seconds, the last one included; and clocks are set while we run.
_MARGIN_S = 5.0


class ReplayProtection(Protocol):
    """Where it is remembered which authenticators were accepted."""

    @property
    def rcache_name(self) -> bytes:
        """What MIT's acceptor is told of a replay cache in its credential store."""
        ...

    def check_and_store(self, authenticator: bytes) -> None:
        """Remember the ciphertext of an authenticator that was accepted, once.

        Called after the provider has verified it, so that nobody fills the memory with garbage.
        It may block; it is called by several threads at once.

        Raises:
            ReplayError: It was claimed before.
            ReplayCacheError: It cannot be remembered, so it must not be accepted.
            ConfigError: The clock skew in krb5.conf is no number.
        """
        ...


@dataclass(frozen=True, slots=True)
class MITReplayCache:
    """MIT's own replay cache, checked inside gss_accept_sec_context.

    Args:
        name: "dfl:" for MIT's default file (in KRB5RCACHEDIR, or /var/tmp, one for each user), or
            "file2:PATH" for one elsewhere. It is named in the credential store, so that neither
            KRB5RCACHENAME nor krb5.conf can switch it off.

    Raises:
        ConfigError: The name is none of these; "none:" above all.
    """

    name: str = "dfl:"

    def __post_init__(self) -> None:
        name = as_instance(str, self.name, "the name of a replay cache")
        if name != "dfl:" and not name.startswith("file2:/"):
            raise ConfigError("the replay cache must be 'dfl:' or 'file2:' with an absolute path")

    @classmethod
    def in_memory(cls, label: str = "http") -> MITReplayCache:
        """A cache that all processes of this user share, in memory-backed storage.

        Args:
            label: Distinguishes several caches of one user; letters, digits, "-" and "_".

        Raises:
            ConfigError: The label has other characters, there is no memory-backed storage, or its
                folder can be entered by another user.
        """
        as_instance(str, label, "the label of a replay cache")
        if not label or not label.replace("-", "").replace("_", "").isalnum():
            raise ConfigError("the label of a replay cache is made of letters, digits, - and _")
        return cls(f"file2:{_private_folder(Path('/dev/shm')) / label}")  # noqa: S108 - see there

    @property
    def rcache_name(self) -> bytes:
        """See ReplayProtection.rcache_name."""
        return self.name.encode()

    def check_and_store(self, authenticator: bytes) -> None:
        """Do nothing: MIT's acceptor has claimed it under its file lock."""


def find_cache_fault(rcache_name: bytes) -> str | None:
    """Open the file of MIT's replay cache as MIT does, and tell what is in the way. It blocks.

    Returns:
        Why it cannot be used, for the log; None where the file opens, or the cache is no file.
    """
    # MIT krb5, "Replay cache": which types there are, and where the file of "dfl" is.
    kind, _, name = os.fsdecode(rcache_name).partition(":")
    if kind not in ("dfl", "file2"):
        return None
    path = Path(name) if kind == "file2" else _default_file()
    # MIT follows links only to a file that somebody named.
    links = os.O_NOFOLLOW if kind == "dfl" else 0
    try:
        opened = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | links, 0o600)
    except OSError as error:
        reason = os.strerror(error.errno or 0)
        return f"the replay cache {path} cannot be opened for writing: {reason}"
    try:
        owner = os.fstat(opened).st_uid
        room = os.fstatvfs(opened)
    finally:
        os.close(opened)
    if kind == "dfl" and owner != os.geteuid():
        return f"the replay cache {path} belongs to another user (uid {owner})"
    # The last blocks of a disk are root's.
    free = room.f_bavail if os.geteuid() else room.f_bfree
    if room.f_blocks and not free:
        return f"the disk of the replay cache {path} is full"
    return None


def _default_file() -> Path:
    elsewhere = os.environ.get("TMPDIR", "/var/tmp")  # noqa: S108 - MIT's own choice
    folder = os.environ.get("KRB5RCACHEDIR", elsewhere)
    return Path(f"{folder}/krb5_{os.geteuid()}.rcache2")


def _private_folder(parent: Path) -> Path:
    """Make a folder below a world-writable one, or refuse one that somebody else prepared."""
    folder = parent / f"authsrv-{os.geteuid()}"
    try:
        with contextlib.suppress(FileExistsError):
            folder.mkdir(mode=0o700)
        found = folder.lstat()
    except OSError:
        raise ConfigError(f"there is no memory-backed storage at {parent}") from None
    foreign = found.st_uid != os.geteuid() or not stat.S_ISDIR(found.st_mode)
    if foreign or found.st_mode & 0o077:
        raise ConfigError(f"{folder} is not a folder that only this user can enter")
    return folder


class ProcessReplayCache:
    """A replay cache in the memory of this one process, with MIT's own switched off.

    Args:
        max_entries: How many authenticators are remembered; when it is full, new ones are refused
            and nothing is forgotten. An entry takes some 150 bytes.
        skew: Tells the clock skew in force, in seconds; asked of libkrb5 if not given. Entries live
            twice as long, and five seconds. Where it is raised while the process runs, what was
            forgotten before is not known any more, as after a restart.
        clock: Seconds of a clock that does not jump.

    Raises:
        ConfigError: max_entries is not greater than zero.
    """

    def __init__(
        self,
        *,
        max_entries: int = 1_000_000,
        skew: Callable[[], float] = clock_skew,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._max_entries = int(
            as_number(as_instance(int, max_entries, "max_entries"), "max_entries")
        )
        self._skew = skew
        self._clock = clock
        self._guard = threading.Lock()
        self._seen: set[bytes] = set()
        self._queue: deque[tuple[float, bytes]] = deque()

    def __repr__(self) -> str:
        return f"<ProcessReplayCache {len(self)} of {self._max_entries}>"

    def __len__(self) -> int:
        return len(self._seen)

    @property
    def rcache_name(self) -> bytes:
        """See ReplayProtection.rcache_name: MIT's acceptor keeps no cache of its own."""
        return b"none:"

    def check_and_store(self, authenticator: bytes) -> None:
        """See ReplayProtection.check_and_store."""
        key = hashlib.sha256(authenticator).digest()
        now = self._clock()
        with self._guard:
            self._expire(now)
            if key in self._seen:
                raise ReplayError("the authenticator was used before")
            if len(self._seen) >= self._max_entries:
                raise ReplayCacheError(f"the replay cache is full: {self._max_entries} entries")
            self._seen.add(key)
            self._queue.append((now, key))

    def _expire(self, now: float) -> None:
        queue = self._queue
        claimed_before = now - _SKEW_SPAN * self._skew() - _MARGIN_S
        while queue and queue[0][0] <= claimed_before:
            self._seen.discard(queue.popleft()[1])
