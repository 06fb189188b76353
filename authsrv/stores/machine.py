"""A store in a file that all processes of a user on a machine share: LMDB under our own lock.

The file lies in memory (/dev/shm), so that nothing waits for a disk: a call is a few microseconds,
and is made in place on the event loop. It outlives every process, however that ends, and not a
reboot.

LMDB's own locks wait for a stopped holder without limit, and fail between containers whose
processes have the same numbers. So they are off, and every access, a reading one too, is made under
one lock of the file, which is only ever tried, until `patience` is over. A process that is killed
lets go of it.

What ends a store: its file was deleted or replaced, or LMDB reports an error. From then on every
call is a StoreError in this process, until it is started anew; all others that use the file are to
be ended before that.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import threading
import time
from collections.abc import Callable, Hashable, Sequence
from pathlib import Path
from typing import Final, TypeVar

from authsrv.core.settings import as_instance, as_number, as_path
from authsrv.errors import ConfigError, StoreError
from authsrv.stores.base import Claim, Purpose
from authsrv.stores.lmdb_file import LEAST_CLAIMS, BrokenFileError, LMDBFile, open_lmdb_file
from authsrv.stores.own_files import own_folder
from authsrv.stores.table import Table

__all__ = ["MachineStore", "default_path", "machine_store"]

_T = TypeVar("_T")

# Where every Linux has memory-backed storage. A folder that the environment names would be another
# one for a process that was started in another way, and two stores are none.
_MEMORY: Final = Path("/dev/shm")  # noqa: S108 - own_folder checks what stands there
_FIRST_PAUSE_S: Final = 0.000_5
_LONGEST_PAUSE_S: Final = 0.004

_CLOSED: Final = "the store is closed"
_OUT_OF_USE: Final = (
    "the store {path} is out of use: {error}; end all processes that use it, remove it, and start "
    "them anew"
)


def default_path() -> Path:
    """Tell where the store of this user is where nothing else is said."""
    return _MEMORY / f"authsrv-{os.geteuid()}" / "store-v1"


@functools.cache
def machine_store() -> MachineStore:
    """Give this process's object of the store at the default path, always the same."""
    return MachineStore()


