"""Key rings in files that nobody else can read, made and rotated whole, and read when they change.

A folder holds two: `sealing.json` for cookies and `signing.json` for tokens. Machines and workers
that serve the same sites share them by copies. The functions here block, for a file of some
kilobytes each.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path
from types import MappingProxyType
from typing import Final

from authsrv.core.settings import as_member, as_number, as_path
from authsrv.errors import ConfigError
from authsrv.sessions.keyring import MAX_RING_BYTES, KeyKind, KeyRing, parse_ring, serialise_ring
from authsrv.sessions.session import MAX_SESSION_SECONDS

__all__ = ["DEFAULT_DELAY_SECONDS", "FILE_NAMES", "KeyFile", "init_keys", "rotate_keys"]

FILE_NAMES: Final = MappingProxyType(
    {KeyKind.SEALING: "sealing.json", KeyKind.SIGNING: "signing.json"}
)
"""The file of each kind of keys in their folder."""

DEFAULT_DELAY_SECONDS: Final = 300
"""Until then every worker has read a new key, and every application has fetched its public one."""

# How long after its replacement a key is kept: for the longest session, and for tokens of five
# minutes and the caches of those who verify them.
_KEEP_SECONDS = MappingProxyType({KeyKind.SEALING: MAX_SESSION_SECONDS, KeyKind.SIGNING: 3_600})

_OTHERS = stat.S_IRWXG | stat.S_IRWXO
_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH

_Stamp = tuple[int, int, int, int]


def init_keys(folder: str | os.PathLike[str], now: float) -> dict[Path, KeyRing]:
    """Make a ring of each kind, and the folder with mode 0700 if there is none.

    Args:
        folder: Where; the folder around it must exist.
        now: Unix seconds.

    Returns:
        The files that were made.

    Raises:
        ConfigError: There is one of the files already, or nobody but us must be able to write into
            the folder and somebody can, or the system refuses.
    """
    path = Path(as_path(folder, "folder"))
    with _told(f"the folder {path}"), contextlib.suppress(FileExistsError):
        path.mkdir(mode=0o700)
    made = {}
    with _locked(path) as opened:
        for name in FILE_NAMES.values():
            if _is_there(opened, name):
                raise ConfigError(f"{path / name} exists, and is not written over: rotate it")
        for kind, name in FILE_NAMES.items():
            ring = KeyRing.new(kind, now)
            with _told(str(path / name)), _written(opened, ring) as temporary:
                # Unlike a rename, a link never replaces a file.
                os.link(temporary, name, src_dir_fd=opened, dst_dir_fd=opened)
            made[path / name] = ring
    return made


def rotate_keys(
    folder: str | os.PathLike[str], now: float, *, delay_seconds: float = DEFAULT_DELAY_SECONDS
) -> dict[Path, KeyRing]:
    """Give each ring a new key, and take out those that nothing alive was made with.

    Args:
        folder: Where `init_keys` made them.
        now: Unix seconds.
        delay_seconds: After what time the new keys are used; until then copies must have arrived.

    Returns:
        The files that were replaced.

    Raises:
        ConfigError: A file is missing, broken or exposed; its newest key is not in use yet, or it
            has no room; or the system refuses. Then no file is replaced, unless it is the second
            one that the system refuses.
    """
    path = Path(as_path(folder, "folder"))
    delay = as_number(delay_seconds, "delay_seconds")
    rotated = {}
    with _locked(path) as opened:
        for kind, name in FILE_NAMES.items():
            ring = _read(path / name, kind)[0]
            try:
                fresh = ring.rotated(now, delay_seconds=delay, keep_seconds=_KEEP_SECONDS[kind])
            except ConfigError as error:
                raise ConfigError(f"{path / name} was not rotated: {error.detail}") from None
            rotated[path / name] = fresh
        for file, ring in rotated.items():
            with _told(str(file)), _written(opened, ring) as temporary:
                os.replace(temporary, file.name, src_dir_fd=opened, dst_dir_fd=opened)
    return rotated


class KeyFile:
    """A file with a ring, and the newest good one that was in it.

    Args:
        path: The file.
        kind: What its keys must be for.

    Raises:
        ConfigError: It is missing, broken, of another kind, or exposed; the error names the file
            and the remedy.
    """

    def __init__(self, path: str | os.PathLike[str], kind: KeyKind) -> None:
        self.path = Path(as_path(path, "path"))
        self.kind = as_member(KeyKind, kind, "kind")
        self._stamp: _Stamp | None
        self._ring, self._stamp = _read(self.path, self.kind)

    def __repr__(self) -> str:
        return f"<KeyFile {self.path}>"

    @property
    def ring(self) -> KeyRing:
        """The newest good ring. Another object after `refresh` said so, and only then."""
        return self._ring

    def refresh(self) -> bool:
        """Read the file if it changed; some microseconds if it did not.

        Returns:
            Whether there is another ring.

        Raises:
            ConfigError: What the file is now cannot be used; the ring before stays. Raised once for
                each state of the file.
        """
        stamp = _look_at(self.path)
        if stamp == self._stamp:
            return False
        self._stamp = stamp
        ring, self._stamp = _read(self.path, self.kind)
        if ring == self._ring:
            return False
        self._ring = ring
        return True


def _look_at(path: Path) -> _Stamp | None:
    try:
        return _stamp(os.lstat(path))
    except OSError:
        return None


def _stamp(found: os.stat_result) -> _Stamp:
    # The time of change, too: it moves when only the mode was put right.
    return found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def _read(path: Path, kind: KeyKind) -> tuple[KeyRing, _Stamp]:
    what = f"the key file {path}"
    # Opening a pipe would wait for somebody who writes.
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    with _folder(path.parent) as folder:
        with _told(what):
            opened = os.open(path.name, flags, dir_fd=folder)
        try:
            found = os.fstat(opened)
            _demand_private(what, found)
            with _told(what):
                # One byte more than is allowed shows that the file is too large.
                content = os.read(opened, MAX_RING_BYTES + 1)
        finally:
            os.close(opened)
    return parse_ring(content, kind, str(path)), _stamp(found)


@contextlib.contextmanager
def _folder(path: Path) -> Iterator[int]:
    """A descriptor of a folder in which nobody else can put other files."""
    what = f"the folder {path}"
    with _told(what):
        opened = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_DIRECTORY)
    try:
        found = os.fstat(opened)
        _demand_ours(what, found)
        if found.st_mode & _OTHERS_WRITE:
            raise ConfigError(f"others can write into {what}: chmod go-w {path}")
        yield opened
    finally:
        os.close(opened)


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[int]:
    """The same, with nobody else making or rotating keys in it."""
    with _folder(path) as opened:
        try:
            fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise ConfigError(f"somebody else is changing keys in {path}: try again") from None
        yield opened


@contextlib.contextmanager
def _written(folder: int, ring: KeyRing) -> Iterator[str]:
    """Write a ring to a temporary file of the folder, which is gone afterwards."""
    name = f".{secrets.token_hex(8)}.new"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
    opened = os.open(name, flags, 0o600, dir_fd=folder)
    try:
        with open(opened, "w", encoding="ascii") as file:
            file.write(serialise_ring(ring))
            file.flush()
            os.fsync(file.fileno())
        yield name
        os.fsync(folder)
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name, dir_fd=folder)


def _demand_ours(what: str, found: os.stat_result) -> None:
    if found.st_uid not in (os.geteuid(), 0):
        raise ConfigError(
            f"{what} belongs to user {found.st_uid}, not to us or root: it must be given to us"
        )


def _demand_private(what: str, found: os.stat_result) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise ConfigError(f"{what} is not a regular file")
    _demand_ours(what, found)
    if found.st_mode & _OTHERS:
        raise ConfigError(f"{what} is open to others: it must have mode 0600")


def _is_there(folder: int, name: str) -> bool:
    try:
        os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


@contextlib.contextmanager
def _told(what: str) -> Iterator[None]:
    """Tell what the system refused, and of what."""
    try:
        yield
    except OSError as error:
        raise ConfigError(f"{what}: {os.strerror(error.errno or 0)}") from None
