"""A second process on one store: says what it is told on its standard input, a line each.

usage: store_child.py PATH COMMAND [NAME]

    claim NAME     prints "fresh", "seen" or "error", and ends
    race COUNT     waits for a line, claims so many names, from the last one on where it is below
                   zero, and prints how many were fresh and seen
    hold           takes the lock of the file, says "held", and keeps it
    die NAME       is killed within a claim, before it is confirmed
    many           claims without end and prints each name when it is confirmed
"""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import itertools
import os
import signal
import sys
import time
from unittest import mock

from authsrv.errors import StoreError
from authsrv.stores.base import Claim, Purpose
from authsrv.stores.lmdb_file import _Tree
from authsrv.stores.machine import MachineStore


def claim_of(name: str) -> Claim:
    """The claim that a name stands for, in every process."""
    key = hashlib.sha256(name.encode()).digest()
    return Claim(Purpose.REPLAY, key, time.time() + 600)


async def claim(store: MachineStore, name: str) -> str:
    """What the store says to a name."""
    try:
        return "fresh" if await store.check_and_store(claim_of(name)) else "seen"
    except StoreError:
        return "error"


def hold(path: str) -> None:
    """Hold the lock until the end."""
    descriptor = os.open(path, os.O_RDWR)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    print("held", flush=True)
    time.sleep(600)


def die(store: MachineStore, name: str) -> None:
    """End when the claim is written and not yet committed."""

    def write_and_die(table: _Tree, key: bytes, row: bytes) -> None:
        table._write(key, row)
        os.kill(os.getpid(), signal.SIGKILL)

    asyncio.run(claim(store, "before"))
    with mock.patch.object(_Tree, "_write_new", write_and_die):
        asyncio.run(claim(store, name))


async def race(store: MachineStore, count: int) -> str:
    """How many of so many names were fresh for this process, and how many were seen."""
    numbers = range(abs(count)) if count > 0 else reversed(range(-count))
    answers = [await claim(store, str(number)) for number in numbers]
    return f"{answers.count('fresh')} {answers.count('seen')}"


async def claim_many(store: MachineStore) -> None:
    """Claim until the end."""
    for number in itertools.count():
        if await claim(store, f"many-{number}") == "fresh":
            print(number, flush=True)


def main() -> None:
    """Do what the command line says."""
    path, command, *name = sys.argv[1:]
    store = MachineStore(path, max_claims=100_000)
    if command == "hold":
        hold(path)
    elif command == "die":
        die(store, name[0])
    elif command == "many":
        asyncio.run(claim_many(store))
    elif command == "race":
        asyncio.run(claim(store, "open"))
        print("ready", flush=True)
        sys.stdin.readline()
        print(asyncio.run(race(store, int(name[0]))))
    else:
        print(asyncio.run(claim(store, name[0])))


if __name__ == "__main__":
    main()
