"""One choice of replay protection, measured in a process of its own.

usage: replay.py CHOICE KEYTAB TOKENS FOLDER

Takes every token of the file through the gssapi package, on one thread and without a loop, and
prints the processor time of one in microseconds. Fails if the first token is accepted once more.
"""

from __future__ import annotations

import base64
import sys
import time
from collections.abc import Callable
from pathlib import Path

from authsrv.core.results import Established
from authsrv.providers.base import ContextRequest
from authsrv.providers.gssapi.acceptor import GssapiProvider
from authsrv.providers.replay import MITReplayCache, ReplayProtection
from authsrv.stores.base import Store
from authsrv.stores.machine import MachineStore
from authsrv.stores.memory import MemoryStore

_CHOICES: dict[str, Callable[[str], ReplayProtection]] = {
    "mit_default_file": lambda folder: MITReplayCache(),
    "mit_file_in_memory": lambda folder: MITReplayCache(f"file2:{folder}/rcache"),
    "machine_store": lambda folder: MachineStore(f"{folder}/store", clock=of_an_old_store()),
    "memory_store": lambda folder: MemoryStore(clock=of_an_old_store()),
}


def of_an_old_store() -> Callable[[], float]:
    """A clock that says first that an hour ago is now: a young store reads times in tokens."""
    births = iter([time.time() - 3_600])
    return lambda: next(births, None) or time.time()


def take(package: GssapiProvider, store: Store | None, token: bytes) -> bool:
    """Take one token through a context of its own, and claim what it claims."""
    context = package.create_context(ContextRequest())
    try:
        result = context.step(token)
    finally:
        context.delete()
    if not isinstance(result, Established):
        return False
    return store is None or all(store.check_at_once(claim) is True for claim in result.claims)


def main() -> None:
    """Measure the choice that the command line names."""
    choice, keytab, path, folder = sys.argv[1:]
    tokens = [base64.b64decode(line) for line in Path(path).read_text().splitlines()]
    package = GssapiProvider(keytab, replay=_CHOICES[choice](folder))
    package.check()
    begun = time.process_time()
    results = [take(package, package.store, token) for token in tokens]
    used = time.process_time() - begun
    if not all(results):
        sys.exit("a fresh token was refused")
    if take(package, package.store, tokens[0]):
        sys.exit("a replay was accepted")
    print(used / len(tokens) * 1e6)


if __name__ == "__main__":
    main()