class MachineStore:
    """Remembers for all processes of one user on one machine.

    It is opened when it is first used, on a thread; that takes some 30 ms where the file has to be
    made. It may be used on several threads and event loops, and after a fork: then the child opens
    it anew. One process may have one such object a file.

    Args:
        path: The file. The folder around it must be one that only this user can enter; it is made
            where it is missing. If it is not given, default_path.
        max_claims: How many used tokens are remembered; beside them a part as many of other things.
            When it is full, new ones are refused and nothing is forgotten. Whoever makes the file
            says so, and takes 256 bytes for each at once; half of the room that is free where that
            is less.
        patience: Seconds to wait for other processes.
        clock: Tells the time in Unix seconds.

    Raises:
        ConfigError: A setting is of a wrong type; max_claims is less than 4,096.
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | None = None,
        *,
        max_claims: int = 500_000,
        patience: float = 0.5,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.path = default_path() if path is None else Path(as_path(path, "path")).absolute()
        self._max_claims = as_instance(int, max_claims, "max_claims")
        if self._max_claims < LEAST_CLAIMS:
            raise ConfigError(f"max_claims must be at least {LEAST_CLAIMS}")
        self._patience = as_number(patience, "patience")
        self._clock = clock
        self._fault: str | None = None
        self._file: LMDBFile | None = None
        self._opening = threading.Lock()
        self._pid = os.getpid()

    def __repr__(self) -> str:
        return f"<MachineStore {self.path}>"

    @property
    def born_at(self) -> float:
        """See Store.born_at: when the file was made."""
        return (self._opened() or self._open()).born_at

    def check_at_once(self, claim: Claim) -> bool | None:
        """See Store.check_at_once."""
        file = self._opened()
        if file is None or not self._try_lock(file):
            return None
        return self._use(file, claim.purpose, Table.claim, claim)

    async def check_and_store(self, claim: Claim) -> bool:
        """See Store.check_and_store."""
        return await self._in_turn(claim.purpose, Table.claim, claim)

    async def put(self, purpose: Purpose, key: bytes, value: bytes, expires_at: float) -> None:
        """See Store.put."""
        await self._in_turn(purpose, Table.put, key, value, expires_at)

    async def get(self, purpose: Purpose, key: bytes) -> bytes | None:
        """See Store.get."""
        return await self._in_turn(purpose, Table.get, key)

    async def get_many(self, purpose: Purpose, keys: Sequence[bytes]) -> list[bytes | None]:
        """See Store.get_many."""
        return await self._in_turn(purpose, lambda table, now: table.get_many(keys, now))

    def state_at_once(self) -> Hashable | None:
        """See Store.state_at_once."""
        file = self._opened()
        return None if file is None else file.state

    async def take(self, purpose: Purpose, key: bytes) -> bytes | None:
        """See Store.take."""
        return await self._in_turn(purpose, Table.take, key)

    async def count(self, purpose: Purpose, key: bytes, window_seconds: float) -> int:
        """See Store.count."""
        return await self._in_turn(purpose, Table.count, key, window_seconds)

    async def close(self) -> None:
        """See Store.close; the file stays."""
        if self._file is not None:
            # Where somebody has it who does not let go, it ends with this process.
            with contextlib.suppress(StoreError):
                self._end(await self._lock(), _CLOSED)
        self._fault = self._fault or _CLOSED

    def _opened(self) -> LMDBFile | None:
        if self._pid != os.getpid():
            self._forget_parent()
        if self._fault is not None:
            raise StoreError(self._fault)
        return self._file

    def _open(self) -> LMDBFile:
        """Open the file, once; this blocks, until `patience` is over."""
        with self._opening:
            file = self._opened()
            if file is None:
                own_folder(self.path.parent)
                file = self._file = open_lmdb_file(
                    self.path, self._max_claims, self._patience, self._clock()
                )
            return file

    def _forget_parent(self) -> None:
        """Begin anew in a forked child, which would pass through the lock of its parent."""
        inherited, self._file = self._file, None
        self._opening = threading.Lock()
        self._pid = os.getpid()
        if inherited is not None:
            inherited.close()

    async def _in_turn(self, purpose: Purpose, work: Callable[..., _T], *given: object) -> _T:
        """Do something in the table of a purpose when the file is ours."""
        return self._use(await self._lock(), purpose, work, *given)

    async def _lock(self) -> LMDBFile:
        """Wait until the file is ours."""
        pause, give_up_at = _FIRST_PAUSE_S, time.monotonic() + self._patience
        while True:
            file = self._opened()
            if file is None:
                file = await asyncio.to_thread(self._open)
            if self._try_lock(file):
                return file
            if time.monotonic() >= give_up_at:
                raise StoreError(
                    f"another process has held the store {self.path} for {self._patience:g} s"
                )
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_S)

    def _try_lock(self, file: LMDBFile) -> bool:
        try:
            return file.lock.try_acquire()
        except OSError:
            raise StoreError(self._fault or f"the store {self.path} cannot be locked") from None

    def _use(self, file: LMDBFile, purpose: Purpose, work: Callable[..., _T], *given: object) -> _T:
        """Do something in the table of a file that we have locked, now, and unlock it."""
        try:
            answer = file.perform(purpose, work, *given, self._clock())
        except BrokenFileError as error:
            self._end(file, _OUT_OF_USE.format(path=self.path, error=error))
            raise StoreError(self._fault or "") from None
        except BaseException:
            file.lock.release()
            raise
        file.lock.release()
        return answer

    def _end(self, file: LMDBFile, fault: str) -> None:
        """Close the file, which we have locked, for good."""
        self._fault, self._file = fault, None
        file.close()
