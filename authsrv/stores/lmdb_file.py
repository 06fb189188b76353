"""One open file of LMDB, with a tree for each purpose, used under one lock by whoever has it."""

from __future__ import annotations

import os
import struct
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar

import lmdb

from authsrv.errors import StoreError
from authsrv.stores.base import Purpose
from authsrv.stores.file_lock import FileLock
from authsrv.stores.own_files import open_own_file
from authsrv.stores.table import Table, most_rows

__all__ = ["LEAST_CLAIMS", "BrokenFileError", "LMDBFile", "open_lmdb_file"]

_T = TypeVar("_T")

LEAST_CLAIMS = 4_096
"""The fewest used tokens that a file has room for."""

# One used token, with the part of the other rows that it stands for, and room for what LMDB copies.
_BYTES_PER_CLAIM: Final = 256
_BORN_AT: Final = b"born-at"
_FORGOTTEN: Final = b"forgotten-until"
_TIME: Final = struct.Struct(">d")
_PAUSE_S: Final = 0.002


class LMDBFile:
    """An open file. All but `lock` is for whoever has that.

    Args:
        path: Where it is.
        lock: Its lock.
        environment: What LMDB made of it.
        now: When it was made, if it is new, in Unix seconds.

    Raises:
        lmdb.Error: It is broken.
    """

    __slots__ = ("_environment", "_identity", "_path", "_tables", "born_at", "lock")

    def __init__(self, path: Path, lock: FileLock, environment: Any, now: float) -> None:
        self._path = str(path)
        self.lock = lock
        self._environment = environment
        self._identity = _identity(self._path)
        main = environment.open_db(None)
        most = environment.info()["map_size"] // _BYTES_PER_CLAIM
        self._tables = {
            purpose: _Tree(
                most_rows(purpose, most), main, environment.open_db(purpose.value.encode())
            )
            for purpose in Purpose
        }
        with environment.begin(write=True) as transaction:
            transaction.put(_BORN_AT, _TIME.pack(now), overwrite=False)
            self.born_at: float = _TIME.unpack(transaction.get(_BORN_AT))[0]

    def perform(self, purpose: Purpose, work: Callable[..., _T], *given: object) -> _T:
        """Do something in the table of a purpose, wholly or not at all.

        Args:
            purpose: The purpose.
            work: A method of Table.
            given: Its arguments.

        Raises:
            BrokenFileError: The file was deleted or replaced, or is not what was written.
            StoreError: As of Table.
        """
        if _identity(self._path) != self._identity:
            raise BrokenFileError("its file was deleted or replaced")
        table = self._tables[purpose]
        try:
            transaction = table.begin(self._environment)
            try:
                answer = work(table, *given)
            except StoreError:
                # What has expired stays removed, so that a full table becomes less full.
                transaction.commit()
                raise
            except BaseException:
                transaction.abort()
                raise
            transaction.commit()
        except lmdb.Error as error:
            raise BrokenFileError(f"LMDB reports {type(error).__name__}") from None
        except struct.error:
            raise BrokenFileError("what is in it is not what was written") from None
        return answer

    @property
    def state(self) -> int | None:
        """The number of the last change by any process; None where the file is of no use.

        It is read without the lock: LMDB writes it into the file, which is memory that all
        processes share, as the last step of a change.
        """
        if _identity(self._path) != self._identity:
            return None
        try:
            number: int = self._environment.info()["last_txnid"]
        except lmdb.Error:
            return None
        return number

    def close(self) -> None:
        """Close it, and the lock with it."""
        self._environment.close()
        self.lock.close()


class BrokenFileError(Exception):
    """The file is of no use any more; its text says why, for the log."""


