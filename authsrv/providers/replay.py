"""Replay protection: how a token is kept from being accepted twice, and where.

Which choice protects what:

A store: `MachineStore()`, the default, or `MemoryStore()`
    The provider claims the authenticator inside the AP-REQ, and the handshake asks the store before
    anybody is let in. MIT's own replay cache is switched off. What each store protects is said at
    the store; several processes of one user on one machine share a MachineStore.
`MITReplayCache()`
    MIT's own replay cache, a file shared by all processes of one user on one machine. It outlives a
    restart and a reboot. It is the default where a MachineStore cannot be had.
`MITReplayCache.in_memory()`
    The same file format in memory-backed storage: shared by the processes of one user on one
    machine, outlives a restart, not a reboot.

A token in which no AP-REQ can be read strictly is refused where a store is asked.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from authsrv.core.settings import as_instance
from authsrv.errors import ConfigError, StoreError
from authsrv.stores.base import Store
from authsrv.stores.own_files import own_folder

__all__ = [
    "MITReplayCache",
    "ReplayProtection",
    "default_replay_protection",
    "find_cache_fault",
]

_MEMORY_BACKED: Final = Path("/dev/shm")  # noqa: S108 - checked where it is used


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
        return cls(f"file2:{_private_folder(_MEMORY_BACKED) / label}")


ReplayProtection = MITReplayCache | Store
"""Where it is remembered which authenticators were accepted."""


def default_replay_protection() -> ReplayProtection:
    """Give the store that this user's processes on this machine share.

    Where there is none, as LMDB is not installed or the system is not Linux, it is MIT's file.
    """
    if sys.platform != "linux":
        return MITReplayCache()
    try:
        from authsrv.stores.machine import machine_store
    except ImportError:
        return MITReplayCache()
    return machine_store()


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
        own_folder(folder)
    except StoreError as error:
        raise ConfigError(error.detail) from None
    return folder
