"""One way of getting a blocking accept off the event loop, measured in a process of its own.

usage: offload.py WAY KEYTAB TOKENS

Accepts every token of the file with the same call of gssapi.raw and prints the processor time of
one accept in microseconds. So many tasks are under way at once as there are connections in the
other measurements.
"""

from __future__ import annotations

import asyncio
import base64
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import gssapi.raw as gss
import uvloop

from authsrv.workers import WorkerPool

_TASKS = 16

Way = Callable[[Callable[[], bytes]], Awaitable[bytes]]


async def run_inline(call: Callable[[], bytes]) -> bytes:
    """Block the loop: what the others are compared with."""
    return call()


def executor_way() -> Way:
    """A ThreadPoolExecutor of default size, one job a call."""
    executor = ThreadPoolExecutor()

    async def run(call: Callable[[], bytes]) -> bytes:
        return await asyncio.get_running_loop().run_in_executor(executor, call)

    return run


_WAYS: dict[str, Callable[[], Way]] = {
    "inline": lambda: run_inline,
    "run_in_executor": executor_way,
    "to_thread": lambda: asyncio.to_thread,
    "authsrv_workers": lambda: WorkerPool().run,
}


def accept(credential: gss.Creds, token: bytes) -> bytes:
    """Accept a token and answer the client's name."""
    answer = gss.accept_sec_context(token, credential)
    name: bytes = gss.display_name(answer.initiator_name, False).name
    return name


async def drain(way: Way, credential: gss.Creds, tokens: Iterator[bytes]) -> None:
    """Accept tokens one after the other until there are none left."""
    for token in tokens:
        await way(partial(accept, credential, token))


async def measure(make_way: Callable[[], Way], keytab: str, tokens: list[bytes]) -> float:
    """Answer the processor time of one accept in microseconds."""
    way = make_way()
    store = {b"keytab": keytab.encode(), b"rcache": b"dfl:"}
    credential = gss.acquire_cred_from(store, None, usage="accept").creds
    warm, rest = iter(tokens[:_TASKS]), iter(tokens[_TASKS:])
    await asyncio.gather(*(drain(way, credential, warm) for _ in range(_TASKS)))
    begun = time.process_time()
    await asyncio.gather(*(drain(way, credential, rest) for _ in range(_TASKS)))
    return (time.process_time() - begun) / (len(tokens) - _TASKS) * 1e6


def main() -> None:
    """Measure the way that the command line names."""
    way, keytab, path = sys.argv[1:]
    tokens = [base64.b64decode(line) for line in Path(path).read_text().splitlines()]
    print(uvloop.run(measure(_WAYS[way], keytab, tokens)))


if __name__ == "__main__":
    main()