class _Tree(Table):
    """A tree of the file, of use within a transaction only."""

    __slots__ = ("_main", "_next_key", "_transaction", "tree")

    def __init__(self, limit: int, main: Any, tree: Any) -> None:
        super().__init__(limit)
        self._main = main
        self.tree = tree
        self._transaction: Any = None
        # Where this process goes on to look for what has expired.
        self._next_key = b""

    def begin(self, environment: Any) -> Any:
        """Begin a transaction, which is the caller's to end."""
        self._transaction = environment.begin(write=True, db=self.tree)
        return self._transaction

    def __len__(self) -> int:
        rows: int = self._transaction.stat(self.tree)["entries"]
        return rows

    def _find(self, key: bytes) -> bytes | None:
        row: bytes | None = self._transaction.get(key)
        return row

    def _write(self, key: bytes, row: bytes) -> None:
        self._transaction.put(key, row)

    def _write_new(self, key: bytes, row: bytes) -> bool:
        is_new: bool = self._transaction.put(key, row, overwrite=False)
        return is_new

    def _remove(self, key: bytes) -> None:
        self._transaction.delete(key)

    def _remove_expired(self, count: int, until: bytes) -> bytes | None:
        cursor, latest = self._transaction.cursor(), None
        is_there = cursor.set_range(self._next_key) or cursor.first()
        for _ in range(count):
            if not is_there:
                break
            row = cursor.value()
            if row >= until:
                is_there = cursor.next()
                continue
            # The cursor stands at the next row then, or at none.
            is_there = cursor.delete() and cursor.key() != b""
            latest = row if latest is None else max(latest, row)
        self._next_key = cursor.key() if is_there else b""
        return latest

    def _forgotten_until(self) -> float:
        packed = self._transaction.get(_FORGOTTEN, db=self._main)
        return _TIME.unpack(packed)[0] if packed else 0.0

    def _note_forgotten(self, expired_at: float) -> None:
        self._transaction.put(_FORGOTTEN, _TIME.pack(expired_at), db=self._main)


def open_lmdb_file(path: Path, max_claims: int, patience: float, now: float) -> LMDBFile:
    """Open a store's file, or make it. It blocks.

    Args:
        path: Where it is, in a folder that only this user can enter.
        max_claims: How many used tokens it has room for, if it is new.
        patience: Seconds to wait for other processes.
        now: The time, in Unix seconds.

    Raises:
        StoreError: It cannot be opened, is not ours, is broken, or there is no room for it.
    """
    opened = open_own_file(path)
    lock = FileLock(opened)
    try:
        _wait_for(lock, path, patience)
        file = _open_locked(path, opened, lock, max_claims, now)
    except lmdb.Error as error:
        lock.close()
        raise StoreError(f"the store {path} cannot be opened: {_said(error)}") from None
    except BaseException:
        lock.close()
        raise
    lock.release()
    return file


def _open_locked(path: Path, opened: int, lock: FileLock, max_claims: int, now: float) -> LMDBFile:
    is_new = os.fstat(opened).st_size == 0
    size = _size_of_new(path, opened, max_claims) if is_new else os.fstat(opened).st_size
    environment = lmdb.open(
        str(path),
        map_size=size,
        max_dbs=len(Purpose),
        mode=0o600,
        subdir=False,
        lock=False,
        sync=False,
        writemap=True,
        readahead=False,
    )
    try:
        _occupy(path, opened, size)
        return LMDBFile(path, lock, environment, now)
    except BaseException:
        environment.close()
        if is_new:
            path.unlink()
        raise


def _occupy(path: Path, opened: int, size: int) -> None:
    """Take the room of the whole file now: a page that cannot be had later ends the process.

    Not before LMDB has made the file: it would not know what to make of the zeros.
    """
    if os.fstat(opened).st_blocks * 512 >= size:
        return
    try:
        os.posix_fallocate(opened, 0, size)
    except OSError as error:
        reason = os.strerror(error.errno or 0)
        raise StoreError(f"there is no room for the store {path}: {reason}") from None


def _size_of_new(path: Path, opened: int, max_claims: int) -> int:
    room = os.fstatvfs(opened)
    size = min(max_claims * _BYTES_PER_CLAIM, room.f_bavail * room.f_frsize // 2)
    if size < LEAST_CLAIMS * _BYTES_PER_CLAIM:
        raise StoreError(f"there is no room for the store {path}")
    return size - size % os.sysconf("SC_PAGE_SIZE")


def _wait_for(lock: FileLock, path: Path, patience: float) -> None:
    give_up_at = time.monotonic() + patience
    while not lock.try_acquire():
        if time.monotonic() >= give_up_at:
            raise StoreError(f"another process has held the store {path} for {patience:g} s")
        time.sleep(_PAUSE_S)


def _identity(path: str) -> tuple[int, int] | None:
    try:
        found = os.lstat(path)
    except OSError:
        return None
    return found.st_ino, found.st_dev


def _said(error: lmdb.Error) -> str:
    if type(error) is lmdb.Error:
        return "it is open in this process, by another object"
    return f"LMDB reports {type(error).__name__}"
